"""`taskweir adopt`: follow a task that was submitted elsewhere."""

import os
from typing import Annotated, Any

import typer

from receiver.cli.api import Api, server_of
from receiver.cli.submit import (
    WebhookEvents,
    WebhookFormat,
    WebhookUrl,
    print_new,
    read_input,
    read_pairs,
    webhook_of,
)

app = typer.Typer(add_completion=False)


@app.command()
def adopt(
    provider: Annotated[str, typer.Argument(help="The configured provider that has it, for example apikley.")],
    id: Annotated[str, typer.Argument(help="The provider's own id of the task.")],
    model: Annotated[str, typer.Option(help="The provider's own name of the model.", show_default=False)] = "",
    input: Annotated[
        str, typer.Option(help="What it was asked for: JSON, @file, or @- for standard input.", show_default=False)
    ] = "",
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of your own; may be repeated.")] = None,
    deadline: Annotated[int | None, typer.Option(min=1, help="Seconds after which we stop waiting for it.")] = None,
    webhook_url: WebhookUrl = "",
    webhook_events: WebhookEvents = None,
    webhook_format: WebhookFormat = "",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the outcome is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the task as JSON.")] = False,
) -> None:
    """Follow a task that was submitted elsewhere; the same id again is the same task."""
    body: dict[str, Any] = {"provider": provider, "provider_task_id": id, "model": model}
    body["metadata"] = read_pairs(metadata or [])
    body |= webhook_of(webhook_url, webhook_events, webhook_format)
    if input:
        body["input"] = read_input(input)
    if deadline is not None:
        body["deadline_seconds"] = deadline
    with Api(server_of(os.environ)) as api:
        print_new(api, api.post("/v1/tasks/adopt", body), wait=wait, as_json=as_json)

"""`taskweir adopt`: follow a task that was submitted elsewhere."""

from typing import Annotated

import typer

from receiver.cli.submit import WebhookEvents, WebhookFormat, WebhookUrl, print_new, read_input, read_pairs
from receiver.cli.text import comma_separated
from receiver.client import Taskweir

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
    asked, pairs = read_input(input) if input else None, read_pairs(metadata or [])
    with Taskweir() as client:
        task = client.adopt(
            provider,
            id,
            model=model or None,
            input=asked,
            metadata=pairs,
            webhook_url=webhook_url or None,
            webhook_events=comma_separated(webhook_events or []) or None,
            webhook_format=webhook_format or None,
            deadline_seconds=deadline,
        )
    print_new(task, wait=wait, as_json=as_json)

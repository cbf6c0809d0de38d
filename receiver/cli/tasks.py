"""`taskweir tasks`: what was submitted, and how each task stands."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from receiver.cli.screen import aside, fields_of, output, print_list, say, status_text
from receiver.cli.submit import print_new, tell_doubt
from receiver.cli.task_filters import ErrorKind, Metadata, Model, Provider, Since, Status, Until, bulk, filters_of
from receiver.cli.text import age, clock, compact, failure_of, moment, outcome_of, plain, pretty
from receiver.client import Taskweir

Id = Annotated[str, typer.Argument(help="The task's id, or <provider>:<the provider's own id>.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the task as JSON.")]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at tasks, cancel or settle them.")


@app.command("list")
def list_tasks(
    status: Status = "",
    provider: Provider = "",
    model: Model = "",
    error_kind: ErrorKind = "",
    metadata: Metadata = None,
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List tasks, newest first."""
    filters = filters_of(status, provider, model, error_kind, metadata, since, until)
    with Taskweir(retries=0) as client:
        tasks = list(client.tasks(filters=filters, limit=limit))
    columns = ("task", "status", "age", "provider", "model", "outcome")
    print_list(tasks, columns, _row, whole=4, as_json=as_json, none="no tasks")


@app.command()
def show(id: Id, as_json: AsJson = False) -> None:
    """Show one task, its outputs and what it waits for."""
    with Taskweir(retries=0) as client:
        task = client.task(id)
    if as_json:
        say(output(), pretty(task))
        return
    output().print(
        fields_of(
            [
                ("task", task["id"]),
                ("status", status_text(task["status"])),
                ("provider", task["provider"]),
                ("model", task["model"]),
                ("its id", task["provider_task_id"]),
                ("its status", task["provider_status"]),
                ("progress", "" if task["progress"] is None else f"{task['progress']} %"),
                ("waits for", (task["waiting_for"] or {}).get("text", "")),
                ("error", failure_of(task)),
                *((_label(found), found["url"]) for found in task["outputs"]),
                ("cost", _cost(task["usage"])),
                *((f"metadata {plain(key)}", value) for key, value in task["metadata"].items()),
                *((f"input {plain(key)}", _brief(value)) for key, value in task["input"].items()),
                *((name, moment(task[f"{name}_at"])) for name in ("created", "submitted", "finished", "deadline")),
            ]
        )
    )
    tell_doubt(aside(), task)


@app.command()
def cancel(id: Id, as_json: AsJson = False) -> None:
    """Cancel a task here; no provider so far can be told, and a result that it still brings is recorded as late."""
    with Taskweir(retries=0) as client:
        _print_settled(client.cancel(id), as_json=as_json)


@app.command()
def refresh(id: Id, as_json: AsJson = False) -> None:
    """Ask the provider about a task now, or hand it over now."""
    with Taskweir(retries=0) as client:
        _print_settled(client.refresh(id), as_json=as_json)


@app.command()
def timeline(id: Id, as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False) -> None:
    """Tell the story of a task: every submit, callback, poll that changed something, event, delivery, attempt."""
    with Taskweir(retries=0) as client:
        items = client.timeline(id)
    print_list(items, ("at", "what", "told"), _moment, whole=2, as_json=as_json, none="nothing is kept of it")


@app.command()
def resubmit(
    id: Id,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the outcome is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a final or an unconfirmed task once more, as a new task: it is paid for again."""
    with Taskweir() as client:
        task = client.resubmit(id)
    print_new(task, wait=wait, as_json=as_json)


@app.command()
def resolve(
    id: Id,
    provider_task_id: Annotated[str, typer.Option(help="The provider has it, under this id.", show_default=False)] = "",
    failed: Annotated[bool, typer.Option("--failed", help="The provider never had it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what became of an unconfirmed task."""
    if bool(provider_task_id) == failed:
        raise typer.BadParameter("give --provider-task-id, or --failed")
    with Taskweir(retries=0) as client:
        task = client.resolve(id, provider_task_id=provider_task_id or None, failed=failed)
    _print_settled(task, as_json=as_json)


app.command()(bulk)


def _print_settled(task: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(output(), pretty(task))
        return
    waits = plain((task["waiting_for"] or {}).get("text"))
    say(aside(), ": ".join(filter(None, [f"{plain(task['id'])} {plain(task['status'])}", waits])))


def _label(found: Mapping[str, Any]) -> str:
    return plain(found["kind"] if found["role"] == "main" else found["role"]).replace("_", " ")


def _cost(usage: Mapping[str, Any] | None) -> str:
    return "" if usage is None else plain(f"{usage['amount']} {usage['unit']} {usage['phase']}")


def _brief(value: Any) -> str:
    return value if isinstance(value, str) else compact(value)


def _moment(item: Mapping[str, Any]) -> Sequence[str | Text]:
    return f"{moment(item['at'])[:10]} {clock(item['at'])}", plain(item["kind"]), plain(item["text"])


def _row(task: Mapping[str, Any]) -> Sequence[str | Text]:
    return (
        task["id"],
        status_text(task["status"]),
        age(task["created_at"]),
        task["provider"],
        task["model"],
        outcome_of(task),
    )

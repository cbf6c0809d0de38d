"""`taskweir deliveries`: what is owed to whom, every attempt at it, once more or no longer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from receiver.cli.screen import aside, fields_of, output, print_list, print_table, say, status_text
from receiver.cli.text import age, clock, moment, plain, pretty
from receiver.client import Taskweir

_BRIEF = 200

Id = Annotated[str, typer.Argument(help="The delivery's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the delivery as JSON.")]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at deliveries, retry or cancel one.")


@app.command("list")
def list_deliveries(
    state: Annotated[str, typer.Option(help="pending, delivered, dead or canceled.")] = "",
    destination: Annotated[str, typer.Option(help="Only to this destination.")] = "",
    task: Annotated[str, typer.Option(help="Only about this task.")] = "",
    event: Annotated[str, typer.Option(help="Only of this event.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List deliveries, newest first."""
    with Taskweir(retries=0) as client:
        found = list(
            client.deliveries(
                state=state or None,
                destination_id=destination or None,
                task_id=task or None,
                event_id=event or None,
                limit=limit,
            )
        )
    columns = ("delivery", "state", "age", "attempts", "next", "destination", "event", "task")
    print_list(found, columns, _row, whole=4, as_json=as_json, none="no deliveries")


@app.command()
def show(id: Id, as_json: AsJson = False) -> None:
    """Show one delivery with every attempt at it, and what was answered."""
    with Taskweir(retries=0) as client:
        found = client.delivery(id)
    if as_json:
        say(output(), pretty(found))
        return
    output().print(
        fields_of(
            [
                ("delivery", found["id"]),
                ("state", status_text(found["state"])),
                ("event", found["event_id"]),
                ("destination", found["destination_id"]),
                ("task", plain(found["task_id"])),
                ("created", moment(found["created_at"])),
                ("next attempt", moment(found["next_attempt_at"])),
                ("blocked", plain(found["blocked_reason"])),
                ("attempts", plain(found["attempts"])),
            ]
        )
    )
    if found["attempt_log"]:
        columns = ("attempt", "at", "time", "result", "answer")
        print_table(found["attempt_log"], columns, _attempt_row, whole=3)
    if found["state"] == "dead":
        say(aside(), f"try it once more: taskweir deliveries retry {plain(found['id'])}")


@app.command()
def retry(id: Id, as_json: AsJson = False) -> None:
    """Try a delivery now: beside its schedule where it is pending, anew where it is dead or canceled."""
    with Taskweir(retries=0) as client:
        found = client.retry_delivery(id)
    _tell(found, f"is tried now; taskweir deliveries show {plain(id)}", as_json=as_json)


@app.command()
def cancel(id: Id, as_json: AsJson = False) -> None:
    """Try a delivery no longer."""
    with Taskweir(retries=0) as client:
        found = client.cancel_delivery(id)
    _tell(found, "is canceled", as_json=as_json)


def _tell(found: Mapping[str, Any], said: str, *, as_json: bool) -> None:
    if as_json:
        say(output(), pretty(found))
    else:
        say(aside(), f"{plain(found['id'])} {said}")


def _row(found: Mapping[str, Any]) -> Sequence[str | Text]:
    return (
        found["id"],
        status_text(found["state"]),
        age(found["created_at"]),
        plain(found["attempts"]),
        moment(found["next_attempt_at"]),
        found["destination_id"],
        found["event_id"],
        plain(found["task_id"]),
    )


def _attempt_row(attempt: Mapping[str, Any]) -> Sequence[str | Text]:
    result = attempt["error"] or ("written" if attempt["status"] is None else f"HTTP {attempt['status']}")
    return (
        plain(attempt["number"]),
        f"{moment(attempt['at'])[:10]} {clock(attempt['at'])}",
        f"{plain(attempt['duration_ms'])} ms",
        plain(result),
        plain(attempt["response"][:_BRIEF]),
    )

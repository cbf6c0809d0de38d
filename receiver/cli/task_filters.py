"""Which tasks are meant: the filters of their list, for looking at them and for one action on all of them."""

from typing import Annotated

import typer

from receiver.cli.screen import aside, output, say
from receiver.cli.submit import read_pairs
from receiver.cli.text import pretty, since_of
from receiver.client import Taskweir

Status = Annotated[str, typer.Option(help="Only tasks in this status.")]
Provider = Annotated[str, typer.Option(help="Only tasks at this provider.")]
Model = Annotated[str, typer.Option(help="Only tasks for this model.")]
ErrorKind = Annotated[str, typer.Option(help="Only tasks that failed so, for example quota or timeout.")]
Metadata = Annotated[list[str] | None, typer.Option(help="Only tasks with this KEY=VALUE; may be repeated.")]
Since = Annotated[str, typer.Option(help="Made since then: 2026-11-20T19:48:00Z, or 90min, 2h, 3d ago.")]
Until = Annotated[str, typer.Option(help="Made before then, written alike.")]

_ACTIONS = ("cancel", "refresh", "resolve", "resubmit")


def filters_of(
    status: str, provider: str, model: str, error_kind: str, metadata: list[str] | None, since: str, until: str
) -> dict[str, str]:
    """The filters that were given, by the names of the API; raises `BadParameter`."""
    asked = {
        "status": status,
        "provider": provider,
        "model": model,
        "error_kind": error_kind,
        "created_after": since_of(since),
        "created_before": since_of(until),
    }
    named = {name: value for name, value in asked.items() if value}
    return named | {f"metadata.{key}": value for key, value in read_pairs(metadata or []).items()}


def bulk(
    action: Annotated[str, typer.Argument(help="cancel, refresh, resolve (as failed) or resubmit.")],
    status: Status = "",
    provider: Provider = "",
    model: Model = "",
    error_kind: ErrorKind = "",
    metadata: Metadata = None,
    since: Since = "",
    until: Until = "",
    everything: Annotated[bool, typer.Option("--all", help="All tasks are meant: no filter is needed.")] = False,
    rate: Annotated[float | None, typer.Option(help="At most so many resubmits or refreshes per second.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Do one thing to all tasks that the filters mean and whose state allows it; how many is printed."""
    if action not in _ACTIONS:
        raise typer.BadParameter(f"there are {', '.join(_ACTIONS)}", param_hint="ACTION")
    filters = filters_of(status, provider, model, error_kind, metadata, since, until)
    if bool(filters) == everything:
        raise typer.BadParameter("say which tasks with a filter, or --all")
    with Taskweir(retries=0) as client:
        count = client.bulk(action, filters, rate_per_second=rate, dry_run=dry_run)
    if as_json:
        say(output(), pretty({"count": count}))
        return
    say(output(), str(count))
    say(aside(), f"tasks {'would be' if dry_run else 'are'} meant by this {action}")

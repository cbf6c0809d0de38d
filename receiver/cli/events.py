"""`taskweir events`: the one stream, looked back on or followed; one of it delivered again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.text import Text

from receiver.cli.follow import Patience
from receiver.cli.screen import aside, output, padded, print_list, say, status_text
from receiver.cli.text import age, clock, comma_separated, compact, outcome_of, plain, pretty
from receiver.client import Event, Taskweir

_MOST = 200

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Read the stream of events; deliver one again.")
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only these, for example task.succeeded,task.failed or task.finished."),
]
Provider = Annotated[str, typer.Option(help="Only about tasks at this provider.")]
Task = Annotated[str, typer.Option(help="Only about this task.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=_MOST, help="At most so many, the newest.")]


@app.command("list")
def list_events(
    type: Types = None,
    provider: Provider = "",
    task: Task = "",
    limit: Limit = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List events, newest first."""
    with Taskweir(retries=0) as client:
        events = client.newest(limit, **_filters(type, provider, task))
    columns = ("seq", "age", "type", "task", "provider", "by", "outcome")
    print_list(events, columns, _row, whole=4, as_json=as_json, none="no events")


@app.command()
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    after: Annotated[
        int | None, typer.Option(min=0, help="Start after the event with this seq (0: the oldest kept).")
    ] = None,
    type: Types = None,
    provider: Provider = "",
    task: Task = "",
    limit: Limit = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print the last events, oldest first, or all after a seq; with --follow, whatever comes."""
    filters = _filters(type, provider, task)
    console = output()
    try:
        with Taskweir(retries=0) as client:
            for event in _stream(client, filters, after=after, limit=limit, follow=follow):
                say(console, compact(event) if as_json else event_line(event))
    except KeyboardInterrupt:
        return


@app.command()
def replay(
    id: Annotated[str, typer.Argument(help="The event's id.", show_default=False)] = "",
    destination: Annotated[str, typer.Option(help="Only to this one, whatever its filters.")] = "",
    since: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Deliver an event again, to all that want it now; the ids of its new deliveries are printed."""
    if since or not id:
        one = plain(destination) or "DESTINATION"
        raise typer.BadParameter(
            "this takes the id of one event; all since a time are sent again to one destination: "
            f"taskweir destinations replay {one} --since {plain(since) or '2h'}"
        )
    with Taskweir(retries=0) as client:
        made = client.replay_event(id, destination_id=destination or None)
    if as_json:
        say(output(), pretty({"count": len(made), "deliveries": made}))
        return
    for delivery in made:
        say(output(), plain(delivery.id))
        say(aside(), f"on its way to {plain(delivery.destination_id)}")
    if not made:
        say(aside(), "no enabled destination wants this event; --destination sends it to one whatever its filters")


def _filters(types: Sequence[str] | None, provider: str, task: str) -> dict[str, str]:
    asked = {"type": ",".join(comma_separated(types or [])), "provider": provider, "task_id": task}
    return {name: value for name, value in asked.items() if value}


def _stream(
    client: Taskweir, filters: Mapping[str, str], *, after: int | None, limit: int, follow: bool
) -> Iterator[Event]:
    """Events in order; where `after` is None the last `limit` first."""
    if after is None:
        last = client.newest(limit, **filters)[::-1]
        yield from last
        after = (last[-1].seq if last else None) or 0
        if not follow:
            return
    yield from client.events(after=after, follow=follow, patience=Patience(None), **filters)


def event_line(event: Mapping[str, Any]) -> Text:
    """An event on one line."""
    told = _told(event)
    parts = [
        Text(f"{plain(event['seq']):>6}", style="dim"),
        Text(clock(event["timestamp"]), style="dim"),
        padded(status_text(event["type"]), 16),
        Text(f"{told.provider:<9}"),
        Text(told.about),
        Text(told.by, style="dim"),
        Text(told.outcome),
    ]
    return Text("  ").join(part for part in parts if part)


def _row(event: Mapping[str, Any]) -> Sequence[str | Text]:
    told = _told(event)
    seq, since = plain(event["seq"]), age(event["timestamp"])
    return seq, since, status_text(event["type"]), told.about, told.provider, told.by, told.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What an event tells: about whom, at which provider, who said so, and what came of it."""

    about: str
    provider: str
    by: str
    outcome: str


def _told(event: Mapping[str, Any]) -> _Told:
    data = event["data"]
    if "task" not in data:  # for operators: about a destination, one of its deliveries, or a provider
        about = plain(data.get("delivery_id") or data.get("destination_id"))
        status = f"HTTP {data['status']}" if data.get("status") else ""
        why = plain(data.get("error") or data.get("reason") or status)
        return _Told(about=about, provider=plain(data.get("provider")), by="", outcome=why)
    task = data["task"]
    by = says_who(data["source"], data["verified_by"]) + (", late" if data["late"] else "")
    return _Told(about=plain(task["id"]), provider=plain(task["provider"]), by=by, outcome=outcome_of(task))


def says_who(source: Any, verified_by: Any) -> str:
    """Which mouth spoke first, and who vouches for it where that is another, as `callback, verified by poll`."""
    same = verified_by in (None, source) or (source == "submit" and verified_by == "poll")
    return plain(source if same else f"{source}, verified by {verified_by}")

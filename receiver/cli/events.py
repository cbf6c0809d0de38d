"""`taskweir events`: the one stream, looked back on or followed; one of it delivered again."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.text import Text

from receiver.cli.api import Api, Unreachable, path_of, server_of
from receiver.cli.follow import Patience
from receiver.cli.screen import aside, output, padded, print_list, say, status_text
from receiver.cli.text import age, clock, comma_separated, compact, outcome_of, plain, pretty

_PAUSE_S = 0.5
_PAGE = 200

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Read the stream of events; deliver one again.")
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only these, for example task.succeeded,task.failed or task.finished."),
]
Provider = Annotated[str, typer.Option(help="Only about tasks at this provider.")]
Task = Annotated[str, typer.Option(help="Only about this task.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=_PAGE, help="At most so many, the newest.")]


@app.command("list")
def list_events(
    type: Types = None,
    provider: Provider = "",
    task: Task = "",
    limit: Limit = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List events, newest first."""
    with Api(server_of(os.environ)) as api:
        events = _newest(api, _filters(type, provider, task), limit)
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
        with Api(server_of(os.environ)) as api:
            for event in _stream(api, filters, after=after, limit=limit, follow=follow):
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
    body = {"destination_id": destination} if destination else {}
    with Api(server_of(os.environ)) as api:
        done = api.post(path_of("events", id, "replay"), body, holds="deliveries")
    if as_json:
        say(output(), pretty(done))
        return
    for delivery in done["deliveries"]:
        say(output(), plain(delivery["id"]))
        say(aside(), f"on its way to {plain(delivery['destination_id'])}")
    if not done["deliveries"]:
        say(aside(), "no enabled destination wants this event; --destination sends it to one whatever its filters")


def _filters(types: Sequence[str] | None, provider: str, task: str) -> dict[str, str]:
    asked = {"type": ",".join(comma_separated(types or [])), "provider": provider, "task_id": task}
    return {name: value for name, value in asked.items() if value}


def _newest(api: Api, filters: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
    """The newest `limit` events, over as many pages as that takes: what is rare is looked for piece by piece."""
    events: list[dict[str, Any]] = []
    before: dict[str, str] = {}
    while True:
        query = {**filters, **before, "order": "desc", "limit": str(limit - len(events))}
        page = api.get("/v1/events", query, holds="items")
        events += page["items"]
        if not page["has_more"] or len(events) >= limit:
            return events
        before = {"after": page["next_cursor"]}


def _stream(
    api: Api, filters: Mapping[str, str], *, after: int | str | None, limit: int, follow: bool
) -> Iterator[dict[str, Any]]:
    """Events in order; where `after` is None the last `limit` first."""
    if after is None:
        last = _newest(api, filters, limit)[::-1]
        yield from last
        after = last[-1]["seq"] if last else 0
        if not follow:
            return
    patience = Patience(None)
    while True:
        try:
            page = api.get("/v1/events", {**filters, "after": after, "limit": _PAGE}, holds="items")
        except Unreachable as failure:
            if not follow:
                raise
            patience.missed(failure)
            continue
        patience.answered()
        yield from page["items"]
        after = str(page["next_cursor"])
        if not page["has_more"]:
            if not follow:
                return
            time.sleep(_PAUSE_S)


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

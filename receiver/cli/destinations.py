"""`taskweir destinations`: where events go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from receiver.cli import destination_acts
from receiver.cli.destination_acts import Id, tell_how_to_verify
from receiver.cli.screen import aside, output, print_list, say
from receiver.cli.submit import read_pairs
from receiver.cli.text import comma_separated, plain, pretty
from receiver.client import Taskweir

_SCHEMES = {
    "nats": "nats",
    "tls": "nats",
    "redis": "redis",
    "rediss": "redis",
    "postgres": "postgres",
    "postgresql": "postgres",
}  # of URLs that are no webhook's, and the type that they mean
_RESETTABLE = {
    "events": "event_types",
    "provider": "providers",
    "model": "models",
    "metadata": "metadata",
    "format": "format",
    "header": "headers",
    "signature": "signature",
    "ordered": "ordered",
    "max-in-flight": "max_in_flight",
    "rate": "rate_per_second",
    "retention-days": "retention_days",
    "description": "description",
}  # the options of `update`, and the field that each of them changes

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Choose where events go.")

Words = list[str] | None
Events = Annotated[Words, typer.Option(help="Event types, for example task.* or task.succeeded,task.failed.")]
Provider = Annotated[Words, typer.Option(help="Only tasks at these providers.")]
Model = Annotated[Words, typer.Option(help="Only tasks for these models.")]
Metadata = Annotated[Words, typer.Option(help="Only tasks with this KEY=VALUE.")]
Format = Annotated[str | None, typer.Option(help="standard, cloudevents, cloudevents-binary or flat.")]
Header = Annotated[Words, typer.Option(help="NAME=VALUE to send along; nobody is shown the value again.")]
Signature = Annotated[str | None, typer.Option(help="v1: a shared secret; v1a: a key pair.")]
Ordered = Annotated[bool | None, typer.Option("--ordered/--unordered", help="One at a time per task, by sequence.")]
MaxInFlight = Annotated[int | None, typer.Option(min=1, help="At most so many requests at once.")]
Rate = Annotated[float | None, typer.Option(help="At most so many requests per second.")]
RetentionDays = Annotated[int | None, typer.Option(min=1, help="How long a SQLite log keeps its rows.")]
Description = Annotated[str | None, typer.Option(help="For people.")]
Reset = Annotated[
    Words, typer.Option(help="Options of this command whose field shall have its default again: rate,format.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the destination as JSON.")]


@app.command("list")
def list_destinations(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List destinations, newest first."""
    with Taskweir(retries=0) as client:
        found = list(client.destinations())
    columns = ("destination", "type", "state", "to", "events", "only")
    none = "no destinations; `taskweir destinations add URL` makes one"
    print_list(found, columns, _row, whole=3, as_json=as_json, none=none)
    reasons = Counter(plain(each["blocked_reason"]) for each in found if each["blocked_reason"])
    for reason, count in reasons.items():
        say(aside(), f"{count} blocked: {reason}")


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where to send events.", show_default=False)] = "",
    sqlite: Annotated[str, typer.Option(metavar="NAME", help="Keep a SQLite log of that name instead.")] = "",
    events: Events = None,
    provider: Provider = None,
    model: Model = None,
    metadata: Metadata = None,
    format: Format = None,
    header: Header = None,
    signature: Signature = None,
    ordered: Ordered = None,
    max_in_flight: MaxInFlight = None,
    rate: Rate = None,
    retention_days: RetentionDays = None,
    description: Description = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the destination, with its secret, as JSON.")] = False,
) -> None:
    """Add a webhook, whose signing secret is printed, another server by its URL, or a SQLite log.

    nats://USER:PASSWORD@HOST/SUBJECT · redis://…@HOST/0?stream=NAME · postgresql://…@HOST/DATABASE
    """
    if bool(url) == bool(sqlite):
        raise typer.BadParameter("give a URL, or --sqlite NAME")
    kind = _SCHEMES.get(url.partition("://")[0].lower(), "webhook") if url else "sqlite"
    lists = _lists(events, provider, model, metadata)
    scalars = _scalars(format, signature, ordered, max_in_flight, rate, retention_days, description)
    headers = {"headers": read_pairs(header, "--header")} if header else {}
    with Taskweir(retries=0) as client:
        made = client.add_destination(kind, url=url or None, name=sqlite or None, **(lists | scalars | headers))
    if as_json:
        say(output(), pretty(made))
        return
    say(output(), plain(made["id"]))
    say(aside(), f"gets {', '.join(map(plain, made['event_types']))}")
    if "secret" in made:
        say(output(), plain(made["secret"]))
        tell_how_to_verify(made)
    elif not url:
        say(aside(), f"the server keeps it in its data directory: logs/<tenant>/{plain(sqlite)}.db, table events")


@app.command()
def update(
    id: Id,
    url: Annotated[str | None, typer.Option(help="Where to send events from now on.")] = None,
    events: Events = None,
    provider: Provider = None,
    model: Model = None,
    metadata: Metadata = None,
    format: Format = None,
    header: Header = None,
    signature: Signature = None,
    ordered: Ordered = None,
    max_in_flight: MaxInFlight = None,
    rate: Rate = None,
    retention_days: RetentionDays = None,
    description: Description = None,
    reset: Reset = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, and leave the rest; an empty value takes a filter away: --provider '' or --header NAME=.

    --reset gives a field its default back: --reset rate,max-in-flight.
    """
    lists = {name: value or None for name, value in _lists(events, provider, model, metadata, empty=True).items()}
    changes: dict[str, Any] = lists | _scalars(
        format, signature, ordered, max_in_flight, rate, retention_days, description
    )
    if header:
        changes["headers"] = {name: value or None for name, value in read_pairs(header, "--header").items()}
    changes |= _defaults(reset or [], changes)
    named = sorted([*changes, *(["url"] if url is not None else [])])
    if not named:
        raise typer.BadParameter("name what shall change")
    with Taskweir(retries=0) as client:
        changed = client.update_destination(id, url=url, **changes)
    if as_json:
        say(output(), pretty(changed))
        return
    say(aside(), f"{plain(id)}: {', '.join(named)} changed")
    if "signature" in changes:
        say(aside(), f"if it signs in another way now, its new secret is: taskweir destinations secret {plain(id)}")


def _lists(events: Words, provider: Words, model: Words, metadata: Words, *, empty: bool = False) -> dict[str, Any]:
    """What was given of the filters; an empty one only where it shall be told."""
    asked = {"event_types": events, "providers": provider, "models": model}
    lists: dict[str, Any] = {name: comma_separated(words) for name, words in asked.items() if words is not None}
    if metadata is not None:
        lists["metadata"] = read_pairs([pair for pair in metadata if pair])
    return {name: value for name, value in lists.items() if value or empty}


def _defaults(words: Sequence[str], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A null for each field to be reset, named as its option is; raises `BadParameter`."""
    names = [word.removeprefix("--") for word in comma_separated(words)]
    for name in names:
        if name not in _RESETTABLE:
            known = ", ".join(_RESETTABLE)
            raise typer.BadParameter(f"nothing here is called {name!r}; there are {known}", param_hint="--reset")
        if _RESETTABLE[name] in changes:
            raise typer.BadParameter(f"{name} is changed and reset at once", param_hint="--reset")
    return {_RESETTABLE[name]: None for name in names}


def _scalars(
    format: str | None,
    signature: str | None,
    ordered: bool | None,
    max_in_flight: int | None,
    rate: float | None,
    retention_days: int | None,
    description: str | None,
) -> dict[str, Any]:
    asked = {
        "format": format,
        "signature": signature,
        "ordered": ordered,
        "max_in_flight": max_in_flight,
        "rate_per_second": rate,
        "retention_days": retention_days,
        "description": description,
    }
    return {name: value for name, value in asked.items() if value is not None}


@app.command()
def delete(id: Id) -> None:
    """Delete a destination; what is still owed to it is canceled."""
    with Taskweir(retries=0) as client:
        client.delete_destination(id)
    say(aside(), f"{plain(id)} deleted")


app.command()(destination_acts.secret)
app.command()(destination_acts.rotate)
app.command("test")(destination_acts.ping)
app.command()(destination_acts.replay)
app.command()(destination_acts.enable)
app.command()(destination_acts.disable)


def _row(found: Mapping[str, Any]) -> Sequence[str | Text]:
    style = {"healthy": "green", "failing": "yellow"}.get(found["state"], "red")
    state = Text(plain(found["state"]), style=style)
    target = found.get("url") or found.get("name")
    return found["id"], found["type"], state, plain(target), ", ".join(map(plain, found["event_types"])), _only(found)


def _only(found: Mapping[str, Any]) -> str:
    pairs = [f"{key}={value}" for key, value in (found["metadata"] or {}).items()]
    return plain(", ".join([*(found["providers"] or ()), *(found["models"] or ()), *pairs]))

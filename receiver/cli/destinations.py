"""`taskweir destinations`: where events go."""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from receiver.cli.api import Api, path_of, server_of
from receiver.cli.screen import aside, output, print_list, say
from receiver.cli.submit import read_pairs
from receiver.cli.text import comma_separated, plain, pretty

_ALL = 10_000

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Choose where events go.")


@app.command("list")
def list_destinations(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List destinations, newest first."""
    with Api(server_of(os.environ)) as api:
        found = api.listed("/v1/destinations", {}, limit=_ALL)
    columns = ("destination", "type", "state", "to", "events", "only")
    none = "no destinations; `taskweir destinations add URL` makes one"
    print_list(found, columns, _row, whole=3, as_json=as_json, none=none)


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where to post events.", show_default=False)] = "",
    sqlite: Annotated[str, typer.Option(metavar="NAME", help="Keep a SQLite log of that name instead.")] = "",
    events: Annotated[
        list[str] | None, typer.Option(help="Event types, for example task.* or task.succeeded,task.failed.")
    ] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Only tasks at these providers.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only tasks for these models.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="Only tasks with this KEY=VALUE.")] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the destination, with its secret, as JSON.")] = False,
) -> None:
    """Add a webhook, or a SQLite log; a webhook's signing secret is printed."""
    if bool(url) == bool(sqlite):
        raise typer.BadParameter("give a URL, or --sqlite NAME")
    asked = {
        "event_types": comma_separated(events or []),
        "providers": comma_separated(provider or []),
        "models": comma_separated(model or []),
        "metadata": read_pairs(metadata or []),
        "description": description,
    }
    target = {"type": "webhook", "url": url} if url else {"type": "sqlite", "name": sqlite}
    with Api(server_of(os.environ)) as api:
        made = api.post("/v1/destinations", target | {name: value for name, value in asked.items() if value})
    if as_json:
        say(output(), pretty(made))
        return
    say(output(), plain(made["id"]))
    say(aside(), f"gets {', '.join(map(plain, made['event_types']))}")
    if url:
        say(output(), plain(made["secret"]))
        _tell_how_to_verify(made["secret"])
    else:
        say(aside(), f"the server keeps it in its data directory: logs/<tenant>/{plain(sqlite)}.db, table events")


@app.command()
def delete(id: Annotated[str, typer.Argument(help="The destination's id.")]) -> None:
    """Delete a destination; what is still owed to it is canceled."""
    with Api(server_of(os.environ)) as api:
        api.delete(path_of("destinations", id))
    say(aside(), f"{plain(id)} deleted")


@app.command()
def secret(id: Annotated[str, typer.Argument(help="The destination's id.")]) -> None:
    """Print a webhook's signing secret."""
    with Api(server_of(os.environ)) as api:
        found = api.get(path_of("destinations", id, "secret"), holds="secret")["secret"]
    say(output(), plain(found))
    _tell_how_to_verify(found)


def _tell_how_to_verify(secret: str) -> None:
    say(
        aside(),
        "Every Standard Webhooks library verifies the signature with this secret; to see it done:\n"
        f"taskweir sink --secret {plain(secret)}",
    )


def _row(found: Mapping[str, Any]) -> Sequence[str | Text]:
    state = Text(plain(found["state"]), style="green" if found["state"] == "healthy" else "red")
    target = found.get("url") or found.get("name")
    return found["id"], found["type"], state, plain(target), ", ".join(map(plain, found["event_types"])), _only(found)


def _only(found: Mapping[str, Any]) -> str:
    pairs = [f"{key}={value}" for key, value in (found["metadata"] or {}).items()]
    return plain(", ".join([*(found["providers"] or ()), *(found["models"] or ()), *pairs]))

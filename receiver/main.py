"""The command line: the only module that knows everyone."""

import os
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from receiver.cli.commands import Commands, Failed, told
from receiver.clock import SystemClock
from receiver.errors import ConfigurationError, TaskweirError
from receiver.roles import ServerRole
from receiver.serving import load_adapters, serve, settings_of
from receiver.settings import describe

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, keys among them
    help="One event stream for every async generation API.",
)
console = Console()


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"taskweir {version('taskweir')}")
        raise typer.Exit


@app.callback()
def taskweir(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One event stream for every async generation API."""


@app.command(name="serve")
def _serve(
    role: Annotated[
        ServerRole, typer.Option(help="`web`: API and callbacks only; `worker`: all else. Both need PostgreSQL.")
    ] = ServerRole.ALL,
) -> None:
    """Run the server: API, callbacks, polling and delivery in one process, or in two kinds of them."""
    serve(role)


@app.command()
def migrate(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="Move everything out of this database …")] = "",
    target: Annotated[str, typer.Option("--to", metavar="URL", help="… into this new one, while no server runs.")] = "",
) -> None:
    """Bring the database's schema up to date, or move one into another; safe to repeat."""
    from receiver.storages import postgres
    from receiver.store.sqlite import migrate_file, take_lock

    if bool(source) != bool(target):
        raise typer.BadParameter("--from and --to go together")
    if source:
        _move(source, target)
        return
    settings = settings_of(os.environ, load_adapters())
    path, now = settings.sqlite_path, SystemClock().now()
    if path is None:
        where, applied = "PostgreSQL", postgres().migrate(settings.database_url, now=now)
    else:
        with take_lock(path):
            where, applied = str(path), migrate_file(path, now=now)
    console.print(f"{where}: migrations {applied} applied" if applied else f"{where}: up to date")


@app.command()
def reconcile(
    since: Annotated[str, typer.Option(help="When the backup was made: 2026-11-20T19:48:00Z, or 90min, 2h, 3d ago.")],
) -> None:
    """After a restore, before a server starts: ask again about what may have happened since, and send nothing twice."""
    import asyncio

    from receiver.cli.text import since_of
    from receiver.formats import time_of
    from receiver.reconciling import reconcile_all

    try:
        at = time_of(since_of(since))
    except ValueError:
        raise typer.BadParameter("must be 2026-11-20T19:48:00Z, or 90min, 2h, 3d", param_hint="--since") from None
    done = asyncio.run(reconcile_all(settings_of(os.environ, load_adapters()), since=at))
    console.print(f"{done.asked} tasks are asked about again within a minute of the next start")
    console.print(f"{done.doubtful} that waited to be handed over may have been: unconfirmed then, and not sent again")
    console.print(f"events go on after seq {done.seq}", highlight=False)


def _move(source: str, target: str) -> None:
    """Copy and compare; what both hold in the end, table by table."""
    from receiver.cli.screen import wide
    from receiver.moving import move
    from receiver.storages import side_of

    now = SystemClock().now()
    with closing(side_of(source, now=now)) as out, closing(side_of(target, now=now)) as into:
        moved = move(out, into, told=lambda table, rows: console.print(f"{table}: {rows:,}", style="dim"))
    table = Table("table", "rows", "SHA-256 of both")
    for each in moved:
        table.add_row(each.table, str(each.rows), each.digest)
    wide(Console()).print(table)


@app.command()
def tick(
    budget_ms: Annotated[int, typer.Option(min=0, help="How long to go on, in milliseconds.")] = 25_000,
) -> None:
    """Do all that is due now on the store itself, while no server runs; for cron, and hosts that run commands only."""
    from receiver.serverless import Serverless, from_environment

    house = Serverless(from_environment)
    try:
        console.print_json(data=house.tick(budget_ms))
    except TaskweirError as error:
        if isinstance(error, ConfigurationError):
            raise
        raise Failed(f"not all was done: {error}") from None
    finally:
        house.close()


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array of what was found.")] = False,
) -> None:
    """Look at settings, disk, store, clock, providers, port and public URL; tell what is wrong, and its remedy."""
    from receiver.cli.doctor import examine, tell

    tell(examine(os.environ, load_adapters()), as_json=as_json)


@app.command()
def settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Print every setting with its value, secrets only as "set", and all that `serve` would refuse of them: status 2.

    Of a name that nothing reads it warns, as `serve` does: that alone is status 0.
    """
    from receiver.cli.checkup import given
    from receiver.cli.screen import wide
    from receiver.strays import stray_words

    adapters = load_adapters()
    found = given.read(os.environ, adapters)
    faults = found.faults
    rows = describe(os.environ, adapters)
    if as_json:
        told_faults = {name: str(fault) for name, fault in faults.items()}
        console.print_json(
            data=[
                {"name": name, "value": value, "for": use, "wrong": told_faults.get(name)} for name, value, use in rows
            ]
        )
    else:
        table = Table("setting", "value", "for")
        for name, value, use in rows:
            table.add_row(name, Text(f"{value}: wrong, see below", style="red") if name in faults else Text(value), use)
        wide(Console()).print(table)
    for text, remedy in (stray_words(*each) for each in found.strays):
        told(0, f"warning: {text}", remedy)
    ends = [told(2, str(fault), fault.hint) for fault in faults.values()]
    if ends:
        raise ends[-1]


def main() -> None:
    """Run the command line: 0 done, 1 refused or failed, 2 wrong usage or settings."""
    app()


if __name__ == "__main__":
    main()

"""`python -m tests.moving 1000000`: finished tasks go from SQLite to PostgreSQL and back, and must be the same."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from receiver.domain import Attempt, DeliveryState, Kind, Output, Source, Status, Task, Update, Verified
from receiver.intake import take
from receiver.moving import Moved, move
from receiver.storages import side_of
from receiver.store.protocol import Store
from receiver.store.records import Page
from tests.bench.bulk import replicate
from tests.bench.machine import memory_mb
from tests.bench.seeding import database, now_ms, prepare
from tests.make import a_destination
from tests.postgres_server import PostgresServer

CREATED_EVERY_MS = 1000


def main(
    tasks: Annotated[int, typer.Argument(min=1, help="Finished ones, with all that belongs to them.")] = 1_000_000,
) -> None:
    """Make them, move them there and back, and hold both digests of every table against each other."""
    console, took = Console(), dict[str, float]()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="taskweir-moving-") as name, _a_postgres() as server:
        directory, url = Path(name), server.make_database("moved")
        here, there = database(directory), directory / "back.db"
        with Progress(*columns, console=console) as progress:
            with _timed(took, "made"):
                bar = progress.add_task("tasks made", total=tasks)
                for _ in finished_tasks(directory, tasks):
                    progress.advance(bar)
            with _timed(took, "there"):
                out = _moved(f"sqlite:///{here}", url, progress)
            with _timed(took, "back"):
                back = _moved(url, f"sqlite:///{there}", progress)
        with psycopg.connect(url) as connection:
            [(stored,)] = connection.execute("SELECT pg_database_size(current_database())").fetchall()
        sizes = {"SQLite": here.stat().st_size, "PostgreSQL": stored, "SQLite again": there.stat().st_size}
    table = Table("table", "rows", "SHA-256 of all three", title=f"{tasks:,} finished tasks")
    for each in out:
        table.add_row(each.table, f"{each.rows:,}", each.digest)
    console.print(table)
    console.print(", ".join(f"{what} in {seconds:.0f} s" for what, seconds in took.items()), highlight=False)
    console.print(", ".join(f"{what} {size / 1e6:,.0f} MB" for what, size in sizes.items()), highlight=False)
    most_mb, load = memory_mb(os.getpid(), most=True), os.getloadavg()[2]
    console.print(f"{most_mb:,.0f} MB of memory at most; load average of 15 minutes {load:.1f}", highlight=False)
    raise typer.Exit(0 if out == back else 1)


def finished_tasks(directory: Path, count: int) -> Iterator[object]:
    """A database with so many: what intake makes of one task, copied under other ids and times, one by one."""
    template = directory / "template"
    template.mkdir()
    asyncio.run(prepare(template, 1, before=_a_destination, after=_end))
    first = now_ms() - count * CREATED_EVERY_MS
    yield from replicate(template, directory, count, created_at=lambda number: first + number * CREATED_EVERY_MS)


def _a_destination(store: Store) -> None:
    store.record_destination(a_destination())


def _end(store: Store, task: Task) -> None:
    """Called back, succeeded, delivered."""
    now = now_ms()
    store.keep_callback(task.id, digest="d", at=now, outcome="read", body=b"{}", most=9)
    output = Output(kind=Kind.VIDEO, url="https://files.example/1.mp4")
    update = Update(status=Status.SUCCEEDED, provider_task_id=task.provider_task_id, outputs=(output,))
    take(store, task, update, source=Source.CALLBACK, verified_by=Verified.POLL, now=now)
    store.drop_timer(task.id)
    attempt = Attempt(number=1, at=now, duration_ms=5, status=204)
    for each in store.list_deliveries(Page(tenant=task.tenant, limit=9)):
        store.settle_delivery(each.id, attempt, owner="", state=DeliveryState.DELIVERED, tries=0, due_at=None)


@contextmanager
def _a_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@contextmanager
def _timed(took: dict[str, float], what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    took[what] = time.monotonic() - began


def _moved(source: str, target: str, progress: Progress) -> list[Moved]:
    """Move, showing how many rows of each table are there."""
    bars = dict[str, TaskID]()

    def told(table: str, rows: int) -> None:
        if table not in bars:
            bars[table] = progress.add_task(f"{table} moved", total=None)
        progress.update(bars[table], completed=rows)

    with closing(side_of(source, now=now_ms())) as out, closing(side_of(target, now=now_ms())) as into:
        return move(out, into, told=told)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()

"""`python -m tests.faults.tarpits`: how long an event takes to a healthy endpoint, alone and beside 200 tarpits.

They are owed a backlog from the start, each, so that they take whatever the courier lets them have.
"""

import asyncio
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from receiver import intake
from receiver.clock import SystemClock
from receiver.domain import Destination, EventType, Source, Status, Update, Verified
from receiver.intake import Taken
from receiver.main import load_adapters, settings_of
from receiver.server import hold_up_nothing
from receiver.service import Limits, Service
from receiver.store.protocol import Store
from receiver.telemetry import configure_logs
from tests.make import DAY, a_destination, a_task
from tests.raw_servers import RawServer, answer, raw_server
from tests.tarpits import TARPITS

BAR = 1.5
BACKLOG = 50
MILLION = 1_000_000


@dataclass
class Healthy:
    """An endpoint that answers at once, and notes when each event came."""

    came: dict[str, float]

    async def serve(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await server.read(reader)
            [event_id] = [line[12:] for line in head.decode().split("\r\n") if line.startswith("webhook-id: ")]
            self.came.setdefault(event_id, time.monotonic())
            writer.write(answer())
            await writer.drain()


def _stand_aside(niceness: int) -> None:
    """Leave the first core to the service: what an endpoint does costs neither it nor the healthy one anything."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[1:] or cores)
    os.nice(niceness)


def _serve_healthy(pipe: Connection) -> None:
    """A process of its own, so that nobody else's work counts; the clock is the machine's."""
    _stand_aside(0)

    async def serve() -> None:
        healthy = Healthy({})
        async with raw_server(healthy.serve) as server:
            pipe.send([server.url("/hook")])
            while await asyncio.to_thread(pipe.recv):
                pipe.send(healthy.came)

    asyncio.run(serve())


def _serve_tarpits(pipe: Connection) -> None:
    _stand_aside(10)

    async def serve() -> None:
        async with _tarpits() as urls:
            pipe.send(urls)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(serve())


@asynccontextmanager
async def _tarpits() -> AsyncIterator[list[str]]:
    """One server for each kind."""
    servers = [raw_server(script) for script in TARPITS.values()]
    started = [await server.__aenter__() for server in servers]
    try:
        yield [server.url("/hook") for server in started]
    finally:
        for server in servers:
            await server.__aexit__(None, None, None)


@contextmanager
def _process(target: Any) -> Iterator[tuple[Connection, list[str]]]:
    """A process that serves, and the URLs that it serves at."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours, ours.recv()
    finally:
        ours.send(None)
        process.join(5)
        process.kill()


@asynccontextmanager
async def _service(directory: Path) -> AsyncIterator[Service]:
    """Taskweir without its HTTP side: store, courier and what they need, as in production."""
    adapters = load_adapters()
    settings = settings_of(
        {
            "TASKWEIR_DATABASE_URL": f"sqlite:///{directory}/taskweir.db",
            "TASKWEIR_DATA_DIR": str(directory),
            "TASKWEIR_API_KEY": "root-key-0123456789",
            "TASKWEIR_SECRET_KEY": "s" * 32,
            "TASKWEIR_ALLOW_NETWORKS": "loopback",
        },
        adapters,
    )
    service = Service(settings, adapters, limits=Limits(drain_s=0.1))
    await service.start()
    service.loops[2].start()
    service.hand_off.open = True
    try:
        yield service
    finally:
        await service.stop()


async def _add(service: Service, urls: Sequence[str], kind: EventType) -> None:
    """One destination for each URL, for events of this type."""
    made = [_destination(service, f"dst_{kind}_{number:03}", url, kind) for number, url in enumerate(urls)]

    def record(store: Store) -> None:
        for destination in made:
            store.record_destination(destination)

    await service.storage.write(record)


def _destination(service: Service, name: str, url: str, kind: EventType) -> Destination:
    secret = service.doors.seal.seal("whsec_" + "c2VjcmV0" * 4, row=name)
    now = SystemClock().now()
    return a_destination(id=name, target=url, created_at=now, event_types=(kind.value,), sealed_secret=secret)


async def _stream(service: Service, first: int, count: int, per_second: float) -> dict[str, float]:
    """So many events for the healthy one, evenly; when each was there to be committed."""
    began: dict[str, float] = {}
    starts_at = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(starts_at + number / per_second - time.monotonic(), 0))
        at = time.monotonic()
        began[await _happen(service, first + number, Status.SUCCEEDED)] = at
    return began


async def _happen(service: Service, number: int, status: Status) -> str:
    """A task ends; the courier is told after the commit, as intake's callers do."""

    def record(store: Store) -> Taken:
        now = SystemClock().now()
        task = a_task(id=f"task_{number:08}", provider_task_id=f"p{number}", created_at=now, deadline_at=now + DAY)
        store.record_task(task)
        update = Update(status=status, provider_task_id=task.provider_task_id)
        return intake.take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=now)

    taken = await service.storage.write(record)
    service.bell.ring(taken)
    return taken.events[0].id


async def _arrived(pipe: Connection, began: dict[str, float], within_s: float = 30) -> list[float]:
    """How many milliseconds each event took, in order; one that never came took for ever."""
    ends_at = time.monotonic() + within_s
    while True:
        pipe.send("?")
        came = await asyncio.to_thread(pipe.recv)
        if began.keys() <= came.keys() or time.monotonic() > ends_at:
            return sorted(1000 * (came.get(event_id, float("inf")) - at) for event_id, at in began.items())
        await asyncio.sleep(0.2)


def _quantile(times: Sequence[float], share: float) -> float:
    return times[min(int(len(times) * share), len(times) - 1)]


async def measure(tarpits: int, seconds: int, per_second: float) -> dict[str, list[float]]:
    """By phase, how many milliseconds each event took to the healthy endpoint, in order."""
    count, cores = round(seconds * per_second), sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="taskweir-tarpits-") as directory,
        _process(_serve_healthy) as (pipe, [healthy]),
        _process(_serve_tarpits) as (_, slow),
    ):
        os.sched_setaffinity(0, cores[:1])
        async with _service(Path(directory)) as service:
            await _add(service, [healthy], EventType.SUCCEEDED)
            await _arrived(pipe, await _stream(service, 0, 50, 50))
            found = {"calm": await _arrived(pipe, await _stream(service, MILLION, count, per_second))}
            urls = [slow[number % len(slow)] + f"/{number}" for number in range(tarpits)]
            await _add(service, urls, EventType.FAILED)
            for number in range(BACKLOG):
                await _happen(service, 2 * MILLION + number, Status.FAILED)
            for number, name in enumerate(("beside them, at once", "beside them, later"), start=3):
                stream = _stream(service, number * MILLION, count, per_second)
                found[name] = await _arrived(pipe, await stream)
    return found


def main(
    tarpits: Annotated[int, typer.Option(help="How many.")] = 200,
    seconds: Annotated[int, typer.Option(help="How long each phase lasts.")] = 20,
    per_second: Annotated[float, typer.Option(help="Events for the healthy one.")] = 20,
    strict: Annotated[
        bool, typer.Option(help="Exit 1 where its p99 grows to more than 1.5 of what it is alone.")
    ] = False,
) -> None:
    """Measure; what a figure is worth depends on what else the machine does."""
    logging.disable()
    configure_logs(fmt="json", level="critical")
    hold_up_nothing()
    found = uvloop.run(measure(tarpits, seconds, per_second))
    calm = _quantile(found["calm"], 0.99)
    table = Table("to the healthy one", "events", "p50 ms", "p99 ms", "worst ms", "p99 to calm")
    for name, times in found.items():
        p99 = _quantile(times, 0.99)
        figures = (statistics.median(times), p99, times[-1])
        table.add_row(name, f"{len(times)}", *(f"{figure:.1f}" for figure in figures), f"{p99 / calm:.2f}")
    Console().print(table)
    raise typer.Exit(int(strict and any(_quantile(times, 0.99) > BAR * calm for times in found.values())))


if __name__ == "__main__":
    typer.run(main)

"""Processes that die with deliveries under way, ten times in a row: who is to blame is dead, and nobody else."""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from receiver.clock import SystemClock
from receiver.delivery import DeliveryLimits
from receiver.domain import Status
from receiver.service import Limits
from receiver.suspicion import GIVEN_UP_AFTER, SUSPECT_AFTER
from tests.faults.launch import start_replica
from tests.processes import environment, eventually, every, wait_until_up
from tests.service.owing import happen
from tests.service.world import API_KEY, a_world, free_port

LIMITS = Limits(delivery=DeliveryLimits(suspect_pause_s=0.05))
HOOKS, EVENTS = 3, 5  # as many destinations of the innocent, and as many events for each: it is tried with five at once
INNOCENT = HOOKS * EVENTS
LONG_S = 0.2  # what an innocent consumer takes: no poison waits so long


@dataclass
class Consumers:
    """`/poison` kills the server that sends to it, the first few times once all others are there too.

    These hang until they are `released`, and then take a while; `there` counts what this life of the server has sent.
    """

    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    there: Counter[str] = field(default_factory=Counter)
    changed: threading.Condition = field(default_factory=threading.Condition)
    server: ForkServerProcess | None = None
    kills: int = 0

    def arrived(self, path: str) -> bool:
        """Whether to answer."""
        with self.changed:
            self.there[path.split("/")[1]] += 1
            self.changed.notify_all()
        if path == "/poison":
            if self.kills < SUSPECT_AFTER:
                self.all_there()
            self.kill()
            if self.kills == SUSPECT_AFTER:
                self.released.set()
            return False
        self.released.wait()
        threading.Event().wait(LONG_S)
        return True

    def all_there(self) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.there["fine"] == INNOCENT, 30)

    def kill(self) -> None:
        assert self.server is not None
        assert self.server.pid is not None
        self.kills += 1
        os.kill(self.server.pid, signal.SIGKILL)


@contextmanager
def consumers() -> Iterator[Consumers]:
    """The endpoints, on a free port."""
    found = Consumers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if found.arrived(self.path):
                self.send_response(204)
                self.end_headers()

        def log_message(self, format: str, *values: Any) -> None:
            """Nothing."""

        def handle(self) -> None:
            with suppress(OSError):  # whoever sent this is dead
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield found
        server.shutdown()


async def owe(directory: Path, hooks: Consumers, *, poison: bool) -> None:
    """What is owed before the first server starts."""
    async with a_world(directory) as world:
        world.clock.time = SystemClock().now()  # retention deletes what is old and delivered
        for number in range(HOOKS):
            await world.destination(f"{hooks.url}/fine/{number}", event_types=["task.succeeded"])
        await happen(world, EVENTS)
        if poison:
            await world.destination(f"{hooks.url}/poison", event_types=["task.running"])
            await happen(world, 1, first=100, statuses=(Status.RUNNING,))


@dataclass
class House:
    """One database, and its server, started again and again."""

    directory: Path
    hooks: Consumers
    port: int = field(default_factory=free_port)

    def start(self) -> ForkServerProcess:
        self.hooks.there.clear()
        environment_ = environment(self.directory, self.port, "http://127.0.0.1:9")
        self.hooks.server = start_replica(environment_, self.directory / "server.log", LIMITS)
        return self.hooks.server

    def log(self) -> str:
        return (self.directory / "server.log").read_text()

    def deliveries(self) -> list[dict[str, Any]]:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"authorization": f"Bearer {API_KEY}"}, timeout=30
        ) as api:
            return list(every(api, "/v1/deliveries"))

    def settled(self) -> bool:
        try:
            return all(each["state"] != "pending" for each in self.deliveries())
        except httpx.TransportError:
            return False

    def until(self, happened: Callable[[], bool]) -> None:
        eventually(happened, self.log)


def test_what_kills_its_process_is_dead_after_ten_and_nobody_else(tmp_path: Path) -> None:
    """Sixteen under way, one of which ends the process whenever it is sent: the other fifteen arrive."""
    with consumers() as hooks:
        asyncio.run(owe(tmp_path, hooks, poison=True))
        house = House(tmp_path, hooks)
        for _ in range(GIVEN_UP_AFTER + 1):
            server = house.start()
            house.until(lambda server=server: not server.is_alive() or house.settled())  # type: ignore[misc]
        assert server.is_alive(), house.log()
        found = house.deliveries()
        server.kill()
        server.join()
    assert Counter(each["state"] for each in found) == {"delivered": INNOCENT, "dead": 1}
    assert hooks.kills == GIVEN_UP_AFTER


def test_what_was_under_way_in_ten_crashes_is_innocent(tmp_path: Path) -> None:
    """Something else kills the process ten times in a row, in the middle of whatever it sends: all of it arrives."""
    with consumers() as hooks:
        asyncio.run(owe(tmp_path, hooks, poison=False))
        house = House(tmp_path, hooks)
        for life in range(GIVEN_UP_AFTER + 1):
            server = house.start()
            if life < SUSPECT_AFTER:
                hooks.all_there()
            else:
                wait_until_up(f"http://127.0.0.1:{house.port}/health/ready", server, tmp_path / "server.log")
                house.until(lambda: hooks.there["fine"] > 0)
            hooks.kill()
            server.join()
        hooks.released.set()
        server = house.start()
        house.until(house.settled)
        found = house.deliveries()
        server.kill()
        server.join()
    assert Counter(each["state"] for each in found) == {"delivered": INNOCENT}
    assert hooks.kills == GIVEN_UP_AFTER + 1

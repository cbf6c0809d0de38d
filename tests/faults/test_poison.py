"""Processes that die with deliveries under way, ten times in a row: who is to blame is dead, and nobody else."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from tests.raw_servers import RawServer, raw_server_beside
from tests.service.owing import happen
from tests.service.world import API_KEY, a_world, free_port

LIMITS = Limits(delivery=DeliveryLimits(suspect_pause_s=0.05))
HOOKS, EVENTS = 3, 5  # as many destinations of the innocent, and as many events for each: it is tried with five at once
INNOCENT = HOOKS * EVENTS
LONG_S = 0.2  # what an innocent consumer takes: no poison waits so long


class Consumers:
    """`/poison` kills the server that sends to it, the first few times once all others are there too.

    These hang until they are released, and then take a while; `there` counts what this life of the server has sent.
    """

    def __init__(self) -> None:
        self.there: Counter[str] = Counter()
        self.server: ForkServerProcess | None = None
        self.kills = 0
        self._arrival = asyncio.Condition()
        self._released = asyncio.Event()

    async def answer(self, raw: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each request of a connection."""
        while True:
            head, _ = await raw.read(reader)
            path = head.split()[1].decode()
            async with self._arrival:
                self.there[path.split("/")[1]] += 1
                self._arrival.notify_all()
            if path == "/poison":
                await self._poison()
                return
            await self._released.wait()
            await asyncio.sleep(LONG_S)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()

    async def _poison(self) -> None:
        if self.kills < SUSPECT_AFTER:
            async with self._arrival:
                await asyncio.wait_for(self._arrival.wait_for(self.all_there), 30)
        self.kill()
        if self.kills == SUSPECT_AFTER:
            self.release()

    def all_there(self) -> bool:
        return self.there["fine"] == INNOCENT

    def release(self) -> None:
        """Let what hangs be answered; called in the loop of the consumers."""
        self._released.set()

    def kill(self) -> None:
        assert self.server is not None
        self.kills += 1
        self.server.kill()


async def owe(directory: Path, url: str, *, poison: bool) -> None:
    """What is owed before the first server starts."""
    async with a_world(directory) as world:
        world.clock.time = SystemClock().now()  # retention deletes what is old and delivered
        for number in range(HOOKS):
            await world.destination(f"{url}/fine/{number}", event_types=["task.succeeded"])
        await happen(world, EVENTS)
        if poison:
            await world.destination(f"{url}/poison", event_types=["task.running"])
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
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": f"Bearer {API_KEY}"},
            timeout=30,
            verify=False,
        ) as api:
            return list(every(api, "/v1/deliveries"))

    def settled(self) -> bool:
        try:
            return all(each["state"] != "pending" for each in self.deliveries())
        except httpx.TransportError:
            return False

    def until(self, happened: Callable[[], bool]) -> None:
        eventually(happened, self.log)

    def ends(self) -> Counter[str]:
        """What became of everything, once the server that runs now has settled it."""
        server = self.hooks.server
        assert server is not None
        assert server.is_alive(), self.log()
        self.until(self.settled)
        found = Counter(each["state"] for each in self.deliveries())
        server.kill()
        server.join()
        return found


@contextmanager
def a_house(directory: Path, *, poison: bool) -> Iterator[tuple[House, Callable[[], object]]]:
    """Where all is owed already, its consumers, and how to release what hangs there."""
    hooks = Consumers()
    with raw_server_beside(hooks.answer) as (server, loop):
        asyncio.run(owe(directory, server.url(""), poison=poison))
        yield House(directory, hooks), lambda: loop.call_soon_threadsafe(hooks.release)


def test_what_kills_its_process_is_dead_after_ten_and_nobody_else(tmp_path: Path) -> None:
    """Sixteen under way, one of which ends the process whenever it is sent: the other fifteen arrive."""
    with a_house(tmp_path, poison=True) as (house, _):
        for _ in range(GIVEN_UP_AFTER + 1):
            server = house.start()
            house.until(lambda alive=server.is_alive: not alive() or house.settled())
        assert house.ends() == {"delivered": INNOCENT, "dead": 1}
        assert house.hooks.kills == GIVEN_UP_AFTER


def test_what_was_under_way_in_ten_crashes_is_innocent(tmp_path: Path) -> None:
    """Something else kills the process ten times in a row, in the middle of whatever it sends: all of it arrives."""
    with a_house(tmp_path, poison=False) as (house, release):
        hooks = house.hooks
        for life in range(GIVEN_UP_AFTER + 1):
            server = house.start()
            if life < SUSPECT_AFTER:
                house.until(hooks.all_there)
            else:
                wait_until_up(f"http://127.0.0.1:{house.port}/health/ready", server, tmp_path / "server.log")
                house.until(lambda: hooks.there["fine"] > 0)
            hooks.kill()
            server.join()
        release()
        house.start()
        assert house.ends() == {"delivered": INNOCENT}
        assert hooks.kills == GIVEN_UP_AFTER + 1

"""Bugs that were found once: what fails in one place (a store, an adapter, a receiver, a stop) spoils no other."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from adapters.apikley import Apikley
from adapters.base import PollAnswer
from receiver.domain import Kind, Ms, Update
from receiver.errors import Unavailable
from receiver.guard import Guard
from receiver.loops import Loop
from receiver.outbound import Outbound
from receiver.store.protocol import Store
from receiver.store.sqlite import SqliteStorage
from receiver.store.writer import Writer
from receiver.wire import Callback, Reply
from tests.make import a_task, a_timer
from tests.raw_servers import RawServer, raw_server
from tests.service.consumer import a_consumer
from tests.service.engines import looks_into_the_file
from tests.service.test_regressions import BUSY, done
from tests.service.world import World, a_pair, a_world, created, held_writes, record, ring, scripted, soon, submits

pytestmark = pytest.mark.anyio

DAY_S = 86_400


class Broken(Apikley):
    """An adapter with a fault of its own wherever an answer is read."""

    def read_poll(self, reply: Reply, *, media: Kind, now: Ms) -> PollAnswer:
        raise KeyError("a shape from tomorrow")

    def read_callback(self, callback: Callback, *, media: Kind, now: Ms) -> Sequence[Update]:
        raise KeyError("a shape from tomorrow")


async def test_a_round_under_way_ends_before_the_loop_stops(tmp_path: Path) -> None:
    """A task claimed while the process is told to stop is handed over: it is neither lost nor in doubt."""
    async with scripted(BUSY, created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert task["status"] == "queued"
        world.clock.advance(5)
        await stopped_amid_its_claim(world, world.service.loops[0])
        await world.service.submitter.crew.drain()
        assert ((await world.task(task["id"]))["status"], submits(apikley)) == ("submitted", 2)


async def test_a_delivery_claimed_during_a_stop_is_made(tmp_path: Path) -> None:
    """As many attempts are counted as arrived."""
    async with (
        a_consumer() as consumer,
        scripted(created()) as apikley,
        a_pair(tmp_path, apikley) as world,
    ):
        await world.destination(consumer.url, event_types=["task.submitted"])
        await world.submit()
        await stopped_amid_its_claim(world, world.service.loops[2])
        await world.service.courier.crew.drain()
        [delivery] = await world.deliveries()
        assert (delivery["state"], delivery["attempts"], len(consumer.ids)) == ("delivered", 1, 1)


async def stopped_amid_its_claim(world: World, loop: Loop) -> None:
    """Run a loop, and stop it while its claim waits for the commit."""
    async with held_writes(world) as waiting:
        loop.start()
        await waiting(1)
        stopping = asyncio.ensure_future(loop.stop())
        await asyncio.sleep(0.01)
    await stopping


async def test_stops_use_up_no_attempts(tmp_path: Path) -> None:
    """Twelve restarts while a receiver hangs: none of them is an attempt that failed, the event arrives."""
    async with a_consumer("hang") as consumer, scripted(created()) as apikley:
        clock = None
        for number in range(12):
            async with a_pair(tmp_path, apikley, clock=clock) as world:
                if number == 0:
                    await world.destination(consumer.url, event_types=["task.submitted"])
                    await world.submit()
                    clock = world.clock
                world.clock.advance(1)
                await world.service.courier.run_once()
                await soon(lambda: len(consumer.ids) == number + 1)  # noqa: B023 - awaited in this very round
        consumer.answers[0] = 204
        async with a_pair(tmp_path, apikley, clock=clock) as world:
            await world.turn(1)
            [delivery] = await world.deliveries()
            assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)


async def slow_or_not(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A host with receivers that never answer, and others that do at once."""
    while True:
        head, _ = await server.read(reader)
        if b"/slow" in head:
            await asyncio.Event().wait()
        writer.write(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()


async def test_destinations_on_one_host_share_no_limit_of_connections(tmp_path: Path) -> None:
    """Those that hang take none from the one that does not."""
    async with (
        raw_server(slow_or_not) as hook,
        scripted(created()) as apikley,
        a_pair(tmp_path, apikley, outbound=Outbound(Guard("loopback"), limit_per_host=2)) as world,
    ):
        for number in range(8):
            await world.destination(hook.url(f"/slow{number}"), event_types=["task.submitted"])
        fast = await world.destination(hook.url("/fast"), event_types=["task.submitted"])
        await world.submit()
        while await world.service.courier.run_once() == 0:
            pass  # some of a crowd in each round
        await soon(lambda: len(hook.requests) == 9)
        for _ in range(200):
            [delivery] = await world.deliveries(destination_id=fast["id"])
            if delivery["state"] == "delivered":
                break
            await asyncio.sleep(0.01)
        assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)


async def test_a_row_that_cannot_be_read_holds_up_no_other_provider(tmp_path: Path) -> None:
    """One provider's round raises, whichever comes first: the others have their turn, and the error is told after."""
    async with (
        scripted(created(), record("success")) as good,
        a_world(
            tmp_path,
            base_url=good.base_url,
            base_urls={},
            TASKWEIR_PUBLIC_URL="",
            TASKWEIR_PROVIDERS=second(good.base_url),
        ) as world,
    ):
        names = list(world.service.doors.providers)
        bad = names[0]
        assert bad != "second"

        def poison(store: Store) -> None:
            store.record_task(a_task(id="task_bad", provider=bad, provider_task_id="p9"))
            store.set_timer(a_timer(task_id="task_bad", provider=bad))
            store.execute("UPDATE tasks SET status = 'from_tomorrow' WHERE id = 'task_bad'", {})  # type: ignore[attr-defined] # SQLite's own

        task = await world.submit("second")
        await world.service.storage.write(poison)
        world.clock.advance(60)
        with pytest.raises(ValueError, match="from_tomorrow"):
            await world.service.poller.run_once()
        await world.service.poller.crew.drain()
        assert (await world.task(task["id"]))["status"] == "succeeded"


def second(base_url: str) -> str:
    """One more account of Apikley's, as settings name it."""
    return json.dumps({"second": {"adapter": "apikley", "base_url": base_url, "api_key": "another-key"}})


async def test_a_loop_that_only_fails_does_not_move() -> None:
    """So that readiness, which asks when it last came round, turns red in time."""
    rounds, wake = 0, asyncio.Event()

    async def fail() -> NoReturn:
        nonlocal rounds
        rounds += 1
        raise ValueError("as always")

    loop = Loop("poll", fail, wake)
    began = time.monotonic()
    loop.start()
    for number in range(1, 4):
        await soon(lambda: rounds == number)  # noqa: B023 - awaited in this very round
        wake.set()
        await asyncio.sleep(0.02)
    assert loop.moved_s_ago >= 0.05
    assert loop.moved_s_ago == pytest.approx(time.monotonic() - began, abs=0.02)
    await loop.stop()


async def test_an_adapter_that_raises_is_a_failed_poll(tmp_path: Path) -> None:
    """Counted as such, asked again ever more slowly, and given up a week past the deadline."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_pair(tmp_path, apikley, adapters={"apikley": Broken()}, TASKWEIR_PUBLIC_URL="") as world,
    ):
        task = await world.submit(deadline_seconds=600)
        await world.turn(61)
        assert "the last poll failed" in (await world.task(task["id"]))["waiting_for"]["text"]
        for _ in range(7):
            await world.turn(DAY_S - 100)
        assert (await world.task(task["id"]))["status"] == "submitted"
        for _ in range(3):
            await world.turn(DAY_S // 2)
        ended = await world.task(task["id"])
        assert (ended["status"], ended["error"]["kind"]) == ("expired", "timeout")


async def test_a_callback_that_its_adapter_raises_on_is_kept_as_odd(tmp_path: Path) -> None:
    """200, with what went wrong beside its body; the provider is asked all the same."""
    async with (
        scripted(created(), record("generating")) as apikley,
        a_pair(tmp_path, apikley, adapters={"apikley": Broken()}) as world,
    ):
        task = await world.submit()
        await ring(world, task["id"], done())
        [kept] = await world.service.storage.read(lambda store: store.callbacks(task["id"]))
        assert json.loads(kept) == done()
        [row] = await world.service.storage.read(lambda store: store.execute("SELECT outcome FROM inbox", {}))  # type: ignore[attr-defined]
        assert row["outcome"] == "odd: an error of the adapter: KeyError"
        await world.turn()
        assert len(apikley.lines) == 2


class Failing:
    """A connection that fails while `broken`, even to undo."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.closed = False

    @property
    def store(self) -> Any:
        return None

    def begin(self, *, patient: bool) -> None:
        if self.broken:
            raise ValueError("no beginning")

    def prepare(self) -> None:
        return None

    def commit(self) -> None:
        return None

    def checkpoint_due(self) -> bool:
        return False

    def checkpoint(self) -> None:
        return None

    def rollback(self) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        self.closed = True


async def test_the_writer_outlives_a_rollback_that_fails() -> None:
    """Whoever waited is told, and the next write has a new connection: one that cannot undo is not to be trusted."""
    made: list[Failing] = []

    def connect() -> Failing:
        made.append(Failing(broken=not made))
        return made[-1]

    writer = Writer(connect)
    await writer.open()
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="no beginning"):
            await writer.write(lambda _: 1)
        assert await writer.write(lambda _: 2) == 2
        await writer.close()
    assert [each.closed for each in made] == [True, True]


def spoil(directory: Path) -> None:
    """Overwrite the database, with what it has not checkpointed yet; cut short, it would end who has it mapped."""
    for path in directory.glob("taskweir.db*"):
        if path.suffix != ".lock":
            with path.open("r+b") as file:
                file.write(b"garbage" * 10_000)


@looks_into_the_file
async def test_a_file_that_is_malformed_is_not_ready(tmp_path: Path) -> None:
    """503 wherever the store is needed, not an error of ours."""
    together = threading.Barrier(3, timeout=30)

    def look(store: Store) -> None:
        store.newest_seq("")
        together.wait()

    async with a_world(tmp_path) as world:
        storage = world.service.storage
        await storage.write(lambda store: store.record_task(a_task()))
        # Every reader sees this state: one that knows only an empty WAL takes one that was lost for that, unchanged.
        await asyncio.gather(*(storage.read(look) for _ in range(3)))
        spoil(tmp_path)
        for path in ("/v1/tasks", "/health/ready", "/v1/events"):
            answer = await world.api.get(path)
            assert answer.status_code == 503, answer.text
            assert str(tmp_path) not in answer.text


async def test_a_file_that_is_malformed_cannot_be_opened_by_another_reader(tmp_path: Path) -> None:
    """It was good when the program began: that is no setting's fault."""
    storage = SqliteStorage(tmp_path / "taskweir.db")
    await storage.open(now=Ms(0))
    spoil(tmp_path)
    with pytest.raises(Unavailable):
        await storage.read(lambda store: store.newest_seq(""))
    await storage.close()


async def test_reading_a_store_that_is_closed_is_503(tmp_path: Path) -> None:
    """As writing to it."""
    async with a_world(tmp_path) as world:
        await world.service.storage.close()
        assert (await world.api.get("/v1/tasks")).status_code == 503

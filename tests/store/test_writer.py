"""The writer's transactions: which writes share one, in which order, and for how long it takes more of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from receiver.store.writer import Writer

pytestmark = pytest.mark.anyio


class Told:
    """A connection that remembers what it did, and commits when it may."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.committing = threading.Event()
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.due = False
        self.checkpointing = threading.Event()
        self.may_end = threading.Event()

    @property
    def store(self) -> Any:
        return self

    def begin(self, *, patient: bool) -> None:
        self.done.append("begin")

    def prepare(self) -> None:
        return None

    def commit(self) -> None:
        self.committing.set()
        assert self.may_commit.wait(30)
        self.done.append("commit")

    def rollback(self) -> None:
        self.done.append("rollback")

    def checkpoint_due(self) -> bool:
        return self.due

    def checkpoint(self) -> None:
        self.due = False
        self.done.append("checkpoint")
        self.checkpointing.set()
        assert self.may_end.wait(30)
        self.done.append("checkpointed")

    def again(self, error: BaseException, tries: int) -> bool:
        return False

    def close(self) -> None:
        return None


@asynccontextmanager
async def a_writer(connection: Told) -> AsyncIterator[Writer]:
    writer = Writer(lambda: connection)
    await writer.open()
    try:
        yield writer
    finally:
        await writer.close()


def named(name: str) -> Callable[[Any], None]:
    return lambda connection: connection.done.append(name)


async def test_what_the_next_turn_brings_comes_along() -> None:
    """One transaction for what comes turn by turn; its answers are given after the commit."""
    connection, answered = Told(), []

    async def write(writer: Writer, name: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await writer.write(named(name), brief=True)
        answered.append((name, connection.done.count("commit")))

    async with a_writer(connection) as writer, asyncio.timeout(30):
        await asyncio.gather(write(writer, "a", 0), write(writer, "b", 1), write(writer, "c", 2))
    assert connection.done == ["begin", "a", "b", "c", "commit"]
    assert answered == [("a", 1), ("b", 1), ("c", 1)]


async def test_a_checkpoint_keeps_nobody_from_his_answer() -> None:
    """It begins when what was committed is answered; what is written next waits for its end."""
    connection = Told()
    connection.due = True
    async with a_writer(connection) as writer, asyncio.timeout(30):
        await writer.write(named("a"), brief=True)
        following = asyncio.create_task(writer.write(named("b"), brief=True))
        await asyncio.to_thread(connection.checkpointing.wait, 10)
        await asyncio.sleep(0.05)
        before_its_end = list(connection.done)
        connection.may_end.set()
        await following
    assert before_its_end == ["begin", "a", "commit", "checkpoint"]
    assert connection.done == [*before_its_end, "checkpointed", "begin", "b", "commit"]


async def test_a_checkpoint_that_fails_ends_nothing() -> None:
    connection = Told()
    connection.due = True

    def out_of_memory() -> None:
        connection.due = False
        raise MemoryError

    connection.checkpoint = out_of_memory  # type: ignore[method-assign]
    async with a_writer(connection) as writer, asyncio.timeout(30):
        await writer.write(named("a"), brief=True)
        await writer.write(named("b"), brief=True)
    assert connection.done == ["begin", "a", "commit", "begin", "b", "commit"]


async def test_a_transaction_is_not_left_open_for_ever() -> None:
    """However many turns bring another write, the first one is answered."""
    connection, more = Told(), []
    async with a_writer(connection) as writer, asyncio.timeout(30):
        first = asyncio.create_task(writer.write(named("first"), brief=True))
        while not first.done():
            more.append(asyncio.create_task(writer.write(named("more"), brief=True)))
            await asyncio.sleep(0)
        await asyncio.gather(*more)
    assert connection.done[:2] == ["begin", "first"]
    assert connection.done.count("more") == len(more) > 0


@pytest.mark.parametrize("brief", [True, False])
async def test_what_ends_work_goes_before_what_begins_some(*, brief: bool) -> None:
    """Of what waits for the same transaction."""
    connection = Told()
    async with a_writer(connection) as writer, asyncio.timeout(30):
        connection.may_commit.clear()
        before = asyncio.create_task(writer.write(named("before"), brief=True))
        assert await asyncio.to_thread(connection.committing.wait, 30)
        begins = asyncio.create_task(writer.write(named("begins"), brief=brief))
        ends = asyncio.create_task(writer.write(named("ends"), brief=brief, ends=True))
        await asyncio.sleep(0)
        connection.may_commit.set()
        await asyncio.gather(before, begins, ends)
    assert connection.done == ["begin", "before", "commit", "begin", "ends", "begins", "commit"]


async def test_what_fails_undoes_nothing_of_the_turns_before() -> None:
    """All that shared its transaction runs again, each alone, and it alone fails."""
    connection = Told()

    def fail(_: Any) -> None:
        raise ValueError("no")

    async def later(writer: Writer) -> None:
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="no"):
            await writer.write(fail, brief=True)

    async with a_writer(connection) as writer, asyncio.timeout(30):
        await asyncio.gather(writer.write(named("a"), brief=True), later(writer))
    assert connection.done == [
        "begin",
        "a",
        "rollback",
        "begin",
        "a",
        "rollback",
        "begin",
        "a",
        "commit",
        "begin",
        "rollback",
    ]


async def test_what_is_not_brief_is_run_apart() -> None:
    """In the thread, and without those that may run in the loop."""
    connection, threads = Told(), dict[str, bool]()

    def note(name: str) -> Callable[[Any], None]:
        def run(told: Any) -> None:
            told.done.append(name)
            threads[name] = threading.current_thread() is threading.main_thread()

        return run

    async with a_writer(connection) as writer, asyncio.timeout(30):
        await asyncio.gather(
            writer.write(note("long")), writer.write(note("longer")), writer.write(note("brief"), brief=True)
        )
    assert connection.done == ["begin", "long", "longer", "commit", "begin", "brief", "commit"]
    assert threads == {"long": False, "longer": False, "brief": True}


async def test_what_can_wait_comes_along() -> None:
    """Behind what cannot; by itself it is written a little later, at the latest as the writer is closed."""
    connection = Told()
    async with a_writer(connection) as writer, asyncio.timeout(30):
        waits = asyncio.create_task(writer.write(named("waits"), brief=True, can_wait=True))
        await asyncio.sleep(0)
        await asyncio.gather(writer.write(named("urgent"), brief=True), waits)
        await writer.write(named("alone"), brief=True, can_wait=True)
        last = asyncio.create_task(writer.write(named("last"), can_wait=True))
        await asyncio.sleep(0)
    await last
    assert connection.done == [
        *("begin", "urgent", "waits", "commit"),
        *("begin", "alone", "commit"),
        *("begin", "last", "commit"),
    ]


async def test_a_crowd_that_can_wait_holds_up_nobody() -> None:
    """One of it comes along with who cannot; a few at a time go by themselves, and who comes then is next."""
    connection, urgent = Told(), list[asyncio.Task[None]]()
    async with a_writer(connection) as writer, asyncio.timeout(30):

        def first(told: Any) -> None:
            told.done.append("first")
            urgent.append(asyncio.create_task(writer.write(named("as urgent"), brief=True)))

        does = [named("along"), first, *(named(f"{number}") for number in range(30))]
        crowd = [asyncio.create_task(writer.write(each, brief=True, can_wait=True)) for each in does]
        await asyncio.sleep(0)
        await writer.write(named("urgent"), brief=True)
        assert connection.done == ["begin", "urgent", "along", "commit"]
        await asyncio.gather(*crowd, *urgent)
    place = connection.done.index("as urgent")
    assert connection.done[4:place] == ["begin", "first", *(f"{number}" for number in range(7))]
    assert connection.done[place + 1 : place + 3] == ["7", "commit"]
    assert [name for name in connection.done if name.isdigit()] == [f"{number}" for number in range(30)]

"""Group commit: many waiting writes, one transaction, one fsync."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from receiver.counts import CommitCounts
from receiver.errors import Unavailable
from receiver.store.protocol import Store

Result = TypeVar("Result")
LOOP_HELD_S = 0.002  # by writes of others in one turn, at most
COMES_ALONG_S = 0.25  # what can wait for others; then it goes by itself
A_FEW = 8  # of those that could wait, in one turn
LEFT_OPEN_S = 0.008  # for what each turn brings; then it is committed


class Transactional(Protocol):
    """An engine's connection as its writer sees it."""

    @property
    def store(self) -> Store: ...

    def begin(self, *, patient: bool) -> None:
        """Begin a transaction; raises where somebody else has the database, `patient` only after a while."""

    def prepare(self) -> None:
        """Write what was held back until now: nothing is left to the commit but the disk."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def checkpoint_due(self) -> bool:
        """Whether so much was committed that it is time for a checkpoint."""

    def checkpoint(self) -> None:
        """Nobody waits for it but who writes next."""

    def again(self, error: BaseException, tries: int) -> bool:
        """Whether one write that failed with this, after so many tries, is run once more."""

    def close(self) -> None: ...


class _Broken(Unavailable):
    """A connection that could not undo a transaction: what it would do next is anybody's guess."""


@dataclass(slots=True)
class _Job:
    do: Callable[[Store], Any]
    future: "asyncio.Future[Any]"
    brief: bool
    patient: bool
    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """Jobs for the thread: to run and commit, or where they are `done` to commit only."""

    jobs: list[_Job]
    done: bool


class Writer:
    """The only writing connection, and the thread that waits for its disk.

    Whatever waits is run in one transaction, at most `most` writes. Brief ones run in the event loop, for as long as
    `LOOP_HELD_S`: handing the interpreter to and fro between two threads, twice for each statement, costs more than
    the statements. What the next turn of the loop brings comes along, for pages that many change are written once.
    What could wait comes along one by one, or a few at a time where nobody else is about, and holds up nobody.
    All others run in the thread, which commits. If one of them fails, or the commit does, everything is
    rolled back and the writes run again one by one, so that a bad one fails alone; a write must therefore do nothing
    but talk to its store. Results leave only after the commit.
    """

    def __init__(self, connect: Callable[[], Transactional], *, most: int = 256) -> None:
        self._connect = connect
        self._most = most
        self._waiting: deque[_Job] = deque()
        self._patient: list[_Job] = []
        self._along: deque[_Job] = deque()  # patient ones whose time has come
        self._waking: asyncio.TimerHandle | None = None
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="taskweir-writer", daemon=True)
        self._connection: Transactional | None = None
        self._opened: asyncio.Future[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._run: list[_Job] = []  # in the transaction that is open
        self._open_until = 0.0
        self._pressed = False  # by one in it that is not patient
        self._busy = False
        self._closed = False
        self.counts = CommitCounts(self._queued)

    async def open(self) -> None:
        """Connect in the thread; raises what connecting raised."""
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        self._thread.start()
        await self._opened

    async def write(
        self, do: Callable[[Store], Result], *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Result:
        """Run `do` in the next transaction; returns its result once that is on disk."""
        if self._loop is None or self._closed:
            raise Unavailable("the store is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        job = _Job(do=do, future=future, brief=brief, patient=can_wait)
        if can_wait:
            self._patient.append(job)
            if self._waking is None:
                self._waking = self._loop.call_later(COMES_ALONG_S, self._begin)
        else:
            if ends:
                self._waiting.appendleft(job)
            else:
                self._waiting.append(job)
            self._begin()
        return await future  # a caller that goes away takes nothing back: nobody here knows of cancelling

    def _queued(self) -> int:
        return len(self._waiting) + len(self._patient) + len(self._along) + len(self._run)

    def _begin(self) -> None:
        """Work off what waits, with all that comes along."""
        if self._patient:
            self._along.extend(self._patient)
            self._patient.clear()
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._turn)  # others of this moment come along

    async def close(self) -> None:
        """Commit what waits, then close the connection."""
        if self._loop is not None and not self._closed:
            self._closed = True
            if self._patient:
                self._begin()
            if self._busy:
                self._idle = self._loop.create_future()
                await self._idle
            self._orders.put(None)
            await self._loop.run_in_executor(None, self._thread.join)

    def _turn(self) -> None:
        """In the loop: begin, go on, or rest."""
        self._let_along()
        if self._run_brief():
            asyncio.get_running_loop().call_soon(self._turn)
        elif self._run and self._prepared():
            self._orders.put(_Order(self._run, done=True))
            self._run, self._pressed = [], False
        elif self._waiting:
            self._orders.put(_Order(self._together(), done=False))
        else:
            self._busy = False
            if self._idle is not None:
                self._idle.set_result(None)

    def _let_along(self) -> None:
        """Let some of those that could wait in; where only they are left, nobody's commit waits for them."""
        if self._waiting or not self._pressed:
            for _ in range(min(1 if self._waiting else A_FEW, len(self._along))):
                self._waiting.append(self._along.popleft())

    def _together(self) -> list[_Job]:
        """What the thread runs next: others than brief ones; after one of those failed, all that it may have spoilt."""
        jobs = [self._waiting.popleft()]
        while self._waiting and len(jobs) < self._most and self._waiting[0].brief is jobs[0].brief:
            jobs.append(self._waiting.popleft())
        return jobs

    def _run_brief(self) -> bool:
        """Run brief writes in a transaction that is left open; whether another turn may bring more of them.

        None are left in it where one of them failed, or where it could not begin.
        """
        assert self._connection is not None  # noqa: S101 - open() returned once there was one
        now = time.monotonic()
        if not (self._waiting and self._waiting[0].brief):
            return False
        ends_at = now + LOOP_HELD_S
        try:
            if not self._run:
                self._connection.begin(patient=False)
                self._open_until = now + LEFT_OPEN_S
            while self._waiting and self._waiting[0].brief and now < ends_at:
                job = self._waiting.popleft()
                self._run.append(job)
                self._pressed = self._pressed or not job.patient
                job.result = job.do(self._connection.store)
                now = time.monotonic()
        except Exception:  # noqa: BLE001 - whose it is shows when each runs alone
            self._take_back(self._connection)
            return False
        return now < self._open_until and len(self._run) < self._most

    def _prepared(self) -> bool:
        """Whether the transaction that is open is ready for the disk; else nothing is in it any more."""
        assert self._connection is not None  # noqa: S101 - open() returned once there was one
        try:
            self._connection.prepare()
        except Exception:  # noqa: BLE001 - whose it is shows when each runs alone
            self._take_back(self._connection)
            return False
        return True

    def _take_back(self, connection: Transactional) -> None:
        """Undo the transaction that is open; what was in it waits again."""
        self._waiting.extendleft(reversed(self._run))
        self._run, self._pressed = [], False
        with suppress(Exception):  # what cannot be undone shows when the next one begins
            connection.rollback()

    def _ended(self, jobs: list[_Job]) -> None:
        """In the loop, after the commit: everybody hears of his own; they go on before the next turn."""
        self._answer(jobs)
        self._go_on()

    def _answer(self, jobs: list[_Job]) -> None:
        for job in jobs:
            if job.future.cancelled():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _go_on(self) -> None:
        if self._loop is not None:
            self._loop.call_soon(self._turn)

    def _work(self) -> None:
        try:
            self._connection = self._connect()
        except Exception as error:  # noqa: BLE001 - whatever connecting raises belongs to whoever opens the store
            self._tell(self._fail_to_open, error)
            return
        self._tell(self._set_open)
        while (order := self._orders.get()) is not None:
            began = time.monotonic()
            if not _carried_out(self._connection, order):
                self._connection = self._anew(self._connection)
            self.counts.writes += len(order.jobs)
            self.counts.failed += sum(job.error is not None for job in order.jobs)
            checkpoints = self._connection.checkpoint_due()
            if checkpoints:
                self._tell(self._answer, order.jobs)  # the loop has something to do meanwhile
                with suppress(Exception):  # nothing is lost by it, and the next one may do better
                    self._connection.checkpoint()
            self.counts.took.add((time.monotonic() - began) * 1000)
            if checkpoints:
                self._tell(self._go_on)
            else:
                self._tell(self._ended, order.jobs)
        self._connection.close()

    def _anew(self, broken: Transactional) -> Transactional:
        """A connection in the place of one that could not even undo; the broken one where there is none to be had."""
        try:
            fresh = self._connect()
        except Exception:  # noqa: BLE001 - its next write tells what is wrong, to whoever waits for it
            return broken
        broken.close()
        return fresh

    def _tell(self, callback: Callable[..., None], *values: Any) -> None:
        assert self._loop is not None  # noqa: S101 - open() set it before the thread began
        try:
            self._loop.call_soon_threadsafe(callback, *values)
        except RuntimeError:
            return  # the loop is gone, and with it everybody who waited

    def _set_open(self) -> None:
        assert self._opened is not None  # noqa: S101 - open() set it before the thread began
        if not self._opened.done():
            self._opened.set_result(None)

    def _fail_to_open(self, error: Exception) -> None:
        assert self._opened is not None  # noqa: S101 - open() set it before the thread began
        self._closed = True
        if not self._opened.done():
            self._opened.set_exception(error)


def _carried_out(connection: Transactional, order: _Order) -> bool:
    """Commit, or run and commit, together or else one by one; whether the connection is still good."""
    jobs = order.jobs
    try:
        if order.done and _committed(connection, jobs, done=True):
            return True
        if not order.done and len(jobs) > 1 and _committed(connection, jobs):
            return True
        for job in jobs:
            tries = 0
            while not _committed(connection, [job]) and job.error and connection.again(job.error, tries):
                tries += 1
    except _Broken as broken:
        for job in jobs:
            job.error = job.error or broken.__cause__ or broken
        return False
    return True


def _committed(connection: Transactional, jobs: list[_Job], *, done: bool = False) -> bool:
    """Run the jobs in one transaction; where any fails, undo all and leave the error with the last one run."""
    job = jobs[0]
    try:
        if not done:
            connection.begin(patient=True)
            for job in jobs:
                job.result = job.do(connection.store)
            connection.prepare()
        connection.commit()
    except Exception as error:  # noqa: BLE001 - it belongs to the caller that waits, whatever it is
        job.error = error
        _undo(connection)
        return False
    for job in jobs:
        job.error = None
    return True


def _undo(connection: Transactional) -> None:
    try:
        connection.rollback()
    except Exception as error:
        raise _Broken("the transaction could not be undone") from error

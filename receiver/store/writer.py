"""Group commit: many waiting writes, one transaction, one fsync."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from receiver.errors import Unavailable
from receiver.store.protocol import Store

Result = TypeVar("Result")


class Transactional(Protocol):
    """An engine's connection as its writer sees it."""

    @property
    def store(self) -> Store: ...

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def again(self, error: BaseException, tries: int) -> bool:
        """Whether one write that failed with this, after so many tries, is run once more."""

    def close(self) -> None: ...


class _Broken(Unavailable):
    """A connection that could not undo a transaction: what it would do next is anybody's guess."""


@dataclass(slots=True)
class _Job:
    do: Callable[[Store], Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Writer:
    """One thread that owns the only writing connection.

    Whatever waits when it looks is run in one transaction, at most `most` writes. If one of them fails, or the commit
    does, everything is rolled back and the writes run again one by one, so that a bad one fails alone; a write must
    therefore do nothing but talk to its store. Results leave only after the commit.
    """

    def __init__(self, connect: Callable[[], Transactional], *, most: int = 256) -> None:
        self._connect = connect
        self._most = most
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="taskweir-writer", daemon=True)
        self._opened: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect in the thread; raises what connecting raised."""
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        self._thread.start()
        await self._opened

    async def write(self, do: Callable[[Store], Result]) -> Result:
        """Run `do` in the next transaction; returns its result once that is on disk."""
        if self._loop is None or self._closed:
            raise Unavailable("the store is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._jobs.put(_Job(do=do, future=future))
        return await future  # a caller that goes away takes nothing back: the thread knows of no cancelling

    async def close(self) -> None:
        """Commit what waits, then close the connection."""
        if self._loop is not None and not self._closed:
            self._closed = True
            self._jobs.put(None)
            await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:  # noqa: BLE001 - whatever connecting raises belongs to whoever opens the store
            self._answer(self._fail_to_open, error)
            return
        self._answer(self._set_open)
        running = True
        while running:
            jobs, running = self._waiting()
            if jobs and not self._run(connection, jobs):
                connection = self._anew(connection)
            self._answer(_resolve, jobs)
        connection.close()

    def _anew(self, broken: Transactional) -> Transactional:
        """A connection in the place of one that could not even undo; the broken one where there is none to be had."""
        try:
            fresh = self._connect()
        except Exception:  # noqa: BLE001 - its next write tells what is wrong, to whoever waits for it
            return broken
        broken.close()
        return fresh

    def _waiting(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        item = self._jobs.get()
        while item is not None:
            jobs.append(item)
            if len(jobs) >= self._most or self._jobs.empty():
                return jobs, True
            item = self._jobs.get()
        return jobs, False

    def _run(self, connection: Transactional, jobs: list[_Job]) -> bool:
        """Run the jobs, together or one by one; whether the connection is still good."""
        try:
            if len(jobs) > 1 and _committed(connection, jobs):
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

    def _answer(self, callback: Callable[..., None], *values: Any) -> None:
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


def _committed(connection: Transactional, jobs: list[_Job]) -> bool:
    """Run the jobs in one transaction; where any fails, undo all and leave the error with the last one run."""
    job = jobs[0]
    try:
        connection.begin()
        for job in jobs:
            job.result = job.do(connection.store)
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


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)

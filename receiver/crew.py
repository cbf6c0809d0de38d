"""Work under way in this process: counted per key, so that one slow party holds up nobody else."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from receiver import turns
from receiver.telemetry import log

Result = TypeVar("Result")


async def each_alone(rounds: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run all side by side, each to its end; what one raises comes after that."""
    ended = await asyncio.gather(*rounds, return_exceptions=True)
    failed = next((each for each in ended if isinstance(each, BaseException)), None)
    if failed is not None:
        raise failed
    return [each for each in ended if not isinstance(each, BaseException)]


class Crew:
    """Starts pieces of work and remembers them until they end; `on_free` is called, with its key, whenever one does."""

    def __init__(self, on_free: Callable[[str], None]) -> None:
        self._on_free = on_free
        self._under_way: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()

    def count(self, key: str) -> int:
        """How many pieces are under way for a key."""
        return self._counts[key]

    @property
    def total(self) -> int:
        """How many pieces are under way in all."""
        return len(self._under_way)

    def keys(self) -> set[str]:
        """For whom anything is under way."""
        return set(self._counts)

    @contextmanager
    def holding(self, key: str, places: int) -> Iterator[None]:
        """Inside this block so many more count as under way: they are about to start, and others ask meanwhile."""
        self._counts[key] += places
        try:
            yield
        finally:
            self._leave(key, places)

    def start(self, key: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run `work` beside everything else; what it raises is logged and ends with it."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        self._counts[key] += 1
        task.add_done_callback(lambda done: self._ended(key, done))
        turns.owns(task)
        return task

    def _ended(self, key: str, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._leave(key, 1)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work.failed", error=repr(error), exc_info=error)
        self._on_free(key)

    def _leave(self, key: str, places: int) -> None:
        self._counts[key] -= places
        if self._counts[key] == 0:
            del self._counts[key]

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def stop(self, within_s: float) -> None:
        """Wait for what is under way, then cut off what is left."""
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=within_s)
        for task in set(self._under_way):
            task.cancel()
        await self.drain()

"""Whoever reads events as they come: what each wants, and what waits for him."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from receiver.domain import Task
from receiver.store.records import Recorded

MOST_WAITING = 256 * 1024  # bytes that wait for one reader; then he is sent back to the pages

Frame = Callable[[Recorded], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a reader wants, None: whatever they are; `changes` asks for those of a task without an event, too.

    `frame` writes an event as all readers who want the same of the same get it.
    """

    tenant: str
    frame: Frame
    types: frozenset[str] | None = None
    provider: str | None = None
    task_id: str | None = None
    changes: bool = False

    def fits(self, row: Recorded) -> bool:
        """Whether an event is among them."""
        return (
            row.tenant == self.tenant
            and (self.types is None or row.type in self.types)
            and self.provider in (None, row.provider)
            and self.task_id in (None, row.task_id)
        )


class Batch:
    """What one look brought for those who want the same: events up to the place `last`."""

    __slots__ = ("_text", "frames", "last")

    def __init__(self, frames: Sequence[tuple[int, bytes]], last: int) -> None:
        self.frames = frames
        self.last = last
        self._text = b"".join(frame for _, frame in frames)

    def __len__(self) -> int:
        return len(self._text)

    def behind(self, seq: int) -> bytes:
        """Of these what comes behind a place."""
        if self.frames[0][0] > seq:
            return self._text
        return b"".join(frame for each, frame in self.frames if each > seq)


class Reader:
    """Somebody who reads along: while he has a seat he hears of all that comes, unless he has `missed` some of it.

    `at` is how far he has heard, `over` that he must go, `changed` his task where that changed without an event.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.over = self.missed = False
        self.changed: Task | None = None
        self.at = 0
        self._batches: list[Batch] = []
        self._size = 0
        self._told = False
        self._waiting: asyncio.Future[None] | None = None

    def begin(self, at: int) -> None:
        """He hears of everything behind this place."""
        self._batches, self._size, self.missed, self.changed = [], 0, False, None
        self.at = at

    def offer(self, batch: Batch) -> None:
        """Something came; where too much waits already, all of that is dropped, for the store has it."""
        if not self.missed:
            self._batches.append(batch)
            self._size += len(batch)
        if self._size > MOST_WAITING:
            self._batches, self._size, self.missed = [], 0, True
        self._tell()

    def beat(self, at: int) -> None:
        """Nothing else came up to this place."""
        self.at = at
        self._tell()

    def change(self, task: Task) -> None:
        self.changed = task
        self._tell()

    def end(self) -> None:
        """Send him away."""
        self.over = True
        self._tell()

    async def heard(self) -> Sequence[Batch]:
        """What came since, as soon as anything did; nothing where only time passed, or nothing more will come."""
        if not (self._told or self.over):
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        self._told = False
        batches, self._batches, self._size = self._batches, [], 0
        return batches

    def _tell(self) -> None:
        self._told = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

"""The live feed: what is recorded is read once, whoever reads along, and shared out; nobody waits for the slowest."""

import asyncio
import resource
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from receiver.bell import Bell
from receiver.domain import Task
from receiver.errors import Unavailable
from receiver.intake import Taken
from receiver.loops import Loop
from receiver.readers import Batch, Frame, Reader, Wanted
from receiver.store.protocol import Storage, Store
from receiver.store.records import Recorded

PAGE = 100  # events that are read at once
SLICE = 32  # readers who are told in one turn of the event loop: a millisecond's worth
LOOKS_AGAIN_S, LOOKS_FOR_OTHERS_S = 1.0, 0.25  # the second where other processes record events, too
LOOKS_FOR_CHANGES_S = 2.0  # of tasks that others changed without an event
LONGEST_REST_S = 1.0
MOST_STREAMS = 10_000

_Item = TypeVar("_Item")


class Feed:
    """Reads what is recorded as long as anybody reads along: one query for all of them, after news and at intervals.

    Others wait for a slice of the readers at most, and half of the time nobody is told anything: who is owed more
    than that gets more at once. `others` may record events, too; `most` readers are taken.
    """

    def __init__(self, storage: Storage, bell: Bell, *, others: bool, most: int, heartbeat_s: float) -> None:
        self._storage = storage
        self._others = others
        self._most = most
        self.heartbeat_s = heartbeat_s
        self.at = 0
        self.closed = False
        self.page = asyncio.Lock()  # whoever reads pages of the store takes turns, and leaves it to others meanwhile
        self.wake = asyncio.Event()
        self._loop = Loop("feed", self.run_once, self.wake)
        self._begun = False
        self._opening = asyncio.Lock()
        self._readers: set[Reader] = set()
        self._seats: defaultdict[Wanted, set[Reader]] = defaultdict(set)
        self._of_task: defaultdict[str, set[Wanted]] = defaultdict(set)
        self._of_tenant: defaultdict[str, set[Wanted]] = defaultdict(set)
        self._changed: dict[str, Task] = {}
        self._versions: dict[str, int] = {}
        self._looked_at = 0.0
        self._beat_at = 0.0
        bell.listen(self._hear)

    @property
    def full(self) -> bool:
        return len(self._readers) >= self._most

    @property
    def crowded(self) -> bool:
        """Whether no more are let in who have no key: they must not keep out those who have one."""
        return len(self._readers) >= self._most // 2

    @asynccontextmanager
    async def reader(self, wanted: Wanted) -> AsyncIterator[Reader]:
        """Somebody who reads along within this block; raises `Unavailable` where too many do."""
        async with self._opening:
            if self.full:
                raise Unavailable(f"{self._most} streams are open, as many as may be at once")
            if not self._readers:
                self.at = await self._storage.read(lambda store: store.last_seq(), brief=True)
                self._beat_at = time.monotonic() + self.heartbeat_s
            if not (self._begun or self.closed):
                self._begun = True
                self._loop.start()
            reader = Reader(wanted)
            self._readers.add(reader)
        self.wake.set()
        reader.over = self.closed
        try:
            yield reader
        finally:
            self.unseat(reader)
            self._readers.discard(reader)

    def seat(self, reader: Reader) -> None:
        """From now on he hears of everything; `reader.at` says behind which place."""
        wanted = reader.wanted
        reader.begin(self.at)
        self._seats[wanted].add(reader)
        if wanted.task_id is None:
            self._of_tenant[wanted.tenant].add(wanted)
        else:
            self._of_task[wanted.task_id].add(wanted)

    def unseat(self, reader: Reader) -> None:
        """He hears of nothing any more, for he reads pages, or is gone."""
        wanted = reader.wanted
        self._seats[wanted].discard(reader)
        if self._seats[wanted]:
            return
        del self._seats[wanted]
        index, key = (self._of_tenant, wanted.tenant) if wanted.task_id is None else (self._of_task, wanted.task_id)
        index[key].discard(wanted)
        if not index[key]:
            del index[key]
            self._versions.pop(key, None)

    async def close(self) -> None:
        """Send everybody away, and take nobody."""
        self.closed = True
        async for reader in _in_slices(self._readers):
            reader.end()
        if self._begun:
            await self._loop.stop()

    async def run_once(self) -> float:
        """One look, and its news shared out; the seconds until the next one."""
        if not self._readers or self.closed:
            return LONGEST_REST_S
        began, at = time.monotonic(), self.at
        rows = await self._storage.read(lambda store: store.events_after(at, limit=PAGE), brief=True)
        if at == self.at:  # else all who were there left meanwhile, and others came
            await self._share_out(rows)
            if len(rows) < PAGE:
                await self._tell_changes()
        if began >= self._beat_at:
            self._beat_at = began + self.heartbeat_s
            at = self.at
            async for reader in _in_slices(self._readers):
                reader.beat(at)
        await asyncio.sleep(min(time.monotonic() - began, LONGEST_REST_S))
        if len(rows) == PAGE:
            return 0.0
        looks_again_s = LOOKS_FOR_OTHERS_S if self._others else LOOKS_AGAIN_S
        return max(0.0, min(looks_again_s, self._beat_at - time.monotonic()))

    async def _share_out(self, rows: Sequence[Recorded]) -> None:
        """Each his own; who joins from now on begins behind these."""
        if not rows:
            return
        last = rows[-1].seq
        frames: defaultdict[Wanted, list[tuple[int, bytes]]] = defaultdict(list)
        for row in rows:
            written: dict[Frame, bytes] = {}
            for wanted in self._wanting(row):
                if wanted.frame not in written:
                    written[wanted.frame] = wanted.frame(row)
                frames[wanted].append((row.seq, written[wanted.frame]))
        batches = [(Batch(each, last), self._seats[wanted]) for wanted, each in frames.items()]
        offers = [(batch, reader) for batch, readers in batches for reader in readers]
        self.at = last
        async for batch, reader in _in_slices(offers):
            reader.offer(batch)

    def _wanting(self, row: Recorded) -> Iterable[Wanted]:
        for wanted in (*self._of_task.get(row.task_id, ()), *self._of_tenant.get(row.tenant, ())):
            if wanted.fits(row):
                yield wanted

    def _hear(self, taken: Taken) -> None:
        """Something was committed by this process."""
        if not self._readers:
            return
        if taken.events:
            self.wake.set()
        elif taken.task.id in self._of_task:
            self._changed[taken.task.id] = taken.task
            self.wake.set()

    async def _tell_changes(self) -> None:
        """What happened to a task without an event: all that came before it has been told."""
        if self._others and time.monotonic() >= self._looked_at + LOOKS_FOR_CHANGES_S:
            self._looked_at = time.monotonic()
            await self._look_for_changes()
        changed, self._changed = self._changed, {}
        told = [
            (task, reader)
            for task in changed.values()
            for wanted in self._of_task.get(task.id, ())
            if wanted.changes and wanted.tenant == task.tenant
            for reader in self._seats[wanted]
        ]
        async for task, reader in _in_slices(told):
            reader.change(task)

    async def _look_for_changes(self) -> None:
        watched = [task_id for task_id, each in self._of_task.items() if any(wanted.changes for wanted in each)]
        if not watched:
            return
        known = dict(self._versions)

        def look(store: Store) -> tuple[dict[str, int], list[Task | None]]:
            versions = dict(store.task_versions(watched))
            return versions, [store.task(each) for each, version in versions.items() if known.get(each) != version]

        self._versions, changed = await self._storage.read(look)
        for task in changed:
            if task is not None:
                self._changed.setdefault(task.id, task)


def most_streams() -> int:
    """How many may be open at once: so many that callbacks, and what we ourselves open, find files enough."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_STREAMS if files == resource.RLIM_INFINITY else min(MOST_STREAMS, files // 4)


async def _in_slices(items: Collection[_Item]) -> AsyncIterator[_Item]:
    """All of them as they are now, with a turn of the event loop for everybody else in between."""
    for count, item in enumerate(list(items), start=1):
        yield item
        if count % SLICE == 0:
            await asyncio.sleep(0)

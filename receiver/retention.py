"""Deletes what is kept no longer, bite by bite, so that whoever else writes has a turn in between."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from receiver import owed
from receiver.clock import Clock
from receiver.domain import Destination, Ms
from receiver.store.protocol import Storage, Store
from receiver.store.records import Bite
from receiver.telemetry import log

DAY: Ms = 86_400_000
BITE = 500  # events, or tasks, with all that belongs to them: 10 to 50 ms of the writer's time
BETWEEN_BITES_S = 0.05
BETWEEN_RUNS: Ms = 3_600_000


class Logs(Protocol):
    """The SQLite logs, as far as they forget."""

    async def prune(self, destination: Destination, *, before: Ms, limit: int) -> int:
        """Delete up to `limit` of a log's rows of before this time; how many."""


class Retention:
    """A run at the start, and one an hour after each: `run_once` is one bite of it."""

    def __init__(self, *, storage: Storage, logs: Logs, clock: Clock, days: int, bite: int = BITE) -> None:
        self._storage = storage
        self._logs = logs
        self._clock = clock
        self._kept: Ms = days * DAY
        self._bite = bite
        self._next_run_at: Ms = clock.now()
        self._run: AsyncIterator[Mapping[str, int]] | None = None
        self._rows: Counter[str] = Counter()
        self.wake = asyncio.Event()

    async def run_once(self) -> float:
        """Delete one bite, where a run is due or under way; the seconds until the next one."""
        now = self._clock.now()
        if self._run is None:
            if now < self._next_run_at:
                return (self._next_run_at - now) / 1000
            self._run = self._bites(now)
        try:
            self._rows += Counter(await anext(self._run))
        except StopAsyncIteration:
            return self._end(now)
        except BaseException:
            self._run = None  # what raised is over: the next round begins anew
            raise
        return BETWEEN_BITES_S

    def _end(self, now: Ms) -> float:
        if self._rows:
            log.info("history.pruned", **self._rows)
        self._run, self._rows = None, Counter()
        self._next_run_at = now + BETWEEN_RUNS
        return BETWEEN_RUNS / 1000

    async def _bites(self, now: Ms) -> AsyncIterator[Mapping[str, int]]:
        """Events first, then the tasks that these have left, then rows of logs; what each bite deleted, by table."""
        await self._storage.write(lambda store: store.prune_retired_secrets(now))
        await owed.forget_gone_hooks(self._storage)
        for prune in (_events, _tasks):
            after: str | None = ""
            while after is not None:
                bite = await self._bite_of(prune, now - self._kept, after)
                yield bite.rows
                after = bite.last
        for each in await self._storage.read(lambda store: store.logs_with_an_end()):
            before, deleted = now - (each.retention_days or 0) * DAY, self._bite
            while deleted == self._bite:
                deleted = await self._logs.prune(each, before=before, limit=self._bite)
                yield {"log_rows": deleted}

    async def _bite_of(self, prune: "_Prune", before: Ms, after: str) -> Bite:
        return await self._storage.write(lambda store: prune(store, before, after, self._bite))


_Prune = Callable[[Store, Ms, str, int], Bite]


def _events(store: Store, before: Ms, after: str, limit: int) -> Bite:
    return store.prune_events(before, after=after, limit=limit)


def _tasks(store: Store, before: Ms, after: str, limit: int) -> Bite:
    return store.prune_tasks(before, after=after, limit=limit)

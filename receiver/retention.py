"""Deletes what is kept no longer, bite by bite, so that whoever else writes has a turn in between."""

import asyncio
from collections import Counter

from receiver.clock import Clock
from receiver.domain import Ms
from receiver.store.protocol import Bite, Storage, Store
from receiver.telemetry import log

DAY: Ms = 86_400_000
BITE = 500  # events, or tasks, with all that belongs to them: 10 to 50 ms of the writer's time
BETWEEN_BITES_S = 0.05
BETWEEN_RUNS: Ms = 3_600_000


class Retention:
    """A run at the start, and one an hour after each: `run_once` is one bite of it."""

    def __init__(self, *, storage: Storage, clock: Clock, days: int, bite: int = BITE) -> None:
        self._storage = storage
        self._clock = clock
        self._kept: Ms = days * DAY
        self._bite = bite
        self._next_run_at: Ms = clock.now()
        self._run: _Run | None = None
        self.wake = asyncio.Event()

    async def run_once(self) -> float:
        """Delete one bite, where a run is due or under way; the seconds until the next one."""
        now = self._clock.now()
        if self._run is None:
            if now < self._next_run_at:
                return (self._next_run_at - now) / 1000
            self._run = _Run(before=now - self._kept, limit=self._bite)
        run = self._run
        run.swallow(await self._storage.write(run.take))
        if not run.over:
            return BETWEEN_BITES_S
        self._run, self._next_run_at = None, now + BETWEEN_RUNS
        if run.rows:
            log.info("history.pruned", **run.rows)
        return BETWEEN_RUNS / 1000


class _Run:
    """How far one run has come: through the events, then through the tasks that these have left."""

    def __init__(self, *, before: Ms, limit: int) -> None:
        self._before = before
        self._limit = limit
        self._after: str = ""
        self._of_tasks = False
        self.over = False
        self.rows: Counter[str] = Counter()

    def take(self, store: Store) -> Bite:
        """One bite, in whatever transaction this is; changes nothing here, for it may be run twice."""
        prune = store.prune_tasks if self._of_tasks else store.prune_events
        return prune(self._before, after=self._after, limit=self._limit)

    def swallow(self, bite: Bite) -> None:
        """What was committed; the next bite begins where it ended."""
        self.rows += Counter(bite.rows)  # which leaves out what is zero
        self._after = bite.last or ""
        if bite.last is None:
            self.over, self._of_tasks = self._of_tasks, True

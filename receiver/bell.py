"""Tells whoever waits that something was committed: loops that would sleep, callers that wait for a task."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from receiver.domain import Task
from receiver.intake import Taken


class Bell:
    """What was taken in, announced after its commit, within this process."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Taken], None]] = []
        self._waiting: defaultdict[str, set[Watch]] = defaultdict(set)

    def listen(self, listener: Callable[[Taken], None]) -> None:
        """Call `listener` with everything taken from now on."""
        self._listeners.append(listener)

    def ring(self, taken: Taken) -> None:
        """Announce what was committed."""
        for each in self._waiting.get(taken.task.id, ()):
            each.tell(taken.task)
        for listener in self._listeners:
            listener(taken)

    @contextmanager
    def watch(self, task_id: str) -> Iterator["Watch"]:
        """Hear of every change of a task from now on; look at the task after this, not before, and miss none."""
        watch = Watch()
        self._waiting[task_id].add(watch)
        try:
            yield watch
        finally:
            self._waiting[task_id].discard(watch)
            if not self._waiting[task_id]:
                del self._waiting[task_id]


class Watch:
    """Somebody who waits for one task to change."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._task: Task | None = None

    def tell(self, task: Task) -> None:
        """The task was committed like this."""
        if self._task is None or task.version >= self._task.version:
            self._task = task
        self._changed.set()

    async def wait(self, within_s: float) -> Task | None:
        """The task as it is after the next change in this process; None where none came in so many seconds."""
        try:
            await asyncio.wait_for(self._changed.wait(), within_s)
        except TimeoutError:
            return None
        self._changed.clear()
        return self._task

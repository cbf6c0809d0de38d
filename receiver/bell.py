"""Tells whoever waits that something was committed: loops that would sleep, callers that wait for a task."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from receiver.intake import Taken


class Bell:
    """What was taken in, announced after its commit, within this process."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Taken], None]] = []
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def listen(self, listener: Callable[[Taken], None]) -> None:
        """Call `listener` with everything taken from now on."""
        self._listeners.append(listener)

    def ring(self, taken: Taken) -> None:
        """Announce what was committed."""
        for changed in self._waiting.get(taken.task.id, ()):
            changed.set()
        for listener in self._listeners:
            listener(taken)

    @contextmanager
    def watch(self, task_id: str) -> Iterator["Watch"]:
        """Hear of every change of a task from now on; look at the task after this, not before, and miss none."""
        changed = asyncio.Event()
        self._waiting[task_id].add(changed)
        try:
            yield Watch(changed)
        finally:
            self._waiting[task_id].discard(changed)
            if not self._waiting[task_id]:
                del self._waiting[task_id]


class Watch:
    """Somebody who waits for one task to change."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed

    async def wait(self, within_s: float) -> None:
        """Return at the next change, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), within_s)
        self._changed.clear()

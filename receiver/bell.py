"""Tells whoever waits that something was committed: loops that would sleep, callers that wait for a task."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

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

    async def changed(self, task_id: str, within_s: float) -> None:
        """Return when the task changes, at the latest after `within_s` seconds."""
        changed = asyncio.Event()
        self._waiting[task_id].add(changed)
        try:
            await asyncio.wait_for(changed.wait(), within_s)
        except TimeoutError:
            return
        finally:
            self._waiting[task_id].discard(changed)
            if not self._waiting[task_id]:
                del self._waiting[task_id]

"""Tells whoever waits that something was committed: loops that would sleep, callers that wait for a task."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
            each.tell(taken)
        for listener in self._listeners:
            listener(taken)

    @contextmanager
    def watch(self, task_id: str = "") -> Iterator["Watch"]:
        """Hear of every change of a task from now on; look at the task after this, not before, and miss none.

        One that has no id yet may be named later on, to `Watch.follow`.
        """
        watch = Watch(self._waiting)
        watch.follow(task_id)
        try:
            yield watch
        finally:
            watch.end()


class Watch:
    """Somebody who waits for one task to change."""

    def __init__(self, waiting: "defaultdict[str, set[Watch]]") -> None:
        self._waiting = waiting
        self._changed = asyncio.Event()
        self.task_id = ""
        self._told: Taken | None = None

    def follow(self, task_id: str) -> None:
        """Hear of this task from now on, and of no other."""
        self.end()
        self.task_id, self._told = task_id, None
        self._changed.clear()
        if task_id:
            self._waiting[task_id].add(self)

    def end(self) -> None:
        """Hear of nothing any more."""
        watching = self._waiting.get(self.task_id)
        if watching is not None:
            watching.discard(self)
            if not watching:
                del self._waiting[self.task_id]

    def tell(self, taken: Taken) -> None:
        """The task was committed like this."""
        self.learn(taken)
        self._changed.set()

    def learn(self, found: Taken) -> None:
        """The task was found like this: whoever asks next begins with that, and nobody is woken."""
        if self._told is None or found.task.version >= self._told.task.version:
            self._told = found

    def heard(self) -> Taken | None:
        """The task as it is by what was heard of it until now, None where nothing was; `wait` then is for more."""
        self._changed.clear()
        return self._told

    async def wait(self, within_s: float) -> Taken | None:
        """The task as it is after the next change in this process; None where none came in so many seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return None
        await asyncio.sleep(0)  # who committed it gives back its place before anybody who was told asks for one
        return self.heard()

"""Looks at every connection at intervals, so that none is waited for too long."""

import asyncio
import time
from collections.abc import Collection

from receiver.loops import Loop
from receiver.web.limits import ReceiveLimits
from receiver.web.reception import Reception


class Sweep:
    """The looks of one server at its connections, from `start` to `stop`."""

    def __init__(self, connections: Collection[object], limits: ReceiveLimits) -> None:
        self._connections = connections
        self._limits = limits
        self._wake = asyncio.Event()
        self._loop = Loop("sweep", self.run_once, self._wake)
        self._looked_at = time.monotonic()
        self._stopping = False

    def start(self) -> None:
        self._looked_at = time.monotonic()
        self._loop.start()

    def hurry(self) -> None:
        """The server stops: from now on nobody is waited for longer than `stopping_s`."""
        self._stopping = True
        self._wake.set()

    async def stop(self) -> None:
        await self._loop.stop()

    async def run_once(self) -> float:
        """Look at all of them; the seconds until the next time."""
        every_s = self._limits.look_every_s / (10 if self._stopping else 1)
        now = time.monotonic()
        # While we ourselves stood still nobody was heard, so that nobody was late.
        passed_s, self._looked_at = min(now - self._looked_at, 2 * every_s), now
        for each in list(self._connections):
            if isinstance(each, Reception):
                each.look(passed_s, stopping=self._stopping)
        return every_s

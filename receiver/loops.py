"""Runs `run_once` for ever: sleeps as long as it says, wakes when told, never gives up."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from receiver.telemetry import log

LONGEST_SLEEP_S = 5.0
STUCK_AFTER_S = 25.0
ROUND_ENDS_WITHIN_S = 5.0
_PAUSES_AFTER_ERROR_S = (0.5, 1.0, 2.0, 5.0)


class Loop:
    """One background loop, supervised: an error is logged and the next round comes, after a short pause.

    Whoever holds `alone` keeps rounds from beginning.
    """

    def __init__(self, name: str, run_once: Callable[[], Awaitable[float]], wake: asyncio.Event) -> None:
        self.name = name
        self._run_once = run_once
        self._wake = wake
        self._errors = 0
        self.rounds = self.failures = 0
        self._stopping = False
        self.alone = asyncio.Lock()  # a heartbeat comes beside the loop itself
        self._moved_at = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    @property
    def moved_s_ago(self) -> float:
        """How long ago the loop last came round."""
        return time.monotonic() - self._moved_at

    @property
    def stuck(self) -> bool:
        """Whether the loop has not come round for longer than any round may take."""
        return self.moved_s_ago > STUCK_AFTER_S

    async def round(self) -> float:
        """One round, alone; the seconds until the next. Raises what the round raised."""
        async with self.alone:
            pause_s = await self._run_once()
            self._moved_at = time.monotonic()  # a loop that only fails does not move
            self.rounds += 1
            return pause_s

    def start(self) -> None:
        self._moved_at = time.monotonic()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Let the round under way end, so that what it claims is not lost; what was claimed goes on in its crew."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=ROUND_ENDS_WITHIN_S)
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = await self._round()
            if self._stopping:
                return
            if pause_s > 0:
                await self._sleep(min(pause_s, LONGEST_SLEEP_S))
            else:
                await asyncio.sleep(0)

    async def _round(self) -> float:
        try:
            pause_s = await self.round()
        except Exception as error:  # noqa: BLE001 - the one place where nothing may end the loop
            log.error("loop.failed", loop=self.name, error=repr(error), exc_info=error)
            pause_s = _PAUSES_AFTER_ERROR_S[min(self._errors, len(_PAUSES_AFTER_ERROR_S) - 1)]
            self._errors += 1
            self.failures += 1
        else:
            self._errors = 0
        return pause_s

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

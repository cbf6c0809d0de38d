"""Tells the other processes on the same database that this one is alive, and keeps to its part of what all may do."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from receiver.budget import Budget
from receiver.clock import Clock
from receiver.storages import Kept
from receiver.store.shares import BEAT_S, HOLDS_FOR_S, WHOLE, Word


class Replicas:
    """`run_once` is one sign of life. Whatever others left behind, or recorded, is looked for after each.

    `caps` are the operator's own limits in requests per second, by provider, for all processes together.
    """

    def __init__(
        self,
        kept: Kept,
        clock: Clock,
        budgets: Mapping[str, Budget],
        caps: Mapping[str, float | None],
        look: Sequence[Callable[[], None]],
    ) -> None:
        self.kept = kept
        self._clock = clock
        self._budgets = budgets
        self._caps = caps
        self._look = look
        self.wake = asyncio.Event()
        self.alone = True
        self.share = WHOLE
        self._heard_at = 0.0

    async def hear(self) -> None:
        """The same, where nobody has heard of us for longer than a server would be silent."""
        if self.kept.beat is not None and time.monotonic() - self._heard_at >= BEAT_S:
            self._heard_at = time.monotonic()  # of those who come at once one is enough
            await self.run_once()

    async def rest(self) -> None:
        """Leave our part to the others until we are heard again."""
        if self.kept.rest is not None and self._heard_at:
            self._heard_at = 0.0
            await self.kept.rest()

    async def run_once(self) -> float:
        """Say so, take our part of every provider's budget, and look for work; the seconds until the next time."""
        heard = await self.kept.say(self._words())
        self._heard_at = time.monotonic()
        share = self.share = heard.share
        self.alone = share.of == 1
        now = self._clock.now()
        for name, word in heard.words.items():
            if name in self._budgets:
                self._budgets[name].hold(now, (word.wait_until - now) / 1000)
                self._budgets[name].refused_elsewhere(word.refused_at, now)
        for name, cap in self._caps.items():
            if cap is None:
                continue
            self._budgets[name].cap = share.rate(cap)
            if share.of == 0:
                self._budgets[name].hold(now, min(2 * BEAT_S, HOLDS_FOR_S))
        for look in self._look:
            look()
        return BEAT_S

    def _words(self) -> dict[str, Word]:
        """What each provider said to us; who has no part yet holds back by himself, which is no news."""
        if self.share.of == 0:
            return {}
        words = {
            name: Word(wait_until=budget.held_until, refused_at=budget.refused_at)
            for name, budget in self._budgets.items()
        }
        return {name: word for name, word in words.items() if word != Word()}

"""How long work may be under way that a caller waits for: a heartbeat's, a callback's. Loops of a server have for ever.

Whatever is begun inside a turn belongs to it: polls and deliveries end when its time is over, and the caller goes on
when all has ended, for where nothing runs between requests an answer may be the last that the process does for hours.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, TypeVar

Result = TypeVar("Result")

FOR_EVER = float("inf")
LEAST_S = 1.0  # of a turn's time, for something new to begin; of a short one half


class Did(StrEnum):
    """What is counted of a turn: what was sent, or asked, to its end."""

    SUBMITTED = "submitted"
    POLLED = "polled"
    DELIVERED = "delivered"


class Turn:
    """So many seconds from now on."""

    def __init__(self, budget_s: float) -> None:
        self._ends_at = time.monotonic() + budget_s
        self._least_s = min(LEAST_S, budget_s / 2)
        self._under_way: set[asyncio.Task[None]] = set()
        self.done: Counter[Did] = Counter()

    @property
    def left_s(self) -> float:
        """How many seconds are left of it."""
        return max(self._ends_at - time.monotonic(), 0.0)

    @property
    def may_begin(self) -> bool:
        """Whether enough is left for something new."""
        return self.left_s >= self._least_s

    @property
    def busy(self) -> bool:
        """Whether anything is under way that was begun in it."""
        return bool(self._under_way)

    def owns(self, task: "asyncio.Task[None]") -> None:
        """This is under way until it ends."""
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def moved(self, within_s: float) -> None:
        """Return when something of it ended, or after so many seconds."""
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(within_s)

    async def settled(self) -> None:
        """Return when nothing is under way."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))


_CURRENT: ContextVar[Turn | None] = ContextVar("turn", default=None)


def left_s() -> float:
    """How many seconds may be waited for somebody else's answer."""
    turn = _CURRENT.get()
    return FOR_EVER if turn is None else turn.left_s


def may_begin() -> bool:
    """Whether polls and deliveries may still begin."""
    turn = _CURRENT.get()
    return turn is None or turn.may_begin


async def settled() -> None:
    """Return when nothing of the turn is under way."""
    turn = _CURRENT.get()
    if turn is not None:
        await turn.settled()


def idle() -> bool:
    """Whether whoever asks works in a turn, and nothing of it is under way."""
    turn = _CURRENT.get()
    return turn is not None and not turn.busy


async def within(waiting: Coroutine[Any, Any, Result], deadline_s: float) -> Result | None:
    """Its result, within what is left of the turn; None where that was less than its own deadline, and is over."""
    left = left_s()
    if left > deadline_s:
        return await waiting
    try:
        return await asyncio.wait_for(waiting, left)
    except TimeoutError:
        return None


def owns(task: "asyncio.Task[None]") -> None:
    """A task was begun: whoever's turn it is waits for it."""
    turn = _CURRENT.get()
    if turn is not None:
        turn.owns(task)


def did(what: Did, count: int = 1) -> None:
    """Count what came to its end."""
    turn = _CURRENT.get()
    if turn is not None:
        turn.done[what] += count


class Turns:
    """The turns of a process. `rest` is called when the last of those that run at once ends."""

    def __init__(self, rest: Callable[[], Awaitable[None]]) -> None:
        self._rest = rest
        self._running: set[Turn] = set()

    @asynccontextmanager
    async def turn(self, budget_s: float) -> AsyncIterator[Turn]:
        """A turn that this block works in; at its end nothing of it is under way."""
        turn = Turn(budget_s)
        token = _CURRENT.set(turn)
        self._running.add(turn)
        try:
            try:
                yield turn
            finally:
                await self.over(turn)
        finally:
            self._running.discard(turn)
            _CURRENT.reset(token)

    async def over(self, turn: Turn) -> None:
        """Wait for what is under way, and rest where nobody else works."""
        await turn.settled()
        if self._running <= {turn}:
            await self._rest()
            await turn.settled()

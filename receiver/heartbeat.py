"""Does in one call, within its time, what a server's loops do all day."""

import time
from collections.abc import Callable, Sequence

from receiver.clock import Clock
from receiver.due import Due, Ticked
from receiver.loops import Loop
from receiver.replicas import Replicas
from receiver.store.protocol import Storage
from receiver.telemetry import log
from receiver.turns import FOR_EVER, Did, Turn, Turns

LOOKS_AGAIN_S = 1.0  # while something is under way: another process may have recorded more
SOON_S = 0.1  # what a loop that wants to go on so soon does is one piece of work


class Heartbeat:
    """Passes over all that is due until nothing is, or the time is over; any number of calls at once.

    `working` are the loops that hand over, ask and deliver, `keeping` those that keep house beside them.
    """

    def __init__(
        self,
        *,
        turns: Turns,
        working: Sequence[Loop],
        keeping: Sequence[Loop],
        due: Due,
        storage: Storage,
        replicas: Replicas,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self._turns = turns
        self._working = working
        self._keeping = keeping
        self._due = due
        self._storage = storage
        self._replicas = replicas
        self._clock = clock
        self._stopping = stopping

    async def tick(self, budget_s: float) -> Ticked:
        """What was done, and when there is more; raises, after all others had their turn, what a loop raised."""
        async with self._turns.turn(budget_s) as turn:
            rounds = Rounds(self._working, self._keeping)
            await self._work(rounds, turn)
        if rounds.failed is not None:
            raise rounds.failed
        now = self._clock.now()
        return Ticked(
            submitted=turn.done[Did.SUBMITTED],
            polled=turn.done[Did.POLLED],
            delivered=turn.done[Did.DELIVERED],
            next_due_at=await self._storage.read(lambda store: self._due.next_at(store, now)),
        )

    async def _work(self, rounds: "Rounds", turn: Turn) -> None:
        while turn.may_begin and not self._stopping():
            pause_s = await rounds.one()
            if not turn.busy and pause_s > SOON_S and not await self._waits(pause_s, turn):
                return
            await turn.moved(min(pause_s, turn.left_s, LOOKS_AGAIN_S))

    async def _waits(self, pause_s: float, turn: Turn) -> bool:
        """Whether something is due that can only be done in a moment: a rate leaves no more now, or we have no part."""
        if pause_s >= turn.left_s and self._replicas.share.of > 0:
            return False
        now = self._clock.now()
        return await self._storage.read(lambda store: self._due.waits(store, now))


class Rounds:
    """The rounds of one call. A loop that fails has no more of them in it: `failed` is what the last one raised."""

    def __init__(self, working: Sequence[Loop], keeping: Sequence[Loop]) -> None:
        self._working = list(working)
        self._keep_at = dict.fromkeys(keeping, 0.0)
        self.failed: Exception | None = None

    async def one(self) -> float:
        """One round of each loop that works, and of those that keep house whose time it is; the shortest pause."""
        pauses = [await self._keep(loop) for loop, at in self._keep_at.items() if at <= time.monotonic()]
        pauses = [pause for pause in pauses if pause <= SOON_S]
        for loop in list(self._working):
            pause_s = await self._round(loop)
            if pause_s is None:
                self._working.remove(loop)
            else:
                pauses.append(pause_s)
        return max(min(pauses, default=FOR_EVER), 0.0)

    async def _keep(self, loop: Loop) -> float:
        pause_s = await self._round(loop)
        self._keep_at[loop] = FOR_EVER if pause_s is None else time.monotonic() + pause_s
        return FOR_EVER if pause_s is None else pause_s

    async def _round(self, loop: Loop) -> float | None:
        try:
            return await loop.round()
        except Exception as error:  # noqa: BLE001 - as in the loop itself: nothing may keep the others from their work
            log.error("loop.failed", loop=loop.name, error=repr(error), exc_info=error)
            self.failed = error
            return None

"""Says whether this process is fit for work: its store answers, its loops move, how late they are."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from receiver.blocked import Blocked
from receiver.clock import Clock
from receiver.domain import Ms, Work
from receiver.errors import TaskweirError
from receiver.loops import Loop
from receiver.store.protocol import Storage, Store
from receiver.unsealing import REMEDY

STORE_ANSWERS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHealth:
    """When a loop last came round, and how long the oldest thing that it should have done has been due.

    Queues that are held, disabled or blocked wait on purpose: of a held one the probe counts.
    """

    name: str
    moved_s_ago: float
    oldest_due_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Fit for work where `reason` is None; `warnings` are for an operator, who alone can do something about them."""

    reason: str | None
    loops: tuple[LoopHealth, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Health:
    """Looks when asked; `draining` is set once the process was told to stop, `blocked` holds who cannot be sent to.

    Where the loops are not `looping`, for somebody else calls their rounds, none of them need move.
    """

    storage: Storage
    clock: Clock
    providers: Sequence[str]
    blocked: Blocked
    loops: list[Loop] = field(default_factory=list)
    looping: bool = True
    draining: bool = False

    async def report(self) -> Report:
        """One look at everything, with a write to the store that must come back."""
        try:
            oldest = await asyncio.wait_for(self.storage.write(self._oldest), STORE_ANSWERS_WITHIN_S)
        except TimeoutError:
            return Report(reason="the store does not answer")
        except TaskweirError as error:
            return Report(reason=str(error))
        loops = tuple(
            LoopHealth(name=loop.name, moved_s_ago=round(loop.moved_s_ago, 3), oldest_due_s=oldest[loop.name])
            for loop in self.loops
        )
        return Report(reason=self._reason(), loops=loops, warnings=self._warnings())

    def _warnings(self) -> tuple[str, ...]:
        if not self.blocked:
            return ()
        told = f"blocked destinations: {len(self.blocked)}; what they are owed waits for secrets that cannot be read"
        return (f"{told}: {REMEDY}, or renew them",)

    def _reason(self) -> str | None:
        if self.draining:
            return "the server is stopping"
        stuck = [loop.name for loop in self.loops if loop.stuck and self.looping]
        return f"the {' and '.join(stuck)} loop does not move" if stuck else None

    def _oldest(self, store: Store) -> dict[str, float]:
        now = self.clock.now()
        submits = [store.next_due_timer(Work.SUBMIT, name) for name in self.providers]
        polls = [store.next_due_timer(Work.POLL, name) for name in self.providers]
        owed = [each.ready_at for each in store.queues() if not self.blocked.waits(each.destination_id, now)]
        late = {"submit": _late(submits, now), "poll": _late(polls, now), "deliver": _late(owed, now)}
        return {loop.name: late.get(loop.name, 0.0) for loop in self.loops}  # nobody waits for what retention deletes


def _late(due: Iterable[Ms | None], now: Ms) -> float:
    first = min((at for at in due if at is not None), default=now)
    return max(now - first, 0) / 1000

"""How fast destinations answer, and how much each may be sent at once; learnt by this process, and lost with it."""

from dataclasses import dataclass, field

from receiver import breaker_policy
from receiver.budget import Budget
from receiver.domain import Ms
from receiver.fair_shares import Manner

SLOW_AFTER: Ms = 1000
NEVER: Ms = 2**62
AT_FIRST, AT_MOST = breaker_policy.tried_at_once(0), 1000  # attempts at once

MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Known:
    """One destination: since when its attempts run, oldest first; how long the last one took; what its rate leaves.

    `at_once` is how many may run side by side; `failed`: the last one did.
    """

    running: list[Ms] = field(default_factory=list)
    took: Ms | None = None
    budget: Budget = field(default_factory=Budget)
    at_once: int = AT_FIRST
    failed: bool = False


class Paces:
    """Time comes in as `now`."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def began(self, destination_id: str, now: Ms) -> None:
        """An attempt, or a batch of them, begins."""
        self._of(destination_id).running.append(now)

    def ended(self, destination_id: str, began_at: Ms, now: Ms) -> None:
        """What began then has ended."""
        known = self._of(destination_id)
        known.running.remove(began_at)
        known.took = now - began_at

    def heard(self, destination_id: str, *, well: bool) -> None:
        """An attempt, or a batch, ended: after a good one one more may run at once, after a bad one half."""
        known = self._of(destination_id)
        known.failed = not well
        known.at_once = min(known.at_once + 1, AT_MOST) if well else max(known.at_once // 2, AT_FIRST)

    def failed(self, destination_id: str) -> bool:
        """Whether the last attempt that ended did not end well."""
        known = self._known.get(destination_id)
        return known is not None and known.failed

    def at_once(self, destination_id: str) -> int:
        """How many attempts may run side by side: few until it has shown that it bears more, whatever it allows."""
        known = self._known.get(destination_id)
        return AT_FIRST if known is None else known.at_once

    def manner(self, destination_id: str, now: Ms) -> Manner:
        """Slow is one whose last attempt took over a second, or that has one under way for longer than that."""
        known = self._known.get(destination_id) or _Known()
        if known.running and now - known.running[0] > SLOW_AFTER:
            return Manner.SLOW
        if known.took is None:
            return Manner.NEW
        return Manner.SLOW if known.took > SLOW_AFTER else Manner.QUICK

    def can_wait(self, destination_id: str, now: Ms, *, crowded: bool) -> bool:
        """Whether its end may be recorded with what others bring: a slow one, and in a crowd one that failed."""
        return (crowded and self.failed(destination_id)) or self.manner(destination_id, now) is Manner.SLOW

    def in_turn(self, destination_id: str, now: Ms, *, crowded: bool) -> bool:
        """Whether it begins with a few others, and a pause: who may keep us waiting, and in a crowd who failed."""
        return (crowded and self.failed(destination_id)) or self.manner(destination_id, now) is not Manner.QUICK

    def took(self, destination_id: str) -> Ms:
        """How long its last attempt took; as if for ever where none has ended."""
        known = self._known.get(destination_id)
        return NEVER if known is None or known.took is None else known.took

    def allows(self, destination_id: str, rate: float | None, now: Ms, most: int) -> int:
        """How many of `most` this rate, in deliveries per second, leaves now; None is no limit."""
        return most if rate is None else self._budget(destination_id, rate).allows(now, most)

    def next_at(self, destination_id: str, rate: float | None, now: Ms) -> Ms:
        """When this rate leaves the next one."""
        return now if rate is None else self._budget(destination_id, rate).next_at(now)

    def spend(self, destination_id: str, rate: float | None, now: Ms, count: int) -> None:
        """So many of what was left go out."""
        if rate is not None:
            self._budget(destination_id, rate).spend(count, now)

    def _budget(self, destination_id: str, rate: float) -> Budget:
        budget = self._of(destination_id).budget
        budget.cap = rate
        return budget

    def _of(self, destination_id: str) -> _Known:
        known = self._known.get(destination_id)
        if known is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known = {name: each for name, each in self._known.items() if each.running}
            known = self._known[destination_id] = _Known()
        return known

"""Who may begin how much, pure: nobody's slowness, and nobody's backlog, is another's wait."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush


class Manner(StrEnum):
    """How a destination answers: `new` is one that has not answered yet."""

    QUICK = "quick"
    NEW = "new"
    SLOW = "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A destination with work under way, or that wants to begin more: how many pieces of each."""

    destination_id: str
    tenant: str
    manner: Manner
    under_way: int = 0
    wants: int = 0


def fair_shares(wishes: Sequence[Wish], slots: int) -> dict[str, int]:
    """How many pieces each destination may begin now; together they never have more than `slots` under way.

    Slot by slot to the tenant that has the fewest, and within it to the destination that has; of equals to the one
    named first. Slow and new ones get no more than half of the slots together, but a new one always its first: else
    nobody would learn that it is quick. The last eighth is for destinations that have nothing under way.
    """
    shares: Counter[str] = Counter()
    taken = sum(wish.under_way for wish in wishes)
    slow = sum(wish.under_way for wish in wishes if wish.manner is not Manner.QUICK)
    held: Counter[str] = Counter()
    queues: dict[str, list[tuple[int, int]]] = {}
    for order, wish in enumerate(wishes):
        held[wish.tenant] += wish.under_way
        if wish.wants > 0 and _allowed(wish, has=wish.under_way, taken=taken, slow=slow, slots=slots):
            heappush(queues.setdefault(wish.tenant, []), (wish.under_way, order))
    while taken < slots and queues:
        tenant = min(queues, key=held.__getitem__)
        has, order = heappop(queues[tenant])
        wish = wishes[order]
        # One that is refused is so for good: what is taken only grows.
        if _allowed(wish, has=has, taken=taken, slow=slow, slots=slots):
            shares[wish.destination_id] += 1
            held[tenant] += 1
            taken += 1
            slow += wish.manner is not Manner.QUICK
            if shares[wish.destination_id] < wish.wants:
                heappush(queues[tenant], (has + 1, order))
        if not queues[tenant]:
            del queues[tenant]
    return dict(shares)


def _allowed(wish: Wish, *, has: int, taken: int, slow: int, slots: int) -> bool:
    """Whether a destination that has so many pieces by now may begin one more."""
    if has > 0 and taken >= slots - slots // 8:
        return False
    return wish.manner is Manner.QUICK or slow < max(slots // 2, 1) or (wish.manner is Manner.NEW and has == 0)

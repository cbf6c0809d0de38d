"""Which of what came more than once had to, pure: at most one repeat of what was in flight as something went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

IN_FLIGHT_S = 2.0  # an attempt, its record, and the time that news of it may take


@dataclass(slots=True)
class Fault:
    """Something went wrong, from then on until then, in seconds of one clock; endless while it is not over."""

    what: str
    began: float
    ended: float = inf


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many arrivals were repeats, and each event that came again although nothing had gone wrong with it."""

    count: int
    unexplained: tuple[str, ...]


def repeats_of(came: Mapping[str, Sequence[float]], faults: Sequence[Fault], failed: Mapping[str, int]) -> Repeats:
    """Each fault explains one repeat of an event that was under way as it began, or came while it was not over.

    So does each attempt that is on record as `failed`: the machine was too slow for its time limit, not for its record.
    """
    unexplained = []
    for event_id, moments in came.items():
        first, last = min(moments), max(moments)
        excused = sum(fault.began <= last and fault.ended >= first - IN_FLIGHT_S for fault in faults)
        if len(moments) - 1 > excused + failed.get(event_id, 0):
            unexplained.append(f"{event_id} came {len(moments)} times, and {excused} things went wrong with it")
    return Repeats(count=sum(len(moments) - 1 for moments in came.values()), unexplained=tuple(unexplained))

"""Every decision about a destination that fails, pure: when its queue is held, probed, and given up."""

from dataclasses import dataclass

from receiver.copying import replace
from receiver.domain import Ms

IN_A_ROW = 5
OVER_DELIVERIES = 3
PROBE_PAUSES_S = (60, 120, 240, 480, 900)
GIVEN_UP_AFTER: Ms = 120 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """How a destination fares: as it was made, all is well.

    `failures` counts those in a row, `failing` names up to three deliveries that they were of, `failing_since` is the
    time of the first, `reason` the words of the last. From `opened_at` on its queue is held, and one delivery tried at
    `probe_at`.
    """

    destination_id: str
    failures: int = 0
    failing: tuple[str, ...] = ()
    failing_since: Ms | None = None
    reason: str | None = None
    opened_at: Ms | None = None
    probe_at: Ms | None = None
    probes: int = 0

    @property
    def open(self) -> bool:
        """Whether the queue is held."""
        return self.opened_at is not None


def after_success(breaker: Breaker) -> Breaker:
    """One success, and all is well again."""
    return Breaker(destination_id=breaker.destination_id)


def after_failure(breaker: Breaker, delivery_id: str, now: Ms, reason: str) -> Breaker:
    """One more failure in a row: five of them, over three deliveries or more, open the breaker."""
    known = delivery_id in breaker.failing or len(breaker.failing) >= OVER_DELIVERIES
    failed = replace(
        breaker,
        failures=breaker.failures + 1,
        failing=breaker.failing if known else (*breaker.failing, delivery_id),
        failing_since=now if breaker.failing_since is None else breaker.failing_since,
        reason=reason,
    )
    if failed.open or failed.failures < IN_A_ROW or len(failed.failing) < OVER_DELIVERIES:
        return failed
    return replace(failed, opened_at=now, probe_at=now + PROBE_PAUSES_S[0] * 1000)


def tried_at_once(failures: int) -> int:
    """How many attempts may run at once at a destination that nobody can count on: as many as would hold its queue."""
    return max(IN_A_ROW - failures, 1)


def given_up(breaker: Breaker, now: Ms) -> bool:
    """Whether a destination that failed just now has done nothing else for 120 hours."""
    return breaker.failing_since is not None and now - breaker.failing_since >= GIVEN_UP_AFTER


def probe_due(breaker: Breaker, now: Ms) -> bool:
    """Whether a held queue is to be tried now, by one delivery."""
    return breaker.probe_at is not None and now >= breaker.probe_at


def probing(breaker: Breaker, now: Ms) -> Breaker:
    """A probe begins: the next one comes later, 1 to 15 minutes."""
    probes = breaker.probes + 1
    pause_s = PROBE_PAUSES_S[min(probes, len(PROBE_PAUSES_S) - 1)]
    return replace(breaker, probes=probes, probe_at=now + pause_s * 1000)


def put_off(breaker: Breaker, wait_s: float, now: Ms) -> Breaker:
    """Whoever failed wants to be left alone for so long: a held queue is not probed before."""
    if breaker.probe_at is None:
        return breaker
    return replace(breaker, probe_at=max(breaker.probe_at, now + round(wait_s * 1000)))


def after_change(breaker: Breaker, now: Ms) -> Breaker:
    """What is sent, or where to, was changed: what failed before says nothing; a held queue is tried at once."""
    if not breaker.open:
        return Breaker(destination_id=breaker.destination_id)
    return replace(hastened(breaker, now), failing_since=now, probes=0)


def hastened(breaker: Breaker, now: Ms) -> Breaker:
    """A held queue is tried now, and not only when its next probe was due; by what is due first, as even probes are."""
    return replace(breaker, probe_at=now, probes=breaker.probes // 2 * 2) if breaker.open else breaker

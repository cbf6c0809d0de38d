"""Records how a destination fares, holds and disables it, and tells operators."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver import breaker_policy, formats, operators
from receiver.breaker_policy import Breaker
from receiver.domain import Attempt, Delivery, Destination, Ms, OperatorEvent
from receiver.store.protocol import Store

CALLER, GONE, FAILING = "caller", "gone", "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How things turned for a destination, with the reason, and since when it fails."""

    kind: OperatorEvent
    reason: str | None
    since: Ms | None


def current(store: Store, destination: Destination) -> Destination | None:
    """The destination as it is kept now, without the secrets that a hidden one borrows; None where it was deleted."""
    if destination.hidden:
        return store.hidden_destination(destination.id)
    return store.destination(destination.id, destination.tenant)


def enable(store: Store, destination: Destination) -> Destination:
    """Deliver to it again, what it is owed first; whatever it failed at before is forgotten."""
    enabled = replace(destination, enabled=True, disabled_reason=None)
    store.save_destination(enabled)
    store.save_breaker(Breaker(destination_id=destination.id))
    return enabled


def disable(store: Store, destination: Destination, reason: str, now: Ms) -> Destination:
    """Deliver nothing to it until it is enabled: `reason` is `caller`, `gone` or `failing`.

    What waits goes on waiting, what is under way ends. One that is disabled already stays so for its first reason.
    """
    if not destination.enabled:
        return destination
    disabled = replace(destination, enabled=False, disabled_reason=reason)
    store.save_destination(disabled)
    since = store.breaker(destination.id).failing_since
    _tell(store, destination, Turn(kind=OperatorEvent.DESTINATION_DISABLED, reason=reason, since=since), now)
    return disabled


def heard(store: Store, kept: Destination, ended: Sequence[tuple[Delivery, Attempt]], now: Ms) -> Turn | None:
    """Count what was heard of an enabled destination; how that turned things for it.

    A failed operators' event counts for nothing, and whatever comes of one is told to nobody: it could go in circles.
    """
    before = after = store.breaker(kept.id)
    for delivery, attempt in ended:
        if attempt.succeeded:
            after = breaker_policy.after_success(after)
        elif delivery.task_id:
            after = breaker_policy.after_failure(after, delivery.id, now)
    if after != before:
        store.save_breaker(after)
    turn = _turn(before, after, [attempt for _, attempt in ended], now)
    if turn is None:
        return None
    if turn.kind is OperatorEvent.DESTINATION_DISABLED:
        store.save_destination(replace(kept, enabled=False, disabled_reason=turn.reason))
    if any(delivery.task_id for delivery, _ in ended):
        _tell(store, kept, turn, now)
    return turn


def _turn(before: Breaker, after: Breaker, attempts: Sequence[Attempt], now: Ms) -> Turn | None:
    failed = [attempt for attempt in attempts if not attempt.succeeded]
    if any(attempt.status == 410 for attempt in failed):
        return Turn(kind=OperatorEvent.DESTINATION_DISABLED, reason=GONE, since=after.failing_since)
    if failed and breaker_policy.given_up(after, now):
        return Turn(kind=OperatorEvent.DESTINATION_DISABLED, reason=FAILING, since=after.failing_since)
    if before.open and not after.open:
        return Turn(kind=OperatorEvent.DESTINATION_RECOVERED, reason=None, since=before.failing_since)
    if after.open and not before.open:
        return Turn(kind=OperatorEvent.DESTINATION_FAILING, reason=_words(failed[-1]), since=after.failing_since)
    return None


def _words(attempt: Attempt) -> str:
    return attempt.error or f"HTTP {attempt.status}"


def _tell(store: Store, destination: Destination, turn: Turn, now: Ms) -> None:
    data = {
        "destination_id": destination.id,
        "type": destination.type,
        "url": destination.target,
        "reason": turn.reason,
        "since": turn.since and formats.timestamp(turn.since),
    }
    operators.tell(store, turn.kind, data, now, about=destination.id, tenant=destination.tenant)

"""Records how a destination fares, holds and disables it, and tells operators."""

from collections.abc import Sequence
from dataclasses import dataclass

from receiver import breaker_policy, delivery_policy, formats, operators
from receiver.breaker_policy import Breaker
from receiver.copying import replace
from receiver.domain import Attempt, Delivery, Destination, Ms, OperatorEvent
from receiver.store.protocol import Store
from receiver.store.records import BEHIND_ALL, BITE

CALLER, GONE, FAILING = "caller", "gone", "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt of a delivery, and for how long its consumer wants to be left alone after it."""

    delivery: Delivery
    attempt: Attempt
    retry_after_s: float | None


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


def tested(store: Store, destination: Destination, now: Ms) -> None:
    """A ping arrived: a held queue is tried at once. Where nothing is owed that it could be tried with, all is well.

    It says nothing of one that was deleted or disabled meanwhile, or has another address by now.
    """
    kept, fares = current(store, destination), store.breaker(destination.id)
    if kept is None or not kept.enabled or kept.target != destination.target or not fares.open:
        return
    if store.next_due_delivery(kept.id) is not None:
        store.save_breaker(breaker_policy.hastened(fares, now))
        return
    store.save_breaker(breaker_policy.after_success(fares))
    _tell(store, kept, Turn(kind=OperatorEvent.DESTINATION_RECOVERED, reason=None, since=fares.failing_since), now)


def heard(store: Store, kept: Destination, ended: Sequence[Ended], now: Ms) -> Turn | None:
    """Count what was heard of an enabled destination; how that turned things for it.

    A failed operators' event counts for nothing, and whatever comes of one is told to nobody: it could go in circles.
    """
    before = after = store.breaker(kept.id)
    if not before.failures and all(each.attempt.succeeded for each in ended):
        return None
    for each in ended:
        if each.attempt.succeeded:
            after = breaker_policy.after_success(after)
        elif each.delivery.task_id:
            after = breaker_policy.after_failure(after, each.delivery.id, now, _words(each.attempt))
        after = breaker_policy.put_off(after, delivery_policy.asked_to_wait_s(each.attempt, each.retry_after_s), now)
    if after != before:
        store.save_breaker(after)
    turn = _turn(before, after, [each.attempt for each in ended], now)
    if turn is None:
        return None
    if turn.kind is OperatorEvent.DESTINATION_DISABLED and not (turn.reason == GONE and _forgotten(store, kept)):
        store.save_destination(replace(kept, enabled=False, disabled_reason=turn.reason))
    if any(each.delivery.task_id for each in ended):
        _tell(store, kept, turn, now)
    return turn


def _forgotten(store: Store, kept: Destination) -> bool:
    """Delete a REST hook: who subscribed it says that nobody is there. One that is owed more than may be canceled in
    one transaction stays, disabled, until retention deletes it.
    """
    if kept.hook is None or store.cancel_owed(kept.id, before=BEHIND_ALL, limit=BITE) is not None:
        return False
    store.delete_destination(kept.id)
    return True


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

"""What ended attempts do, in one transaction: to their deliveries, to what waits behind them, to their destination."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from receiver import breaker, delivery_policy, operators
from receiver.breaker import Ended, Turn
from receiver.delivery_policy import Next
from receiver.domain import Attempt, Delivery, DeliveryState, Destination, Ms, OperatorEvent
from receiver.senders.base import Sent
from receiver.store.protocol import Store
from receiver.store.records import Parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What becomes of each delivery, in order, and how things turned for their destination."""

    nexts: Sequence[Next]
    turn: Turn | None


def settle(
    store: Store, destination: Destination, ended: Sequence[tuple[Parcel, Sent]], *, probe: bool, now: Ms
) -> Settled:
    """Record attempts: a success whoever holds the lease by now, anything else only where it is still ours.

    They say nothing of a destination that was deleted or disabled meanwhile, or has another address by now.
    """
    kept = breaker.current(store, destination)
    nexts, heard = [], []
    for parcel, sent in ended:
        following = delivery_policy.next_delivery(
            parcel.delivery,
            sent.attempt,
            retry_after_s=sent.retry_after_s,
            now=now,
            spread=random.random(),  # noqa: S311 - jitter
            probe_of=parcel.was_due_at if probe else None,
        )
        if sent.attempt.succeeded and not (kept or destination).ordered:
            store.record_success(parcel.delivery.id, sent.attempt)
            ours = True
        else:
            ours = end(store, kept or destination, parcel.delivery, sent.attempt, following, now)
        nexts.append(following)
        if ours or sent.attempt.succeeded:
            heard.append(Ended(delivery=parcel.delivery, attempt=sent.attempt, retry_after_s=sent.retry_after_s))
    if kept is None or not kept.enabled or kept.target != destination.target:
        return Settled(nexts=nexts, turn=None)
    return Settled(nexts=nexts, turn=breaker.heard(store, kept, heard, now))


def end(store: Store, destination: Destination, delivery: Delivery, attempt: Attempt, following: Next, now: Ms) -> bool:
    """Record one attempt and what follows from it; False where the delivery was no longer ours to decide on."""
    ours = store.settle_delivery(
        delivery.id,
        attempt,
        owner=delivery.owner or "",
        state=following.state,
        tries=following.tries,
        due_at=following.due_at,
    )
    if not (ours and delivery.task_id):
        return ours
    if destination.ordered and following.due_at is not None:
        store.fall_in(delivery, following.due_at)
    elif destination.ordered:
        store.advance_line(destination.id, delivery.task_id, now)
    if following.state is DeliveryState.DEAD:
        _tell_dead(store, destination, delivery, attempt, now)
    return ours


def _tell_dead(store: Store, destination: Destination, delivery: Delivery, attempt: Attempt, now: Ms) -> None:
    data = {
        "delivery_id": delivery.id,
        "destination_id": destination.id,
        "event_id": delivery.event_id,
        "task_id": delivery.task_id,
        "attempts": delivery.attempts,
        "status": attempt.status,
        "error": attempt.error,
    }
    operators.tell(store, OperatorEvent.DELIVERY_DEAD, data, now, about=destination.id, tenant=destination.tenant)

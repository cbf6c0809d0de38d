"""Records how a provider stands with us, and tells operators when it is paused and resumed."""

from receiver import delivery_policy, formats, json_text
from receiver.domain import Delivery, DeliveryState, Ms, OperatorEvent
from receiver.ids import new_id
from receiver.provider_policy import Standing
from receiver.store.protocol import Store

OPERATORS_TENANT = "default"


def heard(store: Store, before: Standing, after: Standing, now: Ms) -> bool:
    """Record what was heard of a provider; True where that resumed it."""
    if after != before:
        store.save_standing(after)
    if after.probed and not before.probed:
        store.hasten_submits(after.provider, now)
    if before.paused is None and after.paused is not None:
        tell(store, OperatorEvent.PROVIDER_PAUSED, after, now)
    resumed = before.paused is not None and after.paused is None
    if resumed:
        store.hasten_submits(after.provider, now)
        tell(store, OperatorEvent.PROVIDER_RESUMED, before, now)
    return resumed


def tell(store: Store, kind: OperatorEvent, standing: Standing, now: Ms) -> None:
    """Record an event for operators; it goes only to destinations that name it."""
    event_id, seq = new_id("evt", now), store.next_seq()
    body = {
        "id": event_id,
        "type": kind.value,
        "timestamp": formats.timestamp(now),
        "data": {
            "provider": standing.provider,
            "reason": standing.paused.value if standing.paused else None,
            "since": standing.since and formats.timestamp(standing.since),
            "error": standing.error,
        },
    }
    store.record_operator_event(
        seq=seq,
        id=event_id,
        tenant=OPERATORS_TENANT,
        provider=standing.provider,
        type=kind.value,
        at=now,
        body=json_text.write(body),
    )
    for destination in store.enabled_destinations(OPERATORS_TENANT):
        if delivery_policy.wants_operator_event(destination, kind, standing.provider):
            delivery = Delivery(
                id=new_id("dlv", now),
                tenant=OPERATORS_TENANT,
                event_id=event_id,
                task_id="",
                destination_id=destination.id,
                state=DeliveryState.PENDING,
                created_at=now,
                due_at=now,
            )
            store.record_delivery(delivery, seq)

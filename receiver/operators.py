"""Events for whoever operates us: recorded like any other, brought only to destinations that name them."""

from collections.abc import Mapping
from typing import Any

from receiver import delivery_policy, formats, json_text
from receiver.domain import Delivery, DeliveryState, Destination, Ms, OperatorEvent
from receiver.ids import new_id
from receiver.store.protocol import Store

OPERATORS_TENANT = "default"


def of_no_task(destination: Destination, event_id: str, now: Ms) -> Delivery:
    """A delivery of an event that is about no task, due at once."""
    return Delivery(
        id=new_id("dlv", now),
        tenant=destination.tenant,
        event_id=event_id,
        task_id="",
        destination_id=destination.id,
        state=DeliveryState.PENDING,
        created_at=now,
        due_at=now,
    )


def tell(
    store: Store,
    kind: OperatorEvent,
    data: Mapping[str, Any],
    now: Ms,
    *,
    about: str,
    tenant: str = OPERATORS_TENANT,
    provider: str = "",
) -> int:
    """Record an event `about` a provider or a destination of a tenant's; how many deliveries wait because of it."""
    event_id, seq = new_id("evt", now), store.next_seq()
    body = {"id": event_id, "type": kind.value, "timestamp": formats.timestamp(now), "data": data}
    store.record_operator_event(
        seq=seq,
        id=event_id,
        tenant=tenant,
        provider=provider,
        type=kind.value,
        at=now,
        body=json_text.write(body),
    )
    wanting = [
        destination
        for destination in store.enabled_destinations(tenant)
        if delivery_policy.wants_operator_event(destination, kind, about)
    ]
    for destination in wanting:
        store.record_delivery(of_no_task(destination, event_id, now), seq)
    return len(wanting)

"""What a caller does to a delivery that is there, each a part of the transaction that its caller holds open.

A refusal is a value.
"""

from receiver import breaker, breaker_policy
from receiver.action_policy import Refusal
from receiver.domain import Delivery, DeliveryState, Destination, Ms
from receiver.store.protocol import Store
from receiver.store.records import Page


def destination_named(store: Store, destination_id: str, tenant: str) -> Destination | None:
    """One of a tenant's destinations, be it the hidden one of a webhook_url."""
    hidden = store.hidden_destination(destination_id)
    if hidden is not None:
        return hidden if hidden.tenant == tenant else None
    return store.destination(destination_id, tenant)


def retry(store: Store, delivery: Delivery, *, now: Ms) -> Refusal | None:
    """Make it due now, as the next probe where its queue is held; one that was over begins its schedule anew.

    Of one that is pending it costs no place on the schedule. A webhook of a task's own that was disabled is enabled: it
    has no other door.
    """
    destination = destination_named(store, delivery.destination_id, delivery.tenant)
    if destination is None:
        return Refusal(reason=f"{delivery.destination_id} is deleted: there is nowhere to send it to")
    sent = None if destination.hidden else why_not_sent(destination)
    refused = _why_not_tried(delivery, now) or sent or _why_not_its_turn(store, delivery)
    if refused is not None:
        return refused
    if not destination.enabled:
        breaker.enable(store, destination)
    over = delivery.state is not DeliveryState.PENDING
    tries = 0 if over else max(delivery.tries - 1, 0)
    if over and _line_waits(store, destination, delivery):
        store.set_delivery(delivery.id, state=DeliveryState.PENDING, tries=tries, due_at=None)
        return None
    fares = store.breaker(destination.id)
    due_at = now
    if fares.open:  # what is due first is what is probed with
        due_at = min(now, (store.next_due_delivery(destination.id) or now) - 1)
        store.save_breaker(breaker_policy.hastened(fares, now))
    store.set_delivery(delivery.id, state=DeliveryState.PENDING, tries=tries, due_at=due_at)
    return None


def why_not_sent(destination: Destination) -> Refusal | None:
    """Why nothing more may be sent to a destination; None where it may."""
    if destination.enabled:
        return None
    how = "a retry of one of its deliveries, or the next task with this webhook_url, enables it"
    if not destination.hidden:
        how = f"enable it first (POST /v1/destinations/{destination.id}/enable)"
    return Refusal(reason=f"{destination.id} is disabled: {how}")


def _why_not_tried(delivery: Delivery, now: Ms) -> Refusal | None:
    if delivery.state is DeliveryState.DELIVERED:
        again = f"POST /v1/events/{delivery.event_id}/replay sends its event again"
        return Refusal(reason=f"{delivery.id} is delivered; {again}")
    if delivery.owner is not None and delivery.due_at is not None and delivery.due_at > now:
        return Refusal(reason=f"an attempt of {delivery.id} is under way")
    return None


def _why_not_its_turn(store: Store, delivery: Delivery) -> Refusal | None:
    """One that waits in line is not let past the one before it, which is named."""
    if delivery.state is not DeliveryState.PENDING or delivery.due_at is not None:
        return None
    where = {"state": "pending", "task_id": delivery.task_id, "destination_id": delivery.destination_id}
    line = store.list_deliveries(Page(tenant=delivery.tenant, limit=1000, where=where))
    first = next((f", behind {each.id}" for each in line if each.due_at is not None), "")
    return Refusal(reason=f"{delivery.id} waits in the line of its task{first}: the destination is ordered")


def _line_waits(store: Store, destination: Destination, delivery: Delivery) -> bool:
    return destination.ordered and delivery.task_id != "" and store.waits_for(destination.id, delivery.task_id)


def cancel(store: Store, delivery: Delivery, *, now: Ms) -> Refusal | None:
    """Owe it no longer, and let the next one of its line be due; canceled again is no mistake.

    An attempt that is under way may still arrive, and then it is delivered.
    """
    if delivery.state is DeliveryState.CANCELED:
        return None
    if delivery.state is not DeliveryState.PENDING:
        return Refusal(reason=f"{delivery.id} is {delivery.state}; only a pending delivery can be canceled")
    store.set_delivery(delivery.id, state=DeliveryState.CANCELED, tries=delivery.tries, due_at=None)
    store.advance_line(delivery.destination_id, delivery.task_id, now)
    return None

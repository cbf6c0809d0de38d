"""Which destinations get nothing now, and until when: held after failures, disabled, or blocked for a fault of ours."""

from collections.abc import Collection, Mapping

from receiver.domain import Delivery, DeliveryState, Ms
from receiver.store.protocol import Store
from receiver.unsealing import blocked_reason
from receiver.web.doors import Doors


def held(store: Store, deliveries: Collection[Delivery], doors: Doors) -> Mapping[str, Ms | None]:
    """When each destination of these that gets nothing now is probed next; None where nobody can tell."""
    now = doors.clock.now()
    waited_for = {each.destination_id for each in deliveries if each.state is DeliveryState.PENDING}
    blocked = {each for each in waited_for if why_blocked(store, each, doors) is not None}
    return {**store.held(waited_for, now), **dict.fromkeys(blocked)}


def why_blocked(store: Store, destination_id: str, doors: Doors) -> str | None:
    """Why nothing can be sent to an enabled destination, a task's own webhook too; None where it can."""
    destination = store.deliverable(destination_id, doors.clock.now())
    return blocked_reason(doors.seal, destination) if destination else None

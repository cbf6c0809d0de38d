"""Records how a destination fares, holds and disables it, and tells operators."""

from dataclasses import replace

from receiver import formats, operators
from receiver.breaker_policy import Breaker
from receiver.domain import Destination, Ms, OperatorEvent
from receiver.store.protocol import Store

CALLER, GONE, FAILING = "caller", "gone", "failing"


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
    failing_since = store.breaker(destination.id).failing_since
    _tell(store, OperatorEvent.DESTINATION_DISABLED, destination, now, reason=reason, since=failing_since)
    return disabled


def _tell(
    store: Store, kind: OperatorEvent, destination: Destination, now: Ms, *, reason: str | None, since: Ms | None
) -> None:
    data = {
        "destination_id": destination.id,
        "type": destination.type,
        "url": destination.target,
        "reason": reason,
        "since": since and formats.timestamp(since),
    }
    operators.tell(store, kind, data, now, about=destination.id, tenant=destination.tenant)

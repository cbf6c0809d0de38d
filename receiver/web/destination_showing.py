"""What users are shown of a destination: everything that they said of it but its secrets, and how it fares."""

from typing import Any

from receiver import formats, signing
from receiver.breaker_policy import Breaker
from receiver.domain import Destination, Ms, Scheme
from receiver.errors import NotVerified
from receiver.sealing import Seal
from receiver.senders.kinds import KINDS
from receiver.store.protocol import Store
from receiver.unsealing import blocked_reason, has_login
from receiver.web.doors import Doors


def shown(store: Store, destination: Destination, doors: Doors) -> dict[str, Any]:
    """A destination as its owner sees it: headers by their names only, and no secret."""
    fares, blocked = store.breaker(destination.id), _blocked_reason(destination, doors.seal)
    return {
        "id": destination.id,
        "type": destination.type,
        "name" if destination.type == "sqlite" else "url": destination.target,
        "event_types": list(destination.event_types),
        "providers": destination.providers and list(destination.providers),
        "models": destination.models and list(destination.models),
        "metadata": destination.metadata and dict(destination.metadata),
        "format": destination.format.value,
        "description": destination.description,
        **_shown_of_type(destination, doors.seal),
        "ordered": destination.ordered,
        "max_in_flight": destination.max_in_flight,
        "enabled": destination.enabled,
        "state": _state(destination, fares, blocked),
        "disabled_reason": destination.disabled_reason,
        "blocked_reason": blocked,
        "failing": _failing(store, destination, fares, doors.clock.now()) if fares.open else None,
        "created_at": formats.timestamp(destination.created_at),
    }


def _state(destination: Destination, fares: Breaker, blocked: str | None) -> str:
    if not destination.enabled:
        return "disabled"
    if blocked is not None:
        return "blocked"
    return "failing" if fares.open else "healthy"


def _blocked_reason(destination: Destination, seal: Seal) -> str | None:
    kind = KINDS.get(destination.type)
    return kind.blocked_reason(seal, destination) if kind else blocked_reason(seal, destination)


def _shown_of_type(destination: Destination, seal: Seal) -> dict[str, Any]:
    if destination.type == "webhook":
        return _shown_webhook(destination, seal)
    if destination.type == "sqlite":
        return {"retention_days": destination.retention_days}
    rate = {} if KINDS[destination.type].batch > 1 else {"rate_per_second": destination.rate_per_second}
    return {"login": "set" if has_login(seal, destination) else None, **rate}


def _shown_webhook(destination: Destination, seal: Seal) -> dict[str, Any]:
    fields = {
        "headers": dict.fromkeys(destination.headers, "set"),
        "signature": destination.signature.value,
        "rate_per_second": destination.rate_per_second,
        "hook": destination.hook,
    }
    if destination.signature is not Scheme.V1A:
        return fields
    return fields | {"public_key": _public_key(destination, seal)}


def _public_key(destination: Destination, seal: Seal) -> str | None:
    try:
        return signing.public_key(seal.open(destination.sealed_secret, row=destination.id))
    except NotVerified:  # sealed under a key that was taken away: everything else is shown all the same
        return None


def _failing(store: Store, destination: Destination, fares: Breaker, now: Ms) -> dict[str, Any]:
    """Why its queue is held. There is no next probe while it is disabled, nor while there is nothing to probe with."""
    probed = destination.enabled and store.next_due_delivery(destination.id) is not None
    return {
        "since": fares.failing_since and formats.timestamp(fares.failing_since),
        "reason": fares.reason,
        "next_probe_at": formats.timestamp(max(fares.probe_at, now)) if probed and fares.probe_at else None,
    }

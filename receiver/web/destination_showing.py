"""What users are shown of a destination: everything that they said of it but its secrets, and how it fares."""

from typing import Any

from receiver import formats, signing
from receiver.domain import Destination, Scheme
from receiver.errors import NotVerified
from receiver.sealing import Seal
from receiver.store.protocol import Store
from receiver.unsealing import blocked_reason


def shown(store: Store, destination: Destination, seal: Seal) -> dict[str, Any]:
    """A destination as its owner sees it: headers by their names only, and no secret."""
    webhook = destination.type == "webhook"
    blocked = blocked_reason(seal, destination)
    only = _shown_webhook(destination, seal) if webhook else {"retention_days": destination.retention_days}
    return {
        "id": destination.id,
        "type": destination.type,
        "url" if webhook else "name": destination.target,
        "event_types": list(destination.event_types),
        "providers": destination.providers and list(destination.providers),
        "models": destination.models and list(destination.models),
        "metadata": destination.metadata and dict(destination.metadata),
        "format": destination.format.value,
        "description": destination.description,
        **only,
        "ordered": destination.ordered,
        "max_in_flight": destination.max_in_flight,
        "enabled": destination.enabled,
        "state": _state(store, destination, blocked=blocked is not None),
        "disabled_reason": destination.disabled_reason,
        "blocked_reason": blocked,
        "created_at": formats.timestamp(destination.created_at),
    }


def _shown_webhook(destination: Destination, seal: Seal) -> dict[str, Any]:
    fields = {
        "headers": dict.fromkeys(destination.headers, "set"),
        "signature": destination.signature.value,
        "rate_per_second": destination.rate_per_second,
    }
    if destination.signature is not Scheme.V1A:
        return fields
    return fields | {"public_key": _public_key(destination, seal)}


def _public_key(destination: Destination, seal: Seal) -> str | None:
    try:
        return signing.public_key(seal.open(destination.sealed_secret, row=destination.id))
    except NotVerified:  # sealed under a key that was taken away: everything else is shown all the same
        return None


def _state(store: Store, destination: Destination, *, blocked: bool) -> str:
    if not destination.enabled:
        return "disabled"
    if blocked:
        return "blocked"
    return "failing" if store.breaker(destination.id).open else "healthy"

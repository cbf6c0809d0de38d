"""Records how a provider stands with us, and tells operators when it is paused and resumed."""

from receiver import formats, operators
from receiver.domain import Ms, OperatorEvent
from receiver.provider_policy import Standing
from receiver.store.protocol import Store


def heard(store: Store, before: Standing, after: Standing, now: Ms) -> bool:
    """Record what was heard of a provider; True where that resumed it."""
    if after != before:
        store.save_standing(after)
    if after.probed and not before.probed:
        store.hasten_submits(after.provider, now)
    if before.paused is None and after.paused is not None:
        _tell(store, OperatorEvent.PROVIDER_PAUSED, after, now)
    resumed = before.paused is not None and after.paused is None
    if resumed:
        store.hasten_submits(after.provider, now)
        _tell(store, OperatorEvent.PROVIDER_RESUMED, before, now)
    return resumed


def _tell(store: Store, kind: OperatorEvent, standing: Standing, now: Ms) -> None:
    data = {
        "provider": standing.provider,
        "reason": standing.paused.value if standing.paused else None,
        "since": standing.since and formats.timestamp(standing.since),
        "error": standing.error,
    }
    operators.tell(store, kind, data, now, about=standing.provider, provider=standing.provider)

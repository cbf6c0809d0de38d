"""Records how a provider stands with us, and tells operators when it is paused and resumed."""

from dataclasses import dataclass

from receiver import formats, operators
from receiver.domain import Ms, OperatorEvent
from receiver.provider_policy import Standing
from receiver.store.protocol import Store
from receiver.telemetry import log


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A provider was paused, or resumed; `reason` is that of the pause."""

    kind: OperatorEvent
    provider: str
    reason: str | None

    @property
    def resumed(self) -> bool:
        return self.kind is OperatorEvent.PROVIDER_RESUMED


def heard(store: Store, before: Standing, after: Standing, now: Ms) -> Turn | None:
    """Record what was heard of a provider; whether that paused or resumed it, for `log_turn` after the commit."""
    if after is before:
        return None
    if after != before:
        store.save_standing(after)
    if after.probed and not before.probed:
        store.hasten_submits(after.provider, now)
    if (before.paused is None) == (after.paused is None):
        return None
    if after.paused is not None:
        return _tell(store, OperatorEvent.PROVIDER_PAUSED, after, now)
    store.hasten_submits(after.provider, now)
    return _tell(store, OperatorEvent.PROVIDER_RESUMED, before, now)


def log_turn(turn: Turn | None) -> None:
    """One line about a change that is on disk."""
    if turn is None:
        return
    if turn.resumed:
        log.info("provider.resumed", provider=turn.provider, reason=turn.reason)
    else:
        log.warning("provider.paused", provider=turn.provider, reason=turn.reason)


def _tell(store: Store, kind: OperatorEvent, standing: Standing, now: Ms) -> Turn:
    reason = standing.paused.value if standing.paused else None
    data = {
        "provider": standing.provider,
        "reason": reason,
        "since": standing.since and formats.timestamp(standing.since),
        "error": standing.error,
    }
    operators.tell(store, kind, data, now, about=standing.provider, provider=standing.provider)
    return Turn(kind=kind, provider=standing.provider, reason=reason)

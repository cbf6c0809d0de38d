"""Records how a provider stands with us, and tells operators when it is paused and resumed."""

from dataclasses import dataclass

from receiver import delivery_policy, formats, json_text
from receiver.domain import Delivery, DeliveryState, Ms, OperatorEvent
from receiver.ids import new_id
from receiver.provider_policy import Standing
from receiver.store.protocol import Store
from receiver.telemetry import log

OPERATORS_TENANT = "default"


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
    if after != before:
        store.save_standing(after)
    if after.probed and not before.probed:
        store.hasten_submits(after.provider, now)
    if (before.paused is None) == (after.paused is None):
        return None
    if after.paused is not None:
        return tell(store, OperatorEvent.PROVIDER_PAUSED, after, now)
    store.hasten_submits(after.provider, now)
    return tell(store, OperatorEvent.PROVIDER_RESUMED, before, now)


def log_turn(turn: Turn | None) -> None:
    """One line about a change that is on disk."""
    if turn is None:
        return
    if turn.resumed:
        log.info("provider.resumed", provider=turn.provider, reason=turn.reason)
    else:
        log.warning("provider.paused", provider=turn.provider, reason=turn.reason)


def tell(store: Store, kind: OperatorEvent, standing: Standing, now: Ms) -> Turn:
    """Record an event for operators; it goes only to destinations that name it."""
    reason = standing.paused.value if standing.paused else None
    event_id, seq = new_id("evt", now), store.next_seq()
    body = {
        "id": event_id,
        "type": kind.value,
        "timestamp": formats.timestamp(now),
        "data": {
            "provider": standing.provider,
            "reason": reason,
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
    return Turn(kind=kind, provider=standing.provider, reason=reason)

"""Tells the log, the counts and the traces what became of attempts, and how things turned for their destination."""

from collections.abc import Sequence

from receiver import formats
from receiver.breaker import Turn
from receiver.counts import KindCounts
from receiver.domain import Destination, OperatorEvent
from receiver.outcomes import Settled
from receiver.senders.base import Sent
from receiver.store.records import Parcel
from receiver.telemetry import log
from receiver.traces import Traces


def report(
    destination: Destination,
    ended: Sequence[tuple[Parcel, Sent]],
    settled: Settled,
    counts: KindCounts,
    traces: Traces,
) -> None:
    for (parcel, sent), following in zip(ended, settled.nexts, strict=True):
        counts.attempted(sent.attempt, following.state)
        traces.attempted(destination, parcel.delivery, sent.attempt)
        if sent.attempt.succeeded and not log.tells_debug:
            continue
        tell = log.debug if sent.attempt.succeeded else log.info
        tell(
            "delivery.attempted",
            delivery_id=parcel.delivery.id,
            event_id=parcel.delivery.event_id,
            destination_id=destination.id,
            number=sent.attempt.number,
            status=sent.attempt.status,
            error=sent.attempt.error,
            ms=sent.attempt.duration_ms,
            next_due=None if following.due_at is None else formats.timestamp(following.due_at),
        )
    if settled.turn is not None:
        _report_turn(destination, settled.turn)


def _report_turn(destination: Destination, turn: Turn) -> None:
    match turn.kind:
        case OperatorEvent.DESTINATION_FAILING:
            log.warning("destination.held", destination_id=destination.id, reason=turn.reason)
        case OperatorEvent.DESTINATION_DISABLED:
            log.warning("destination.disabled", destination_id=destination.id, reason=turn.reason)
        case OperatorEvent.DESTINATION_RECOVERED:
            log.info("destination.recovered", destination_id=destination.id)

"""Every decision about a delivery, pure: who wants an event, and what becomes of one after an attempt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.domain import (
    FINAL_EVENTS,
    Attempt,
    Delivery,
    DeliveryState,
    Destination,
    EventType,
    Ms,
    OperatorEvent,
    Task,
)

PAUSES_S = (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
RETRY_AFTER_CAP_S = 24 * 3600
DEFAULT_EVENT_TYPES = ("task.finished", "task.unconfirmed")
OWN_EVENT_TYPES = ("task.finished",)  # what a task's own webhook gets, unless the task says otherwise
# Per hook. With as much in hand as a second brings, at most 28 go out in any second, and 4,214 in any five minutes:
# Zapier takes 30, and 10,000.
HOOK_RATE = 14.0
GROUPS = ("task.*", "task.finished")
LOST = "begun, and never heard of again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What becomes of a delivery: its state, where it stands on the schedule, when it is due if it is still pending."""

    state: DeliveryState
    tries: int
    due_at: Ms | None = None


def may_go_at_once(destination: Destination) -> bool:
    """Whether a fresh event may go out without a look at what else is owed: nothing is in order, or held to a rate."""
    return not destination.ordered and destination.rate_per_second is None


def next_delivery(
    delivery: Delivery,
    attempt: Attempt,
    *,
    retry_after_s: float | None,
    now: Ms,
    spread: float,
    probe_of: Ms | None = None,
) -> Next:
    """After an attempt: delivered, due again on the schedule (+-20 %), or dead when the schedule is used up.

    `Retry-After` on 429 and 503 delays further, never earlier than the schedule and at most by a day. A probe is an
    attempt outside the schedule: where it fails, the delivery is due as before, at `probe_of`.
    """
    if attempt.succeeded:
        return Next(state=DeliveryState.DELIVERED, tries=delivery.tries)
    if probe_of is not None:
        return Next(state=DeliveryState.PENDING, tries=delivery.tries, due_at=probe_of)
    tries = delivery.tries + 1
    if tries >= len(PAUSES_S):
        return Next(state=DeliveryState.DEAD, tries=tries)
    pause_s = PAUSES_S[tries] * (0.8 + 0.4 * spread)
    pause_s = max(pause_s, asked_to_wait_s(attempt, retry_after_s))
    return Next(state=DeliveryState.PENDING, tries=tries, due_at=now + round(pause_s * 1000))


def attempt_log(delivery: Delivery, kept: Sequence[Attempt], now: Ms) -> list[Attempt]:
    """Every attempt that was begun, in order, but the one that may be under way; what nothing was kept of is `LOST`.

    They are counted before they are made, so that one that ended with its process has a number, and no record. Its time
    is that of the one before it, or of the delivery: it began after that.
    """
    known, at, log = {attempt.number: attempt for attempt in kept}, delivery.created_at, []
    for number in range(1, max([delivery.attempts, *known]) + 1):
        attempt = known.get(number)
        if attempt is None and number == delivery.attempts and _may_be_under_way(delivery, now):
            break
        attempt = attempt or Attempt(number=number, at=at, duration_ms=0, error=LOST)
        log.append(attempt)
        at = attempt.at
    return log


def _may_be_under_way(delivery: Delivery, now: Ms) -> bool:
    """Whether its last attempt is, or may be: one that is canceled under way ends all the same."""
    leased = delivery.owner is not None and delivery.due_at is not None and delivery.due_at > now
    return leased or delivery.state is DeliveryState.CANCELED


def asked_to_wait_s(attempt: Attempt, retry_after_s: float | None) -> float:
    """How long a consumer that failed wants to be left alone: its `Retry-After` on 429 and 503, at most a day."""
    if retry_after_s is None or attempt.status not in (429, 503):
        return 0.0
    return min(retry_after_s, RETRY_AFTER_CAP_S)


def tried_next_at(delivery: Delivery, held: Mapping[str, Ms | None]) -> Ms | None:
    """When a delivery may be tried next, as far as anybody can tell; `held` is when each held queue is probed next.

    None where it is over, waits behind another one, or its destination is disabled or blocked (`held` says None).
    """
    if delivery.state is not DeliveryState.PENDING or delivery.due_at is None:
        return None
    if delivery.destination_id not in held:
        return delivery.due_at
    probe_at = held[delivery.destination_id]
    return None if probe_at is None else max(delivery.due_at, probe_at)


def wants(destination: Destination, event: EventType, task: Task) -> bool:
    """Whether a destination wants an event of this type about this task: every filter that is set lets it through."""
    return (
        wants_type(destination.event_types, event)
        and (destination.providers is None or task.provider in destination.providers)
        and (destination.models is None or task.model in destination.models)
        and all(task.metadata.get(key) == value for key, value in (destination.metadata or {}).items())
    )


def wants_operator_event(destination: Destination, event: OperatorEvent, about: str) -> bool:
    """Whether a destination wants an operators' event about this provider or destination: only where it names the type.

    Never one about itself.
    """
    if event not in destination.event_types or about == destination.id:
        return False
    of_provider = event in (OperatorEvent.PROVIDER_PAUSED, OperatorEvent.PROVIDER_RESUMED)
    return not of_provider or destination.providers is None or about in destination.providers


def named_types(event_types: Sequence[str]) -> list[EventType | OperatorEvent]:
    """Every type that a list of types, groups understood, lets through."""
    operators = [kind for kind in OperatorEvent if kind in event_types]
    return [*operators, *(kind for kind in EventType if wants_type(event_types, kind))]


def wants_type(event_types: Sequence[str], event: EventType) -> bool:
    """Whether a list of types, groups understood, names this one; `task.progress` only by its own name."""
    if event in event_types:
        return True
    if event in FINAL_EVENTS and "task.finished" in event_types:
        return True
    return "task.*" in event_types and event is not EventType.PROGRESS

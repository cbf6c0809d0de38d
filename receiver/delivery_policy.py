"""Every decision about a delivery, pure: who wants an event, and what becomes of one after an attempt."""

from collections.abc import Sequence
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
GROUPS = ("task.*", "task.finished")


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What becomes of a delivery: its state, and when it is due again where it is still pending."""

    state: DeliveryState
    due_at: Ms | None = None


def next_delivery(delivery: Delivery, attempt: Attempt, *, retry_after_s: float | None, now: Ms, spread: float) -> Next:
    """After an attempt: delivered, due again on the schedule (+-20 %), or dead when the schedule is used up.

    `Retry-After` on 429 and 503 delays further, never earlier than the schedule and at most by a day.
    """
    if attempt.succeeded:
        return Next(state=DeliveryState.DELIVERED)
    if delivery.attempts >= len(PAUSES_S):
        return Next(state=DeliveryState.DEAD)
    pause_s = PAUSES_S[delivery.attempts] * (0.8 + 0.4 * spread)
    if attempt.status in (429, 503) and retry_after_s is not None:
        pause_s = max(pause_s, min(retry_after_s, RETRY_AFTER_CAP_S))
    return Next(state=DeliveryState.PENDING, due_at=now + round(pause_s * 1000))


def wants(destination: Destination, event: EventType, task: Task) -> bool:
    """Whether a destination wants an event of this type about this task: every filter that is set lets it through."""
    return (
        wants_type(destination.event_types, event)
        and (destination.providers is None or task.provider in destination.providers)
        and (destination.models is None or task.model in destination.models)
        and all(task.metadata.get(key) == value for key, value in (destination.metadata or {}).items())
    )


def wants_operator_event(destination: Destination, event: OperatorEvent, provider: str) -> bool:
    """Whether a destination wants an operators' event about this provider: only where it names the type."""
    return event in destination.event_types and (destination.providers is None or provider in destination.providers)


def wants_type(event_types: Sequence[str], event: EventType) -> bool:
    """Whether a list of types, groups understood, names this one; `task.progress` only by its own name."""
    if event in event_types:
        return True
    if event in FINAL_EVENTS and "task.finished" in event_types:
        return True
    return "task.*" in event_types and event is not EventType.PROGRESS

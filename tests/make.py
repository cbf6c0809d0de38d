"""Nouns with sensible values, for tests that care about one field."""

from typing import Any

from receiver.domain import (
    Delivery,
    DeliveryState,
    Destination,
    Event,
    EventType,
    Source,
    Status,
    Task,
    Timer,
    Verified,
    Work,
)

NOW = 1_765_186_800_000
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def a_task(**fields: Any) -> Task:
    values: dict[str, Any] = {
        "id": "task_1",
        "tenant": "default",
        "provider": "apikley",
        "model": "bytedance/v1-pro-text-to-video",
        "status": Status.SUBMITTED,
        "created_at": NOW,
        "deadline_at": NOW + HOUR,
        "input": {"prompt": "a red panda"},
        "metadata": {"order": "42"},
        "provider_task_id": "p1",
        "submitted_at": NOW,
    }
    if fields.get("status") in (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED):
        values |= {"provider_task_id": None, "submitted_at": None}
    return Task(**values | fields)


def a_timer(**fields: Any) -> Timer:
    values: dict[str, Any] = {"task_id": "task_1", "provider": "apikley", "work": Work.POLL, "due_at": NOW}
    return Timer(**values | fields)


def an_event(seq: int = 1, **fields: Any) -> Event:
    values: dict[str, Any] = {
        "id": f"evt_{seq}",
        "seq": seq,
        "type": EventType.SUBMITTED,
        "at": NOW,
        "task": a_task(),
        "sequence": seq,
        "source": Source.SUBMIT,
        "verified_by": Verified.POLL,
    }
    return Event(**values | fields)


def a_destination(**fields: Any) -> Destination:
    values: dict[str, Any] = {
        "id": "dst_1",
        "tenant": "default",
        "type": "webhook",
        "target": "https://example.com/hook",
        "created_at": NOW,
        "event_types": ("task.finished",),
    }
    return Destination(**values | fields)


def a_delivery(**fields: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": "dlv_1",
        "tenant": "default",
        "event_id": "evt_1",
        "task_id": "task_1",
        "destination_id": "dst_1",
        "state": DeliveryState.PENDING,
        "created_at": NOW,
        "due_at": NOW,
    }
    return Delivery(**values | fields)


class StoppedClock:
    """A clock that moves only when told."""

    def __init__(self, now: int = NOW) -> None:
        self.time = now

    def now(self) -> int:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += round(seconds * 1000)

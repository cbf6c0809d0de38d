"""Events that never happened, for whoever wants to see one before there is any: always the same ones."""

from collections.abc import Mapping
from typing import Any

from receiver import formats, json_text
from receiver.domain import (
    Event,
    EventType,
    Failure,
    FailureKind,
    Kind,
    Ms,
    OperatorEvent,
    Output,
    Source,
    Status,
    Task,
    Usage,
    Verified,
)
from receiver.ids import id_of

PROMPT = "A kitten yawning at the camera"
_AT: Ms = 1_795_204_080_000
_MINUTE: Ms = 60_000
# In the order of their times; who looks at one only looks at the newest, which shall be what most came for.
_ORDER: tuple[EventType | OperatorEvent, ...] = (
    *OperatorEvent,
    *(kind for kind in EventType if not kind.final),
    EventType.EXPIRED,
    EventType.CANCELED,
    EventType.FAILED,
    EventType.SUCCEEDED,
)
_SUCCESS: dict[str, Any] = {
    "outputs": (
        Output(kind=Kind.VIDEO, url="https://files.example.com/kitten.mp4", expires_at=_AT + 7 * 24 * 60 * _MINUTE),
    ),
    "usage": Usage(amount=12),
}
_FAILURE: dict[str, Any] = {
    "error": Failure(kind=FailureKind.CONTENT_POLICY, message="The prompt was refused.", code="422")
}
_UNSENT: dict[str, Any] = {"provider_task_id": None, "submitted_at": None}
_TOLD: Mapping[EventType, dict[str, Any]] = {
    EventType.QUEUED: _UNSENT,
    EventType.UNCONFIRMED: _UNSENT,
    EventType.PROGRESS: {"progress": 40},
    EventType.SUCCEEDED: _SUCCESS,
    EventType.FAILED: _FAILURE,
}
_SPOKE: Mapping[EventType, tuple[Source, Verified | None]] = {
    EventType.QUEUED: (Source.SUBMIT, None),
    EventType.SUBMITTED: (Source.SUBMIT, Verified.POLL),
    EventType.UNCONFIRMED: (Source.SUBMIT, None),
    EventType.CANCELED: (Source.CALLER, None),
    EventType.EXPIRED: (Source.DEADLINE, None),
}
_REASONS: Mapping[OperatorEvent, str | None] = {
    OperatorEvent.DESTINATION_FAILING: "HTTP 503",
    OperatorEvent.DESTINATION_RECOVERED: None,
    OperatorEvent.DESTINATION_DISABLED: "failing",
}
DESTINATION_ID, DELIVERY_ID = id_of("dst", "nowhere"), id_of("dlv", "nowhere")


def newest_first(kinds: set[EventType | OperatorEvent]) -> list[str]:
    """One event of each of these types, as its envelope's text."""
    return [envelope_of(kind) for kind in reversed(_ORDER) if kind in kinds]


def envelope_of(kind: EventType | OperatorEvent) -> str:
    """A made-up event of this type; its id is never that of another, nor of one that happened."""
    at = _AT + _ORDER.index(kind) * _MINUTE
    body = formats.envelope(_event(kind, at)) if isinstance(kind, EventType) else _of_operators(kind, at)
    return json_text.write(body)


def _event(kind: EventType, at: Ms) -> Event:
    source, verified_by = _SPOKE.get(kind, (Source.CALLBACK, Verified.POLL))
    return Event(
        id=id_of("evt", "never happened", kind),
        seq=0,
        type=kind,
        at=at,
        task=task_of(kind, at),
        sequence=1 if source is Source.SUBMIT else 2,
        source=source,
        verified_by=verified_by,
    )


def task_of(kind: EventType, at: Ms = _AT) -> Task:
    """The task of a made-up event, as it was then."""
    values: dict[str, Any] = {
        "id": id_of("task", "a task that never was", kind),
        "tenant": "default",
        "provider": "apikley",
        "model": "bytedance/v1-pro-text-to-video",
        "status": Status.RUNNING if kind is EventType.PROGRESS else Status(kind.removeprefix("task.")),
        "created_at": at - 2 * _MINUTE,
        "submitted_at": at - 2 * _MINUTE + 800,
        "deadline_at": at + 24 * 60 * _MINUTE,
        "input": {"prompt": PROMPT},
        "metadata": {"order": "42"},
        "callback_expected": True,
        "provider_task_id": "task_bytedance_1765186736545",
        "finished_at": at if kind.final else None,
    }
    return Task(**values | _TOLD.get(kind, {}))


def _of_operators(kind: OperatorEvent, at: Ms) -> dict[str, Any]:
    body = {"id": id_of("evt", "never happened", kind), "type": kind.value, "timestamp": formats.timestamp(at)}
    return body | {"data": _told_operators(kind, formats.timestamp(at - _MINUTE))}


def _told_operators(kind: OperatorEvent, since: str) -> dict[str, Any]:
    if kind in (OperatorEvent.PROVIDER_PAUSED, OperatorEvent.PROVIDER_RESUMED):
        return {"provider": "apikley", "reason": "unreachable", "since": since, "error": "no answer within 30 s"}
    if kind is OperatorEvent.DELIVERY_DEAD:
        return {
            "delivery_id": DELIVERY_ID,
            "destination_id": DESTINATION_ID,
            "event_id": id_of("evt", "never happened", EventType.SUCCEEDED),
            "task_id": id_of("task", "a task that never was", EventType.SUCCEEDED),
            "attempts": 10,
            "status": 503,
            "error": None,
        }
    return {
        "destination_id": DESTINATION_ID,
        "type": "webhook",
        "url": "https://app.example/hooks/taskweir",
        "reason": _REASONS[kind],
        "since": since,
    }

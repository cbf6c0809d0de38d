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
_SUCCESS: Mapping[str, Any] = {
    "outputs": (
        Output(kind=Kind.VIDEO, url="https://files.example.com/kitten.mp4", expires_at=_AT + 7 * 24 * 60 * _MINUTE),
    ),
    "usage": Usage(amount=12),
}
_FAILURE: Mapping[str, Any] = {
    "error": Failure(kind=FailureKind.CONTENT_POLICY, message="The prompt was refused.", code="422")
}
_TOLD: Mapping[EventType, Mapping[str, Any]] = {EventType.SUCCEEDED: _SUCCESS, EventType.FAILED: _FAILURE}


def newest_first(kinds: set[EventType | OperatorEvent]) -> list[str]:
    """One event of each of these types, as its envelope's text."""
    return [envelope_of(kind) for kind in reversed(_ORDER) if kind in kinds]


def envelope_of(kind: EventType | OperatorEvent) -> str:
    """A made-up event of this type; its id is never that of another, nor of one that happened."""
    at = _AT + _ORDER.index(kind) * _MINUTE
    body = formats.envelope(_event(kind, at)) if isinstance(kind, EventType) else _of_operators(kind, at)
    return json_text.write(body)


def _event(kind: EventType, at: Ms) -> Event:
    return Event(
        id=id_of("evt", "made up", kind),
        seq=0,
        type=kind,
        at=at,
        task=_task(kind, at),
        sequence=1,
        source=Source.CALLBACK,
        verified_by=Verified.POLL,
    )


def _task(kind: EventType, at: Ms) -> Task:
    running = kind is EventType.PROGRESS
    return Task(
        id=id_of("task", "made up task", kind),
        tenant="default",
        provider="apikley",
        model="bytedance/v1-pro-text-to-video",
        status=Status.RUNNING if running else Status(kind.removeprefix("task.")),
        created_at=at - 2 * _MINUTE,
        deadline_at=at + 24 * 60 * _MINUTE,
        input={"prompt": PROMPT},
        metadata={"order": "42"},
        provider_task_id=None if kind is EventType.QUEUED else "task_bytedance_1765186736545",
        progress=40 if running else None,
        finished_at=at if kind.final else None,
        **_TOLD.get(kind, {}),
    )


def _of_operators(kind: OperatorEvent, at: Ms) -> dict[str, Any]:
    data = {"provider": "apikley"} if kind.startswith("provider.") else {"destination_id": id_of("dst", "made up")}
    told = {"reason": "unreachable", "since": formats.timestamp(at - _MINUTE)}
    return {"id": id_of("evt", "made up", kind), "type": kind, "timestamp": formats.timestamp(at), "data": data | told}

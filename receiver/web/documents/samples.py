"""One made-up event of every type, written by what writes the real ones."""

from collections.abc import Mapping
from typing import Any

from receiver import formats
from receiver.domain import (
    HOUR,
    MINUTE,
    SECOND,
    Event,
    EventType,
    Failure,
    FailureKind,
    Format,
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
from receiver.json_text import write
from receiver.rendering import Rendered, rendered

AT: Ms = 1_795_204_080_000
SEQ = 4711
PROMPT = "A red panda in the rain"
PING = "ping"
TYPES: tuple[str, ...] = (*map(str, EventType), *map(str, OperatorEvent), PING)
VERSION = "v1"

TASK_ID, EVENT_ID = "task_01kbyna2c0mzfr9xx2tc8tc2vz", "evt_01kbyna7g8s5v2q0m4h6c1d3fx"
DESTINATION_ID, DELIVERY_ID = "dst_01kbyn9w40e7k3j5n8p2r6t9va", "dlv_01kbyna7g8f2h4k6n8q0s2v4xz"
_PROVIDER_TASK_ID = "task_bytedance_1765186736545"
_ENDS = {"finished_at": AT + 90 * SECOND}
_VIDEO = Output(kind=Kind.VIDEO, url="https://files.example/panda.mp4", expires_at=AT + 24 * HOUR)
_REFUSED = Failure(kind=FailureKind.CONTENT_POLICY, message="the prompt was refused", code="422")
_UNSENT: dict[str, Any] = {"provider_task_id": None, "submitted_at": None}

# What of the task differs from one that waits at its provider.
_TASK: Mapping[EventType, dict[str, Any]] = {
    EventType.QUEUED: {"status": Status.QUEUED, **_UNSENT},
    EventType.SUBMITTED: {"status": Status.SUBMITTED},
    EventType.RUNNING: {"status": Status.RUNNING, "provider_status": "generating"},
    EventType.PROGRESS: {"status": Status.RUNNING, "provider_status": "generating", "progress": 40},
    EventType.UNCONFIRMED: {"status": Status.UNCONFIRMED, **_UNSENT},
    EventType.SUCCEEDED: {
        "status": Status.SUCCEEDED,
        "provider_status": "success",
        "outputs": (_VIDEO,),
        "usage": Usage(amount=12),
        **_ENDS,
    },
    EventType.FAILED: {"status": Status.FAILED, "provider_status": "fail", "error": _REFUSED, **_ENDS},
    EventType.CANCELED: {"status": Status.CANCELED, **_ENDS},
    EventType.EXPIRED: {"status": Status.EXPIRED, "finished_at": AT + HOUR},
}
_SPOKE: Mapping[EventType, tuple[Source, Verified | None]] = {
    EventType.QUEUED: (Source.SUBMIT, None),
    EventType.SUBMITTED: (Source.SUBMIT, Verified.POLL),
    EventType.UNCONFIRMED: (Source.SUBMIT, None),
    EventType.CANCELED: (Source.CALLER, None),
    EventType.EXPIRED: (Source.DEADLINE, None),
}
_SINCE = formats.timestamp(AT - 5 * MINUTE)
_PAUSED = {"provider": "apikley", "reason": "unreachable", "since": _SINCE, "error": "no answer within 30 s"}
_CONSUMER: dict[str, Any] = {
    "destination_id": DESTINATION_ID,
    "type": "webhook",
    "url": "https://app.example/hooks/taskweir",
    "reason": "HTTP 503",
    "since": _SINCE,
}
_OPERATORS: Mapping[str, dict[str, Any]] = {
    OperatorEvent.PROVIDER_PAUSED: _PAUSED,
    OperatorEvent.PROVIDER_RESUMED: _PAUSED,
    OperatorEvent.DESTINATION_FAILING: _CONSUMER,
    OperatorEvent.DESTINATION_RECOVERED: _CONSUMER | {"reason": None},
    OperatorEvent.DESTINATION_DISABLED: _CONSUMER | {"reason": "failing"},
    OperatorEvent.DELIVERY_DEAD: {
        "delivery_id": DELIVERY_ID,
        "destination_id": DESTINATION_ID,
        "event_id": EVENT_ID,
        "task_id": TASK_ID,
        "attempts": 10,
        "status": 503,
        "error": None,
    },
    PING: {"destination_id": DESTINATION_ID},
}


def path_of(type: str) -> str:
    """Where the schema of this type of event is; it is its `$id`, too, whatever host it is asked from."""
    return f"/schemas/{VERSION}/{type}.json"


def sample_task(type: EventType = EventType.SUBMITTED) -> Task:
    """The task of the sample of this type, as it was when that happened."""
    values: dict[str, Any] = {
        "id": TASK_ID,
        "tenant": "default",
        "provider": "apikley",
        "model": "bytedance/v1-pro-text-to-video",
        "created_at": AT,
        "deadline_at": AT + HOUR,
        "input": {"prompt": PROMPT},
        "metadata": {"order": "42"},
        "callback_expected": True,
        "provider_task_id": _PROVIDER_TASK_ID,
        "submitted_at": AT + SECOND,
    }
    return Task(**values | _TASK[type])


def sample(type: str) -> dict[str, Any]:
    """A made-up event of this type, in the format `standard`."""
    if type not in _TASK:
        return {"id": EVENT_ID, "type": str(type), "timestamp": formats.timestamp(AT), "data": dict(_OPERATORS[type])}
    kind = EventType(type)
    task = sample_task(kind)
    source, verified_by = _SPOKE.get(kind, (Source.CALLBACK, Verified.POLL))
    event = Event(
        id=EVENT_ID,
        seq=SEQ,
        type=kind,
        at=task.finished_at or AT + 2 * SECOND,
        task=task,
        sequence=1 if kind in (EventType.QUEUED, EventType.SUBMITTED, EventType.UNCONFIRMED) else 2,
        source=source,
        verified_by=verified_by,
    )
    return formats.envelope(event)


def sample_as(format: Format, type: str) -> Rendered:
    """The same as the webhook of a destination with this format."""
    about_a_task = type in _TASK
    return rendered(
        format, write(sample(type)), seq=0 if type == PING else SEQ, prompt=PROMPT if about_a_task else None
    )

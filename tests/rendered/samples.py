"""One event of every type, with the texts that break careless writers, and how it looks in every format."""

from pathlib import Path
from typing import Any

from receiver import formats, json_text
from receiver.domain import (
    EventType,
    Failure,
    FailureKind,
    Format,
    Kind,
    OperatorEvent,
    Output,
    Role,
    Source,
    Status,
    Usage,
    Verified,
)
from receiver.rendering import Rendered, rendered
from tests.make import HOUR, NOW, SECOND, a_task, an_event

FOLDER = Path(__file__).parent
SEQ = 4711
PROMPT = 'a "red" panda \U0001f43c,\nin the rain\t\u2013 наяву \\ </script>'
METADATA = {"order": "42", "": "no name", "Überschrift 1": "ä\U0001f600", "a.b/c": 'x"y\\z\n', "task_id": "mine"}
FRAME = Output(kind=Kind.IMAGE, url="https://files.example/last.png", role=Role.LAST_FRAME)
VIDEO = Output(kind=Kind.VIDEO, url="https://files.example/1.mp4?a=1&b=ü", expires_at=NOW + 24 * HOUR)
SECOND_VIDEO = Output(kind=Kind.VIDEO, url="https://files.example/2.mp4", index=1)
REFUSED = Failure(
    kind=FailureKind.CONTENT_POLICY, message='refused: "no"\nsorry \U0001f61e', code="455", request_id="r"
)

_AFTER: dict[EventType, dict[str, Any]] = {
    EventType.QUEUED: {"status": Status.QUEUED},
    EventType.SUBMITTED: {"status": Status.SUBMITTED},
    EventType.RUNNING: {"status": Status.RUNNING, "provider_status": "generating"},
    EventType.PROGRESS: {"status": Status.RUNNING, "progress": 40},
    EventType.UNCONFIRMED: {"status": Status.UNCONFIRMED, "callback_expected": True},
    EventType.SUCCEEDED: {
        "status": Status.SUCCEEDED,
        "outputs": (FRAME, VIDEO, SECOND_VIDEO),
        "usage": Usage(amount=12.5),
        "finished_at": NOW + 90 * SECOND,
    },
    EventType.FAILED: {"status": Status.FAILED, "error": REFUSED, "finished_at": NOW + SECOND},
    EventType.CANCELED: {"status": Status.CANCELED, "finished_at": NOW + SECOND, "usage": Usage(amount=3, unit="usd")},
    EventType.EXPIRED: {"status": Status.EXPIRED, "finished_at": NOW + HOUR},
}
_SINCE = formats.timestamp(NOW - HOUR)
_CONSUMER = {"destination_id": "dst_1", "type": "webhook", "url": "https://example.com/hook", "since": _SINCE}
_OPERATORS: dict[str, dict[str, Any]] = {
    OperatorEvent.PROVIDER_PAUSED: {
        "provider": "apikley",
        "reason": "auth",
        "since": _SINCE,
        "error": "401 from polls",
    },
    OperatorEvent.PROVIDER_RESUMED: {"provider": "apikley", "reason": "unreachable", "since": _SINCE, "error": None},
    OperatorEvent.DESTINATION_FAILING: _CONSUMER | {"reason": "no answer within 15 s"},
    OperatorEvent.DESTINATION_RECOVERED: _CONSUMER | {"reason": None},
    OperatorEvent.DESTINATION_DISABLED: _CONSUMER | {"reason": "gone"},
    OperatorEvent.DELIVERY_DEAD: {
        "delivery_id": "dlv_1",
        "destination_id": "dst_1",
        "event_id": "evt_1",
        "task_id": "task_1",
        "attempts": 10,
        "status": 503,
        "error": None,
    },
    "ping": {"destination_id": "dst_1"},
}
TYPES = [*EventType, *OperatorEvent, "ping"]


def body_of(type: str) -> str:
    """The text of an event of this type, as it is kept."""
    if type in _OPERATORS:
        about = {"id": "evt_9", "type": str(type), "timestamp": formats.timestamp(NOW), "data": _OPERATORS[type]}
        return json_text.write(about)
    kind = EventType(type)
    task = a_task(metadata=METADATA, **_AFTER[kind])
    source, verified_by = (Source.DEADLINE, None) if kind is EventType.EXPIRED else (Source.CALLBACK, Verified.POLL)
    event = an_event(
        3, type=kind, task=task, source=source, verified_by=verified_by, late=kind is EventType.SUCCEEDED, at=NOW + 123
    )
    return json_text.write(formats.envelope(event))


FORMATS = [each for each in Format if each is not Format.PROVIDER]  # that one is their adapters'


def rendered_as(format: Format, type: str) -> Rendered:
    """An event of this type, in this format."""
    return rendered(format, body_of(type), seq=0 if type == "ping" else SEQ, prompt=PROMPT if "task." in type else None)


def page_of(type: str) -> str:
    """Every format of one type, as it stands in that type's file."""
    pages = []
    for each in FORMATS:
        result = rendered_as(each, type)
        lines = [f"{name}: {value}" for name, value in result.headers.items()]
        pages.append("\n".join([f"=== {each}", *lines, "", result.body.decode()]))
    return "\n\n".join(pages) + "\n"


def write_all() -> None:
    """Write the files anew; what changed in them is for a person to read."""
    for each in TYPES:
        (FOLDER / f"{each}.txt").write_bytes(page_of(each).encode())


if __name__ == "__main__":
    write_all()

"""What anybody may see of a task: its events, and how it stands, without input and metadata."""

from typing import Any

from receiver import formats, json_text
from receiver.domain import EventType, Ms, Task
from receiver.store.records import Recorded

_FINAL = frozenset(kind.value for kind in EventType if kind.final)
STOP = b"event: end\ndata: {}\n\n"


def frame(row: Recorded) -> bytes:
    """An event; behind the final one, that nothing more will come."""
    envelope: dict[str, Any] = json_text.read_own(row.body)
    return _message(envelope, envelope["data"]["task"])


def as_it_stands(row: Recorded, task: Task) -> bytes:
    """The last event of a task, with the task as it is now."""
    return _message(json_text.read_own(row.body), formats.task_fields(task))


def _message(envelope: dict[str, Any], task: dict[str, Any]) -> bytes:
    data = envelope["data"] | {"task": _public(task)}
    written = _written(envelope["type"], envelope | {"data": data})
    text = b"id: %d\n%b" % (data["sequence"], written)
    return text + STOP if envelope["type"] in _FINAL else text


def beginning(task: Task, now: Ms) -> bytes:
    """How a task stands of which no event is kept: it is being handed over, mostly."""
    return _unrecorded(task, f"task.{task.status.value}", now) + (STOP if task.status.final else b"")


def progress(task: Task, now: Ms) -> bytes:
    """How a task stands between two of its events."""
    return _unrecorded(task, EventType.PROGRESS.value, now)


def _unrecorded(task: Task, type: str, now: Ms) -> bytes:
    data = {"task": _public(formats.task_fields(task)), "sequence": task.sequence}
    return _written(type, {"type": type, "timestamp": formats.timestamp(now), "data": data})


def _public(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name != "metadata"}


def _written(type: str, told: dict[str, Any]) -> bytes:
    return f"event: {type}\ndata: {json_text.write(told)}\n\n".encode()


def sequence_in(text: bytes) -> int:
    """The `sequence` of a message of ours: its id."""
    return int(text[len(b"id: ") : text.index(b"\n")])

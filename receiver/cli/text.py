"""Text on its way to a terminal: what came from outside cannot steer it."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.domain import Status
from receiver.formats import time_of, timestamp

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"(\d{1,6}) ?(s|min|h|d)")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def plain(value: Any) -> str:
    """A value on one line, without control characters: a prompt must not move the cursor, nor a model's name."""
    return _CONTROL.sub(" ", "" if value is None else str(value))


def clock(timestamp: Any) -> str:
    """The time of day in a timestamp of ours, as `19:48:00.123`."""
    return plain(timestamp)[11:].removesuffix("Z")


def moment(timestamp: Any) -> str:
    """Day and time in a timestamp of ours, as `2026-11-20 19:48:00`."""
    return plain(timestamp)[:19].replace("T", " ")


def age(timestamp: Any) -> str:
    """How long ago a timestamp of ours was."""
    return duration(max(time.time() - time_of(plain(timestamp)) / 1000, 0))


def duration(seconds: float) -> str:
    """As `6.2 s`, `42 s`, `3 min`, `49 h`, `12 d`."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def since_of(text: str) -> str:
    """A time as `2026-11-20T19:48:00Z`, as the server reads it; one as `90min`, `2h` or `3d` is so long ago."""
    ago = _AGO.fullmatch(text.strip())
    if ago is None:
        return text
    seconds = int(ago[1]) * _SECONDS[ago[2]]
    return timestamp(max(round((time.time() - seconds) * 1000), 0))


def main_urls(task: Mapping[str, Any]) -> list[str]:
    """The URLs of a task's main outputs, in order."""
    return [plain(output["url"]) for output in task["outputs"] if output["role"] == "main"]


def failure_of(task: Mapping[str, Any]) -> str:
    """Why a task failed, in one line; empty where it did not."""
    error = task["error"]
    if error is None:
        return ""
    code = f" ({error['code']})" if error["code"] else ""
    return plain(f"{error['kind']}{code}: {error['message']}")


def outcome_of(task: Mapping[str, Any]) -> str:
    """What came of a task, else what it waits for, in one line."""
    urls = main_urls(task)
    more = f" and {len(urls) - 1} more" if len(urls) > 1 else ""
    waiting = task.get("waiting_for") or {}
    return (urls[0] + more if urls else "") or failure_of(task) or plain(waiting.get("text"))


def doubt_of(task: Mapping[str, Any]) -> list[str]:
    """What it means that a task is unconfirmed, and the two commands that settle it; empty for any other."""
    if task["status"] != Status.UNCONFIRMED:
        return []
    provider, task_id = plain(task["provider"]), plain(task["id"])
    return [
        f"Nobody knows whether {provider} took this task: its answer was lost. It may have been made and paid for,",
        f"so it is not sent again by itself. Look at {provider}, then either",
        f"  taskweir tasks resolve {task_id} --provider-task-id ID   (they have it; --failed: they never had it)",
        f"  taskweir tasks resubmit {task_id}   (once more, as a new task: paid for twice if they have the first)",
    ]


def comma_separated(words: Sequence[str]) -> list[str]:
    """The words in `a,b` and `c`, given once or several times."""
    return [word.strip() for text in words for word in text.split(",") if word.strip()]


def pretty(value: Any) -> str:
    """JSON for people and pipes alike, in plain ASCII, so that no terminal's encoding can break it."""
    return json.dumps(value, indent=2)


def compact(value: Any) -> str:
    """The same on one line."""
    return json.dumps(value, separators=(",", ":"))

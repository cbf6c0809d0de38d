"""Events as plain values: the envelope, and what its columns are where nesting will not do."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from receiver import json_text
from receiver.domain import Event, Failure, FailureKind, Kind, Ms, Output, Role, Status, Task, Usage

LOG_COLUMNS: dict[str, type] = {
    "seq": int,
    "id": str,
    "type": str,
    "timestamp": str,
    "task_id": str,
    "provider": str,
    "provider_task_id": str,
    "model": str,
    "status": str,
    "prompt": str,
    "output_url": str,
    "outputs": str,
    "error_kind": str,
    "error_message": str,
    "credits": float,
    "late": int,
    "expires_at": str,
    "metadata": str,
    "data": str,
}
FLAT_COLUMNS = (
    "id",
    "type",
    "timestamp",
    "task_id",
    "provider",
    "provider_task_id",
    "model",
    "status",
    "prompt",
    "output_url",
    "output_urls",
    "error_kind",
    "error_message",
    "credits",
    "late",
    "expires_at",
    "created_at",
    "finished_at",
)
_FIRST: Ms = -62_135_596_800_000  # 0001-01-01
_LAST: Ms = 253_402_300_799_999  # 9999-12-31
KEPT_TEXT = 10_000  # characters of a text in an event that is too large


def timestamp(at: Ms) -> str:
    """RFC 3339 in UTC with milliseconds, as `2026-11-20T19:48:00.123Z`."""
    return f"{_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(maxsize=1024)  # what happens together is written together
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:19]  # strftime writes the year 42 as 42


def time_of(text: str) -> Ms:
    """A time that somebody wrote, RFC 3339 or seconds since 1970, which `timestamp` can write; raises `ValueError`."""
    if text.isascii() and text.isdigit() and len(text) < 12:
        return int(text) * 1000
    read = datetime.fromisoformat(text)
    at = round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
    return min(max(at, _FIRST), _LAST)  # beyond them, where it was written is another year than in UTC


def task_fields(task: Task) -> dict[str, Any]:
    """The task as everybody outside sees it, without `input` and `waiting_for`."""
    return {
        "id": task.id,
        "tenant": task.tenant,
        "provider": task.provider,
        "model": task.model,
        "status": task.status.value,
        "provider_task_id": task.provider_task_id,
        "provider_status": task.provider_status,
        "metadata": dict(task.metadata),
        "progress": task.progress,
        "callback_expected": task.callback_expected,
        "outputs": [output_fields(output) for output in task.outputs],
        "error": failure_fields(task.error),
        "usage": usage_fields(task.usage),
        "retry_of": task.retry_of,
        "created_at": timestamp(task.created_at),
        "submitted_at": _optional_timestamp(task.submitted_at),
        "finished_at": _optional_timestamp(task.finished_at),
        "deadline_at": timestamp(task.deadline_at),
    }


_TASK_FIELDS = frozenset(each.name for each in dataclasses.fields(Task))


def task_in(fields: Mapping[str, Any], input: Mapping[str, Any]) -> Task:
    """The task that `task_fields` wrote, with its input; what they leave out has its default.

    An event may be older, or younger, than we are: what we have no field for is passed over.
    """
    usage, error = fields["usage"], fields["error"]
    times = ("created_at", "submitted_at", "finished_at", "deadline_at")
    as_written = (fields.keys() & _TASK_FIELDS) - {"status", "outputs", "error", "usage", *times}
    values: dict[str, Any] = {name: fields[name] for name in as_written}
    values |= {name: fields[name] and time_of(fields[name]) for name in times}
    return Task(
        **values,
        status=Status(fields["status"]),
        input=input,
        outputs=tuple(_output_in(each) for each in fields["outputs"]),
        error=Failure(**error | {"kind": FailureKind(error["kind"])}) if error else None,
        usage=Usage(**usage) if usage else None,
    )


def _output_in(fields: Mapping[str, Any]) -> Output:
    kind, role, expires_at = Kind(fields["kind"]), Role(fields["role"]), fields["expires_at"]
    expires = None if expires_at is None else time_of(expires_at)
    return Output(kind=kind, role=role, index=fields["index"], url=fields["url"], expires_at=expires)


def output_fields(output: Output) -> dict[str, Any]:
    return {
        "kind": output.kind.value,
        "role": output.role.value,
        "index": output.index,
        "url": output.url,
        "expires_at": _optional_timestamp(output.expires_at),
    }


def failure_fields(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "kind": failure.kind.value,
        "code": failure.code,
        "message": failure.message,
        "request_id": failure.request_id,
        "retryable": failure.retryable,
    }


def usage_fields(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    amount = int(usage.amount) if float(usage.amount).is_integer() else usage.amount
    return {"amount": amount, "unit": usage.unit, "phase": usage.phase}


def envelope(event: Event) -> dict[str, Any]:
    """An event in the default format: what `data` of a webhook, a list item and a stream item have in common."""
    return {
        "id": event.id,
        "type": event.type.value,
        "timestamp": timestamp(event.at),
        "data": {
            "task": task_fields(event.task),
            "sequence": event.sequence,
            "source": event.source.value,
            "verified_by": event.verified_by.value if event.verified_by else None,
            "late": event.late,
        },
    }


_NO_TASK: dict[str, Any] = {
    "id": None,
    "provider_task_id": None,
    "model": None,
    "status": None,
    "outputs": [],
    "error": None,
    "usage": None,
    "metadata": {},
    "created_at": None,
    "finished_at": None,
}  # what an operators' event has of one


def columns(body: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    """What a log's row and the flat format have in common, out of an envelope; null what an event has not."""
    task = _task_of(body["data"])
    main = next((output for output in task["outputs"] if output["role"] == Role.MAIN), None)
    error, usage = task["error"] or {}, task["usage"] or {}
    return {
        "id": body["id"],
        "type": body["type"],
        "timestamp": body["timestamp"],
        "task_id": task["id"],
        "provider": task["provider"],
        "provider_task_id": task["provider_task_id"],
        "model": task["model"],
        "status": task["status"],
        "prompt": prompt,
        "output_url": main["url"] if main else None,
        "error_kind": error.get("kind"),
        "error_message": error.get("message"),
        "credits": usage.get("amount") if usage.get("unit") == "credits" else None,
        "late": bool(body["data"].get("late", False)),
        "expires_at": main["expires_at"] if main else None,
    }


def flat(body: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    """An envelope on one level, for no-code tools: every column of every event, and one for each key of `metadata`.

    `output_urls` are those of all outputs, the main ones first. An operators' event says in `error_message` why.
    """
    data = body["data"]
    task = _task_of(data)
    values = columns(body, prompt) | {
        "output_urls": [each["url"] for each in sorted(task["outputs"], key=lambda each: each["role"] != Role.MAIN)],
        "created_at": task["created_at"],
        "finished_at": task["finished_at"],
    }
    if "task" not in data:
        values |= {"task_id": first_text(data, "task_id"), "error_message": first_text(data, "error", "reason")}
    return {name: values[name] for name in FLAT_COLUMNS} | {
        f"metadata_{key}": value for key, value in task["metadata"].items()
    }


def cut_texts(values: Mapping[str, Any]) -> dict[str, Any]:
    """A flat event with no long texts: of each the beginning, of a URL, which would lead elsewhere, nothing."""
    return {name: _cut(name, value) if isinstance(value, str) else value for name, value in values.items()}


def _cut(name: str, text: str) -> str | None:
    if len(text) <= KEPT_TEXT:
        return text
    return None if name == "output_url" else text[:KEPT_TEXT]


def log_row(seq: int, body: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    """An envelope as one row of the SQLite log, in the columns of `LOG_COLUMNS`."""
    task, shared = _task_of(body["data"]), columns(body, prompt)
    values = shared | {
        "seq": seq,
        "outputs": json_text.write(task["outputs"]),
        "late": int(shared["late"]),
        "metadata": json_text.write(task["metadata"]),
        "data": json_text.write(body["data"]),
    }
    return {name: values[name] for name in LOG_COLUMNS}


def prompt_of(input: Mapping[str, Any] | None) -> str | None:
    """The prompt in a task's input; None where it has none, or is not kept."""
    prompt = input.get("prompt") if input else None
    return prompt if isinstance(prompt, str) else None


def first_text(data: dict[str, Any], *names: str) -> str | None:
    """The first of these that is a text, and not an empty one."""
    return next((data[name] for name in names if isinstance(data.get(name), str) and data[name]), None)


def _task_of(data: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = data["task"] if "task" in data else _NO_TASK | {"provider": data.get("provider")}
    return task


def _optional_timestamp(at: Ms | None) -> str | None:
    return None if at is None else timestamp(at)

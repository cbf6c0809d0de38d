"""Rows as nouns and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from receiver import json_text
from receiver.breaker_policy import Breaker
from receiver.domain import (
    Attempt,
    Delivery,
    DeliveryState,
    Destination,
    Failure,
    FailureKind,
    Format,
    Kind,
    Ms,
    Output,
    RetiredSecret,
    Role,
    Scheme,
    Status,
    Task,
    Timer,
    Usage,
    Work,
)

Row = Mapping[str, Any]
_DESTINATION_COLUMNS = tuple(each.name for each in fields(Destination) if each.name != "retired")
_TASK_COLUMNS = tuple(each.name for each in fields(Task) if each.name != "input")  # the input has a row of its own
_OUTPUT_COLUMNS = tuple(each.name for each in fields(Output))
_USAGE_COLUMNS = tuple(each.name for each in fields(Usage))
_TIMER_COLUMNS = tuple(each.name for each in fields(Timer))
_DELIVERY_COLUMNS = tuple(each.name for each in fields(Delivery))
_ATTEMPT_COLUMNS = tuple(each.name for each in fields(Attempt))
_destination_values = itemgetter(*_DESTINATION_COLUMNS)
# What is written with every event: asdict, which copies, takes ten times as long.
_task_values = attrgetter(*_TASK_COLUMNS)
_output_values = attrgetter(*_OUTPUT_COLUMNS)
_usage_values = attrgetter(*_USAGE_COLUMNS)
_timer_values = attrgetter(*_TIMER_COLUMNS)
_delivery_values = attrgetter(*_DELIVERY_COLUMNS)
_attempt_values = attrgetter(*_ATTEMPT_COLUMNS)


def task_row(task: Task) -> dict[str, Any]:
    return dict(zip(_TASK_COLUMNS, _task_values(task), strict=True)) | {
        "status": task.status.value,
        "metadata": json_text.write(dict(task.metadata)),
        "media": task.media.value,
        "callback_expected": int(task.callback_expected),
        "outputs": json_text.write([_output_row(output) for output in task.outputs]),
        "error": json_text.write(asdict(task.error)) if task.error else None,
        "usage": json_text.write(dict(zip(_USAGE_COLUMNS, _usage_values(task.usage), strict=True)))
        if task.usage
        else None,
        "webhook_events": None if task.webhook_events is None else json_text.write(task.webhook_events),
        "ours": int(task.ours),
        "cancel_asked": int(task.cancel_asked),
    }


def task_of(row: Row) -> Task:
    return Task(
        id=row["id"],
        tenant=row["tenant"],
        provider=row["provider"],
        model=row["model"],
        status=Status(row["status"]),
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        input=json_text.Unread(row["input"]),
        metadata={} if row["metadata"] == "{}" else json_text.read_own(row["metadata"]),
        media=Kind(row["media"]),
        callback_expected=bool(row["callback_expected"]),
        provider_task_id=row["provider_task_id"],
        provider_status=row["provider_status"],
        progress=row["progress"],
        outputs=_outputs_of(row["outputs"]),
        error=_failure_of(row["error"]),
        usage=Usage(**json_text.read_own(row["usage"])) if row["usage"] else None,
        retry_of=row["retry_of"],
        webhook_id=row["webhook_id"],
        webhook_events=_words_of(row["webhook_events"]),
        submitted_at=row["submitted_at"],
        finished_at=row["finished_at"],
        ours=bool(row["ours"]),
        cancel_asked=bool(row["cancel_asked"]),
        emitted=row["emitted"],
        sequence=row["sequence"],
        version=row["version"],
    )


def _output_row(output: Output) -> dict[str, Any]:
    return dict(zip(_OUTPUT_COLUMNS, _output_values(output), strict=True))


def _outputs_of(text: str) -> tuple[Output, ...]:
    return () if text == "[]" else tuple(_output_of(item) for item in json_text.read_own(text))


def _output_of(item: dict[str, Any]) -> Output:
    return Output(**item | {"kind": Kind(item["kind"]), "role": Role(item["role"])})


def _failure_of(text: str | None) -> Failure | None:
    if text is None:
        return None
    item = json_text.read_own(text)
    return Failure(**item | {"kind": FailureKind(item["kind"])})


def timer_row(timer: Timer) -> dict[str, Any]:
    claimed = timer.claimed.value if timer.claimed else None
    return dict(zip(_TIMER_COLUMNS, _timer_values(timer), strict=True)) | {"work": timer.work.value, "claimed": claimed}


def timer_of(row: Row, **changed: Any) -> Timer:
    claimed = Status(row["claimed"]) if row["claimed"] else None
    return Timer(**{**row, "work": Work(row["work"]), "claimed": claimed, **changed})


def destination_row(destination: Destination) -> dict[str, Any]:
    row = asdict(destination)
    del row["retired"]  # rows of their own
    for name in ("event_types", "providers", "models", "metadata"):
        row[name] = None if row[name] is None else json_text.write(row[name])
    return row | {
        "format": destination.format.value,
        "headers": json_text.write(dict(destination.headers)) if destination.headers else None,
        "signature": destination.signature.value,
        "ordered": int(destination.ordered),
        "enabled": int(destination.enabled),
        "hidden": int(destination.hidden),
    }


def destination_of(row: Row) -> Destination:
    return _destination_of(_destination_values(row))


@lru_cache(maxsize=4096)  # read again and again, changed by hand
def _destination_of(values: tuple[Any, ...]) -> Destination:
    row = dict(zip(_DESTINATION_COLUMNS, values, strict=True))
    return Destination(
        **row
        | {
            "event_types": tuple(json_text.read_own(row["event_types"])),
            "providers": _words_of(row["providers"]),
            "models": _words_of(row["models"]),
            "metadata": json_text.read_own(row["metadata"]) if row["metadata"] else None,
            "format": Format(row["format"]),
            "headers": json_text.read_own(row["headers"]) if row["headers"] else {},
            "signature": Scheme(row["signature"]),
            "ordered": bool(row["ordered"]),
            "enabled": bool(row["enabled"]),
            "hidden": bool(row["hidden"]),
        }
    )


def retired_of(row: Row) -> RetiredSecret:
    return RetiredSecret(sealed=row["sealed_secret"], until=row["until"])


def breaker_row(breaker: Breaker) -> dict[str, Any]:
    return asdict(breaker) | {"failing": json_text.write(breaker.failing)}


def breaker_of(row: Row) -> Breaker:
    return Breaker(
        destination_id=row["destination_id"],
        failures=row["failures"],
        failing=tuple(json_text.read_own(row["failing"])),
        failing_since=row["failing_since"],
        reason=row["reason"],
        opened_at=row["opened_at"],
        probe_at=row["probe_at"],
        probes=row["probes"],
    )


def _words_of(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json_text.read_own(text))


def delivery_row(delivery: Delivery, event_seq: int) -> dict[str, Any]:
    row = dict(zip(_DELIVERY_COLUMNS, _delivery_values(delivery), strict=True))
    return row | {"state": delivery.state.value, "event_seq": event_seq}


def delivery_of(row: Row) -> Delivery:
    return leased_of(row, owner=row["owner"], due_at=row["due_at"], attempts=row["attempts"])


def leased_of(row: Row, *, owner: str | None, due_at: Ms | None, attempts: int) -> Delivery:
    """A delivery as its row will be once it is leased."""
    return Delivery(
        id=row["id"],
        tenant=row["tenant"],
        event_id=row["event_id"],
        task_id=row["task_id"],
        destination_id=row["destination_id"],
        state=DeliveryState(row["state"]),
        created_at=row["created_at"],
        due_at=due_at,
        attempts=attempts,
        tries=row["tries"],
        owner=owner,
    )


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    return dict(zip(_ATTEMPT_COLUMNS, _attempt_values(attempt), strict=True))


def attempt_of(row: Row) -> Attempt:
    return Attempt(**{name: row[name] for name in _ATTEMPT_COLUMNS})

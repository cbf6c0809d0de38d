"""The door for tasks: submit one, look at one, wait for one, list them."""

import asyncio
from itertools import islice
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from receiver import formats
from receiver.domain import FailureKind, Ms, Status, Task, Timer
from receiver.errors import Fault, Invalid, Unknown
from receiver.ids import new_id
from receiver.providers import Served
from receiver.store.protocol import Page, Store
from receiver.waiting import waiting_for
from receiver.web.answers import json_answer, page_answer
from receiver.web.doors import (
    MOST_FAULTS,
    Caller,
    Doors,
    doors_of,
    query_cursor,
    query_filters,
    query_integer,
    query_limit,
    query_word,
    read_model,
)

MOST_WAIT_S = 60
MOST_METADATA = 50
METADATA_BYTES = 8 * 1024
TEN_YEARS_S = 10 * 365 * 24 * 3600
_UNSETTLED = frozenset({Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED})


class TaskIn(BaseModel):
    """What a caller submits; `input` is the provider's own parameters."""

    model_config = ConfigDict(extra="forbid", strict=True)

    provider: str
    model: str = ""
    input: dict[str, Any]
    metadata: dict[str, str] = Field(default_factory=dict)
    deadline_seconds: Annotated[int, Field(ge=1, le=TEN_YEARS_S)] | None = None
    checks: bool = True

    @field_validator("metadata")
    @classmethod
    def _small(cls, metadata: dict[str, str]) -> dict[str, str]:
        size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
        if len(metadata) > MOST_METADATA or size > METADATA_BYTES:
            raise ValueError(f"at most {MOST_METADATA} values and {METADATA_BYTES} bytes")
        return metadata


async def create_task(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks`."""
    doors = doors_of(request)
    wait_s = query_integer(request, "wait", 0, least=0, most=MOST_WAIT_S)
    asked = await read_model(request, TaskIn)
    task = _task(asked, _served(doors, asked.provider), doors, caller)
    handover = await doors.accept(task)
    if "respond-async" not in ",".join(request.headers.getlist("prefer")).lower():
        await asyncio.wait({handover}, timeout=doors.answer_within_s)
        await _wait_for_end(doors, task.id, caller, within_s=wait_s)
    fields, status = await _shown(doors, task.id, caller)
    return json_answer(fields, 202 if status in _UNSETTLED else 201)


def _served(doors: Doors, name: str) -> Served:
    served = doors.providers.get(name)
    if served is None:
        known = ", ".join(sorted(doors.providers)) or "none: set TASKWEIR_<NAME>_API_KEY"
        raise Invalid([Fault(path="provider", message=f"no provider {name!r} is configured; configured: {known}")])
    return served


def _task(asked: TaskIn, served: Served, doors: Doors, caller: Caller) -> Task:
    adapter = served.adapter
    faults = list(islice(adapter.check(asked.model, asked.input), MOST_FAULTS)) if asked.checks else []
    named = {fault.path for fault in faults}
    faults += [fault for fault in adapter.check_shape(asked.model, asked.input) if fault.path not in named]
    if faults:
        raise Invalid(faults)
    now = doors.clock.now()
    seconds = asked.deadline_seconds or adapter.deadline_seconds(asked.model, asked.input)
    return Task(
        id=new_id("task", now),
        tenant=caller.tenant,
        provider=served.provider.name,
        model=asked.model,
        status=Status.SUBMITTING,
        created_at=now,
        deadline_at=now + seconds * 1000,
        input=asked.input,
        metadata=asked.metadata,
        media=adapter.media(asked.model, asked.input),
        callback_expected=doors.callbacks.expected(served),
    )


async def get_task(request: Request, caller: Caller) -> Response:
    """`GET /v1/tasks/{id}?wait=`; the id may be `<provider>:<provider_task_id>`."""
    doors = doors_of(request)
    wait_s = query_integer(request, "wait", 0, least=0, most=MOST_WAIT_S)
    task_id = await _resolved(doors, request.path_params["id"])
    await _wait_for_end(doors, task_id, caller, within_s=wait_s)
    fields, _ = await _shown(doors, task_id, caller)
    return json_answer(fields)


async def _resolved(doors: Doors, task_id: str) -> str:
    provider, colon, provider_task_id = task_id.partition(":")
    if not colon:
        return task_id
    task = await doors.storage.read(lambda store: store.task_of_provider(provider, provider_task_id))
    return task.id if task else task_id


async def _wait_for_end(doors: Doors, task_id: str, caller: Caller, *, within_s: float) -> None:
    """Return when the task is final or the seconds are over; looks again each second, for others may finish it."""
    ends_at = asyncio.get_running_loop().time() + within_s
    while (left_s := ends_at - asyncio.get_running_loop().time()) > 0:
        if (await doors.storage.read(lambda store: _owned(store, task_id, caller))).status.final:
            return
        await doors.bell.changed(task_id, min(left_s, 1.0))


async def list_tasks(request: Request, caller: Caller) -> Response:
    """`GET /v1/tasks`."""
    doors, limit = doors_of(request), query_limit(request)
    metadata = {
        name.removeprefix("metadata."): value
        for name, value in request.query_params.items()
        if name.startswith("metadata.")
    }
    if len(metadata) > MOST_METADATA:
        raise Invalid([Fault(path="metadata", message=f"at most {MOST_METADATA} filters, as a task has")])
    query_word(request, "status", Status)
    query_word(request, "error_kind", FailureKind)
    page = Page(
        tenant=caller.tenant,
        limit=limit + 1,
        cursor=query_cursor(request, "task"),
        where=query_filters(request, "status", "provider", "model", "provider_task_id", "error_kind"),
        metadata=metadata,
        created_after=_time(request, "created_after"),
        created_before=_time(request, "created_before"),
    )
    rows = await doors.storage.read(lambda store: [(task, store.timer(task.id)) for task in store.list_tasks(page)])
    now = doors.clock.now()
    return page_answer([_fields(task, timer, now) for task, timer in rows], limit, [task.id for task, _ in rows])


def _time(request: Request, name: str) -> Ms | None:
    text = request.query_params.get(name)
    try:
        return formats.time_of(text) if text else None
    except ValueError:
        message = "must be a time as 2026-11-20T19:48:00Z, or seconds since 1970"
        raise Invalid([Fault(path=name, message=message)]) from None


async def _shown(doors: Doors, task_id: str, caller: Caller) -> tuple[dict[str, Any], Status]:
    def look(store: Store) -> tuple[Task, Timer | None]:
        return _owned(store, task_id, caller), store.timer(task_id)

    task, timer = await doors.storage.read(look)
    return _fields(task, timer, doors.clock.now()), task.status


def _owned(store: Store, task_id: str, caller: Caller) -> Task:
    task = store.task(task_id)
    if task is None or task.tenant != caller.tenant:
        raise Unknown(f"no task {task_id!r}")
    return task


def _fields(task: Task, timer: Timer | None, now: Ms) -> dict[str, Any]:
    waiting = waiting_for(task, timer, now)
    fields = formats.task_fields(task)
    fields["input"] = dict(task.input)
    fields["waiting_for"] = waiting and {
        "what": waiting.what,
        "since": formats.timestamp(waiting.since),
        "next_at": waiting.next_at and formats.timestamp(waiting.next_at),
        "text": waiting.text,
    }
    return fields

"""The door for tasks: submit one, look at one, wait for one, list them."""

from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from receiver.bell import Watch
from receiver.domain import Format, Status, Task
from receiver.errors import Fault, Invalid
from receiver.ids import new_id
from receiver.json_text import Unread
from receiver.providers import Served
from receiver.store.protocol import Store
from receiver.tracing import TRACEPARENT
from receiver.web.answers import json_answer, page_answer
from receiver.web.bodies import model_of, read_json
from receiver.web.doors import (
    MOST_FAULTS,
    Caller,
    Doors,
    check_query,
    doors_of,
    query_cursor,
    query_limit,
    refuse_if_stopping,
)
from receiver.web.holders import Holders
from receiver.web.idempotency import Keep
from receiver.web.showing import ended, query_wait, resolved, shown, task_answer, wait_until
from receiver.web.submits import left_for_later, submitted
from receiver.web.task_filters import EQUAL, METADATA, TIMES, filtered_page, small_metadata
from receiver.web.webhooks import WebhookIn, attach

TEN_YEARS_S = 10 * 365 * 24 * 3600


class WorkIn(WebhookIn):
    """What a caller says of a task, whoever submits it; `input` is the provider's own parameters."""

    provider: str
    model: str = ""
    input: dict[str, Any]
    metadata: Annotated[dict[str, str], AfterValidator(small_metadata)] = Field(default_factory=dict)
    deadline_seconds: Annotated[int, Field(ge=1, le=TEN_YEARS_S)] | None = None


class TaskIn(WorkIn):
    """What a caller submits."""

    checks: bool = True


async def create_task(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks`."""
    body = await read_json(request)

    async def record(keep: Keep, watch: Watch) -> str:
        return await record_task(request, caller, model_of(body, TaskIn), keep, watch)

    return await submitted(request, caller, body, record)


async def record_task(
    request: Request, caller: Caller, asked: TaskIn, keep: Keep, watch: Watch, *, format: Format | None = None
) -> str:
    """Check what is asked for, commit it as a new task and begin to hand it over; its id. Raises `Invalid`.

    The `watch` hears of it from its first commit on. `format` is how its webhook is written, where that is not the
    caller's to say.
    """
    doors = doors_of(request)
    served = served_by(doors, asked.provider)
    _check(asked, served)
    task = task_of(asked, served, doors, caller, callback_expected=doors.callbacks.expected(served))
    task, record_webhook = await attach(doors, asked, task, format=format)

    def also(store: Store) -> None:
        keep(store, task.id)
        record_webhook(store)

    refuse_if_stopping(doors)  # once more: a webhook's name may have taken its time
    watch.follow(task.id)
    await doors.accept(task, also=also, later=left_for_later(request))
    doors.traces.accepted(request.headers.get(TRACEPARENT), task, doors.clock.now())
    return task.id


def served_by(doors: Doors, name: str) -> Served:
    """The provider of that name; raises `Invalid`."""
    served = doors.providers.get(name)
    if served is None:
        known = ", ".join(sorted(doors.providers)) or "none: set TASKWEIR_<NAME>_API_KEY"
        raise Invalid([Fault(path="provider", message=f"no provider {name!r} is configured; configured: {known}")])
    return served


def _check(asked: TaskIn, served: Served) -> None:
    """Refuse what the provider would refuse, as far as its documents tell; raises `Invalid`."""
    adapter = served.adapter
    faults = list(islice(adapter.check(asked.model, asked.input), MOST_FAULTS)) if asked.checks else []
    named = {fault.path for fault in faults}
    faults += [fault for fault in adapter.check_shape(asked.model, asked.input) if fault.path not in named]
    if faults:
        raise Invalid(faults)


def task_of(asked: WorkIn, served: Served, doors: Doors, caller: Caller, *, callback_expected: bool) -> Task:
    """The new task that a caller asks for, not recorded yet."""
    adapter, now = served.adapter, doors.clock.now()
    seconds = asked.deadline_seconds or adapter.deadline_seconds(asked.model, asked.input)
    return Task(
        id=new_id("task", now),
        tenant=caller.tenant,
        provider=served.provider.name,
        model=asked.model,
        status=Status.QUEUED,
        created_at=now,
        deadline_at=now + seconds * 1000,
        input=Unread.of(asked.input),
        metadata=asked.metadata,
        media=adapter.media(asked.model, asked.input),
        callback_expected=callback_expected,
    )


async def get_task(request: Request, caller: Caller) -> Response:
    """`GET /v1/tasks/{id}?wait=`; the id may be `<provider>:<provider_task_id>`."""
    doors = doors_of(request)
    wait_s = query_wait(request)
    task_id = await resolved(doors, request.path_params["id"], caller)
    await wait_until(doors, task_id, caller, ended, within_s=wait_s)
    fields, _ = await shown(doors, task_id, caller)
    return json_answer(fields)


async def list_tasks(request: Request, caller: Caller) -> Response:
    """`GET /v1/tasks`."""
    check_query(request, "cursor", *EQUAL, *TIMES, free=METADATA)
    doors, limit = doors_of(request), query_limit(request)
    page = filtered_page(
        request.query_params, tenant=caller.tenant, limit=limit + 1, cursor=query_cursor(request, "task")
    )
    holders = Holders(doors)

    def read(store: Store) -> tuple[list[dict[str, Any]], str | None]:
        found = store.list_tasks(page)
        return [task_answer(holders, store, task, store.timer(task.id)) for task in found], found.to

    items, searched_to = await doors.storage.read(read)
    return page_answer(items, limit, [item["id"] for item in items], searched_to)

"""The door for tasks that somebody else submitted: from now on they are followed here, like any other."""

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from receiver import actions
from receiver.domain import Task
from receiver.errors import Conflict
from receiver.intake import Taken
from receiver.store.protocol import Store
from receiver.tracing import TRACEPARENT
from receiver.web.answers import json_answer
from receiver.web.bodies import read_model
from receiver.web.doors import Caller, doors_of, refuse_if_stopping
from receiver.web.showing import ended, query_wait, shown, wait_until, watch_url
from receiver.web.tasks import WorkIn, served_by, task_of
from receiver.web.webhooks import attach

ProviderTaskId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


class AdoptIn(WorkIn):
    """Which task of the provider's, and what its caller knows about it."""

    provider_task_id: ProviderTaskId
    input: dict[str, Any] = Field(default_factory=dict)


async def adopt_task(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks/adopt`: 201 where it is new here, 200 where the caller has it already."""
    doors, wait_s = doors_of(request), query_wait(request)
    refuse_if_stopping(doors)
    asked = await read_model(request, AdoptIn)
    served = served_by(doors, asked.provider)
    task = task_of(asked, served, doors, caller, callback_expected=False)
    task, record_webhook = await attach(doors, asked, task)

    def record(store: Store) -> Taken | Task:
        known = store.task_of_provider(task.provider, asked.provider_task_id)
        if known is not None:
            return known
        record_webhook(store)
        return actions.adopt(store, task, asked.provider_task_id, now=task.created_at)

    made = await doors.storage.write(record)
    if isinstance(made, Task):
        if made.tenant != caller.tenant:
            raise Conflict(f"{asked.provider_task_id} at {asked.provider} is bound to another task")
        task = made
    else:
        doors.bell.ring(made)
        doors.traces.accepted(request.headers.get(TRACEPARENT), made.task, doors.clock.now())
    await wait_until(doors, task.id, caller, ended, within_s=wait_s)
    fields, _ = await shown(doors, task.id, caller)
    fields["watch_url"] = watch_url(request, task.id)
    return json_answer(fields, 201 if isinstance(made, Taken) else 200)

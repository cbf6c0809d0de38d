"""The doors for what a caller does to one task: cancel it, look again now, resolve it, submit it once more."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from receiver import actions
from receiver.action_policy import Refusal
from receiver.bell import Watch
from receiver.domain import Ms, Status, Task
from receiver.errors import Conflict, Fault, Invalid
from receiver.intake import Taken
from receiver.store.protocol import Store
from receiver.web.adopt import ProviderTaskId
from receiver.web.answers import json_answer
from receiver.web.bodies import NothingIn, read_optional
from receiver.web.doors import Caller, allowed, doors_of
from receiver.web.idempotency import Keep
from receiver.web.showing import ended, owned, query_wait, resolved, shown, wait_until
from receiver.web.submits import left_for_later, submitted

Act = Callable[[Store, Task, Ms], Taken | Refusal]


_NULL: dict[str, Any] = {"type": "null"}
_EITHER: dict[str, Any] = {
    "anyOf": [
        {"required": ["provider_task_id"], "properties": {"provider_task_id": {"type": "string"}, "status": _NULL}},
        {"required": ["status"], "properties": {"status": {"const": "failed"}, "provider_task_id": _NULL}},
    ]
}


class ResolveIn(BaseModel):
    """What became of an unconfirmed task: exactly one of these."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_EITHER)

    provider_task_id: ProviderTaskId | None = None
    status: Literal["failed"] | None = None


async def cancel_task(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks/{id}/cancel`: 202 where it is being handed over, and canceled once that is answered."""
    await read_optional(request, NothingIn)
    taken = await _act(request, caller, lambda store, task, now: actions.cancel(store, task, now=now))
    doors_of(request).bell.ring(taken)
    return await _answer(request, taken, caller, 202 if taken.task.status is Status.SUBMITTING else 200)


async def refresh_task(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks/{id}/refresh?wait=`: its next poll, or try to be handed over, is due now."""
    doors, wait_s = doors_of(request), query_wait(request)
    await read_optional(request, NothingIn)
    taken = await _act(request, caller, lambda store, task, now: actions.refresh(store, task, at=now, now=now))
    doors.wake_submitter()
    await doors.follow_up(taken.task.id, rang=True)
    await wait_until(doors, taken.task.id, caller, ended, within_s=wait_s)
    return await _answer(request, taken, caller)


async def resolve_task(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks/{id}/resolve`: an unconfirmed task gets its provider's id, or ends as failed."""
    await _known(request, caller)
    asked = await read_optional(request, ResolveIn)
    found = asked.provider_task_id
    if (found is None) == (asked.status is None):
        raise Invalid([Fault(path="provider_task_id", message='give either this, or {"status": "failed"}')])

    def resolve(store: Store, task: Task, now: Ms) -> Taken | Refusal:
        if found is None:
            return actions.declare_failed(store, task, now=now)
        return actions.bind(store, task, found, now=now)

    taken = await _act(request, caller, resolve)
    doors_of(request).bell.ring(taken)
    return await _answer(request, taken, caller)


async def resubmit_task(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks/{id}/resubmit`: a new task with the same content, answered as any submit is."""
    doors = doors_of(request)
    await read_optional(request, NothingIn)
    task_id = await resolved(doors, request.path_params["id"], caller)
    original = await doors.storage.read(lambda store: owned(store, task_id, caller))

    async def record(keep: Keep, watch: Watch) -> str:
        now = doors.clock.now()
        served = doors.providers.get(original.provider)
        task = allowed(actions.resubmission(original, served, doors.callbacks, now=now, due_at=now))
        replaced: list[Taken] = []

        def also(store: Store) -> None:
            keep(store, task.id)
            as_it_is = owned(store, original.id, caller)
            if as_it_is.version != original.version:  # resubmitted by somebody else, or confirmed: it costs money
                raise Conflict(f"{original.id} changed meanwhile: it is {as_it_is.status} now")
            replaced[:] = [allowed(actions.replace_by(store, as_it_is, task.id, now=now))]

        watch.follow(task.id)
        await doors.accept(task, also=also, later=left_for_later(request))
        for taken in replaced:
            if taken.events:
                doors.bell.ring(taken)
        return task.id

    return await submitted(request, caller, {"resubmit": original.id}, record)


async def _act(request: Request, caller: Caller, act: Act) -> Taken:
    """Do something to the task that the path names; raises `Unknown` or `Conflict`."""
    doors = doors_of(request)
    # A write that raises costs whatever waits with it a second try: unknown ids end here.
    task_id = await _known(request, caller)
    now = doors.clock.now()
    return allowed(await doors.storage.write(lambda store: act(store, owned(store, task_id, caller), now)))


async def _known(request: Request, caller: Caller) -> str:
    """The id of the task that the path names; raises `Unknown`."""
    doors = doors_of(request)
    task_id = await resolved(doors, request.path_params["id"], caller)
    await doors.storage.read(lambda store: owned(store, task_id, caller))
    return task_id


async def _answer(request: Request, taken: Taken, caller: Caller, code: int = 200) -> Response:
    fields, _ = await shown(doors_of(request), taken.task.id, caller)
    return json_answer(fields, code)

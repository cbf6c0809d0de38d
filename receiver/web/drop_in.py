"""The door for callers who speak a provider's own wire: its paths, bodies and refusals, with our record behind them."""

from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from adapters.drop_in import CALLBACK, Answer, Asked, DropIn
from receiver import json_text, story
from receiver.api_keys import Scope as ApiScope
from receiver.bell import Watch
from receiver.copying import replace
from receiver.domain import Failure, FailureKind, Format, Ms, Task
from receiver.drop_in import never_there, told_ours
from receiver.errors import Busy, Fault, Invalid, NotVerified, TaskweirError, Unavailable, Unknown
from receiver.ids import new_id
from receiver.providers import Served
from receiver.store.protocol import Store
from receiver.web.acting import acting
from receiver.web.answers import json_answer, status_of
from receiver.web.bodies import model_of
from receiver.web.doors import Caller, Door, caller_by, check_scope, doors_of, read_body
from receiver.web.idempotency import Keep
from receiver.web.showing import owned
from receiver.web.submits import submitted
from receiver.web.tasks import TaskIn, record_task

_LONGEST_ID = 255
_KINDS = {
    401: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    503: FailureKind.UNAVAILABLE,
}


class ProvidersOwn(Route):
    """Whatever lies below the name of a configured provider; no path of ours begins with one."""

    def __init__(self) -> None:
        super().__init__("/{provider}/{path:path}", Door(_answer))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        name, _, rest = scope["path"].removeprefix("/").partition("/")
        if scope["type"] != "http" or name not in scope["app"].doors.providers:
            return Match.NONE, {}
        return Match.FULL, {"path_params": {"provider": name, "path": f"/{rest}"}}


async def _answer(request: Request) -> Response:
    served = doors_of(request).providers[request.path_params["provider"]]
    own = served.adapter.drop_in()
    if own is None:
        raise Unknown(f"{served.provider.name} has no drop-in mode here: submit with `POST /v1/tasks`")
    try:
        return await _own_answer(request, served, own)
    except TaskweirError as error:
        return _refused(request, own, error)


async def _own_answer(request: Request, served: Served, own: DropIn) -> Response:
    key = own.key(request.headers)
    if key is None:
        raise NotVerified("send a Taskweir key where the provider's key would be")
    caller = await caller_by(doors_of(request), key.encode("latin-1"))  # header values reach us decoded so
    path, method = request.path_params["path"], request.method
    if method == "POST" and path in own.submit_paths:
        check_scope(caller, ApiScope.SUBMIT)
        return await _submit(request, await acting(request, caller), served, own)
    check_scope(caller, ApiScope.READ)
    caller = await acting(request, caller)
    if (found := own.is_poll(method, path)) is not None:
        body = await read_body(request, doors_of(request).max_body)
        asked = found[1] if found.groups() else own.polled_id(request.query_params, body)
        return await _poll(request, caller, served, own, asked)
    known = [*(f"POST {each}" for each in own.submit_paths), f"{own.poll_method} {own.poll_path}"]
    raise Unknown(f"no such address here; of those of {served.provider.name} there are {', '.join(known)}")


async def _submit(request: Request, caller: Caller, served: Served, own: DropIn) -> Response:
    name = served.provider.name
    body = json_text.read_strict(await read_body(request, doors_of(request).max_body))

    async def record(keep: Keep, watch: Watch) -> str:
        wanted = _wanted(served, own, request.path_params["path"], body)
        try:
            return await record_task(request, caller, wanted, keep, watch, format=Format.PROVIDER)
        except Invalid as error:
            raise Invalid([_as_callers(fault) for fault in error.faults]) from None

    async def answering(task_id: str, again: bool) -> Response:
        return _told(await _accepted(request, caller, own, task_id, again=again))

    return await submitted(request, caller, {"drop_in": name, "body": body}, record, answering=answering)


def _wanted(served: Served, own: DropIn, path: str, body: Any) -> TaskIn:
    """What a body asks for in our words; raises `Invalid`."""
    if not isinstance(body, dict):
        raise Invalid([Fault(path="body", message="must be a JSON object")])
    asked = own.read_submit(path, body)
    if not isinstance(asked, Asked):
        raise Invalid([asked])
    url = asked.callback_url or None
    if url is not None and not isinstance(url, str):
        raise Invalid([Fault(path=CALLBACK, message="must be a URL")])
    faults = list(served.adapter.check_shape(asked.model, asked.input))
    if faults:
        raise Invalid(faults)
    fields = {"provider": served.provider.name, "model": asked.model, "input": asked.input, "webhook_url": url}
    return model_of(fields, TaskIn)


def _as_callers(fault: Fault) -> Fault:
    return Fault(path=CALLBACK, message=fault.message) if fault.path == "webhook_url" else fault


async def _accepted(request: Request, caller: Caller, own: DropIn, task_id: str, *, again: bool) -> Answer:
    """The provider's success, for whatever was recorded and may have been paid for; its own refusal else.

    A caller who is told our id, for want of another, is known by that from then on: his callback names it, too.
    """
    doors = doors_of(request)
    task, ours = await doors.storage.read(lambda store: _as_told(store, task_id, caller, again=again), brief=True)
    if task.provider_task_id is None and not ours and not _refused_by_provider(task):
        ours = True
        with suppress(Unavailable):  # the task is on disk, and may be paid for: that is what must be told
            task, ours = await doors.storage.write(lambda store: _tell_ours(store, task_id, caller, doors.clock.now()))
    if _refused_by_provider(task) and task.error is not None and not ours:
        return own.refused(task.error)
    return own.accepted(task, task.id if ours else task.provider_task_id or task.id)


def _as_told(store: Store, task_id: str, caller: Caller, *, again: bool) -> tuple[Task, bool]:
    """The task, and whether an earlier answer told our id: nobody was answered before the first."""
    task = owned(store, task_id, caller)
    return task, again and told_ours(store, task)


def _tell_ours(store: Store, task_id: str, caller: Caller, now: Ms) -> tuple[Task, bool]:
    """In the transaction that finds no id of the provider's, so that no callback can leave with one meanwhile."""
    task, ours = _as_told(store, task_id, caller, again=True)
    if ours or task.provider_task_id is not None or _refused_by_provider(task):
        return task, ours
    story.tell(store, task, story.told_ours(task), now)
    return task, True


def _refused_by_provider(task: Task) -> bool:
    """Whether the provider said no to the submit itself: nothing was created."""
    return never_there(task) and not task.ours


async def _poll(request: Request, caller: Caller, served: Served, own: DropIn, asked: str | None) -> Response:
    if asked is None:
        raise Invalid([Fault(path=own.task_id, message="is required")])
    name = served.provider.name

    def look(store: Store) -> tuple[Task, str | None] | None:
        task = store.task(asked)
        if task is None or task.provider != name:
            task = store.task_of_provider(name, asked)
        if task is None or task.tenant != caller.tenant:
            return None
        webhook = store.hidden_destination(task.webhook_id) if task.webhook_id else None
        return task, webhook.target if webhook and webhook.format is Format.PROVIDER else None

    found = await doors_of(request).storage.read(look, brief=True) if _may_be_an_id(asked) else None
    if found is None:
        return _told(own.unknown_task(_request_id(request)))
    task, callback_url = found
    return _told(own.shown(task, asked, callback_url))


def _may_be_an_id(text: str) -> bool:
    return text.isprintable() and len(text) <= _LONGEST_ID


def _refused(request: Request, own: DropIn, error: TaskweirError) -> Response:
    """Our own refusal, as the provider would have put it."""
    if isinstance(error, Invalid):
        return _told(own.refused(replace(own.failure_of(error.faults), request_id=_request_id(request))))
    kind = FailureKind.RATE_LIMITED if isinstance(error, Busy) else _KINDS.get(status_of(error))
    failure = Failure(
        kind=kind or FailureKind.INVALID_REQUEST,
        message=str(error),
        request_id=_request_id(request),
        retryable=isinstance(error, Busy | Unavailable),
    )
    response = _told(own.refused(failure))
    if failure.retryable:
        response.headers["retry-after"] = "1" if isinstance(error, Busy) else "5"
    return response


def _request_id(request: Request) -> str:
    return new_id("req", doors_of(request).clock.now())


def _told(answer: Answer) -> Response:
    return json_answer(answer.body, answer.status)

"""The door for REST hooks: how no-code tools subscribe; each hook is a destination in the format `flat`."""

import os
import re

from starlette.requests import Request
from starlette.responses import Response

from receiver import formats, made_up, owed, signing
from receiver.delivery_policy import HOOK_RATE, named_types
from receiver.domain import Destination, Format, Scheme
from receiver.errors import AddressRefused, Fault, Invalid, Malformed, Unknown
from receiver.ids import new_id
from receiver.rendering import MOST_FLAT, rendered
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.web.answers import json_answer, page_answer, text_answer
from receiver.web.bodies import read_model
from receiver.web.destination_models import known_type
from receiver.web.doors import Caller, Doors, check_query, doors_of, query_cursor, query_integer, query_limit
from receiver.web.hook_models import HookIn, target_of

_ID = re.compile(r"dst_[0-9a-z]{26}")
_SAMPLES, _MOST_SAMPLES = 25, 50
_ALL_TYPES = "task.*"


async def create_hook(request: Request, caller: Caller) -> Response:
    """`POST /v1/hooks`: 201 with the id, of the same hook however often the same URL asks for the same event."""
    doors = doors_of(request)
    asked = await read_model(request, HookIn)
    name, url = target_of(asked)
    await _check_target(doors, url, path=name)
    hook = _new(doors, caller, url, asked.event)
    hook_id = await doors.storage.write(lambda store: store.record_hook(hook))
    doors.wake_courier()
    return json_answer({"id": hook_id}, 201)


def _new(doors: Doors, caller: Caller, url: str, event: str) -> Destination:
    now = doors.clock.now()
    destination_id = new_id("dst", now)
    secret = signing.new_secret(os.urandom(32), Scheme.V1)
    return Destination(
        id=destination_id,
        tenant=caller.tenant,
        type="webhook",
        target=url,
        created_at=now,
        event_types=(event,),
        format=Format.FLAT,
        description="REST hook",
        rate_per_second=HOOK_RATE,
        hook=event,
        sealed_secret=doors.seal.seal(secret, row=destination_id),
    )


async def _check_target(doors: Doors, url: str, *, path: str) -> None:
    try:
        await doors.check_target(url)
    except Malformed as error:
        refused = str(error)
    except AddressRefused as error:
        refused = error.told
    else:
        return
    raise Invalid([Fault(path=path, message=refused)])


async def list_hooks(request: Request, caller: Caller) -> Response:
    """`GET /v1/hooks`: filters `url` and `event`, by which a tool looks whether its hook is there."""
    check_query(request, "cursor", "url", "event")
    limit = query_limit(request)
    page = _page(request, caller, limit=limit + 1, cursor=query_cursor(request, "dst"))
    hooks = await doors_of(request).storage.read(lambda store: store.list_hooks(page))
    return page_answer([_shown(each) for each in hooks], limit, [each.id for each in hooks])


def _page(request: Request, caller: Caller, *, limit: int, cursor: str | None = None) -> Page:
    query = request.query_params
    where = {"target": query.get("url"), "hook": query.get("event")}
    return Page(tenant=caller.tenant, limit=limit, cursor=cursor, where=where)


def _shown(hook: Destination) -> dict[str, object]:
    return {
        "id": hook.id,
        "url": hook.target,
        "event": hook.hook,
        "enabled": hook.enabled,
        "created_at": formats.timestamp(hook.created_at),
    }


async def delete_hook(request: Request, caller: Caller) -> Response:
    """`DELETE /v1/hooks/{id}`: 204, again too: a tool cannot know whether it, or a 410, did so before.

    404 of what is no hook, or another tenant's.
    """
    hook_id, storage = request.path_params["id"], doors_of(request).storage
    if not _ID.fullmatch(hook_id):
        raise Unknown(f"no hook {hook_id!r}")
    if await storage.read(lambda store: store.owner_of(hook_id)) is None:
        return Response(status_code=204)
    found = await storage.read(lambda store: store.destination(hook_id, caller.tenant))
    if found is None or found.hook is None:
        raise Unknown(f"no hook {hook_id!r}")
    await owed.forget(storage, found.id)
    return Response(status_code=204)


async def delete_hooks(request: Request, caller: Caller) -> Response:
    """`DELETE /v1/hooks?url=`: 204; all with that URL, or the one for `event`, be there any or none."""
    check_query(request, "url", "event", pages=False)
    if "url" not in request.query_params:
        raise Invalid([Fault(path="url", message="required: the URL whose hooks shall be deleted")])
    storage, page = doors_of(request).storage, _page(request, caller, limit=200)
    while hooks := await storage.read(lambda store: store.list_hooks(page)):
        for each in hooks:
            await owed.forget(storage, each.id)
    return Response(status_code=204)


async def sample(request: Request, caller: Caller) -> Response:
    """`GET /v1/hooks/sample?event=`: a JSON array, newest first, of what a hook for that event would have got lately.

    Where there is nothing yet, made-up events, always the same.
    """
    check_query(request, "event")
    event = request.query_params.get("event") or _ALL_TYPES
    limit = query_integer(request, "limit", _SAMPLES, least=1, most=_MOST_SAMPLES)
    try:
        types = named_types([known_type(event)])
    except ValueError as error:
        raise Invalid([Fault(path="event", message=str(error))]) from None
    page = Page(tenant=caller.tenant, limit=limit, where={"type": [kind.value for kind in types]})
    bodies = await doors_of(request).storage.read(lambda store: _recent(store, page))
    invented = [_flat(text, made_up.PROMPT) for text in made_up.newest_first(set(types))[:limit]]
    return text_answer(f"[{','.join(_within(MOST_FLAT, bodies or invented))}]")


def _recent(store: Store, page: Page) -> list[str]:
    rows = store.list_events(page, after=None, newest_first=True)
    tasks = {row.task_id: store.task(row.task_id) for row in rows if row.task_id}
    inputs = {task_id: task.input if task else None for task_id, task in tasks.items()}
    return [_flat(row.body, formats.prompt_of(inputs.get(row.task_id))) for row in rows]


def _flat(envelope: str, prompt: str | None) -> str:
    """The very text that a hook would get."""
    return rendered(Format.FLAT, envelope, seq=0, prompt=prompt).body.decode()


def _within(most: int, texts: list[str]) -> list[str]:
    """As many of the first as are together no larger than one hook may be."""
    kept: list[str] = []
    for text in texts:
        most -= len(text.encode()) + 1
        if kept and most < 0:
            break
        kept.append(text)
    return kept

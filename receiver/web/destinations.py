"""The door for destinations: where a tenant wants its events."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from receiver import breaker, destination_actions, owed
from receiver.copying import replace
from receiver.delivery_policy import DEFAULT_EVENT_TYPES
from receiver.domain import Destination, Scheme
from receiver.errors import Conflict, Fault, Invalid, Malformed, Unknown
from receiver.ids import new_id
from receiver.senders.kinds import KINDS
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.targets import read_target
from receiver.web.answers import json_answer, page_answer
from receiver.web.bodies import read_model
from receiver.web.destination_faults import faults_of_changes, faults_of_new
from receiver.web.destination_models import ChangesIn, DestinationIn, wished
from receiver.web.destination_secrets import faults_of_merge, merged_headers, new_secret
from receiver.web.destination_showing import shown
from receiver.web.doors import Caller, Doors, check_query, doors_of, query_cursor, query_limit

_NO_LOGS = (
    "SQLite logs are kept where one process serves a SQLite database; with PostgreSQL make a destination "
    "of the type postgres, or read GET /v1/events, which holds the same"
)


async def create_destination(request: Request, caller: Caller) -> Response:
    """`POST /v1/destinations`: 201 with the secret, shown by this call and by `…/secret` only."""
    doors = doors_of(request)
    asked = await read_model(request, DestinationIn)
    _raise(faults_of_new(asked, doors.providers, doors.adapters))
    if asked.type == "sqlite" and not doors.keeps_logs:
        _raise([Fault(path="type", message=_NO_LOGS)])
    target, secret = asked.url or asked.name or "", asked.secret or new_secret(Scheme(asked.signature))
    if asked.type == "webhook":
        await _check_target(doors, target)
    elif asked.type in KINDS:
        target, secret = await _read_url(doors, asked.type, target), target
    destination = _new(asked, doors, caller, target, secret)

    def record(store: Store) -> dict[str, object] | None:
        if destination.type == "sqlite" and store.log_named(destination.target, caller.tenant):
            return None
        store.record_destination(destination)
        return shown(store, destination, doors)

    fields = await doors.storage.write(record)
    if fields is None:
        raise Conflict(f"a SQLite log named {destination.target!r} exists already: use it, or choose another name")
    return json_answer(fields | {"secret": secret} if destination.type == "webhook" else fields, 201)


def _new(asked: DestinationIn, doors: Doors, caller: Caller, target: str, secret: str) -> Destination:
    now = doors.clock.now()
    destination_id = new_id("dst", now)
    blank = Destination(
        id=destination_id,
        tenant=caller.tenant,
        type=asked.type,
        target=target,
        created_at=now,
        event_types=DEFAULT_EVENT_TYPES,
        headers={name: doors.seal.seal(value, row=destination_id) for name, value in (asked.headers or {}).items()},
        disabled_reason=None if asked.enabled else breaker.CALLER,
        sealed_secret=doors.seal.seal(secret, row=destination_id),
    )
    return wished(blank, asked)


async def list_destinations(request: Request, caller: Caller) -> Response:
    """`GET /v1/destinations`."""
    check_query(request, "cursor")
    doors, limit = doors_of(request), query_limit(request)
    page = Page(tenant=caller.tenant, limit=limit + 1, cursor=query_cursor(request, "dst"))
    rows = await doors.storage.read(lambda store: [shown(store, row, doors) for row in store.list_destinations(page)])
    return page_answer(rows, limit, [row["id"] for row in rows])


async def get_destination(request: Request, caller: Caller) -> Response:
    """`GET /v1/destinations/{id}`."""
    doors, destination_id = doors_of(request), request.path_params["id"]
    return json_answer(
        await doors.storage.read(lambda store: shown(store, owned(store, destination_id, caller), doors))
    )


async def change_destination(request: Request, caller: Caller) -> Response:
    """`PATCH /v1/destinations/{id}`: a merge patch; what it does not name stays, as others change it meanwhile."""
    doors = doors_of(request)
    known = await known_destination(request, caller)
    asked = await read_model(request, ChangesIn)
    _raise(faults_of_changes(asked, known, doors.providers, doors.adapters))
    _raise(faults_of_merge(doors.seal, known, asked))
    url, seen = asked.url if asked.url != known.target else None, None
    if url and known.type == "webhook":
        await _check_target(doors, url)
    elif url:
        seen = await _read_url(doors, known.type, url)
    now = doors.clock.now()

    def change(store: Store) -> dict[str, object]:
        before = owned(store, known.id, caller)
        after = _changed(doors, before, asked)
        if url and seen:
            after = replace(after, target=seen, sealed_secret=doors.seal.seal(url, row=before.id))
        return shown(store, destination_actions.change(store, before, after, now=now), doors)

    if known.ordered and "ordered" in asked.model_fields_set and not asked.ordered:
        await owed.dissolve_lines(doors.storage, known.id, now)
    fields = await doors.storage.write(change)
    if asked.ordered:  # what the transaction left: where that is cut off, it is gone on with at the next start
        await owed.form_lines(doors.storage, known.id)
    doors.wake_courier()
    return json_answer(fields)


def _changed(doors: Doors, before: Destination, asked: ChangesIn) -> Destination:
    """What a destination shall be; another way of signing needs another secret."""
    _raise(faults_of_merge(doors.seal, before, asked))
    after = replace(wished(before, asked), headers=merged_headers(doors.seal, before, asked))
    if after.signature is before.signature:
        return after
    return replace(after, sealed_secret=doors.seal.seal(new_secret(after.signature), row=before.id))


async def delete_destination(request: Request, caller: Caller) -> Response:
    """`DELETE /v1/destinations/{id}`: what is still owed to it is canceled."""
    destination, storage = await known_destination(request, caller), doors_of(request).storage
    await owed.forget(storage, destination.id)
    return Response(status_code=204)


async def known_destination(request: Request, caller: Caller) -> Destination:
    """The destination that the path names; raises `Unknown`."""
    # A write that raises costs whatever waits with it a second try: unknown ids end here.
    destination_id = request.path_params["id"]
    return await doors_of(request).storage.read(lambda store: owned(store, destination_id, caller))


def owned(store: Store, destination_id: str, caller: Caller) -> Destination:
    """The caller's destination of that id; raises `Unknown`."""
    found = store.destination(destination_id, caller.tenant)
    if found is not None:
        return found
    hidden = store.hidden_destination(destination_id)
    if hidden is not None and hidden.tenant == caller.tenant:
        raise Unknown(
            f"{destination_id!r} serves the webhook_url of tasks: what it is owed can be retried and canceled"
        )
    raise Unknown(f"no destination {destination_id!r}")


async def _read_url(doors: Doors, type: str, url: str) -> str:
    """What may be shown of the URL of a server that speaks no HTTP; raises `Invalid` where it cannot be used."""
    try:
        kind = await asyncio.to_thread(KINDS[type].load)
        target = read_target(url, kind.shape)
    except ImportError:
        raise Invalid([Fault(path="type", message=KINDS[type].missing)]) from None
    except Malformed as error:
        raise Invalid([Fault(path="url", message=str(error))]) from None
    await _check_target(doors, target.origin)
    return target.shown


async def _check_target(doors: Doors, url: str) -> None:
    try:
        await doors.check_target(url)
    except Malformed as error:
        raise Invalid([Fault(path="url", message=str(error))]) from None


def _raise(faults: Sequence[Fault]) -> None:
    if faults:
        raise Invalid(faults)

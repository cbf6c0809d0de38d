"""The door for destinations: where a tenant wants its events."""

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from receiver import formats, signing
from receiver.delivery_policy import DEFAULT_EVENT_TYPES, GROUPS
from receiver.domain import Destination, EventType, OperatorEvent
from receiver.errors import Conflict, Fault, Invalid, Malformed, NotVerified, Unavailable, Unknown
from receiver.ids import new_id
from receiver.store.protocol import Page, Store
from receiver.web.answers import json_answer, page_answer
from receiver.web.doors import Caller, Doors, check_query, doors_of, query_cursor, query_limit, read_model

_LOG_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EVENT_TYPES = frozenset({*EventType, *OperatorEvent, *GROUPS})
Words = Annotated[list[str], Field(min_length=1, max_length=100)]


class DestinationIn(BaseModel):
    """What a user says of a new destination; a filter left out lets everything through."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["webhook", "sqlite"]
    url: str | None = None
    name: str | None = None
    secret: str | None = None
    event_types: Words | None = None
    providers: Words | None = None
    models: Words | None = None
    metadata: dict[str, str] | None = None
    format: Literal["standard"] = "standard"
    description: Annotated[str, Field(max_length=500)] = ""
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 32

    @field_validator("event_types")
    @classmethod
    def _known(cls, types: list[str] | None) -> list[str] | None:
        for word in types or ():
            if word not in _EVENT_TYPES:
                raise ValueError(f"no event type {word!r}; there are {', '.join(sorted(_EVENT_TYPES))}")
        return types


async def create_destination(request: Request, caller: Caller) -> Response:
    """`POST /v1/destinations`: 201 with the secret, shown by this call and by `…/secret` only."""
    doors = doors_of(request)
    asked = await read_model(request, DestinationIn)
    faults = _webhook_faults(asked) if asked.type == "webhook" else _log_faults(asked)
    if faults:
        raise Invalid(faults)
    if asked.type == "webhook":
        await _check_target(doors, asked.url or "")
    secret = asked.secret or signing.new_secret(os.urandom(32))
    destination = _destination(asked, doors, caller, secret)

    def record(store: Store) -> bool:
        if destination.type == "sqlite" and store.log_named(destination.target, caller.tenant):
            return False
        store.record_destination(destination)
        return True

    if not await doors.storage.write(record):
        raise Conflict(f"a SQLite log named {destination.target!r} exists already: use it, or choose another name")
    shown = _fields(destination)
    return json_answer(shown | {"secret": secret} if destination.type == "webhook" else shown, 201)


async def _check_target(doors: Doors, url: str) -> None:
    try:
        await doors.check_target(url)
    except Malformed as error:
        raise Invalid([Fault(path="url", message=str(error))]) from None


def _webhook_faults(asked: DestinationIn) -> list[Fault]:
    faults = []
    if not asked.url:
        faults.append(Fault(path="url", message="required for a webhook"))
    if asked.name is not None:
        faults.append(Fault(path="name", message="only a SQLite log has a name: remove it"))
    if asked.secret is not None:
        try:
            signing.secret_bytes(asked.secret)
        except Malformed as error:
            faults.append(Fault(path="secret", message=str(error)))
    return faults


def _log_faults(asked: DestinationIn) -> list[Fault]:
    faults = [
        Fault(path=path, message="a SQLite log has none: remove it")
        for path, value in (("url", asked.url), ("secret", asked.secret))
        if value is not None
    ]
    if not _LOG_NAME.fullmatch(asked.name or ""):
        faults.append(Fault(path="name", message="required: 1 to 64 letters, digits, _ and -"))
    return faults


def _destination(asked: DestinationIn, doors: Doors, caller: Caller, secret: str) -> Destination:
    now = doors.clock.now()
    destination_id = new_id("dst", now)
    return Destination(
        id=destination_id,
        tenant=caller.tenant,
        type=asked.type,
        target=asked.url or asked.name or "",
        created_at=now,
        event_types=tuple(asked.event_types or DEFAULT_EVENT_TYPES),
        providers=tuple(asked.providers) if asked.providers else None,
        models=tuple(asked.models) if asked.models else None,
        metadata=asked.metadata or None,
        format=asked.format,
        description=asked.description,
        max_in_flight=asked.max_in_flight,
        sealed_secret=doors.seal.seal(secret, row=destination_id),
    )


async def list_destinations(request: Request, caller: Caller) -> Response:
    """`GET /v1/destinations`."""
    check_query(request, "cursor")
    limit = query_limit(request)
    page = Page(tenant=caller.tenant, limit=limit + 1, cursor=query_cursor(request, "dst"))
    rows = await doors_of(request).storage.read(lambda store: store.list_destinations(page))
    return page_answer([_fields(row) for row in rows], limit, [row.id for row in rows])


async def get_destination(request: Request, caller: Caller) -> Response:
    """`GET /v1/destinations/{id}`."""
    return json_answer(_fields(await _owned(request, caller)))


async def delete_destination(request: Request, caller: Caller) -> Response:
    """`DELETE /v1/destinations/{id}`: what is still owed to it is canceled."""
    destination = await _owned(request, caller)
    await doors_of(request).storage.write(lambda store: store.delete_destination(destination.id))
    return Response(status_code=204)


async def get_secret(request: Request, caller: Caller) -> Response:
    """`GET /v1/destinations/{id}/secret`."""
    destination = await _owned(request, caller)
    if destination.type != "webhook":
        raise Unknown("a SQLite log has no secret")
    try:
        secret = doors_of(request).seal.open(destination.sealed_secret, row=destination.id)
    except NotVerified as error:  # the operator's doing: as it is, it would read as if the caller's key were wrong
        raise Unavailable(str(error)) from None
    return json_answer({"secret": secret})


async def _owned(request: Request, caller: Caller) -> Destination:
    destination_id = request.path_params["id"]
    found = await doors_of(request).storage.read(lambda store: store.destination(destination_id, caller.tenant))
    if found is None:
        raise Unknown(f"no destination {destination_id!r}")
    return found


def _fields(destination: Destination) -> dict[str, Any]:
    return {
        "id": destination.id,
        "type": destination.type,
        "url" if destination.type == "webhook" else "name": destination.target,
        "event_types": list(destination.event_types),
        "providers": destination.providers and list(destination.providers),
        "models": destination.models and list(destination.models),
        "metadata": destination.metadata and dict(destination.metadata),
        "format": destination.format,
        "description": destination.description,
        "max_in_flight": destination.max_in_flight,
        "enabled": destination.enabled,
        "state": "healthy" if destination.enabled else "disabled",
        "disabled_reason": destination.disabled_reason,
        "created_at": formats.timestamp(destination.created_at),
    }

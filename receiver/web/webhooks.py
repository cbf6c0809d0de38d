"""The webhooks of single tasks: where one goes, and the tenant's secret that signs for all of them."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from receiver.copying import replace
from receiver.delivery_policy import GROUPS, OWN_EVENT_TYPES
from receiver.destination_actions import retire
from receiver.domain import Destination, EventType, Format, Scheme, Task
from receiver.errors import AddressRefused, Fault, Invalid, Malformed, Unresolved
from receiver.ids import id_of
from receiver.sealing import tenant_row
from receiver.store.protocol import Store
from receiver.web.answers import json_answer
from receiver.web.bodies import read_optional
from receiver.web.destination_models import FormatName
from receiver.web.destination_secrets import new_secret, opened
from receiver.web.doors import Caller, Doors, doors_of

MONTH_S = 30 * 86_400
_EVENT_TYPES = frozenset({*EventType, *GROUPS})

Record = Callable[[Store], None]
OwnEventType = Annotated[str, Field(json_schema_extra={"enum": sorted(_EVENT_TYPES)})]


class WebhookIn(BaseModel):
    """What a caller says of a task's own webhook; a part of whatever makes a task."""

    model_config = ConfigDict(extra="forbid", strict=True)

    webhook_url: str | None = None
    webhook_events: Annotated[list[OwnEventType], Field(min_length=1, max_length=100)] | None = None
    webhook_format: FormatName | None = None

    @field_validator("webhook_events")
    @classmethod
    def _known(cls, types: list[str] | None) -> list[str] | None:
        for word in types or ():
            if word not in _EVENT_TYPES:
                raise ValueError(f"no event type {word!r}; there are {', '.join(sorted(_EVENT_TYPES))}")
        return types


class RotationIn(BaseModel):
    """How long the secret of before signs along."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: Annotated[int, Field(ge=0, le=MONTH_S)] = 86_400


async def attach(doors: Doors, asked: WebhookIn, task: Task, *, format: Format | None = None) -> tuple[Task, Record]:
    """The task with its webhook, and what must be recorded in the transaction that records it.

    One hidden destination serves a tenant's tasks with one URL and format, the one asked for where none is given here.
    Raises `Invalid` where the URL may not be dialled; looks its host up, so this may take seconds.
    """
    url = asked.webhook_url
    if url is None:
        alone = [name for name in ("webhook_events", "webhook_format") if getattr(asked, name) is not None]
        if alone:
            raise Invalid([Fault(path=name, message="goes with webhook_url only") for name in alone])
        return task, lambda store: None
    await _check(doors, url, now=format is not Format.PROVIDER)
    wanted = format or Format(asked.webhook_format or Format.STANDARD)
    destination = Destination(
        id=id_of("dst", task.tenant, url, wanted),
        tenant=task.tenant,
        type="webhook",
        target=url,
        created_at=task.created_at,
        event_types=OWN_EVENT_TYPES,
        format=wanted,
        hidden=True,
    )
    first, _ = _new_secret(doors, task.tenant)

    def record(store: Store) -> None:
        store.keep_tenant_secret(task.tenant, first)
        store.record_hidden_destination(destination)

    events = tuple(asked.webhook_events) if asked.webhook_events else None
    return replace(task, webhook_id=destination.id, webhook_events=events), record


async def _check(doors: Doors, url: str, *, now: bool) -> None:
    """Raises `Invalid`; `now` is whether the host must have an address already, which no provider asks for."""
    try:
        await doors.check_target(url)
    except Malformed as error:
        if isinstance(error, Unresolved) and not now:
            return
        refused = str(error)
    except AddressRefused as error:
        refused = error.told
    else:
        return
    raise Invalid([Fault(path="webhook_url", message=refused)])


async def get_secret(request: Request, caller: Caller) -> Response:
    """`GET /v1/webhook-secret`: what signs for the webhooks of the tenant's tasks; made by its first use."""
    doors = doors_of(request)
    sealed = await doors.storage.read(lambda store: store.tenant_secret(caller.tenant))
    if sealed is None:
        first, _ = _new_secret(doors, caller.tenant)
        sealed = await doors.storage.write(lambda store: store.keep_tenant_secret(caller.tenant, first))
    return json_answer({"secret": opened(doors.seal, sealed, row=tenant_row(caller.tenant))})


async def rotate_secret(request: Request, caller: Caller) -> Response:
    """`POST /v1/webhook-secret/rotate`: a new one; the one before signs along for `overlap_seconds`."""
    doors = doors_of(request)
    asked = await read_optional(request, RotationIn)
    sealed, secret = _new_secret(doors, caller.tenant)
    now = doors.clock.now()

    def rotate(store: Store) -> None:
        before = store.replace_tenant_secret(caller.tenant, sealed)
        if before is not None:
            owner, overlap = tenant_row(caller.tenant), asked.overlap_seconds * 1000
            retire(store, owner, before, now=now, overlap=overlap)

    await doors.storage.write(rotate)
    doors.wake_courier()
    return json_answer({"secret": secret})


def _new_secret(doors: Doors, tenant: str) -> tuple[str, str]:
    """A new secret of a tenant's: sealed, and open."""
    secret = new_secret(Scheme.V1)
    return doors.seal.seal(secret, row=tenant_row(tenant)), secret

"""The doors for what a caller does to one destination: switch it, try it, renew its secret, replay to it."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from receiver import breaker, destination_actions, formats
from receiver.copying import replace
from receiver.delivery_actions import why_not_sent
from receiver.domain import Destination, Ms
from receiver.errors import Fault, Invalid, Unknown
from receiver.replays import Errand, Only, Replays
from receiver.store.protocol import Store
from receiver.web.answers import json_answer
from receiver.web.bodies import NothingIn, read_model, read_optional
from receiver.web.deliveries import attempt_fields
from receiver.web.destination_faults import secret_faults
from receiver.web.destination_models import Types
from receiver.web.destination_secrets import new_secret, secret_fields
from receiver.web.destination_showing import shown
from receiver.web.destinations import known_destination, owned
from receiver.web.doors import Caller, allowed, doors_of
from receiver.web.webhooks import RotationIn


def _moment(value: object) -> Ms:
    try:
        return formats.time_of(value) if isinstance(value, str) else formats.time_of("")
    except ValueError:
        raise ValueError("must be a time as 2026-11-20T19:48:00Z, or seconds since 1970, in quotes") from None


Moment = Annotated[Ms, BeforeValidator(_moment, json_schema_input_type=str)]


class NewSecretIn(RotationIn):
    """How long the secret of before signs along, and the new one where the caller brings it."""

    secret: str | None = None


class ReplayIn(BaseModel):
    """Which past events a destination shall get again."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"required": ["since"]})

    since: Annotated[Moment | None, WithJsonSchema({"type": "string"})] = None
    until: Moment | None = None
    event_types: Types | None = None
    only: Literal["missing", "dead", "all"] = "missing"
    dry_run: bool = False


async def enable_destination(request: Request, caller: Caller) -> Response:
    """`POST /v1/destinations/{id}/enable`: what waits is sent; one that is held, though enabled, is tried at once."""
    return await _switch(request, caller, enabled=True)


async def disable_destination(request: Request, caller: Caller) -> Response:
    """`POST /v1/destinations/{id}/disable`: what is pending waits, new events make no delivery."""
    return await _switch(request, caller, enabled=False)


async def _switch(request: Request, caller: Caller, *, enabled: bool) -> Response:
    doors = doors_of(request)
    known = await known_destination(request, caller)
    await read_optional(request, NothingIn)
    now = doors.clock.now()

    def switch(store: Store) -> dict[str, object]:
        before = owned(store, known.id, caller)
        after = destination_actions.switch(store, before, enabled=enabled, now=now)
        return shown(store, after, doors)

    fields = await doors.storage.write(switch)
    doors.wake_courier()
    return json_answer(fields)


async def test_destination(request: Request, caller: Caller) -> Response:
    """`POST /v1/destinations/{id}/test`: a `ping` is sent now, be it disabled or held; its attempt is the answer.

    Where it arrives, a held queue is tried at once.
    """
    doors = doors_of(request)
    known = await known_destination(request, caller)
    await read_optional(request, NothingIn)
    now = doors.clock.now()
    retired = await doors.storage.read(lambda store: store.retired_secrets(known.id, now))
    attempt = await doors.ping(replace(known, retired=tuple(retired)))
    if attempt.succeeded:
        await doors.storage.write(lambda store: breaker.tested(store, known, doors.clock.now()))
        doors.wake_courier()
    return json_answer(attempt_fields(attempt))


async def get_secret(request: Request, caller: Caller) -> Response:
    """`GET /v1/destinations/{id}/secret`; with the `public_key` where it signs as v1a."""
    return json_answer(secret_fields(doors_of(request).seal, await known_destination(request, caller)))


async def rotate_secret(request: Request, caller: Caller) -> Response:
    """`POST /v1/destinations/{id}/rotate-secret`: a new one; the one before signs along for `overlap_seconds`."""
    doors = doors_of(request)
    known = await known_destination(request, caller)
    if known.type != "webhook":
        raise Unknown("only a webhook has a secret to be verified with")
    asked = await read_optional(request, NewSecretIn)
    _check_secret(asked.secret, known)
    now = doors.clock.now()

    def rotate(store: Store) -> Destination:
        before = owned(store, known.id, caller)
        _check_secret(asked.secret, before)
        secret = asked.secret or new_secret(before.signature)
        after = replace(before, sealed_secret=doors.seal.seal(secret, row=before.id))
        overlap = asked.overlap_seconds * 1000
        return destination_actions.change(store, before, after, now=now, overlap=overlap)

    rotated = await doors.storage.write(rotate)
    doors.wake_courier()
    return json_answer(secret_fields(doors.seal, rotated))


def _check_secret(secret: str | None, destination: Destination) -> None:
    faults = secret_faults(secret, destination.signature)
    if faults:
        raise Invalid(faults)


async def replay_to_destination(request: Request, caller: Caller) -> Response:
    """`POST /v1/destinations/{id}/replay`: how many deliveries of past events were made, or would be (`dry_run`)."""
    doors = doors_of(request)
    known = await known_destination(request, caller)
    asked = await read_model(request, ReplayIn)
    now = doors.clock.now()
    since = _checked_since(asked, now)
    errand = Errand(
        tenant=caller.tenant,
        destination_id=known.id,
        since=since,
        until=now + 1 if asked.until is None else min(asked.until, now + 1),
        event_types=asked.event_types,
        only=Only(asked.only),
    )
    replays = Replays(doors.storage, doors.wake_courier)
    if asked.dry_run:
        return json_answer({"count": await replays.count(errand)})
    allowed(why_not_sent(known))
    return json_answer({"count": await replays.run(errand, now)})


def _checked_since(asked: ReplayIn, now: Ms) -> Ms:
    if asked.since is None:
        message = "required: events recorded from then on are delivered again, as 2026-11-20T19:48:00Z"
        raise Invalid([Fault(path="since", message=message)])
    if asked.since > now:
        raise Invalid([Fault(path="since", message="lies in the future")])
    if asked.until is not None and asked.until <= asked.since:
        raise Invalid([Fault(path="until", message="must be later than `since`")])
    return asked.since

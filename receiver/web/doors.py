"""What every door may use, wired by main, and how a request is read."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from receiver import json_text
from receiver.bell import Bell
from receiver.clock import Clock
from receiver.domain import Task
from receiver.errors import Fault, Invalid, Malformed, NotVerified, TooLarge
from receiver.providers import CallbackUrls, Providers
from receiver.sealing import Seal
from receiver.store.protocol import Storage

Model = TypeVar("Model", bound=BaseModel)

DEFAULT_LIMIT = 50
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The rooms behind the doors."""

    storage: Storage
    providers: Providers
    callbacks: CallbackUrls
    seal: Seal
    clock: Clock
    bell: Bell
    accept: Callable[[Task], Awaitable["asyncio.Task[None]"]]
    wake_poller: Callable[[], None]
    check_target: Callable[[str], Awaitable[None]]
    unready: Callable[[], Awaitable[str | None]]
    api_key: str = field(repr=False)
    max_body: int = 1024 * 1024
    answer_within_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a tenant, by one of its keys."""

    tenant: str


def doors_of(request: Request) -> Doors:
    """What main wired for this application."""
    doors: Doors = request.app.state.doors
    return doors


def caller_of(request: Request) -> Caller:
    """Who asks, by the bearer key; raises `NotVerified`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    given, wanted = key.strip().encode("utf-8", "replace"), doors_of(request).api_key.encode()
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted):
        raise NotVerified("send the API key as `Authorization: Bearer <key>`")
    return Caller(tenant="default")


async def read_body(request: Request, most: int) -> bytes:
    """The body; raises `TooLarge` as soon as it is over `most` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise TooLarge(f"the body has {declared} bytes, the limit is {most}")
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise TooLarge(f"the body has more than {most} bytes")
            chunks.append(chunk)
    except ClientDisconnect:
        raise Malformed("the body ended early") from None
    return b"".join(chunks)


async def read_model(request: Request, model: type[Model]) -> Model:
    """The body as a validated model; raises `Malformed` (not JSON) or `Invalid` (each field with its path)."""
    value = json_text.read_strict(await read_body(request, doors_of(request).max_body))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid([_fault(item) for item in error.errors(include_url=False, include_input=False)]) from None


def _fault(item: Any) -> Fault:
    path = ""
    for part in item["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    messages = {
        "extra_forbidden": "unknown field: remove it, or check its spelling",
        "missing": "required",
        "model_type": "the body must be a JSON object",
    }
    return Fault(path=path, message=messages.get(item["type"], item["msg"]))


def query_integer(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number in the query; raises `Invalid`."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most):
        raise Invalid([Fault(path=name, message=f"must be a whole number from {least} to {most}")])
    return int(text)


def query_limit(request: Request) -> int:
    """How many items a list shall have."""
    return query_integer(request, "limit", DEFAULT_LIMIT, least=1, most=MOST)


def query_filters(request: Request, *names: str) -> dict[str, str]:
    """The equality filters that are set, of those a list knows."""
    return {name: request.query_params[name] for name in names if request.query_params.get(name)}

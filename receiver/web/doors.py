"""What every door may use, wired by main, and how a request is read."""

import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as Asked

from receiver.action_policy import Refusal
from receiver.api_keys import Scope
from receiver.bell import Bell
from receiver.budget import Room
from receiver.clock import Clock
from receiver.counts import Counts
from receiver.domain import Attempt, Destination, Ms, Task
from receiver.due import Ticked
from receiver.errors import Conflict, Fault, Forbidden, Invalid, Malformed, NotVerified, TooLarge, Unavailable
from receiver.health import Health
from receiver.keyring import Keyring
from receiver.providers import CallbackUrls, Providers
from receiver.roles import ServerRole
from receiver.sealing import Seal
from receiver.signing import WatchTokens
from receiver.store.protocol import Storage, Store
from receiver.traces import Traces
from receiver.usage import Counting

if TYPE_CHECKING:
    from receiver.feed import Feed

Result = TypeVar("Result")

DEFAULT_LIMIT = 50
MOST = 200
PAGE = ("limit", "tenant")  # what every list takes
CURSORS = ("cursor", "after")
MOST_FAULTS = 100  # told at once: the refusal of a body must not be larger than the body
ROOTS_OWN = "default"  # the tenant that root acts for where nothing else is said
_ID = re.compile(r"[0-9a-z]{26}")


class Accept(Protocol):
    """Commits a new task, `also` with what belongs to it, and has it handed over: now, or `later`."""

    def __call__(
        self, task: Task, *, also: Callable[[Store], None] | None = None, later: bool = False
    ) -> Awaitable[None]: ...


class FollowUp(Protocol):
    """Sees to what follows for a task from what was recorded just now; `rang` where it is to be asked about."""

    def __call__(self, task_id: str, rang: bool) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The rooms behind the doors; `adapters` names those that are installed, be one configured or not.

    `keeps_logs` is false where several processes serve together: a file of one of them would hold a part of it all.
    """

    storage: Storage
    providers: Providers
    adapters: Collection[str]
    callbacks: CallbackUrls
    seal: Seal
    clock: Clock
    bell: Bell
    watch: WatchTokens
    feed: Callable[[], "Feed"]
    accept: Accept
    follow_up: FollowUp
    tick: Callable[[float], Awaitable[Ticked]]
    wake_poller: Callable[[], None]
    wake_submitter: Callable[[], None]
    wake_courier: Callable[[], None]
    ping: Callable[[Destination], Awaitable[Attempt]]
    check_target: Callable[[str], Awaitable[None]]
    keyring: Keyring
    counting: Counting
    counts: Counts
    traces: Traces
    health: Health
    room: Callable[[str, Ms], Room]
    api_key: str = field(repr=False)
    cron_secret: str | None = field(default=None, repr=False)
    serverless: bool = False
    role: ServerRole = ServerRole.ALL
    max_body: int = 1024 * 1024
    keeps_logs: bool = True
    metrics_open: bool = False
    answer_within_s: float = 20.0
    stream_s: float | None = None
    keys_under_way: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Door:
    """What a route leads to. From a function Starlette would make one with a second net for errors inside the first."""

    answer: Callable[[Request], Awaitable[Response]]

    async def __call__(self, scope: Asked, receive: Receive, send: Send) -> None:
        response = await self.answer(Request(scope, receive, send))
        await response(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a tenant, by one of its keys; `root` is all tenants, and acts for this one."""

    tenant: str
    scopes: tuple[Scope, ...] = ()
    root: bool = False
    label: str = ""
    key_id: str | None = None

    def may(self, scope: Scope) -> bool:
        return any(each.covers(scope) for each in self.scopes)


def doors_of(request: Request) -> Doors:
    """What main wired for this application."""
    doors: Doors = request.scope["app"].doors
    return doors


async def caller_of(request: Request) -> Caller:
    """Who asks, by the bearer key; raises `NotVerified`."""
    return await caller_by(doors_of(request), _bearer(request))


async def caller_by(doors: Doors, key: bytes) -> Caller:
    """Whose key this is, wherever it was sent; raises `NotVerified`."""
    if hmac.compare_digest(key, doors.api_key.encode()):
        return Caller(tenant=ROOTS_OWN, scopes=tuple(Scope), root=True, label="root")
    held = await doors.keyring.holder(key)
    if held is None:
        raise NotVerified("this API key is not known here")
    return Caller(tenant=held.tenant, scopes=held.scopes, label=held.label, key_id=held.id)


def check_scope(caller: Caller, needs: Scope | None) -> None:
    """Raises `Forbidden` unless the caller has this scope, or is root where none will do."""
    if needs is None and not caller.root:
        raise Forbidden("this takes the root key, TASKWEIR_API_KEY")
    if needs is not None and not caller.may(needs):
        raise Forbidden(f"this takes a key with the scope `{needs}`; this one has {', '.join(caller.scopes)}")


async def check_clock(request: Request) -> None:
    """Let only the root key, and the secret of whoever calls by the clock, make us work.

    Raises `NotVerified`, or `Forbidden` of a key that is a tenant's.
    """
    doors, given = doors_of(request), _bearer(request)
    if doors.cron_secret is not None and hmac.compare_digest(given, doors.cron_secret.encode()):
        return
    try:
        caller = await caller_by(doors, given)
    except NotVerified:
        raise NotVerified("this takes the root key, or TASKWEIR_CRON_SECRET") from None
    check_scope(caller, None)


def _bearer(request: Request) -> bytes:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotVerified("send the API key as `Authorization: Bearer <key>`")
    # Header values reach us decoded as Latin-1; a key beyond ASCII was sent as UTF-8.
    return key.strip(" \t").encode("latin-1")


def refuse_if_stopping(doors: Doors) -> None:
    """For doors that take on work: raises `Unavailable` once the process was told to stop."""
    if doors.health.draining:
        raise Unavailable("the server is stopping; nothing was recorded")


async def read_body(request: Request, most: int) -> bytes:
    """The body; raises `TooLarge` as soon as it is over `most` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > most):
        raise _too_large(most)
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise _too_large(most)
            chunks.append(chunk)
    except ClientDisconnect:
        raise Malformed("the body ended early") from None
    return b"".join(chunks)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body has more than {most} bytes (TASKWEIR_MAX_BODY)")


def check_query(request: Request, *known: str, several: Iterable[str] = (), free: str = "", pages: bool = True) -> None:
    """Refuse a list's query that would be misread: raises `Invalid` for each name that the list does not know.

    One given twice with different values is refused, too, but for those that take `several`, and a filter without a
    value, which in a script is one that was never set, and would let everything through. Names that begin with `free`
    are the caller's own, and so are their values. What `pages` need is none where it is empty.
    """
    always = PAGE if pages else ("tenant",)
    given, names = request.query_params, (*known, *([f"{free}<key>"] if free else []), *always)
    faults = []
    for name in dict.fromkeys(given.keys()):
        values = set(given.getlist(name))
        if name not in (*known, *always) and not (free and name.startswith(free) and name != free):
            if values != {""}:
                faults.append(Fault(path=name, message=f"unknown parameter; there are {', '.join(names)}"))
        elif name not in several and len(values) > 1:
            faults.append(Fault(path=name, message="given more than once, with different values: give one"))
        elif name in known and name not in CURSORS and "" in values:
            faults.append(Fault(path=name, message="has no value: give one, or leave it out"))
    if faults:
        raise Invalid(faults[:MOST_FAULTS])


def query_integer(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number in the query; raises `Invalid`."""
    text = request.query_params.get(name) if request.scope["query_string"] else None
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise Invalid([Fault(path=name, message=f"must be a whole number from {least} to {most}")])
    return int(text)


def query_limit(request: Request) -> int:
    """How many items a list shall have."""
    return query_integer(request, "limit", DEFAULT_LIMIT, least=1, most=MOST)


def query_cursor(request: Request, prefix: str) -> str | None:
    """The `next_cursor` of an earlier page, an id of the listed kind; raises `Invalid` on anything else."""
    cursor = request.query_params.get("cursor")
    if cursor and not (cursor.startswith(f"{prefix}_") and _ID.fullmatch(cursor[len(prefix) + 1 :])):
        raise Invalid([Fault(path="cursor", message="must be the `next_cursor` of an earlier page of this list")])
    return cursor or None


def query_word(request: Request, name: str, allowed: Iterable[str]) -> None:
    """Check a filter that takes certain words only: raises `Invalid`, for no item could ever match another."""
    words = list(allowed)
    if request.query_params.get(name, "") not in ("", *words):
        raise Invalid([Fault(path=name, message=f"must be one of {', '.join(words)}")])


def query_filters(request: Request, *names: str) -> dict[str, str]:
    """The equality filters that are set, of those a list knows."""
    return {name: request.query_params[name] for name in names if request.query_params.get(name)}


def allowed(outcome: Result | Refusal) -> Result:
    """What an action gave; raises `Conflict` where it was refused."""
    if isinstance(outcome, Refusal):
        raise Conflict(outcome.reason)
    return outcome

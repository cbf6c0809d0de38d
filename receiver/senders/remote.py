"""The last step to a user's own server that speaks no HTTP: a client kept per destination, every attempt bounded."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from receiver.clock import Clock
from receiver.dialling import Unreachable
from receiver.domain import Attempt, Destination
from receiver.errors import Malformed, NotVerified
from receiver.sealing import Seal
from receiver.senders.answers import KEPT_BYTES, kept_text
from receiver.senders.base import Sent
from receiver.store.records import Parcel
from receiver.streams import Streams
from receiver.targets import Shape, Target, read_target
from receiver.unsealing import blocked_reason

DEADLINE_S = 15.0
IDLE_S = 60.0
_CLOSING_S = 2.0
# What a library raises where it reads an answer that it did not expect.
ODD_ANSWERS = (ValueError, TypeError, LookupError, AttributeError)


class Lost(Exception):
    """No connection, or none any more: what was under way may have arrived or not."""


class Refused(Exception):
    """The server said no to all of it; the text is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one parcel: why it is not there, or what the server told of it."""

    error: str | None = None
    told: str = ""


class Client(Protocol):
    """One connection to one destination's server, shared by all that is sent there."""

    @property
    def usable(self) -> bool:
        """Whether it was not seen to break while nobody used it."""

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        """Try each parcel once, in order; a repeat of what arrived before changes nothing, as far as the server allows.

        Raises `Lost` and `Refused`, and nothing else of the network or of the library.
        """

    async def close(self) -> None:
        """End it, though something may still be under way; raises nothing, and may be broken off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one kind of server takes: the shape of its URLs, and how a client comes to be.

    `connect` dials by `Streams` alone, and raises `Unreachable`, `Lost` and `Refused`.
    """

    shape: Shape
    connect: Callable[[Target, Streams], Awaitable[Client]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A kind as it is known before its library is: `load` imports it, and raises `ImportError`.

    `batch` is how many events it takes at once; with `formats` a destination says in which of them it wants its events.
    """

    type: str
    library: str
    load: Callable[[], Kind]
    batch: int = 1
    formats: bool = True

    @property
    def missing(self) -> str:
        """What to say where the library is not there."""
        return f"a {self.type} destination needs a library that is not installed: pip install 'taskweir[{self.type}]'"

    def blocked_reason(self, seal: Seal, destination: Destination) -> str | None:
        """Why nothing can be sent to a destination of this kind now, and the remedy; None where it can."""
        return f"{self.missing}, and restart" if find_spec(self.library) is None else blocked_reason(seal, destination)


@dataclass(slots=True, eq=False)
class _Kept:
    """A client, or one that is coming to be; of no use once the destination has another URL."""

    key: tuple[str, str]
    opening: "asyncio.Task[Client]"
    users: int = 0
    timer: asyncio.TimerHandle | None = None
    dropped: bool = False


class RemoteSender:
    """Sends to all destinations of one kind.

    A client is kept for `idle_s` after its last attempt. One that stood idle may turn out broken: then the attempt is
    made once more on a new one, within its deadline.
    """

    def __init__(
        self,
        kind: Registered,
        streams: Streams,
        seal: Seal,
        clock: Clock,
        *,
        deadline_s: float = DEADLINE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.batch = kind.batch
        self.longest_attempt_s = deadline_s
        self._idle_s = idle_s
        self._kind = kind
        self._streams = streams
        self._seal = seal
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._ending: set[asyncio.Task[Any]] = set()

    def blocked_reason(self, destination: Destination) -> str | None:
        return self._kind.blocked_reason(self._seal, destination)

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Sent]:
        at = self._clock.now()
        outcomes = await self._bounded(destination, parcels)
        duration_ms = max(self._clock.now() - at, 0)
        secrets = self._secrets(destination)
        return [
            Sent(
                attempt=Attempt(
                    number=parcel.delivery.attempts,
                    at=at,
                    duration_ms=duration_ms,
                    error=outcome.error and _shown(outcome.error, secrets),
                    response=_shown(outcome.told, secrets),
                )
            )
            for parcel, outcome in zip(parcels, outcomes, strict=True)
        ]

    async def close(self) -> None:
        """End every client; what they have not ended by then is left to the streams' end."""
        for destination_id, kept in list(self._kept.items()):
            self._drop(destination_id, kept)
        if self._ending:
            await asyncio.wait(self._ending, timeout=_CLOSING_S)

    async def _bounded(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        """The attempt, or what to say where its time is over. A client that does not stop then is not waited for."""
        used: list[_Kept] = []
        under_way = asyncio.ensure_future(self._attempt(destination, parcels, used))
        try:
            await asyncio.wait({under_way}, timeout=self.longest_attempt_s)
        except asyncio.CancelledError:
            self._leave(under_way, destination, used)
            raise
        if under_way.done() and not under_way.cancelled():
            return under_way.result()
        # Whoever waited for a connection that another one waited for too long ends with that one.
        what = "connection" if under_way.done() else "answer"
        self._leave(under_way, destination, used)
        return [Outcome(error=f"no {what} within {self.longest_attempt_s:g} s")] * len(parcels)

    async def _attempt(
        self, destination: Destination, parcels: Sequence[Parcel], used: list[_Kept]
    ) -> Sequence[Outcome]:
        try:
            kept, fresh = self._keep(destination)
            used.append(kept)
            try:
                return await self._through(kept, destination, parcels)
            except Lost:
                if fresh:
                    raise
            kept, _ = self._keep(destination)
            used.append(kept)
            return await self._through(kept, destination, parcels)
        except (Lost, Refused, Unreachable, NotVerified, Malformed) as error:
            return [Outcome(error=str(error))] * len(parcels)

    async def _through(self, kept: _Kept, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        kept.users += 1
        if kept.timer is not None:
            kept.timer.cancel()
        try:
            client = await asyncio.shield(kept.opening)
            return await client.send(destination, parcels)
        except BaseException:
            self._drop(destination.id, kept)
            raise
        finally:
            kept.users -= 1
            if not kept.users and not kept.dropped:
                loop = asyncio.get_running_loop()
                kept.timer = loop.call_later(self._idle_s, self._drop, destination.id, kept)

    def _keep(self, destination: Destination) -> tuple[_Kept, bool]:
        """The destination's client, and whether it is a new one."""
        key, kept = (destination.target, destination.sealed_secret), self._kept.get(destination.id)
        if kept is not None and (kept.key != key or _broken(kept)):
            self._drop(destination.id, kept)
            kept = None
        fresh = kept is None or not kept.opening.done()
        if kept is None:
            kept = _Kept(key, asyncio.ensure_future(self._open(destination)))
            self._kept[destination.id] = kept
        return kept, fresh

    async def _open(self, destination: Destination) -> Client:
        try:
            kind = await asyncio.to_thread(self._kind.load)  # an import takes a while
        except ImportError:
            raise Refused(self._kind.missing) from None
        url = self._seal.open(destination.sealed_secret, row=destination.id)
        return await kind.connect(read_target(url, kind.shape), self._streams)

    def _secrets(self, destination: Destination) -> list[str]:
        """What must not be told, whoever repeats it to us."""
        with suppress(NotVerified, Malformed, ImportError):
            url = self._seal.open(destination.sealed_secret, row=destination.id)
            return read_target(url, self._kind.load().shape).secrets
        return []

    def _drop(self, destination_id: str, kept: _Kept) -> None:
        if self._kept.get(destination_id) is kept:
            del self._kept[destination_id]
        if kept.timer is not None:
            kept.timer.cancel()
        if not kept.dropped:
            kept.dropped = True
            self._watch(asyncio.ensure_future(_ended(kept)))

    def _leave(self, task: "asyncio.Task[Any]", destination: Destination, used: Sequence[_Kept]) -> None:
        """Give up on an attempt, and on its clients: nobody knows what they are still busy with."""
        task.cancel()
        self._watch(task)
        for kept in used:
            self._drop(destination.id, kept)

    def _watch(self, task: "asyncio.Task[Any]") -> None:
        self._ending.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: "asyncio.Task[Any]") -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # of what was given up, nobody wants to hear


def _broken(kept: _Kept) -> bool:
    if not kept.opening.done():
        return False
    return kept.opening.cancelled() or kept.opening.exception() is not None or not kept.opening.result().usable


async def _ended(kept: _Kept) -> None:
    if not kept.opening.done():
        kept.opening.cancel()
    elif not kept.opening.cancelled() and kept.opening.exception() is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await kept.opening.result().close()


def _shown(text: str, secrets: Sequence[str]) -> str:
    return kept_text(text.encode("utf-8", "replace")[:KEPT_BYTES], {}, secrets)

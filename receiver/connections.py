"""Connections for `receiver.outbound`: how they are found, guarded, and judged fit for one more request.

What stands here closes gaps of aiohttp 3.14, each of which a test over a real socket holds shut.
"""

import asyncio
import errno
import functools
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from receiver.errors import AddressRefused
from receiver.guard import Guard

DNS_DEADLINE_S = 5.0
_DNS_CACHE_S = 10
# More at once than the courier lets slow destinations have under way, so that a healthy one finds a thread.
_DNS_THREADS = 256
_DNS_THREADS_FOR_DEAD = 64
_DEAD_KNOWN = 10_000
_MAX_INTERIM = 16
_PARSED_AT_ONCE = 4096

Found = list[tuple[Any, ...]]  # as `socket.getaddrinfo` tells it
LookUp = Callable[[str, int], Found]


class Dial:
    """What one request has come to: `connected` from the moment on that its first byte may have left."""

    __slots__ = ("connected", "host", "refused")

    def __init__(self) -> None:
        self.host = ""
        self.connected = False
        self.refused: str | None = None


# aiohttp connects in the task of the request that needs the connection, or in children of it, which copy its context:
# so the socket factory, which is told an address only, can know for which host it is dialled. A connection is shared
# by requests to the same host only.
DIAL: ContextVar[Dial] = ContextVar("DIAL")


class Stale(aiohttp.ClientError):
    """A connection that the server closed, or spoke on, before anybody asked it anything."""


class NotRepeated(aiohttp.ClientError):
    """A connection that broke under a request which must not go out twice; its cause is aiohttp's own error."""


class Request(aiohttp.ClientRequest):
    """A request that looks at its connection before the first byte leaves."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Write the request; raises `Stale`, with nothing written, where the connection is not fit for it."""
        # Two turns of the loop, so that what already waits in the socket is seen. aiohttp itself takes bytes that came
        # while the connection idled for the answer to the next request: another task's answer.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if conn.closed or conn.protocol is None or conn.protocol.should_close:
            raise Stale
        DIAL.get().connected = True
        return await super().send(conn)


async def never_twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending again: after a broken connection it repeats every method but POST and PATCH."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NotRepeated from error


class _Protocol(ResponseHandler):
    """aiohttp's reader, with an end to 1xx answers: parsing a flood of them would stall the loop until the deadline."""

    _interim = 0

    def data_received(self, data: bytes) -> None:
        # Piece by piece: thousands of 1xx answers fit into one read, and the parser would make objects of them all.
        for first in range(0, len(data), _PARSED_AT_ONCE):
            if self._interim <= _MAX_INTERIM:
                super().data_received(data[first : first + _PARSED_AT_ONCE])

    def feed_data(self, data: tuple[Any, Any], size: int = 0) -> None:
        self._interim = self._interim + 1 if data[0].code < 200 else 0
        if self._interim <= _MAX_INTERIM:
            super().feed_data(data, size)
        elif self._interim == _MAX_INTERIM + 1:
            self.set_exception(HttpProcessingError(message="too many 1xx answers"))
            if self.transport is not None:
                self.transport.abort()


class Connector(aiohttp.TCPConnector):
    """A pool of connections; with a guard, it dials nothing that the guard refuses.

    A host is refused whole where any of its addresses is, and every address is looked at again as it is dialled, for
    IP literals in a URL never reach the resolver.
    """

    def __init__(self, names: "Names", guard: Guard | None, *, keepalive_s: float, limit: int, per_host: int) -> None:
        super().__init__(
            resolver=_Resolver(names, guard),
            socket_factory=None if guard is None else functools.partial(_guarded_socket, guard),
            keepalive_timeout=keepalive_s,
            limit=limit,
            limit_per_host=per_host,
            ttl_dns_cache=_DNS_CACHE_S,
        )
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(_Protocol, loop=self._loop))


def _guarded_socket(guard: Guard, info: Any) -> socket.socket:
    family, kind, protocol, _, address = info
    dial = DIAL.get()
    try:
        guard.judge_host(dial.host, (str(address[0]),), address[1])
    except AddressRefused as refused:
        dial.refused = refused.told
        raise PermissionError(errno.EACCES, "refused by the guard") from None
    return socket.socket(family, kind, protocol)


def is_here(address: str) -> bool:
    """Whether an address is one of this machine's own: the only ones that a socket can be bound to."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True


def look_up(host: str, port: int) -> Found:
    """Ask the system for a host's addresses, and wait; raises `OSError` or `ValueError` where it has none."""
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class Names:
    """Name look-ups on threads of their own, daemons.

    A look-up cannot be stopped, only left behind. In the loop's own executor a few dead name servers would hold up
    everything else that runs there, and the process at its end. Hosts that were not answered for the last time wait
    for each other only.
    """

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._ask = look_up
        self._free = asyncio.Semaphore(_DNS_THREADS)
        self._free_for_dead = asyncio.Semaphore(_DNS_THREADS_FOR_DEAD)
        self._dead: set[str] = set()

    async def addresses(self, host: str, port: int, *, deadline_s: float = DNS_DEADLINE_S) -> list[str]:
        """Every address of a host, each once; raises `OSError` where it has none, or no answer came in time."""
        free = self._free_for_dead if host in self._dead else self._free
        answer: asyncio.Future[Found] | None = None
        try:
            async with asyncio.timeout(deadline_s):
                await free.acquire()
                answer = self._start(host, port, free)
                found = await answer
        except TimeoutError:
            if answer is not None:
                self._remember_dead(host)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered") from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def _remember_dead(self, host: str) -> None:
        if len(self._dead) >= _DEAD_KNOWN:
            self._dead.clear()
        self._dead.add(host)

    def _start(self, host: str, port: int, free: asyncio.Semaphore) -> "asyncio.Future[Found]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()

        def settle(found: Found | None, error: OSError | None) -> None:
            free.release()
            if not answer.done():
                self._dead.discard(host)
                answer.set_result(found or []) if error is None else answer.set_exception(error)

        def run() -> None:
            found, error = self._answer(host, port)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, found, error)

        try:
            threading.Thread(target=run, daemon=True, name="name look-up").start()
        except RuntimeError:  # the process may have no more threads now: that must not cost a slot for good
            settle(None, OSError(errno.EAGAIN, "no thread"))
        return answer

    def _answer(self, host: str, port: int) -> tuple[Found | None, OSError | None]:
        try:
            return self._ask(host, port), None
        except OSError as error:
            return None, error
        except ValueError:  # a label that is empty or too long
            return None, socket.gaierror(socket.EAI_NONAME, "not a host name")


class _Resolver(AbstractResolver):
    def __init__(self, names: Names, guard: Guard | None) -> None:
        self._names = names
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._names.addresses(host, port)
        if self._guard is not None:
            self._guard.judge_host(host, addresses, port)
        return [_resolved(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing is held."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST
    )

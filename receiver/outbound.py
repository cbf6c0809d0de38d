"""The only room that talks out: one request, one value back, within one deadline.

Whatever the network does is a `Reply` or a `NoReply`, never an exception. Three pools of connections serve three
audiences, because each may be sent to twice, and dialled, under different rules.
"""

import asyncio
import errno
import re
import socket
from contextvars import ContextVar
from enum import Enum
from typing import Any

import aiohttp

from receiver.domain import Call, NoReply, Reply
from receiver.errors import AddressRefused, Malformed
from receiver.guard import Guard

DEFAULT_CAP = 64 * 1024
DNS_DEADLINE_S = 5.0
_DNS_CACHE_S = 10
_DNS_THREADS = 32
_MAX_HEADER_LINE = 16 * 1024
_MAX_HEADERS = 128

_Lookup = list[tuple[Any, ...]] | Exception
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
# Framing is ours: a second opinion about where a request ends lets one request be read as two.
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Audience(Enum):
    """Whom a request is for; the value is how many seconds a connection may idle before it is not used again.

    A server that closes an idle connection just as we send leaves us without an answer. A submit must then count as
    sent, a delivery as failed, so both use fresh connections only (most servers wait 5 s or longer); a poll is simply
    asked again.
    """

    PROVIDER_SUBMIT = 2.0
    PROVIDER_POLL = 15.0
    WEBHOOK = 4.0


class Outbound:
    """Sends requests; start it in the event loop that it serves, and close it there.

    `limit` caps all connections of one audience (0: none), `limit_per_host` those to one host and port.
    """

    def __init__(self, guard: Guard, *, limit: int = 0, limit_per_host: int = 256) -> None:
        self._guard = guard
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._sessions: dict[Audience, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> "Outbound":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Open the pools; no connection is made yet."""
        self._sessions = {audience: self._session(audience) for audience in Audience}

    async def close(self) -> None:
        """Cut every connection; what is in flight, and whatever is sent later, ends as a `NoReply`."""
        for session in self._sessions.values():
            await session.close()

    async def resolve(self, host: str, port: int) -> list[str]:
        """Every address that a host has now; empty where it has none, or no name server answered within 5 s."""
        try:
            return await _Names().addresses(host, port)
        except OSError:
            return []

    async def send(self, call: Call, *, deadline_s: float, cap: int = DEFAULT_CAP, kind: Audience) -> Reply | NoReply:
        """Send once, and read the answer up to `cap` bytes.

        The deadline covers name look-up, connection, TLS, headers and body together. A longer body is cut and its
        connection closed. Raises nothing but `CancelledError`. `NoReply.reason` is short, and holds no path, query,
        header or secret.
        """
        dial = _Dial()
        before = _DIAL.set(dial)
        try:
            async with asyncio.timeout(deadline_s):
                return await self._exchange(call, cap, kind, dial)
        except (Malformed, AddressRefused) as refused:
            return NoReply(sent=False, reason=str(refused))
        except _FAILURES as error:
            return NoReply(sent=dial.connected, reason=dial.refused or _reason(error, dial, deadline_s))
        finally:
            _DIAL.reset(before)

    async def _exchange(self, call: Call, cap: int, kind: Audience, dial: "_Dial") -> Reply:
        url = Guard.check_url(call.url)
        dial.host = url.raw_host or ""
        session = self._sessions.get(kind)
        if session is None:
            raise Malformed("nothing can be sent before start")
        response = await session.request(
            call.method,
            url,
            data=call.body,
            headers=_checked(call.headers),
            allow_redirects=False,
            trace_request_ctx=dial,
        )
        try:
            body = await _read(response, cap)
            return Reply(status=response.status, headers=_lower(response.raw_headers), body=body)
        finally:
            response.close()  # without effect where the body was read to its end

    def _session(self, audience: Audience) -> aiohttp.ClientSession:
        guarded = audience is Audience.WEBHOOK
        connector = aiohttp.TCPConnector(
            limit=self._limit,
            limit_per_host=self._limit_per_host,
            keepalive_timeout=audience.value,
            ttl_dns_cache=_DNS_CACHE_S,
            resolver=_Names(self._guard if guarded else None),
            socket_factory=self._guarded_socket if guarded else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            trace_configs=[_connection_trace()],
            middlewares=(_never_twice,) if audience is Audience.PROVIDER_SUBMIT else (),
            max_line_size=_MAX_HEADER_LINE,
            max_field_size=_MAX_HEADER_LINE,
            max_headers=_MAX_HEADERS,
            skip_auto_headers=("Content-Type", "User-Agent"),
        )

    def _guarded_socket(self, info: Any) -> socket.socket:
        """The last look at an address before it is dialled; IP literals in a URL are seen here only."""
        family, kind, protocol, _, address = info
        dial = _DIAL.get()
        try:
            self._guard.judge_host(dial.host, (str(address[0]),))
        except AddressRefused as refused:
            dial.refused = str(refused)
            raise PermissionError(errno.EACCES, "refused by the guard") from None
        return socket.socket(family, kind, protocol)


class _Dial:
    """What one request has come to; aiohttp's callbacks write it, wherever they run."""

    __slots__ = ("answering", "connected", "host", "refused")

    def __init__(self) -> None:
        self.host = ""
        self.connected = False
        self.refused: str | None = None


# aiohttp makes a connection in the task of the request that needs it, or in children of that task, which copy its
# context: so the socket factory, which is told an address only, can know for which host it is dialled. A connection
# is shared by requests to the same host only.
_DIAL: ContextVar[_Dial] = ContextVar("_DIAL")

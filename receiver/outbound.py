"""The only room that talks out: one request, one value back, within one deadline.

Whatever the network does is a `Reply` or a `NoReply`, never an exception. Three pools of connections serve three
audiences, because each may be sent to again, and dialled, under rules of its own.
"""

import asyncio
import io
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from importlib.metadata import version

import aiohttp
from yarl import URL

from receiver.connections import DIAL, Connector, Dial, LookUp, Names, NotRepeated, Request, Stale, look_up, never_twice
from receiver.errors import AddressRefused, Malformed
from receiver.guard import Guard
from receiver.wire import Call, NoReply, Reply

DEFAULT_CAP = 64 * 1024
USER_AGENT = f"Taskweir/{version('taskweir')}"
_MAX_HEADER_LINE = 16 * 1024
_MAX_HEADERS = 128
_MAX_STALE = 3
_WRITTEN_WHOLE = 256 * 1024  # a longer body is written piece by piece

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

    def __init__(self, guard: Guard, *, limit: int = 0, limit_per_host: int = 256, look_up: LookUp = look_up) -> None:
        self._guard = guard
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._sessions: dict[Audience, aiohttp.ClientSession] = {}
        # Apart, so that no webhook's dead name server can keep a provider from being found, and no caller who saves
        # dead names a webhook.
        self._provider_names = Names(look_up)
        self._webhook_names = Names(look_up)
        self._saved_names = Names(look_up)

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
            return await self._saved_names.addresses(host, port)
        except OSError:
            return []

    async def send(self, call: Call, *, deadline_s: float, cap: int = DEFAULT_CAP, kind: Audience) -> Reply | NoReply:
        """Send once, and read the answer up to `cap` bytes.

        The deadline covers name look-up, connection, TLS, headers and body together. A longer body is cut and its
        connection closed. Raises nothing but `CancelledError`. `NoReply.reason` is short, and holds no path, query,
        header or secret. Webhooks go only where the guard allows.
        """
        dial = Dial()
        before = DIAL.set(dial)
        try:
            async with asyncio.timeout(deadline_s):
                return await self._exchange(call, cap, kind, dial)
        except Malformed as malformed:
            return NoReply(sent=False, reason=str(malformed))
        except AddressRefused as refused:
            return NoReply(sent=False, reason=refused.told)
        except _FAILURES as error:
            return NoReply(sent=dial.connected, reason=dial.refused or _reason(error, dial, deadline_s))
        finally:
            DIAL.reset(before)

    async def _exchange(self, call: Call, cap: int, kind: Audience, dial: Dial) -> Reply:
        url = Guard.check_url(call.url)
        if kind is Audience.WEBHOOK:
            self._guard.judge_name(url)
        dial.host = url.raw_host or ""
        session = self._sessions.get(kind)
        if session is None:
            raise RuntimeError("not started")
        response = await _answer(session, call, url)
        try:
            body = await _read(response, cap)
            return Reply(status=response.status, headers=_lower(response.raw_headers), body=body)
        finally:
            response.close()  # without effect where the body was read to its end

    def _session(self, audience: Audience) -> aiohttp.ClientSession:
        guarded = audience is Audience.WEBHOOK
        return aiohttp.ClientSession(
            connector=Connector(
                self._webhook_names if guarded else self._provider_names,
                self._guard if guarded else None,
                keepalive_s=audience.value,
                limit=self._limit,
                per_host=0 if guarded else self._limit_per_host,  # many destinations share one host
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `send` keeps the one deadline
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            request_class=Request,
            middlewares=(never_twice,) if audience is Audience.PROVIDER_SUBMIT else (),
            max_line_size=_MAX_HEADER_LINE,
            max_field_size=_MAX_HEADER_LINE,
            max_headers=_MAX_HEADERS,
            skip_auto_headers=("Content-Type", "User-Agent"),
        )


async def _answer(session: aiohttp.ClientSession, call: Call, url: URL) -> aiohttp.ClientResponse:
    """Send on the first connection that is fit for it; those that are not are dropped before a byte was written."""
    headers = _checked(call.headers)
    for _ in range(_MAX_STALE):
        body = io.BytesIO(call.body) if call.body and len(call.body) > _WRITTEN_WHOLE else call.body
        with suppress(Stale):
            return await session.request(call.method, url, data=body, headers=headers, allow_redirects=False)
    raise Stale


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as they are sent; raises `Malformed` on one that would break out of its line or of the request."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value) or name.lower() in _FRAMING:
            raise Malformed("a header cannot be sent as it is written")
    sent = {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}
    if not any(name.lower() == "user-agent" for name in headers):
        sent["User-Agent"] = USER_AGENT
    return sent | {"Accept-Encoding": "identity"}


def _lower(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("utf-8", "replace").lower(): value.decode("utf-8", "replace") for name, value in raw}


async def _read(response: aiohttp.ClientResponse, cap: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > cap:
            break
    return b"".join(parts)[:cap]


_FAILURES = (aiohttp.ClientError, OSError, ValueError, RuntimeError, TypeError)

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "the host name does not resolve"),
    (aiohttp.ClientConnectorCertificateError, "the TLS certificate was not accepted"),
    (aiohttp.ClientSSLError, "the TLS handshake failed"),
    (Stale, "the connection was closed before the request"),
    (aiohttp.ServerDisconnectedError, "the connection was closed before an answer"),
    (aiohttp.ClientPayloadError, "the connection broke inside the answer"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (RuntimeError, "nothing can be sent: closed, or not started"),
    (ValueError, "the request cannot be written"),
    (TypeError, "the request cannot be written"),
)


def _reason(error: BaseException, dial: Dial, deadline_s: float) -> str:
    """What went wrong, in words of our own: aiohttp's would hold the URL."""
    if isinstance(error, NotRepeated) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, TimeoutError):
        return f"no {'answer' if dial.connected else 'connection'} within {deadline_s:g} s"
    known = next((text for kind, text in _REASONS if isinstance(error, kind)), None)
    if known is not None:
        return known
    what = "the connection broke" if dial.connected else "no connection"
    number = getattr(error, "errno", None)
    return f"{what}: {os.strerror(number)}" if isinstance(number, int) else what

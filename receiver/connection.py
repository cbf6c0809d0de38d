"""One HTTP/1.1 connection: a request goes out on it, one answer comes back, then the next."""

import asyncio
import errno
import os
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import httptools

from receiver.wire import NoReply, Reply

_MAX_HEADER = 16 * 1024
_MAX_HEADERS = 128
_MAX_UNTOLD = 2 * _MAX_HEADER  # read, and nothing learnt from it: a line that does not end
_MAX_INTERIM = 16
_COPIED = 64 * 1024  # a longer body goes out after its head, not joined to it

NOT_HTTP = NoReply(sent=True, reason="the answer is not HTTP")
CLOSED = NoReply(sent=True, reason="the connection was closed before an answer")
BROKEN = NoReply(sent=True, reason="the connection broke inside the answer")


@dataclass(slots=True)
class Request:
    """What goes out, how much of the answer is kept, and until when, by the loop's clock, it is waited for."""

    head: bytes
    body: bytes | None
    cap: int
    deadline_s: float
    ends_at: float


class _Enough(Exception):
    """Ends the parser's work, inside one of its calls: what else was read is of no use."""


class Connection(asyncio.Protocol):
    """Serves one request at a time; whoever asks waits for the future that `ask` gives.

    `closed`: of no use any more. `fit`: the last answer was whole, and another may follow. `hung_up`: the server ended
    it before a byte of an answer came. `served`: how many requests went out on it.
    """

    __slots__ = (
        *("_answer", "_body", "_fields", "_gone", "_headers", "_interim", "_loop", "_parser", "_read", "_readable"),
        *("_request", "_size", "_sock", "_timer", "_told", "_transport", "_untold"),
        *("closed", "fit", "hung_up", "idle_since", "key", "served", "tls"),
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, gone: Callable[["Connection"], None], key: Any
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._gone = gone
        self.key = key
        self.tls: bool = key[0]
        self.closed = self.fit = False
        self.served, self.idle_since = 0, 0.0
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Reply | NoReply] | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)

    async def encrypt(self, context: ssl.SSLContext, name: str) -> None:
        """Go on under TLS with the server of that name.

        Raises `OSError`, of which `ssl.SSLError` is one, and `ValueError` on a name that TLS cannot ask for. TLS comes
        second, for uvloop loses track of a socket that is reset while it makes transport and handshake at once.
        """
        plain = self._transport
        if plain.is_closing():
            raise ConnectionResetError(errno.ECONNRESET, "")
        try:
            made = await self._loop.start_tls(plain, self, context, server_hostname=name)
        except BaseException:
            plain.abort()
            raise
        self._transport = cast("asyncio.Transport", made)

    def quiet(self) -> bool:
        """Whether it is open, and nothing waits unread in the socket: neither an end nor an answer to no question."""
        # A number is asked: once the socket is closed it may be somebody else's.
        return not self.closed and self._sock.fileno() >= 0 and not self._readable.poll(0)

    async def quietens(self) -> bool:
        """Whether what waits in the socket is TLS's own; nothing of HTTP may come unasked."""
        if self.tls and self._waiting():
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # within two turns of the loop it is read
            return not self.closed and self._waiting() != b""
        return False

    def _waiting(self) -> bytes | None:
        """The first byte that was not read yet, none where the connection ended; None where nothing came."""
        try:
            return self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def ask(self, request: Request) -> "asyncio.Future[Reply | NoReply]":
        """Write a request; its first byte may have left when this returns.

        What comes is a value, in time. Whoever no longer waits for it calls `drop`.
        """
        self._request = request
        self._answer = answer = self._loop.create_future()
        self._fields.clear()
        self._headers: dict[str, str] | None = None
        self._body: list[bytes] = []
        self._size = self._read = self._untold = self._interim = 0
        self._told = (0, 0)
        self.fit = self.hung_up = False
        self.served += 1
        self._timer = self._loop.call_at(request.ends_at, self._late)
        head, body = request.head, request.body
        if body and len(body) > _COPIED:
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body if body else head)
        return answer

    def drop(self) -> None:
        """Cut it, whatever is still under way."""
        self.closed = True
        self._transport.abort()

    def stop(self) -> None:
        """Cut it because this process wants no more; whoever waits hears so."""
        self.drop()
        self._settle(NoReply(sent=True, reason="cut before an answer: nothing is sent any more"))

    def _settle(self, outcome: Reply | NoReply) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            self._timer.cancel()
            if not answer.done():
                answer.set_result(outcome)

    def _late(self) -> None:
        self.drop()
        self._settle(NoReply(sent=True, reason=f"no answer within {self._request.deadline_s:g} s"))

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.drop()
            return
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._spoilt()
        else:
            if self._answer is not None and not self._bears_more(len(data)):
                self._spoilt()

    def _bears_more(self, size: int) -> bool:
        """Whether an answer that is not whole yet may go on: not with a line, or a list of them, that has no end."""
        told = (len(self._fields), self._size)
        self._untold = self._untold + size if told == self._told else 0
        self._told = told
        return self._untold <= _MAX_UNTOLD and len(self._fields) <= _MAX_HEADERS

    def _spoilt(self) -> None:
        self.drop()
        self._settle(NOT_HTTP)  # without effect where an answer was whole, or long enough, before this

    def eof_received(self) -> None:
        self.closed = True
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._ended(exc)
        self._gone(self)

    def _ended(self, exc: Exception | None) -> None:
        if self._answer is None:
            return
        self.hung_up = not self._read
        if self._headers is not None:
            whole = exc is None and _ends_with_connection(self._headers)
            self._settle(self._reply(self._headers) if whole else BROKEN)
        elif exc is None:
            self._settle(CLOSED)
        else:
            number = None if isinstance(exc, ssl.SSLError) else getattr(exc, "errno", None)
            why = f": {os.strerror(number)}" if isinstance(number, int) else ""
            self._settle(NoReply(sent=True, reason=f"the connection broke{why}"))

    # what the parser calls

    def on_message_begin(self) -> None:
        if self._answer is None:
            raise _Enough  # a second answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        status, fields = self._parser.get_status_code(), self._fields
        if len(fields) > _MAX_HEADERS or (self._read > _MAX_HEADER and _longest(fields) > _MAX_HEADER):
            raise _Enough
        if status >= 200 or status == 101:
            self._headers = _headers(fields)
            if self._request.head.startswith(b"HEAD "):
                self._settle(self._reply(self._headers))
                raise _Enough

    def on_body(self, chunk: bytes) -> None:
        self._body.append(chunk)
        self._size += len(chunk)
        if self._size > self._request.cap and self._headers is not None:
            self._settle(self._reply(self._headers))
            raise _Enough

    def on_message_complete(self) -> None:
        if self._headers is None:
            self._interim += 1
            if self._interim > _MAX_INTERIM or self._parser.get_status_code() < 100:
                raise _Enough
            self._fields.clear()
            return
        self.fit = (
            self._parser.should_keep_alive()
            and self._parser.get_http_version() == "1.1"
            and not self._transport.get_write_buffer_size()  # an answer that came before the request was out
        )
        self._settle(self._reply(self._headers))

    def _reply(self, headers: dict[str, str]) -> Reply:
        body = b"".join(self._body)
        return Reply(status=self._parser.get_status_code(), headers=headers, body=body[: self._request.cap])


def _longest(fields: list[tuple[bytes, bytes]]) -> int:
    return max((len(name) + len(value) for name, value in fields), default=0)


def _headers(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """By names in lower case; of equal ones the last."""
    try:
        return {name.decode().lower(): value.decode().strip(" \t") for name, value in fields}
    except UnicodeDecodeError:
        text = [(name.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for name, value in fields]
        return {name.lower(): value.strip(" \t") for name, value in text}


def _ends_with_connection(headers: dict[str, str]) -> bool:
    chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
    return not chunked and "content-length" not in headers

"""HTTP/1.1 by hand, as light as it can be: connections that ask, and a server that answers from memory.

No pipelining: each connection has one request under way. Bodies have a Content-Length, which is all that the servers
here and Taskweir send.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"


def _message(data: bytes) -> tuple[int, int] | None:
    """Where the headers and the body of the first message end; None where it is not whole yet."""
    end = data.find(_END)
    if end < 0:
        return None
    found = _LENGTH.search(data, 0, end)
    whole = end + 4 + (int(found[1]) if found else 0)
    return (end, whole) if len(data) >= whole else None


def request(method: str, path: str, *, host: str, body: bytes = b"", headers: str = "") -> bytes:
    """A whole request; `headers` are lines that end in CRLF."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status.encode(),
        len(body),
        body,
    )


class _Asking(asyncio.Protocol):
    """One connection: sends what it is given, tells when the answer is whole."""

    def __init__(self, answered: Callable[["_Asking", bytes, bytes], None], lost: Callable[["_Asking"], None]) -> None:
        self._answered, self._lost = answered, lost
        self._buffer = b""
        self.began = 0.0
        self.asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is none

    def send(self, data: bytes, began: float) -> None:
        self.began, self.asking = began, True
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        parts = _message(data)
        if parts is None:
            self._buffer = data
        else:
            self._buffer, self.asking = b"", False
            self._answered(self, data[9:12], data[parts[0] + 4 : parts[1]])

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)


class Load:
    """Requests on a fixed number of connections; afterwards `took` has the seconds of each that was answered."""

    def __init__(self, port: int, *, connections: int) -> None:
        self._port, self._count = port, connections
        self._connections: list[_Asking] = []
        self._free: deque[_Asking] = deque()
        self.took: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.bodies: list[bytes] | None = None  # a list keeps the answers' bodies
        self._source: Iterator[bytes] = iter(())
        self._until = 0.0
        self._under_way = 0
        self._done = asyncio.Event()
        self._waiting: deque[tuple[bytes, float]] = deque()

    async def __aenter__(self) -> "Load":
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, connection = await loop.create_connection(
                lambda: _Asking(self._answered, self._dropped), "127.0.0.1", self._port
            )
            self._connections.append(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in list(self._connections):
            connection.transport.close()

    def refused(self, expected: str) -> dict[str, int]:
        """How many answers were another, by status."""
        return {f"answers {status}": count for status, count in self.statuses.items() if status != expected}

    async def closed_loop(self, source: Iterator[bytes], *, seconds: float) -> float:
        """Ask as fast as answers come, until the time is over or the source is dry; the seconds it took."""
        began = perf_counter()
        self._source, self._until = source, began + seconds
        self._done.clear()
        for connection in list(self._connections):
            self._next(connection)
        if self._under_way:
            await self._done.wait()
        return perf_counter() - began

    async def open_loop(self, source: Callable[[float], bytes], *, rate: float, seconds: float) -> None:
        """Ask at a fixed rate, whatever the answers do; `took` counts from the moment each was meant to be sent.

        `source` is told that moment, and gives the request.
        """
        loop = asyncio.get_running_loop()
        self._source, self._until = iter(()), 0.0
        self._free.extend(self._connections)
        began, sent = perf_counter(), 0
        total = int(rate * seconds)
        while sent < total:
            now = perf_counter()
            while sent < total and began + sent / rate <= now:
                meant_at = began + sent / rate
                self._waiting.append((source(meant_at), meant_at))
                sent += 1
            self._send_waiting()
            wait = began + sent / rate - perf_counter()
            await (asyncio.sleep(wait) if wait > 0 else _turn(loop))
        self._done.clear()
        if self._waiting or self._under_way:
            await self._done.wait()
        self._free.clear()

    def _send_waiting(self) -> None:
        if not self._connections:
            self.statuses["none, no connection is left"] += len(self._waiting)
            self._waiting.clear()
        while self._waiting and self._free:
            data, meant_at = self._waiting.popleft()
            self._under_way += 1
            self._free.popleft().send(data, meant_at)

    def _next(self, connection: _Asking) -> None:
        now = perf_counter()
        data = next(self._source, None) if now < self._until else None
        if data is not None:
            self._under_way += 1
            connection.send(data, now)
        elif not self._under_way:
            self._done.set()

    def _answered(self, connection: _Asking, status: bytes, body: bytes) -> None:
        self.took.append(perf_counter() - connection.began)
        self.statuses[status.decode()] += 1
        if self.bodies is not None:
            self.bodies.append(body)
        self._under_way -= 1
        if self._until:
            self._next(connection)
        else:
            self._free.append(connection)
            self._send_waiting()
            if not self._under_way:
                self._done.set()

    def _dropped(self, connection: _Asking) -> None:
        """A connection that broke, under a request or between two, stays out of the game."""
        self._connections.remove(connection)
        with suppress(ValueError):
            self._free.remove(connection)
        if connection.asking:
            self.statuses["none, the connection broke"] += 1
            self._under_way -= 1
        self._send_waiting()
        if not self._under_way and not self._waiting:
            self._done.set()


async def _turn(loop: asyncio.AbstractEventLoop) -> None:
    turned: asyncio.Future[None] = loop.create_future()
    loop.call_soon(turned.set_result, None)
    await turned


Answering = Callable[[bytes, bytes], bytes]


class _Server(asyncio.Protocol):
    """Answers each request with what `answering(head, body)` gives."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        while (parts := _message(data)) is not None:
            end, whole = parts
            self._transport.write(self._answering(data[:end], data[end + 4 : whole]))
            data = data[whole:]
        self._buffer = data


@asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[int]:
    """A server on a free port of this machine; the port."""
    server = await asyncio.get_running_loop().create_server(lambda: _Server(answering), "127.0.0.1", 0, backlog=2048)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()

"""A server with limits of a fraction of a second, and a client that says every byte itself."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from receiver.web.limits import ReceiveLimits
from receiver.web.reception import within
from receiver.web.sweep import Sweep

SHORT = 0.2
LIMITS: dict[str, Any] = {"look_every_s": 0.02, "head_s": SHORT, "body_s": SHORT, "idle_s": SHORT, "goodbye_s": SHORT}
LARGE = 16 * 1024 * 1024


@dataclass
class Door:
    """An application that notes what it is asked: method, path, headers, body; None for a body that never came whole.

    `/wait` is answered once `go` is set, `/unread` without a look at the body, `/large` with 16 MiB.
    """

    seen: list[tuple[str, str, dict[str, str], bytes | None]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, body = Request(scope, receive), None
        self.begun += 1
        path = scope["path"]
        if path == "/wait":
            await self.go.wait()
        if path != "/unread":
            with suppress(ClientDisconnect):
                body = await request.body()
        self.seen.append((scope["method"], path, dict(request.headers), body))
        content = bytes(LARGE) if path == "/large" else path.encode()
        await Response(content)(scope, receive, send)


@dataclass
class Receiving:
    """A server that runs, and its connections."""

    port: int
    state: ServerState
    sweep: Sweep

    @asynccontextmanager
    async def caller(self, *, buffer: int | None = None) -> AsyncIterator["Caller"]:
        """A connection to it; with `buffer`, one that takes little before it is read."""
        ours = socket.socket()
        if buffer is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        ours.setblocking(False)
        await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=ours, limit=65_536)
        try:
            yield Caller(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, *pieces: bytes) -> bytes:
        """Say this, piece after piece, and hear all of what is said before the other side hangs up."""
        async with self.caller() as caller:
            await caller.say(*pieces)
            return await caller.hear()


@dataclass
class Caller:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, *pieces: bytes, pause_s: float = 0.02) -> None:
        with suppress(ConnectionError):
            for number, piece in enumerate(pieces):
                await asyncio.sleep(pause_s if number else 0)
                if self.writer.is_closing():
                    return
                self.writer.write(piece)
                await self.writer.drain()

    async def drip(self, piece: bytes) -> bytes:
        """Say it again and again, so that the line is never silent for long; what is heard meanwhile, until the end."""

        async def say() -> None:
            while not self.writer.is_closing():
                await self.say(piece)
                await asyncio.sleep(SHORT / 10)

        saying = asyncio.ensure_future(say())
        try:
            return await self.hear()
        finally:
            saying.cancel()

    async def hear(self, within_s: float = 10) -> bytes:
        """All that is said until the other side ends."""
        heard = b""
        async with asyncio.timeout(within_s):
            with suppress(ConnectionError):
                while part := await self.reader.read(65_536):
                    heard += part
        return heard

    async def answer(self, within_s: float = 10) -> bytes:
        """One answer that says how long it is."""
        async with asyncio.timeout(within_s):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            return head + await self.reader.readexactly(int(length[1]) if length else 0)


@asynccontextmanager
async def receiving(app: ASGIApp, **limits: Any) -> AsyncIterator[Receiving]:
    """`app` behind connections with these limits; the others are short."""
    allowed = ReceiveLimits(**(LIMITS | limits))
    config = uvicorn.Config(app, http=within(allowed), ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()

    def accept() -> asyncio.Protocol:
        return within(allowed)(config, state, {}, loop)

    server = await loop.create_server(accept, "127.0.0.1", 0)
    sweep = Sweep(state.connections, allowed)
    sweep.start()
    try:
        yield Receiving(server.sockets[0].getsockname()[1], state, sweep)
    finally:
        server.close()
        for each in list(state.connections):
            each.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await sweep.stop()


def statuses(raw: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)]


def problem(raw: bytes) -> dict[str, Any]:
    """The last answer's body, where it is a problem as the contract has it and the connection's last word."""
    head, body = raw.rsplit(b"\r\n\r\n", 1)
    last = head[head.rindex(b"HTTP/1.1 ") :].lower()
    assert b"\r\ncontent-type: application/problem+json" in last
    assert b"\r\nconnection: close" in last
    assert f"\r\ncontent-length: {len(body)}".encode() in last
    told: dict[str, Any] = json.loads(body)
    assert {"type", "title", "status", "detail"} == told.keys()
    assert [told["status"]] == statuses(last.upper())
    return told


def get(path: str = "/", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def post(path: str = "/", body: bytes = b"", *lines: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {size}", *lines, "", ""]).encode() + body


def chunked(path: str, chunks: bytes, *lines: str) -> bytes:
    return (
        "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *lines, "", ""]).encode()
        + chunks
    )


LAST = get("/last", "Connection: close")

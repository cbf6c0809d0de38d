"""Servers of a few lines over real sockets, to answer in ways that no HTTP library would."""

import asyncio
import re
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress


class RawServer:
    """What a server saw: `connections` accepted, and the (head, body) of each request that a script read."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[tuple[bytes, bytes]] = []

    def url(self, path: str = "/", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def read(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        """The next request; raises `IncompleteReadError` where the client went away instead."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self.requests.append((head, body))
        return head, body


Script = Callable[[RawServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RawServer]:
    """Run `script` once per connection, on a free loopback port; the connection is closed when it returns."""
    seen = RawServer()
    running: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await script(seen, reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        writers.append(writer)
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(accept, host, port, ssl=tls)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        await asyncio.sleep(0.01)  # asyncio leaks a connection that is being accepted while its server closes
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # let the transports close


@contextmanager
def raw_server_beside(script: Script) -> Iterator[tuple[RawServer, asyncio.AbstractEventLoop]]:
    """The same for tests without a loop: in one thread beside them, in the loop that comes with it.

    One thread, however many connections: where coverage is measured, a thread that begins beside another may not.
    """
    running: Future[tuple[RawServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with raw_server(script) as server:
            running.set_result((server, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    server, loop, over = running.result(30)
    try:
        yield server, loop
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


def answer(body: bytes = b"ok", *, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole response of HTTP/1.1; `headers` are lines ended by CR LF."""
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answers(raw: bytes) -> Script:
    """A healthy server: every request gets these bytes, the connection stays open."""

    async def script(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.read(reader)
            writer.write(raw)
            await writer.drain()

    return script


answer_all = answers(answer())


def says(raw: bytes, *, then_close: bool = True) -> Script:
    """A server that answers its first request with these bytes."""

    async def script(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        writer.write(raw)
        await writer.drain()
        if not then_close:
            await reader.read()

    return script


def resets(*, after_reading: bool) -> Script:
    """Ends every connection by RST, at once or after its first request."""

    async def script(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after_reading:
            await server.read(reader)
        reset(writer)

    return script


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silent(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the request, never answers."""
    await server.read(reader)
    await reader.read()

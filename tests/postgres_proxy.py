"""A proxy before a PostgreSQL that cuts a connection at its COMMIT: before it arrives, or before its answer does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_COMMIT = b"COMMIT\0"


class Proxy:
    """Cuts whoever commits next: `cut` is `before` or `after` the server did; None lets everything through."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.cut: str | None = None
        self.cuts = 0
        self.meanwhile: Callable[[], None] = lambda: None  # done, in a thread, before the client sees that it was cut
        self.port = 0

    def url(self, database: str, user: str) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(str(self._socket))
        answers = asyncio.ensure_future(_copy(server, to_client))
        try:
            with suppress(ConnectionError):
                await self._questions(client, to_server, answers)
        finally:
            answers.cancel()
            for writer in (to_client, to_server):
                writer.close()

    async def _questions(
        self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter, answers: "asyncio.Future[None]"
    ) -> None:
        while data := await client.read(65536):
            if self.cut is None or _COMMIT not in data:
                to_server.write(data)
                await to_server.drain()
                continue
            how, self.cut = self.cut, None
            self.cuts += 1
            answers.cancel()
            if how == "after":
                to_server.write(data)
                await to_server.drain()
                await asyncio.sleep(0.2)  # until the server did it
            await asyncio.to_thread(self.meanwhile)
            return


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def a_proxy(socket: Path) -> AsyncIterator[Proxy]:
    """A proxy on a loopback port, before the server that listens on this socket."""
    proxy = Proxy(socket)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()

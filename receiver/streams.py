"""The way out to users' servers that speak no HTTP: streams, or addresses that a client may dial itself."""

import asyncio
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsIndex
from weakref import WeakSet

from receiver.dialling import NOT_OPEN, Dialler, Unreachable, why_not
from receiver.errors import AddressRefused, Malformed
from receiver.guard import Guard
from receiver.heads import Origin, target_of
from receiver.names import KeptNames, LookUp, Names, look_up

# Of Debian and Alpine, of Fedora, of macOS: a directory of hashes, as OpenSSL has it, is not enough for every client.
_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

_UNASKED, _MOST_OWED = 64 * 1024, 1024 * 1024

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Reader(asyncio.StreamReader):
    """Hears half as many bytes as were said, and 64 KiB: what is answered to an event is a few words.

    Whoever talks on is cut off, before the library has parsed more of it than it takes for an event.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.owed = _UNASKED
        self.transport: asyncio.WriteTransport | None = None

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        told = bytes(data)
        self.owed -= len(told)
        if self.owed >= 0:
            super().feed_data(told)
            return
        self.set_exception(ConnectionError("the answer has no end"))
        if self.transport is not None:
            self.transport.abort()


class _Writer(asyncio.StreamWriter):
    def __init__(self, transport: asyncio.WriteTransport, reader: _Reader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport, transport.get_protocol(), reader, loop)
        self._answers = reader

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._answers.owed = min(self._answers.owed + len(data) // 2, _MOST_OWED)
        super().write(data)

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(data))


class Streams:
    """Dials what the guard allows, and nothing else; hosts are told as `http://host:port/`.

    Deadlines are the caller's. Whatever goes wrong raises `Unreachable`, whose text holds no secret.
    """

    def __init__(self, guard: Guard, *, look_up: LookUp = look_up) -> None:
        self._guard = guard
        self._dialler = Dialler(KeptNames(Names(look_up)), guard)
        self._made: WeakSet[asyncio.StreamWriter] = WeakSet()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def open(self, url: str, *, tls: bool = False) -> Stream:
        """A stream to a host, under TLS with the server of that name where it shall be."""
        origin = self._origin(url)
        try:
            sock = await self._dialler.bare(origin)
        except AddressRefused as refused:
            raise Unreachable(refused.told) from None
        loop = asyncio.get_running_loop()
        reader = _Reader(loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: asyncio.StreamReaderProtocol(reader, loop=loop), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        reader.transport = transport
        writer = _Writer(transport, reader, loop)
        self._made.add(writer)
        if tls:
            await self._encrypt(writer, origin)
        return reader, writer

    async def addresses(self, url: str) -> list[str]:
        """Where a client that takes no stream may dial for a host, and nowhere else."""
        try:
            return await self._dialler.allowed(self._origin(url))
        except AddressRefused as refused:
            raise Unreachable(refused.told) from None

    def tls_context(self) -> ssl.SSLContext:
        """What TLS is spoken with: the system's authorities, the host's name checked."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    @staticmethod
    def authorities() -> str | None:
        """The file of the system's authorities, for a client that speaks TLS itself; None where it is not known."""
        places = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
        return next((place for place in places if place and Path(place).is_file()), None)

    def close(self) -> None:
        """Cut every stream; none is opened any more."""
        self._closed = True
        for writer in self._made:
            writer.transport.abort()

    def _origin(self, url: str) -> Origin:
        if self._closed:
            raise Unreachable(NOT_OPEN)
        try:
            origin, _ = target_of(url)
            self._guard.judge_name(origin.url)
        except Malformed as malformed:
            raise Unreachable(str(malformed)) from None
        except AddressRefused as refused:
            raise Unreachable(refused.told) from None
        return origin

    async def _encrypt(self, writer: asyncio.StreamWriter, origin: Origin) -> None:
        try:
            await writer.start_tls(self.tls_context(), server_hostname=origin.host.rstrip("."))
        except (OSError, ValueError) as error:
            writer.transport.abort()
            raise Unreachable(why_not(error)) from None
        except BaseException:
            writer.transport.abort()
            raise

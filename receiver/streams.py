"""The way out to users' servers that speak no HTTP: streams, or addresses that a client may dial itself."""

import asyncio
import os
import ssl
from pathlib import Path
from weakref import WeakSet

from receiver.dialling import NOT_OPEN, Dialler, Unreachable, why_not
from receiver.errors import AddressRefused, Malformed
from receiver.guard import Guard
from receiver.heads import Origin, target_of
from receiver.names import KeptNames, LookUp, Names, look_up

# Of Debian and Alpine, of Fedora, of macOS: a directory of hashes, as OpenSSL has it, is not enough for every client.
_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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
        try:
            reader, writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
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

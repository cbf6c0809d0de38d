"""How a connection comes to be: a host's addresses, each judged as it is dialled, then TLS."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from itertools import zip_longest

from receiver.addresses import read
from receiver.connection import Connection
from receiver.guard import Guard
from receiver.heads import Origin
from receiver.names import KeptNames

_STAGGER_S = 0.25  # as browsers do: an address that does not answer at once is not waited for alone
_MAX_DIALLED = 8

NOT_OPEN = "nothing can be sent: closed, or not started"


class Unreachable(Exception):
    """No connection, and why; nothing was sent."""


class Dialler:
    """Makes connections; with a guard, to no address that it refuses.

    A host is refused whole where any of its addresses is, and each is judged again as it is dialled.
    """

    def __init__(self, names: KeptNames, guard: Guard | None) -> None:
        self._names = names
        self._guard = guard
        self._tls: ssl.SSLContext | None = None

    async def connection(self, origin: Origin, gone: Callable[[Connection], None]) -> Connection:
        """Dial; raises `Unreachable`, and `AddressRefused` where the guard does."""
        addresses = await self._addresses(origin)
        try:
            made = await _opened(origin, await self._connected(origin, addresses), gone)
            if origin.tls:
                await made.encrypt(self._context(), origin.host.rstrip("."))
        except (OSError, ValueError) as error:
            raise Unreachable(why_not(error)) from None
        return made

    async def bare(self, origin: Origin) -> socket.socket:
        """A connected socket and nothing on it yet; raises as `connection` does."""
        addresses = await self._addresses(origin)
        try:
            return await self._connected(origin, addresses)
        except OSError as error:
            raise Unreachable(why_not(error)) from None

    async def allowed(self, origin: Origin) -> list[str]:
        """Every address of a host, for who must dial by himself; raises as `connection` does."""
        found = await self._addresses(origin)
        if self._guard is not None:
            self._guard.judge_host(origin.host, found, origin.port)
        return found[:_MAX_DIALLED]

    async def _addresses(self, origin: Origin) -> list[str]:
        host, port = origin.host, origin.port
        if read(host) is not None:
            return [host]
        found = await self._names.addresses(host, port)
        if not found:
            raise Unreachable("the host name does not resolve")
        if self._guard is not None:
            try:
                self._guard.judge_host(host, found, port)
            except BaseException:
                self._names.forget(host, port)
                raise
        return found

    async def _connected(self, origin: Origin, addresses: list[str]) -> socket.socket:
        """A socket to the first address that answers; each is dialled a little later than the one before it."""
        loop = asyncio.get_running_loop()
        left = _by_turns(addresses)[:_MAX_DIALLED]
        under_way: dict[asyncio.Future[int], socket.socket] = {}
        why = 0
        try:
            while left or under_way:
                if left:
                    address = left.pop(0)
                    try:
                        sock = self._socket(origin, address)
                    except OSError as error:  # a machine without IPv6 has no such sockets
                        why = why or error.errno or errno.EIO
                        continue
                    under_way[_connecting(loop, sock, (address, origin.port))] = sock
                done, _ = await asyncio.wait(
                    under_way, timeout=_STAGGER_S if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for each in done:
                    if not each.result():
                        return under_way.pop(each)
                    under_way.pop(each).close()
                    why = why or each.result()
        finally:
            for sock in under_way.values():
                loop.remove_writer(sock)
                sock.close()
        raise OSError(why, "")

    def _socket(self, origin: Origin, address: str) -> socket.socket:
        if self._guard is not None:
            self._guard.judge_host(origin.host, (address,), origin.port)
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


async def _opened(origin: Origin, sock: socket.socket, gone: Callable[[Connection], None]) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        _, made = await loop.create_connection(lambda: Connection(loop, sock, gone, origin.key), sock=sock)
    except BaseException:
        sock.close()
        raise
    return made


def _connecting(loop: asyncio.AbstractEventLoop, sock: socket.socket, where: tuple[str, int]) -> "asyncio.Future[int]":
    """Begin to connect; what comes is the number of the error, 0 where there is none."""
    number: asyncio.Future[int] = loop.create_future()

    def ready() -> None:
        loop.remove_writer(sock)
        number.set_result(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    try:
        sock.connect(where)
    except BlockingIOError:
        loop.add_writer(sock, ready)
    except OSError as error:
        number.set_result(error.errno or errno.EIO)
    else:
        number.set_result(0)
    return number


def _by_turns(addresses: list[str]) -> list[str]:
    """IPv6 and IPv4 by turns, the family of the first one first: a network may carry only one of them."""
    first = [each for each in addresses if (":" in each) == (":" in addresses[0])]
    second = [each for each in addresses if each not in first]
    return [each for pair in zip_longest(first, second) for each in pair if each is not None]


def why_not(error: OSError | ValueError) -> str:
    """Why there is no connection, in words that hold nothing of the other side's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the TLS certificate was not accepted"
    number = None if isinstance(error, ssl.SSLError) else getattr(error, "errno", None)
    return "the TLS handshake failed" if number is None else f"no connection: {os.strerror(number)}"


def is_here(address: str) -> bool:
    """Whether an address is one of this machine's own: the only ones that a socket can be bound to."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True

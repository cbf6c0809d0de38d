"""The connections of one audience: those that idle, how many may be at work, who waits for one."""

import asyncio
from collections import deque
from contextlib import suppress

from receiver.connection import Connection
from receiver.dialling import Dialler, Unreachable
from receiver.heads import Origin

_DIALS = 3
_CLOSING_S = 1.0

_Key = tuple[bool, str, int]


class Pool:
    """Lends connections, the one given back last first; start it in the event loop that it serves.

    None is lent that idled longer than `keepalive_s`. At most `per_host` are lent at once to one host and port (0: any
    number); whoever comes later waits, in order.
    """

    def __init__(self, dialler: Dialler, *, keepalive_s: float, per_host: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialler = dialler
        self._keepalive_s = keepalive_s
        self._per_host = per_host
        self._idle: dict[_Key, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._lent: dict[_Key, int] = {}
        self._waiting: dict[_Key, deque[asyncio.Future[None]]] = {}
        self._making: set[asyncio.Timeout] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self.closed = False

    def at_once(self, origin: Origin) -> Connection | None:
        """A connection that idles and is fit for a request, where there is one and nobody need be waited for."""
        if not self._has_place(key := origin.key):
            return None
        connection = self._idling(key)
        if connection is None:
            return None
        if connection.quiet():
            self._count(key, 1)
            return connection
        self._idle[key].append(connection)  # `take` has the time to look closer
        return None

    async def take(self, origin: Origin, ends_at: float, *, fresh: bool = False) -> Connection:
        """A connection that is fit for a request, a new one where none idles, or where it is to be `fresh`.

        Raises `TimeoutError` where there is none by then, else as the dialler does.
        """
        async with asyncio.timeout_at(ends_at) as making:
            self._making.add(making)
            try:
                await self._place(origin.key)
                try:
                    return (None if fresh else await self._fit(origin.key)) or await self._dialled(origin)
                except BaseException:
                    self._free(origin.key)
                    raise
            finally:
                self._making.discard(making)

    def give_back(self, connection: Connection) -> None:
        """Every connection that was lent, once; it is kept where it is fit for another request."""
        self._free(connection.key)
        if not connection.fit or connection.closed or self.closed:
            connection.drop()
            return
        connection.idle_since = self._loop.time()
        self._idle.setdefault(connection.key, []).append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._keepalive_s, self._sweep)

    def rest(self) -> None:
        """Cut what idles: where the process is stopped for a while, nobody notices what becomes of it meanwhile."""
        for idle in self._idle.values():
            for each in idle:
                each.drop()
        self._idle.clear()

    async def close(self) -> None:
        """Cut every connection, and end whatever waits for one."""
        self.closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for making in self._making:
            if not making.expired():
                making.reschedule(self._loop.time())
        for connection in list(self._open):
            connection.stop()
        if self._open:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _CLOSING_S)

    def _idling(self, key: _Key) -> Connection | None:
        idle = self._idle.get(key)
        oldest = self._loop.time() - self._keepalive_s
        while idle:
            connection = idle.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            connection.drop()
        return None

    async def _fit(self, key: _Key) -> Connection | None:
        while (connection := self._idling(key)) is not None:
            if await _is_fit(connection):
                return connection
        return None

    async def _dialled(self, origin: Origin) -> Connection:
        for _ in range(_DIALS):
            connection = await self._dialler.connection(origin, self._gone)
            self._open.add(connection)
            if self.closed:
                connection.drop()
                break
            if await _is_fit(connection):
                return connection
        raise Unreachable("the connection was closed before the request")

    def _gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    def _sweep(self) -> None:
        """Close what idled too long, so that a host that is never asked again holds no connection."""
        oldest = self._loop.time() - self._keepalive_s
        for key, idle in list(self._idle.items()):
            kept = [each for each in idle if not each.closed and each.idle_since > oldest]
            for each in set(idle).difference(kept):
                each.drop()
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]
        self._sweeping = self._loop.call_later(self._keepalive_s, self._sweep) if self._idle else None

    def _has_place(self, key: _Key) -> bool:
        """Whether one more may be lent; where somebody waits for that, there is none."""
        return not self._per_host or self._lent.get(key, 0) < self._per_host

    def _count(self, key: _Key, more: int) -> None:
        if self._per_host:
            self._lent[key] = self._lent.get(key, 0) + more
            if not self._lent[key]:
                del self._lent[key]

    async def _place(self, key: _Key) -> None:
        if self._has_place(key):
            self._count(key, 1)
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place and the cancellation came together
                self._free(key)
            raise

    def _free(self, key: _Key) -> None:
        """Hand a place on to whoever waits for it first."""
        waiting = self._waiting.get(key) if self._waiting else None
        while waiting:
            turn = waiting.popleft()
            if not waiting:
                del self._waiting[key]
            if not turn.done():
                turn.set_result(None)
                return
        self._count(key, -1)


async def _is_fit(connection: Connection) -> bool:
    """Whether a request may go out on it; else it is cut."""
    try:
        if connection.quiet() or await connection.quietens():
            return True
    except asyncio.CancelledError:
        connection.drop()
        raise
    connection.drop()
    return False

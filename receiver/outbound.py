"""The only room that talks out: one request, one value back, within one deadline.

Whatever the network does is a `Reply` or a `NoReply`, never an exception. Three pools of connections serve three
audiences, because each may be sent to again, and dialled, under rules of its own.
"""

import asyncio
from enum import Enum
from functools import lru_cache

from receiver.connection import Request
from receiver.copying import replace
from receiver.dialling import NOT_OPEN, Dialler, Unreachable
from receiver.errors import AddressRefused, Malformed
from receiver.guard import Guard
from receiver.heads import Origin, head_of, target_of
from receiver.names import KeptNames, LookUp, Names, look_up
from receiver.pool import Pool
from receiver.wire import Call, NoReply, Reply

DEFAULT_CAP = 64 * 1024
_CHANGES_NOTHING = frozenset({"GET", "HEAD"})


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

    `limit_per_host` caps the connections that one audience has to one host and port of a provider (0: no cap).
    """

    def __init__(self, guard: Guard, *, limit_per_host: int = 256, look_up: LookUp = look_up) -> None:
        self._guard = guard
        self._limit_per_host = limit_per_host
        self._pools: dict[Audience, Pool] = {}
        # Apart, so that no webhook's dead name server can keep a provider from being found, and no caller who saves
        # dead names a webhook.
        self._provider_names = KeptNames(Names(look_up))
        self._webhook_names = KeptNames(Names(look_up))
        self._saved_names = Names(look_up)
        self._judged = lru_cache(maxsize=1024)(self._judge)  # the same few are sent to again and again

    async def __aenter__(self) -> "Outbound":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Open the pools; no connection is made yet."""
        self._pools = {audience: self._pool(audience) for audience in Audience}

    def rest(self) -> None:
        """Cut every connection that idles."""
        for pool in self._pools.values():
            pool.rest()

    async def close(self) -> None:
        """Cut every connection; what is in flight, and whatever is sent later, ends as a `NoReply`."""
        for pool in self._pools.values():
            await pool.close()

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
        pool = self._pools.get(kind)
        if pool is None or pool.closed:
            return NoReply(sent=False, reason=NOT_OPEN)
        try:
            origin, asked = self._judged(call.url) if kind is Audience.WEBHOOK else target_of(call.url)
            ends_at = asyncio.get_running_loop().time() + deadline_s
            request = Request(head_of(call, origin, asked), call.body, cap, deadline_s, ends_at)
            outcome, hung_up = await _once(pool, origin, request)
            if hung_up and kind is Audience.PROVIDER_POLL and call.method in _CHANGES_NOTHING:
                outcome, _ = await _once(pool, origin, request, fresh=True)
                outcome = replace(outcome, sent=True) if isinstance(outcome, NoReply) else outcome
            return outcome
        except Malformed as malformed:
            return NoReply(sent=False, reason=str(malformed))
        except AddressRefused as refused:
            return NoReply(sent=False, reason=refused.told)
        except ValueError:
            return NoReply(sent=False, reason="the request cannot be written")

    def _judge(self, url: str) -> tuple[Origin, str]:
        """A webhook's target; raises `AddressRefused` where its host is refused by its very name."""
        origin, asked = target_of(url)
        self._guard.judge_name(origin.url)
        return origin, asked

    def _pool(self, audience: Audience) -> Pool:
        guarded = audience is Audience.WEBHOOK
        names = self._webhook_names if guarded else self._provider_names
        return Pool(
            Dialler(names, self._guard if guarded else None),
            keepalive_s=audience.value,
            per_host=0 if guarded else self._limit_per_host,  # many destinations share one host
        )


async def _once(pool: Pool, origin: Origin, request: Request, *, fresh: bool = False) -> tuple[Reply | NoReply, bool]:
    """What came of a request written once, and whether its connection had idled until the server ended it."""
    if request.deadline_s <= 0:
        return NoReply(sent=False, reason=f"no connection within {request.deadline_s:g} s"), False
    try:
        connection = None if fresh else pool.at_once(origin)
        if connection is None:
            connection = await pool.take(origin, request.ends_at, fresh=fresh)
    except TimeoutError:
        why = NOT_OPEN if pool.closed else f"no connection within {request.deadline_s:g} s"
        return NoReply(sent=False, reason=why), False
    except Unreachable as unreachable:
        return NoReply(sent=False, reason=str(unreachable)), False
    try:
        return await connection.ask(request), connection.hung_up and connection.served > 1
    finally:
        pool.give_back(connection)

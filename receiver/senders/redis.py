"""Adds events to a Redis stream; what a delivery added once, its repeats do not add again for a day."""

import re
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, AuthenticationError, RedisError
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as TooLate

from receiver import formats, json_text
from receiver.domain import Destination, Format
from receiver.rendering import rendered
from receiver.senders.remote import DEADLINE_S, ODD_ANSWERS, Client, Kind, Lost, Outcome, Refused
from receiver.store.records import Parcel
from receiver.streams import Streams
from receiver.targets import Rule, Shape, Target

_SHAPE = Shape(
    schemes={"redis": False, "rediss": True},
    port=6379,
    path=Rule(pattern=r"[0-9]{1,5}", told="the number of a database, as in redis://host:6379/0", default="0"),
    options={
        "stream": Rule(pattern=r"[^\s]{1,200}", told="a stream's name without spaces", default="taskweir"),
        "maxlen": Rule(pattern=r"[1-9][0-9]{0,14}", told="how many entries to keep, from 1", default=""),
    },
)
_CONNECTIONS = 4
_REMEMBERED_S = 86_400
# Redis drops no repeats by itself. Both keys change together or not at all: a script is one step to all others.
_ADD = """local known = redis.call('GET', KEYS[2])
if known then return {known, 1} end
local added = redis.call('XADD', KEYS[1], unpack(ARGV, 2))
redis.call('SET', KEYS[2], added, 'EX', ARGV[1])
return {added, 0}"""


class _Connection(Connection):
    """The library's own, on a stream that was dialled by us."""

    def __init__(self, *, streams: Streams, target: Target, **options: Any) -> None:
        super().__init__(host=target.host, port=target.port, **options)
        self._streams = streams
        self._target = target

    async def _connect(self) -> None:
        self._reader, self._writer = await self._streams.open(self._target.origin, tls=self._target.tls)


class _Adder:
    """A few connections for all that goes to a stream."""

    usable = True  # each connection is looked at before it is used again

    def __init__(self, redis: Redis, target: Target) -> None:
        self._redis = redis
        self._stream = target.options["stream"]
        self._maxlen = target.options["maxlen"]

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        return [await self._add(destination, parcel) for parcel in parcels]

    async def close(self) -> None:
        try:
            await self._redis.aclose()
        except (RedisError, OSError):
            return

    async def _add(self, destination: Destination, parcel: Parcel) -> Outcome:
        trimmed = ["MAXLEN", "~", self._maxlen] if self._maxlen else []
        fields = [part for pair in _fields(destination, parcel).items() for part in pair]
        # A replay is another delivery of the same event, and meant to arrive again.
        mark = f"{{{_slot(self._stream)}}}:taskweir:{parcel.delivery.id}"
        arguments = [str(_REMEMBERED_S), *trimmed, "*", *fields]
        try:
            entry, repeated = await self._redis.eval(_ADD, 2, self._stream, mark, *arguments)
            place = entry.decode()
        except AuthenticationError as error:
            raise Refused(f"Redis let nobody in: {error}") from None
        except (NotConnected, TooLate, OSError) as error:
            raise Lost(str(error)) from None
        except ODD_ANSWERS as error:
            raise Lost(f"the answer is not one of Redis: {error}") from None
        except AskError:
            where = "this is a node of a cluster, and not the one that has the stream: name that one in the URL"
            return Outcome(error=where)
        except RedisError as error:
            return Outcome(error=f"Redis refused it: {error}")
        return Outcome(told=f"entry {place}{', a repeat' if repeated else ''}")


def _fields(destination: Destination, parcel: Parcel) -> dict[str, str | bytes]:
    """An entry: `id` and `type` of the event, the headers of its format, and `body`."""
    prompt = formats.prompt_of(parcel.input) if destination.format is Format.FLAT else None
    message = rendered(destination.format, parcel.body, seq=parcel.seq, prompt=prompt)
    event = json_text.read_own(parcel.body)
    return {"id": event["id"], "type": event["type"], **message.headers, "body": message.body}


def _slot(stream: str) -> str:
    """What of a key tells a cluster where it is: both keys of a script must be in one place."""
    tagged = re.search(r"\{([^}]+)\}", stream)
    return tagged[1] if tagged else stream


async def _connect(target: Target, streams: Streams) -> Client:
    pool = BlockingConnectionPool(
        connection_class=_Connection,
        max_connections=_CONNECTIONS,
        timeout=DEADLINE_S,
        streams=streams,
        target=target,
        db=int(target.path),
        username=target.user,
        password=target.password,
        protocol=2,
        socket_timeout=DEADLINE_S,
        socket_connect_timeout=DEADLINE_S,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
    )
    return _Adder(Redis.from_pool(pool), target)


KIND = Kind(shape=_SHAPE, connect=_connect)

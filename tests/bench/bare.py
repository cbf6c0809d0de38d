"""What stands below the first figure: a bare script with the same rows, commits, answers and posts, and nothing else.

It believes every callback and every answer, decides nothing, and knows no failure: whatever Taskweir costs beyond this
is for what it does. Same uvicorn, starlette, SQLite (but for the moment of its checkpoints), statements, group commit
and signatures.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import sqlite3
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, cast

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain import Ms
from receiver.ids import new_id
from receiver.server import hold_up_nothing
from receiver.signing import CallbackTokens, secret_bytes
from receiver.store.statements import QUERIES
from tests.bench.baseline import ACK, ready, serve
from tests.bench.seeding import SECRET_KEY, now_ms
from tests.bench.sink import SECRET
from tests.bench.wire import request

_CONNECTIONS = 64
_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY", "cache_size = -8192")
_OF_A_CALLBACK = (
    "insert_callback",
    "update_task",
    "insert_event",
    "insert_delivery",
    "count_unkept",
    "insert_note",
    "delete_timer",
)


@dataclass(slots=True)
class _Came:
    """A callback that waits for its commit."""

    task_id: str
    body: bytes
    recorded: "asyncio.Future[None]"


@dataclass(slots=True)
class _Parcel:
    """A webhook to be posted; after that, to be recorded as delivered."""

    delivery_id: str
    event_id: str
    text: bytes
    began_at: Ms = 0


class _Connection(asyncio.Protocol):
    """To the sink, one post at a time; each answer is taken for a success."""

    def __init__(self, bare: "Bare") -> None:
        self._bare = bare
        self.parcel: _Parcel | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is none

    def data_received(self, data: bytes) -> None:
        self._bare.posted(self)


class Bare:
    """One database, one destination; `turn` runs in the loop what waits, a thread commits it."""

    def __init__(self, path: str, sink_port: int, destination_id: str) -> None:
        self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
        self._sql.row_factory = sqlite3.Row
        for pragma in _PRAGMAS:
            self._sql.execute(f"PRAGMA {pragma}")
        [[seq]] = self._sql.execute("SELECT value FROM counters WHERE name = 'seq'")
        self._seqs = itertools.count(seq + 1)
        self._sink_port, self._destination_id = sink_port, destination_id
        self._tokens, self._key = CallbackTokens([SECRET_KEY]), secret_bytes(SECRET)
        self._came: list[_Came] = []
        self._posted: list[_Parcel] = []
        self._to_post: deque[_Parcel] = deque()
        self._free: deque[_Connection] = deque()
        self._busy = False
        self._batches: SimpleQueue[tuple[Sequence[_Came], Sequence[_Parcel]]] = SimpleQueue()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        for _ in range(_CONNECTIONS):
            made = await self._loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._sink_port)
            self._free.append(made[1])
        Thread(target=self._commit, daemon=True).start()
        hold_up_nothing()
        yield

    async def receive(self, request: Request) -> Response:
        task_id = self._tokens.read(request.path_params["provider"], request.path_params["token"])
        recorded: asyncio.Future[None] = self._loop.create_future()
        self._came.append(_Came(task_id, await request.body(), recorded))
        self._begin()
        await recorded
        return Response(ACK, media_type="application/json")

    def posted(self, connection: _Connection) -> None:
        if connection.parcel is not None:
            self._posted.append(connection.parcel)
        self._free.append(connection)
        self._post()
        self._begin()

    def _begin(self) -> None:
        if not self._busy and (self._came or self._posted):
            self._busy = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        (came, self._came), (posted, self._posted), now = (self._came, []), (self._posted, []), now_ms()
        self._sql.execute("BEGIN IMMEDIATE")
        told = [self._told(each, now) for each in came]
        for name, rows in zip(_OF_A_CALLBACK, zip(*(rows for rows, _ in told), strict=True), strict=False):
            self._sql.executemany(QUERIES[name], rows)
        if told:
            self._sql.execute(QUERIES["set_seq"], {"value": told[-1][0][2]["seq"]})
        self._sql.executemany(QUERIES["insert_attempt"], [_attempt(each, now) for each in posted])
        self._sql.executemany(QUERIES["settle_delivered"], [{"id": each.delivery_id} for each in posted])
        self._batches.put((came, [parcel for _, parcel in told]))

    def _commit(self) -> None:
        while True:
            batch = self._batches.get()
            self._sql.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._committed, *batch)

    def _committed(self, came: Sequence[_Came], parcels: Sequence[_Parcel]) -> None:
        for each in came:
            each.recorded.set_result(None)
        self._to_post.extend(parcels)
        self._post()
        self._busy = False
        self._begin()

    def _post(self) -> None:
        while self._free and self._to_post:
            connection, parcel = self._free.popleft(), self._to_post.popleft()
            connection.parcel, parcel.began_at = parcel, now_ms()
            content = b"%s.%d.%s" % (parcel.event_id.encode(), parcel.began_at // 1000, parcel.text)
            signed = base64.b64encode(hmac.digest(self._key, content, "sha256")).decode()
            headers = (
                f"webhook-id: {parcel.event_id}\r\nwebhook-timestamp: {parcel.began_at // 1000}\r\n"
                f"webhook-signature: v1,{signed}\r\n"
            )
            host = f"127.0.0.1:{self._sink_port}"
            connection.transport.write(request("POST", "/hook", host=host, body=parcel.text, headers=headers))

    def _told(self, came: _Came, now: Ms) -> tuple[Sequence[Mapping[str, Any]], _Parcel]:
        """The rows of a callback, in the order of their statements, and its webhook."""
        task = dict(self._sql.execute(QUERIES["select_task"], {"id": came.task_id}).fetchone())
        result = orjson.loads(orjson.loads(came.body)["data"]["resultJson"])
        outputs = [{"kind": "video", "url": url, "expires_at": None} for url in result["resultUrls"]]
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now / 1000))}.{now % 1000:03d}Z"
        parcel = _Parcel(new_id("dlv", now), new_id("evt", now), b"")
        seq, sequence = next(self._seqs), task["sequence"] + 1
        ended = {"status": "succeeded", "provider_status": "success", "finished_at": now, "sequence": sequence}
        shown = task | ended | {"metadata": orjson.loads(task["metadata"]), "outputs": outputs, "finished_at": at}
        del shown["input"]
        data = {"task": shown, "sequence": sequence, "source": "callback", "verified_by": "token", "late": False}
        parcel.text = orjson.dumps({"id": parcel.event_id, "type": "task.succeeded", "timestamp": at, "data": data})
        of_task = {"task_id": came.task_id, "tenant": task["tenant"], "provider": task["provider"]}
        kept = {
            "digest": hashlib.sha256(came.body).hexdigest(),
            "received_at": now,
            "outcome": "read",
            "body": came.body,
        }
        changed = {
            "outputs": orjson.dumps(outputs).decode(),
            "version": task["version"] + 1,
            "expected": task["version"],
        }
        event = {"seq": seq, "id": parcel.event_id, "type": "task.succeeded", "at": now, "body": parcel.text.decode()}
        delivery = {"id": parcel.delivery_id, "event_seq": seq, "event_id": parcel.event_id, "state": "pending"}
        delivery |= {"destination_id": self._destination_id, "created_at": now, "due_at": now + 60_000}
        delivery |= {"attempts": 1, "tries": 0, "owner": "bare"}
        note = {"sequence": sequence, "at": now, "kind": "callback", "text": "it succeeded", "data": "{}"}
        rows = (
            of_task | kept | {"most": 1},
            task | ended | changed,
            of_task | event,
            of_task | delivery,
            of_task | {"kind": "unkept", "at": now, "most": 500},
            of_task | note | {"most": 500},
            of_task,
        )
        return rows, parcel


def _attempt(posted: _Parcel, now: Ms) -> Mapping[str, Any]:
    took = {"at": posted.began_at, "duration_ms": now - posted.began_at}
    return {"delivery_id": posted.delivery_id, "number": 1, "status": 200, "error": None, "response": "ok"} | took


def main() -> None:
    """Serve: arguments are our port, the database, the sink's port, the destination's id."""
    port, path, sink_port, destination_id = sys.argv[1:]
    bare = Bare(path, int(sink_port), destination_id)
    routes = [Route("/callbacks/{provider}/{token}", bare.receive, methods=["POST"]), Route("/health/ready", ready)]
    serve(Starlette(routes=routes, lifespan=bare.lifespan), int(port))


if __name__ == "__main__":
    main()

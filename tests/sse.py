"""A reader of server-sent events as the standard has it, and a service that it reaches over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from receiver import formats, json_text
from receiver.domain import EventType, Task
from receiver.ids import new_id
from receiver.store.protocol import Store
from tests.make import a_task, an_event
from tests.raw.talking import Receiving, receiving
from tests.service.world import API_KEY, World, soon

PATIENT: dict[str, float] = {"look_every_s": 0.5, "head_s": 10, "body_s": 10, "idle_s": 10, "taking_s": 30}


@dataclass(frozen=True)
class Message:
    """What a listener gets to see: nothing that has no data."""

    id: str
    type: str
    text: str

    @property
    def data(self) -> Any:
        return json.loads(self.text)


@dataclass
class Listener:
    """Whoever reads a stream: its answer, the messages so far, and what a browser would remember of them."""

    response: httpx.Response | None = None
    messages: list[Message] = field(default_factory=list)
    comments: int = 0
    last_id: str = ""
    retry_ms: int | None = None
    ended: bool = False

    @property
    def seqs(self) -> list[int]:
        return [int(each.id) for each in self.messages]

    @property
    def types(self) -> list[str]:
        return [each.type.removeprefix("task.") for each in self.messages]

    async def until(self, happened: Callable[["Listener"], Any], within_s: float = 15) -> None:
        """Return once it holds."""
        async with asyncio.timeout(within_s):
            await soon(lambda: bool(happened(self)))

    async def listen(self, api: httpx.AsyncClient, url: str, **asked: Any) -> None:
        """Until the stream ends, however it does."""
        with suppress(httpx.TransportError):
            async with api.stream("GET", url, **asked) as self.response:
                if self.response.headers.get("content-type") == "text/event-stream":
                    await self._read(self.response)
                else:
                    await self.response.aread()
        self.ended = True

    async def _read(self, response: httpx.Response) -> None:
        fields: dict[str, list[str]] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(":")
            if line and not name:
                self.comments += 1
            elif line:
                fields.setdefault(name, []).append(value.removeprefix(" "))
            else:
                self._dispatch(fields)
                fields = {}

    def _dispatch(self, fields: dict[str, list[str]]) -> None:
        self.last_id = fields.get("id", [self.last_id])[-1]
        self.retry_ms = int(fields["retry"][-1]) if "retry" in fields else self.retry_ms
        if "data" in fields:
            kind = fields.get("event", ["message"])[-1]
            self.messages.append(Message(self.last_id, kind, "\n".join(fields["data"])))


@dataclass
class Streamed:
    """A world behind real connections."""

    world: World
    server: Receiving
    api: httpx.AsyncClient

    @asynccontextmanager
    async def listening(self, url: str = "/v1/events/stream", **asked: Any) -> AsyncIterator[Listener]:
        """Somebody who listens from now on, once the stream has begun."""
        listener = Listener()
        task = asyncio.ensure_future(listener.listen(self.api, url, **asked))
        await soon(lambda: listener.retry_ms is not None or listener.ended)
        try:
            yield listener
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def happen(self, count: int, *, tenant: str = "default", type: EventType = EventType.SUBMITTED) -> list[int]:
        """Record so many events at once, which nobody rings a bell for; their places."""
        return await happen(self.world, count, task=a_task(tenant=tenant), type=type)

    def look(self) -> None:
        """Have the feed look now, as after any news."""
        assert self.world.service.feed is not None
        self.world.service.feed.wake.set()


async def happen(world: World, count: int, *, task: Task, type: EventType = EventType.SUBMITTED) -> list[int]:
    """Record so many events of a task; their places."""

    def write(store: Store) -> list[str]:
        events = [
            an_event(store.next_seq(), id=new_id("evt", task.created_at), task=task, type=type) for _ in range(count)
        ]
        for event in events:
            store.record_event(event, json_text.write(formats.envelope(event)))
        return [event.id for event in events]

    def places(store: Store) -> list[int]:
        found = (store.event(each, task.tenant) for each in ids)
        return [each.seq for each in found if each is not None]

    ids = await world.service.storage.write(write)
    return await world.service.storage.read(places)


@asynccontextmanager
async def streamed(world: World) -> AsyncIterator[Streamed]:
    """This world, and a client of it with the key, over real connections."""
    async with receiving(world.service.app, **PATIENT) as server:
        headers = {"authorization": f"Bearer {API_KEY}"}
        limits = httpx.Limits(max_connections=None)
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, limits=limits) as api:
            yield Streamed(world, server, api)

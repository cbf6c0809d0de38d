"""A whole Taskweir in the test's own loop: real store, real sockets, a clock that tests advance."""

import asyncio
import json
import os
import random
import socket
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from adapters.base import Adapter
from adapters.sandbox.server import running
from receiver.delivery import DeliveryLimits
from receiver.domain import Task, Timer
from receiver.main import load_adapters, settings_of
from receiver.outbound import Outbound
from receiver.poller import PollLimits
from receiver.roles import ServerRole
from receiver.service import Limits, Service
from receiver.settings import Mode
from receiver.store.protocol import Store
from receiver.store.sqlite import migrate_file
from receiver.submit import SubmitLimits
from tests import postgres_server
from tests.make import StoppedClock
from tests.raw_servers import RawServer, answer, raw_server

ON_POSTGRES = os.environ.get("TASKWEIR_TEST_ENGINE") == "postgres"
API_KEY = "root-key-0123456789"
PUBLIC_URL = "http://taskweir.test"
LIMITS = Limits(
    submit=SubmitLimits(deadline_s=0.8, lease_s=60),
    poll=PollLimits(deadline_s=0.8),
    delivery=DeliveryLimits(),
    answer_within_s=5.0,
    drain_s=0.1,
)
CALLERS = 5  # of the heartbeat at once, where nothing else makes us work
APIKLEY_MODEL = "bytedance/v1-pro-text-to-video"


@dataclass
class World:
    """The service, its API as a caller sees it, and the passing of its time."""

    service: Service
    api: httpx.AsyncClient
    clock: StoppedClock

    async def submit(self, provider: str = "apikley", model: str = APIKLEY_MODEL, **fields: Any) -> dict[str, Any]:
        """Submit a task; the task as it is answered."""
        body = {"provider": provider, "model": model, "input": {"prompt": "a red panda"}, **fields}
        response = await self.api.post("/v1/tasks", json=body)
        assert response.status_code in (201, 202), response.text
        task: dict[str, Any] = response.json()
        return task

    async def task(self, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = (await self.api.get(f"/v1/tasks/{task_id}")).json()
        return task

    async def events(self, task_id: str | None = None) -> list[dict[str, Any]]:
        query = {"task_id": task_id} if task_id else {}
        items: list[dict[str, Any]] = (await self.api.get("/v1/events", params=query)).json()["items"]
        return items

    async def types(self, task_id: str) -> list[str]:
        return [event["type"].removeprefix("task.") for event in await self.events(task_id)]

    async def deliveries(self, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.api.get("/v1/deliveries", params=query)).json()["items"]
        return items

    async def story(self, task_id: str) -> list[dict[str, Any]]:
        """The task's timeline."""
        response = await self.api.get(f"/v1/tasks/{task_id}/timeline")
        assert response.status_code == 200, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    async def destination(self, url: str, **fields: Any) -> dict[str, Any]:
        made = await self.api.post("/v1/destinations", json={"type": "webhook", "url": url, **fields})
        assert made.status_code == 201, made.text
        body: dict[str, Any] = made.json()
        return body

    async def turn(self, seconds: float = 0) -> None:
        """Let time pass, then let every loop come round until nothing is under way; or the clock call, five at once."""
        self.clock.advance(seconds)
        if self.service.settings.mode is Mode.SERVERLESS:
            await asyncio.gather(*(self.tick() for _ in range(CALLERS)))
            return
        await self.service.replicas.kept.say({})
        for worker in (self.service.submitter, self.service.poller, self.service.courier):
            await worker.run_once()
            await worker.crew.drain()

    async def tick(self, budget_ms: int = 20_000) -> dict[str, Any]:
        """One heartbeat; what it says."""
        response = await self.api.post("/internal/tick", params={"budget_ms": budget_ms})
        assert response.status_code == 200, response.text
        ticked: dict[str, Any] = response.json()
        return ticked

    async def until(self, done: Callable[[], Any], *, step_s: float = 1.0, most: int = 200) -> None:
        """Turn after turn, until `done()` holds; the providers' own clock is real, so a moment passes as well."""
        for _ in range(most):
            result = done()
            if await result if asyncio.iscoroutine(result) else result:
                return
            await self.turn(step_s)
            await asyncio.sleep(0.01)
        raise AssertionError(f"not within {most} turns")

    async def end(self, task_id: str, *, step_s: float = 1.0) -> dict[str, Any]:
        """The task once it is final."""

        async def final() -> bool:
            return (await self.task(task_id))["status"] in ("succeeded", "failed", "canceled", "expired")

        await self.until(final, step_s=step_s)
        return await self.task(task_id)

    async def callback_url(self, task_id: str, provider: str = "apikley") -> str:
        """The path of the URL that the provider was given for a task."""
        served = self.service.doors.providers[provider]
        url = self.service.doors.callbacks.of(served, task_id)
        assert url is not None
        return url.removeprefix(PUBLIC_URL)


ADAPTERS = load_adapters()  # a look at everything that is installed


@cache
def empty_file() -> bytes:
    """A SQLite file with the schema and nothing else in it: to make one takes longer than most tests."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "taskweir.db"
        migrate_file(path, now=0)
        return path.read_bytes()


def database_url(directory: Path) -> str:
    """A database of this directory's: SQLite's, unless TASKWEIR_TEST_ENGINE says that it shall be PostgreSQL's."""
    if ON_POSTGRES:
        return postgres_server.database_of(directory)
    path = directory / "taskweir.db"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        path.write_bytes(empty_file())
    return f"sqlite:///{path}"


@asynccontextmanager
async def a_world(
    directory: Path,
    *,
    base_url: str = "",
    base_urls: dict[str, str] | None = None,
    limits: Limits = LIMITS,
    clock: StoppedClock | None = None,
    adapters: Mapping[str, Adapter] | None = None,
    outbound: Outbound | None = None,
    role: ServerRole = ServerRole.ALL,
    **environment: str,
) -> AsyncIterator[World]:
    """A service on an empty store, its providers at `base_url`/<name>; no loop runs but by `turn`."""
    adapters = ADAPTERS if adapters is None else adapters
    settings = settings_of(
        {
            "TASKWEIR_DATABASE_URL": environment.get("TASKWEIR_DATABASE_URL") or database_url(directory),
            "TASKWEIR_DATA_DIR": str(directory),
            "TASKWEIR_API_KEY": API_KEY,
            "TASKWEIR_SECRET_KEY": "s" * 32,
            "TASKWEIR_PUBLIC_URL": PUBLIC_URL,
            "TASKWEIR_ALLOW_NETWORKS": "loopback",
            "TASKWEIR_MODE": os.environ.get("TASKWEIR_TEST_MODE", "server"),
            **{f"TASKWEIR_{name.upper()}_API_KEY": "provider-key" for name in adapters},
            **{
                f"TASKWEIR_{name.upper()}_BASE_URL": (base_urls or {}).get(name, f"{base_url}/{name}")
                for name in adapters
                if base_url or name in (base_urls or {})
            },
            **environment,
        },
        adapters,
    )
    clock = clock or StoppedClock()
    service = Service(replace(settings, role=role), adapters, clock=clock, limits=limits, outbound=outbound)
    await service.start()
    transport = httpx.ASGITransport(app=service.app, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, headers=headers, timeout=30) as api:
        try:
            yield World(service=service, api=api, clock=clock)
        finally:
            await service.stop()


async def keep(world: World, *nouns: Task | Timer) -> None:
    """Record tasks and timers that are there already, as they stand, in one transaction."""

    def record_all(store: Store) -> None:
        for noun in nouns:
            if isinstance(noun, Task):
                store.record_task(noun)
            else:
                store.set_timer(noun)

    await world.service.storage.write(record_all)


async def ring(world: World, task_id: str, body: Any) -> None:
    """Apikley calls back, and gets the acknowledgement that it wants."""
    answer = await world.api.post(await world.callback_url(task_id), json=body)
    assert (answer.status_code, answer.json()) == (200, {"code": 200, "msg": "success"})


async def poll(world: World) -> None:
    """A turn of the poller alone."""
    await world.service.poller.run_once()
    await world.service.poller.crew.drain()


async def every(world: World, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor = "after" if path == "/v1/events" else "cursor"
    query = {"limit": 200} | query
    while True:
        answer = await world.api.get(path, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        if not page.get("has_more", page["next_cursor"] is not None):
            return items
        query[cursor] = page["next_cursor"]


async def soon(happened: Callable[[], bool]) -> None:
    """Return once it happened, within seconds of real time, and with no turn of the service's loops."""
    for _ in range(5000):
        if happened():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never happened")


def a_pair(directory: Path, apikley: "Scripted", **fields: Any) -> AbstractAsyncContextManager[World]:
    """A world whose Apikley is this one."""
    return a_world(directory, base_urls={"apikley": apikley.base_url}, **fields)


@asynccontextmanager
async def held_writes(world: World) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Nothing is committed inside this block; what waits is, after it, in the order in which it came.

    Gives a function that returns once so many writes wait.
    """
    released, holding = threading.Event(), threading.Event()

    def hold(store: Store) -> None:
        holding.set()
        released.wait(10)

    async def waiting(count: int) -> None:
        await soon(lambda: len(world.service.storage._writer._waiting) >= count)

    held = asyncio.ensure_future(world.service.storage.write(hold))
    await asyncio.to_thread(holding.wait, 10)
    try:
        yield waiting
    finally:
        released.set()
        await held


def free_port() -> int:
    """A loopback port that nobody listens on now; none of those that the system gives to whoever connects meanwhile."""
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.randrange(12_000, 32_000))) as listening:
                port: int = listening.getsockname()[1]
                return port
        except OSError:
            continue


@asynccontextmanager
async def a_reachable_world(directory: Path, **fields: Any) -> AsyncIterator[World]:
    """A world whose public URL answers, so that providers' callbacks arrive."""
    port = free_port()
    async with a_world(directory, TASKWEIR_PUBLIC_URL=f"http://127.0.0.1:{port}", **fields) as world:
        # Its lifespan would start the loops; here only `turn` does.
        door = Starlette(routes=[Mount("/", app=world.service.app)])
        async with running(door, port=port):
            yield world


@dataclass
class Scripted:
    """A provider that says what it was told to: each reply once, the last one for ever.

    A reply is (status, JSON body), or a word: `hang` never answers, `close` hangs up.
    An event holds back the reply after it until it is set.
    """

    replies: deque[Any] = field(default_factory=deque)
    seen: RawServer = field(default_factory=RawServer)

    @property
    def base_url(self) -> str:
        return self.seen.url("").rstrip("/")

    @property
    def lines(self) -> list[str]:
        """The request lines so far: method and path."""
        return [head.split(b" HTTP", 1)[0].decode() for head, _ in self.seen.requests]

    def say(self, *replies: Any) -> None:
        """Forget what was left to say, and say this."""
        self.replies = deque(replies)

    def _next(self) -> Any:
        return self.replies.popleft() if len(self.replies) > 1 else self.replies[0]

    async def answer(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.read(reader)
            reply = self._next()
            if isinstance(reply, asyncio.Event):
                await reply.wait()
                reply = self._next()
            if reply == "hang":
                await asyncio.Event().wait()
            if reply == "close":
                return
            status, body, *headers = reply
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            extra = "".join(f"{name}: {value}\r\n" for name, value in (headers[0] if headers else {}).items())
            writer.write(answer(raw, status=f"{status} X", headers=extra))
            await writer.drain()


@asynccontextmanager
async def scripted(*replies: Any) -> AsyncIterator[Scripted]:
    """A scripted provider on a free loopback port."""
    provider = Scripted(deque(replies))
    async with raw_server(provider.answer) as seen:
        provider.seen = seen
        yield provider


def submits(provider: Scripted) -> int:
    """How many submits have come."""
    return sum(line.startswith("POST") for line in provider.lines)


def polls(provider: Scripted) -> int:
    """How many polls have come, of a provider that is polled by GET."""
    return sum(line.startswith("GET") for line in provider.lines)


def created(task_id: str = "p1") -> tuple[int, Any]:
    """Apikley's answer to a submit."""
    return 200, {"code": 200, "msg": "success", "data": {"taskId": task_id}}


def record(state: str, task_id: str = "p1", **fields: Any) -> tuple[int, Any]:
    """Apikley's answer to a poll."""
    data: dict[str, Any] = {"taskId": task_id, "state": state}
    if state == "success":
        data["resultJson"] = json.dumps({"resultUrls": ["https://files.example/1.mp4"]})
    return 200, {"code": 200, "msg": "success", "data": data | fields}


UNKNOWN_TASK = (200, {"code": 422, "msg": "recordInfo is null", "data": None})

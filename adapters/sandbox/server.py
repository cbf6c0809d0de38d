"""The sandbox as an HTTP server: every installed provider's side of the wire, mounted under its name."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from adapters.sandbox.base import ProviderSide
from adapters.sandbox.callbacks import Courier
from adapters.sandbox.desk import Desk, Manners
from adapters.sandbox.ledger import MAX_TASKS, Ledger
from adapters.sandbox.samples import sample
from receiver.errors import ConfigurationError

GROUP = "taskweir.sandboxes"
RESERVED = frozenset({"health", "_sandbox"})
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_PATIENCE_S = 0.3


def create_app(
    *,
    finish_after_s: float = 2.0,
    api_keys: frozenset[str] | None = None,
    ledger: Path | None = None,
    callback_retry_s: float = 1.0,
    max_tasks: int = MAX_TASKS,
    providers: Mapping[str, ProviderSide] | None = None,
) -> Starlette:
    """The sandbox as an ASGI application; nothing is shared between two of them.

    `finish_after_s`: how long a task runs. `api_keys`: the only keys taken; None takes any that is not empty.
    `ledger`: a file to append one JSON line per task created and ended to. `callback_retry_s`: between two tries of one
    callback. `max_tasks`: how many are remembered, the oldest are forgotten first. `providers`: what to mount, by name;
    None mounts every entry point of the group `taskweir.sandboxes`. Raises `ConfigurationError` on an impossible name.
    """
    book = Ledger(file=ledger, max_tasks=max_tasks)
    courier = Courier(retry_after_s=callback_retry_s, on_final=book.note_stage)
    manners = Manners(finish_after_s=finish_after_s, api_keys=api_keys)
    sides = installed_providers() if providers is None else providers

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await courier.aclose()
        book.close()

    mounts = [
        Mount(f"/{_checked(name)}", routes=Desk(name, side, ledger=book, courier=courier, manners=manners).routes())
        for name, side in sides.items()
    ]
    return Starlette(routes=[*_own_routes(book, courier, tuple(sides)), *mounts], lifespan=lifespan)


def installed_providers() -> dict[str, ProviderSide]:
    """One of each class that an installed distribution registered, by the name of its entry point."""
    return {point.name: point.load()() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def _checked(name: str) -> str:
    if name in RESERVED or not _NAME.fullmatch(name):
        hint = f"use lower-case letters, digits, '-' and '_', and none of {', '.join(sorted(RESERVED))}"
        raise ConfigurationError(f"the sandbox cannot mount a provider named {name!r}", hint=hint)
    return name


def _own_routes(book: Ledger, courier: Courier, names: tuple[str, ...]) -> list[Route]:
    async def health(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        return JSONResponse({"status": "ok", "providers": {name: f"{base}/{name}" for name in names}})

    async def tasks(request: Request) -> Response:
        if request.method == "DELETE":
            courier.clear()
            book.clear()
            return Response(status_code=204)
        limit = request.query_params.get("limit", "")
        return JSONResponse(book.tasks_as_json(time.monotonic(), int(limit[:9]) if limit.isdecimal() else None))

    async def requests(request: Request) -> Response:
        return JSONResponse(book.requests_as_json())

    async def file(request: Request) -> Response:
        found = sample(request.path_params["name"])
        return Response(status_code=404) if found is None else Response(found.content, media_type=found.media_type)

    return [
        Route("/health", health),
        Route("/_sandbox/tasks", tasks, methods=["GET", "DELETE"]),
        Route("/_sandbox/requests", requests),
        Route("/_sandbox/files/{name}", file),
    ]


class _Server(uvicorn.Server):
    """A server that lets hanging requests go when it stops, and leaves signals alone unless told to take them."""

    def __init__(self, app: Starlette, *, signals: bool) -> None:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2)
        super().__init__(config)
        self.up = asyncio.Event()
        self._signals = signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(_PATIENCE_S, self._drop_connections)
        await super().shutdown(sockets)

    def _drop_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if not self._signals:
            yield
            return
        with super().capture_signals():
            yield


async def serve(
    app: Starlette, *, host: str = "127.0.0.1", port: int = 9400, ready: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, which is raised again at the end. `ready` gets the base URL; port 0 picks one.

    Raises `OSError` where the port is taken.
    """
    listener = _listen(host, port)
    server = _Server(app, signals=True)
    url = _url_of(listener)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await server.up.wait()
    if ready is not None:
        ready(url)
    await task


@contextlib.asynccontextmanager
async def running(app: Starlette, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve inside the running loop, for tests: `async with running(create_app(finish_after_s=0.1)) as url:`."""
    listener = _listen(host, port)
    url = _url_of(listener)
    server = _Server(app, signals=False)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await server.up.wait()
    try:
        yield url
    finally:
        server.should_exit = True
        await task


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    # asyncio sets this only on sockets made with an explicit TCP protocol number; without it every answer whose head
    # and body leave in two writes waits 40 ms for a delayed acknowledgement. Accepted connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

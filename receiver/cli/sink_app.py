"""A webhook target: checks each signature as a consumer should, and tells what it heard."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from receiver import signing
from receiver.cli.sink_events import event_in, format_of
from receiver.domain import Format
from receiver.errors import NotVerified

MOST_READ = 4 * 1024 * 1024
_STOPS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One POST: `at` in ms; `verified` is None where there was no secret to check with, `fault` why it is False.

    `event` is the body where that is a JSON object, else empty; `format` the one of ours that it is in.
    """

    at: int
    verified: bool | None
    fault: str | None
    webhook_id: str
    format: Format | None = None
    event: dict[str, Any] = field(default_factory=dict)


def create_sink(secret: str | None, hear: Callable[[Heard], None]) -> Starlette:
    """An ASGI application that takes POSTs on every path and hands each to `hear`.

    It answers 204, or 401 where `secret`, a `whsec_…` or `whpk_…`, is given and does not verify the signature.
    """

    async def receive(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return PlainTextResponse("too large", 413)
        fault = _fault(request, body, secret)
        event = event_in(request.headers, body)
        hear(
            Heard(
                at=_now(),
                verified=None if secret is None else fault is None,
                fault=fault,
                webhook_id=request.headers.get("webhook-id", ""),
                format=format_of(request.headers, event),
                event=event,
            )
        )
        return Response(status_code=204) if fault is None else PlainTextResponse(fault, 401)

    return Starlette(routes=[Route("/{path:path}", receive, methods=["POST"])])


async def _body(request: Request) -> bytes | None:
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > MOST_READ:
                return None
    except ClientDisconnect:
        return None
    return b"".join(chunks)


def _fault(request: Request, body: bytes, secret: str | None) -> str | None:
    if secret is None:
        return None
    try:
        signing.verify(request.headers, body, [secret], now=_now())
    except NotVerified as error:
        return str(error)
    return None


def _now() -> int:
    return time.time_ns() // 1_000_000


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises `OSError` where it is taken."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def url_of(address: Sequence[Any]) -> str:
    """Where a socket with this address (host, port, …) is reached."""
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_for(app: Starlette) -> uvicorn.Server:
    """The HTTP server for a sink; `run(sockets=[…])` serves until a signal, or until `should_exit` is set."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


@contextmanager
def running(app: Starlette) -> Iterator[str]:
    """Serve in a thread of its own, on a free loopback port; gives the base URL."""
    listener = listen("127.0.0.1", 0)
    server = server_for(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sink", daemon=True)
    thread.start()
    try:
        yield url_of(listener.getsockname())
    finally:
        server.should_exit = True
        thread.join(_STOPS_WITHIN_S)
        listener.close()

"""The application: the doors that a start waits for, and the others once somebody asks; how errors leave it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from receiver.errors import TaskweirError
from receiver.roles import ServerRole
from receiver.telemetry import log
from receiver.web import callbacks, ops
from receiver.web.answers import problem, problem_of
from receiver.web.doors import Door, Doors, doors_of

_ELSEWHERE = (
    "no such address here: this process serves with `--role worker`, which has /health/live, /health/ready and "
    "/metrics; ask one with `--role web`"
)

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


class Others:
    """All other doors. What reads their bodies takes longer to load than all the rest of us together: it is loaded
    beside the event loop once a server is ready, or by the first who asks; callbacks are answered meanwhile.
    """

    def __init__(self, role: ServerRole) -> None:
        self._routes = _others if role.receives else _of_worker
        self._loading: asyncio.Task[list[BaseRoute]] | None = None
        self._router: Router | None = None

    async def load(self) -> Router:
        """Be ready for those who ask; who comes meanwhile waits in line."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._routes))
        routes = await asyncio.shield(self._loading)
        if self._router is None:
            self._router = Router(routes, redirect_slashes=False)
        return self._router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        router = self._router or await self.load()
        await router(scope, receive, send)


def _others() -> list[BaseRoute]:
    from receiver.web.app import routes

    return routes()


def _of_worker() -> list[BaseRoute]:
    from receiver.web import metrics

    return [Route("/metrics", Door(metrics.metrics), methods=["GET"])]


class Front(Starlette):
    """Starlette's application, with what all its doors have in common."""

    doors: Doors
    others: Others


def create_app(doors: Doors, *, lifespan: Lifespan | None = None) -> Front:
    """The ASGI application over what main wired; `lifespan` starts and stops what runs beside it."""
    app = Front(
        routes=[*(_callbacks() if doors.role.receives else ()), *_health()],
        lifespan=lifespan,
        exception_handlers={TaskweirError: _ours, HTTPException: _http, Exception: _unexpected},
    )
    # A redirect names the scheme that we were asked under: behind a proxy, keys would follow it in the clear.
    app.router.redirect_slashes = False
    app.router.default = app.others = Others(doors.role)
    app.doors = doors
    return app


def _health() -> list[BaseRoute]:
    return [
        Route(path, Door(answer), methods=["GET"])
        for answer, paths in ((ops.live, ("/health/live", "/healthz")), (ops.ready, ("/health/ready", "/readyz")))
        for path in paths
    ]


def _callbacks() -> list[BaseRoute]:
    return [
        Route(path, Door(callbacks.receive), methods=["GET", "HEAD", "OPTIONS", "POST"])
        for path in ("/callbacks/{provider}/{token}", "/callbacks/{provider}/{token}/")
    ]


async def _ours(request: Request, error: Exception) -> Response:
    return problem_of(error) if isinstance(error, TaskweirError) else problem(500, "an error of ours")


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    absent = "no such address" if doors_of(request).role.receives else _ELSEWHERE
    detail = {404: absent, 405: "this address does not take this method"}
    response = problem(status, detail.get(status, "refused"))
    headers = error.headers if isinstance(error, HTTPException) else None
    response.headers.update(headers or {})
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    # The path stays out: on the callbacks' door it holds a token.
    log.error("request.failed", method=request.method, error=repr(error))
    return problem(500, "an error of ours; it is in the log")

"""The application: every route, and how errors leave it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from receiver.errors import TaskweirError
from receiver.telemetry import log
from receiver.web import callbacks, deliveries, destinations, events, ops, tasks
from receiver.web.answers import problem, problem_of
from receiver.web.doors import Caller, Doors, caller_of

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
Private = Callable[[Request, Caller], Awaitable[Response]]


def create_app(doors: Doors, *, lifespan: Lifespan | None = None) -> Starlette:
    """The ASGI application over what main wired; `lifespan` starts and stops what runs beside it."""
    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        exception_handlers={TaskweirError: _ours, HTTPException: _http, Exception: _unexpected},
    )
    app.state.doors = doors
    return app


def _routes() -> list[BaseRoute]:
    health = [
        Route(path, endpoint)
        for endpoint, paths in ((ops.live, ("/health/live", "/healthz")), (ops.ready, ("/health/ready", "/readyz")))
        for path in paths
    ]
    return [
        *health,
        Route("/callbacks/{provider}/{token}", callbacks.receive, methods=["GET", "HEAD", "OPTIONS", "POST"]),
        _private("GET", "/v1/me", ops.me),
        _private("POST", "/v1/tasks", tasks.create_task),
        _private("GET", "/v1/tasks", tasks.list_tasks),
        _private("GET", "/v1/tasks/{id}", tasks.get_task),
        _private("GET", "/v1/events", events.list_events),
        _private("GET", "/v1/events/{id}", events.get_event),
        _private("POST", "/v1/destinations", destinations.create_destination),
        _private("GET", "/v1/destinations", destinations.list_destinations),
        _private("GET", "/v1/destinations/{id}", destinations.get_destination),
        _private("DELETE", "/v1/destinations/{id}", destinations.delete_destination),
        _private("GET", "/v1/destinations/{id}/secret", destinations.get_secret),
        _private("GET", "/v1/deliveries", deliveries.list_deliveries),
        _private("GET", "/v1/deliveries/{id}", deliveries.get_delivery),
    ]


def _private(method: str, path: str, door: Private) -> Route:
    """A route that only a caller with a key passes."""

    async def guarded(request: Request) -> Response:
        return await door(request, caller_of(request))

    return Route(path, guarded, methods=[method])


async def _ours(request: Request, error: Exception) -> Response:
    return problem_of(error) if isinstance(error, TaskweirError) else problem(500, "an error of ours")


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = {404: "no such address", 405: "this address does not take this method"}
    response = problem(status, detail.get(status, "refused"))
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    # The path stays out: on the callbacks' door it holds a token.
    log.error("request.failed", method=request.method, error=repr(error))
    return problem(500, "an error of ours; it is in the log")

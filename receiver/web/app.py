"""The application: every route, and how errors leave it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from receiver.errors import TaskweirError
from receiver.telemetry import log
from receiver.web import (
    actions,
    adopt,
    bulk,
    callbacks,
    deliveries,
    destination_acts,
    destinations,
    events,
    keys,
    ops,
    providers,
    tasks,
    timeline,
    webhooks,
)
from receiver.web.answers import problem, problem_of
from receiver.web.doors import Caller, Doors, caller_of

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
Private = Callable[[Request, Caller], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Door:
    """What a route leads to. From a function Starlette would make one with a second net for errors inside the first."""

    answer: Callable[[Request], Awaitable[Response]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.answer(Request(scope, receive, send))
        await response(scope, receive, send)


def create_app(doors: Doors, *, lifespan: Lifespan | None = None) -> Starlette:
    """The ASGI application over what main wired; `lifespan` starts and stops what runs beside it."""
    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        exception_handlers={TaskweirError: _ours, HTTPException: _http, Exception: _unexpected},
    )
    # A redirect names the scheme that we were asked under: behind a proxy, keys would follow it in the clear.
    app.router.redirect_slashes = False
    app.state.doors = doors
    return app


def _routes() -> list[BaseRoute]:
    health = [
        Route(path, Door(answer), methods=["GET"])
        for answer, paths in ((ops.live, ("/health/live", "/healthz")), (ops.ready, ("/health/ready", "/readyz")))
        for path in paths
    ]
    calls = [
        Route(path, Door(callbacks.receive), methods=["GET", "HEAD", "OPTIONS", "POST"])
        for path in ("/callbacks/{provider}/{token}", "/callbacks/{provider}/{token}/")
    ]
    return [  # each is tried in turn
        *calls,
        *health,
        Route("/metrics", Door(ops.metrics), methods=["GET"]),
        _private("/v1/me", GET=ops.me),
        _private("/v1/providers", GET=providers.list_providers),
        _private("/v1/providers/{name}/pause", POST=providers.pause_provider),
        _private("/v1/providers/{name}/resume", POST=providers.resume_provider),
        _private("/v1/tasks", GET=tasks.list_tasks, POST=tasks.create_task),
        _private("/v1/tasks/adopt", POST=adopt.adopt_task),
        _private("/v1/tasks/bulk", POST=bulk.act_on_many),
        _private("/v1/tasks/{id}", GET=tasks.get_task),
        _private("/v1/tasks/{id}/cancel", POST=actions.cancel_task),
        _private("/v1/tasks/{id}/refresh", POST=actions.refresh_task),
        _private("/v1/tasks/{id}/resolve", POST=actions.resolve_task),
        _private("/v1/tasks/{id}/resubmit", POST=actions.resubmit_task),
        _private("/v1/tasks/{id}/timeline", GET=timeline.get_timeline),
        _private("/v1/events", GET=events.list_events),
        _private("/v1/events/{id}", GET=events.get_event),
        _private("/v1/events/{id}/replay", POST=events.replay_event),
        *_of_destinations(),
        _private("/v1/webhook-secret", GET=webhooks.get_secret),
        _private("/v1/webhook-secret/rotate", POST=webhooks.rotate_secret),
        _private("/v1/deliveries", GET=deliveries.list_deliveries),
        _private("/v1/deliveries/{id}", GET=deliveries.get_delivery),
        _private("/v1/deliveries/{id}/retry", POST=deliveries.retry_delivery),
        _private("/v1/deliveries/{id}/cancel", POST=deliveries.cancel_delivery),
        Route("/internal/tick", Door(ops.tick), methods=["GET", "POST"]),
        _private("/internal/rotate-secrets", POST=keys.rotate_secrets),
    ]


def _of_destinations() -> list[BaseRoute]:
    one = "/v1/destinations/{id}"
    return [
        _private("/v1/destinations", GET=destinations.list_destinations, POST=destinations.create_destination),
        _private(
            one,
            GET=destinations.get_destination,
            PATCH=destinations.change_destination,
            DELETE=destinations.delete_destination,
        ),
        _private(f"{one}/secret", GET=destination_acts.get_secret),
        _private(f"{one}/rotate-secret", POST=destination_acts.rotate_secret),
        _private(f"{one}/test", POST=destination_acts.test_destination),
        _private(f"{one}/replay", POST=destination_acts.replay_to_destination),
        _private(f"{one}/enable", POST=destination_acts.enable_destination),
        _private(f"{one}/disable", POST=destination_acts.disable_destination),
    ]


def _private(path: str, **doors: Private) -> Route:
    """A path that only a caller with a key passes, and its door for each method."""

    async def guarded(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await doors[method](request, caller_of(request))

    return Route(path, Door(guarded), methods=list(doors))


async def _ours(request: Request, error: Exception) -> Response:
    return problem_of(error) if isinstance(error, TaskweirError) else problem(500, "an error of ours")


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = {404: "no such address", 405: "this address does not take this method"}
    response = problem(status, detail.get(status, "refused"))
    headers = error.headers if isinstance(error, HTTPException) else None
    response.headers.update(headers or {})
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    # The path stays out: on the callbacks' door it holds a token.
    log.error("request.failed", method=request.method, error=repr(error))
    return problem(500, "an error of ours; it is in the log")

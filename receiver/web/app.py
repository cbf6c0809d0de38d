"""Every route but those of the callbacks and of health: whoever takes them has a key, or reads what is public."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from receiver.web import (
    actions,
    adopt,
    bulk,
    deliveries,
    destination_acts,
    destinations,
    events,
    keys,
    metrics,
    ops,
    providers,
    tasks,
    timeline,
    webhooks,
)
from receiver.web.documents import pages
from receiver.web.doors import Caller, Door, caller_of

Private = Callable[[Request, Caller], Awaitable[Response]]


def routes() -> list[BaseRoute]:
    """In the order in which they are tried."""
    return [
        Route("/metrics", Door(metrics.metrics), methods=["GET"]),
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
        *pages.routes(),
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

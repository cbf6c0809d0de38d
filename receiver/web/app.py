"""Every route but those of the callbacks and of health: whoever takes them has a key, or reads what is public."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from receiver.api_keys import Scope
from receiver.web import (
    actions,
    adopt,
    api_keys,
    bulk,
    deliveries,
    destination_acts,
    destinations,
    drop_in,
    events,
    hooks,
    keys,
    metrics,
    ops,
    providers,
    stream,
    tasks,
    timeline,
    usage,
    watch,
    webhooks,
)
from receiver.web.acting import acting
from receiver.web.documents import pages
from receiver.web.doors import Caller, Door, caller_of, check_scope

Private = Callable[[Request, Caller], Awaitable[Response]]
ROOT = None


@dataclass(frozen=True, slots=True)
class Guarded:
    """The doors of one path, by method, and the scope that each takes."""

    doors: Mapping[str, Private]
    needs: Mapping[str, Scope | None]

    async def __call__(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        caller = await caller_of(request)
        check_scope(caller, self.needs[method])
        return await self.doors[method](request, await acting(request, caller))


def routes() -> list[BaseRoute]:
    """In the order in which they are tried: first what is asked thousands of times."""
    return [
        _private("/v1/tasks", changes=Scope.SUBMIT, GET=tasks.list_tasks, POST=tasks.create_task),
        Route("/metrics", Door(metrics.metrics), methods=["GET"]),
        _private("/v1/me", GET=ops.me),
        _private("/v1/usage", GET=usage.get_usage),
        _private("/v1/keys", GET=api_keys.list_keys, POST=api_keys.create_key),
        _private("/v1/keys/{id}", GET=api_keys.get_key, DELETE=api_keys.revoke_key),
        _private("/v1/providers", GET=providers.list_providers),
        _private("/v1/providers/{name}/pause", changes=ROOT, POST=providers.pause_provider),
        _private("/v1/providers/{name}/resume", changes=ROOT, POST=providers.resume_provider),
        _private("/v1/tasks/adopt", changes=Scope.SUBMIT, POST=adopt.adopt_task),
        _private("/v1/tasks/bulk", changes=Scope.SUBMIT, POST=bulk.act_on_many),
        _private("/v1/tasks/{id}", GET=tasks.get_task),
        _private("/v1/tasks/{id}/cancel", changes=Scope.SUBMIT, POST=actions.cancel_task),
        _private("/v1/tasks/{id}/refresh", changes=Scope.SUBMIT, POST=actions.refresh_task),
        _private("/v1/tasks/{id}/resolve", changes=Scope.SUBMIT, POST=actions.resolve_task),
        _private("/v1/tasks/{id}/resubmit", changes=Scope.SUBMIT, POST=actions.resubmit_task),
        _private("/v1/tasks/{id}/timeline", GET=timeline.get_timeline),
        _private("/v1/events", GET=events.list_events),
        _private("/v1/events/stream", GET=stream.stream_events),
        _private("/v1/events/{id}", GET=events.get_event),
        _private("/v1/events/{id}/replay", POST=events.replay_event),
        *_of_destinations(),
        _private("/v1/hooks", GET=hooks.list_hooks, POST=hooks.create_hook, DELETE=hooks.delete_hooks),
        _private("/v1/hooks/sample", GET=hooks.sample),
        _private("/v1/hooks/{id}", DELETE=hooks.delete_hook),
        _private("/v1/webhook-secret", reads=Scope.ADMIN, GET=webhooks.get_secret),
        _private("/v1/webhook-secret/rotate", POST=webhooks.rotate_secret),
        _private("/v1/deliveries", GET=deliveries.list_deliveries),
        _private("/v1/deliveries/{id}", GET=deliveries.get_delivery),
        _private("/v1/deliveries/{id}/retry", POST=deliveries.retry_delivery),
        _private("/v1/deliveries/{id}/cancel", POST=deliveries.cancel_delivery),
        Route("/v1/watch/{token}", Door(watch.watch_task), methods=["GET", "OPTIONS"]),
        Route("/internal/tick", Door(ops.tick), methods=["GET", "POST"]),
        _private("/internal/rotate-secrets", changes=ROOT, POST=keys.rotate_secrets),
        *pages.routes(),
        drop_in.ProvidersOwn(),
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
        _private(f"{one}/secret", reads=Scope.ADMIN, GET=destination_acts.get_secret),
        _private(f"{one}/rotate-secret", POST=destination_acts.rotate_secret),
        _private(f"{one}/test", POST=destination_acts.test_destination),
        _private(f"{one}/replay", POST=destination_acts.replay_to_destination),
        _private(f"{one}/enable", POST=destination_acts.enable_destination),
        _private(f"{one}/disable", POST=destination_acts.disable_destination),
    ]


def _private(
    path: str, *, reads: Scope | None = Scope.READ, changes: Scope | None = Scope.ADMIN, **doors: Private
) -> Route:
    """A path that only a caller with a key passes, and its door for each method.

    `reads` is what the key needs for a GET, `changes` for all else; `ROOT` takes the root key.
    """
    needs = {method: reads if method == "GET" else changes for method in doors}
    return Route(path, Door(Guarded(doors, needs)), methods=list(doors))

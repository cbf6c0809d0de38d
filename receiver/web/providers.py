"""The door for providers: how each stands, and the operator's pause."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver import formats, provider_policy
from receiver.domain import Work
from receiver.errors import Unknown
from receiver.provider_policy import Pause, Standing
from receiver.providers import Served
from receiver.standing import Turn, heard, log_turn
from receiver.store.protocol import Store
from receiver.web.answers import json_answer
from receiver.web.doors import Caller, Doors, check_query, doors_of


async def list_providers(request: Request, caller: Caller) -> Response:
    """`GET /v1/providers`: what is configured, in the order of names, on one page."""
    check_query(request)
    doors = doors_of(request)
    items = await doors.storage.read(
        lambda store: [
            _fields(doors, store, served, whole=caller.root) for _, served in sorted(doors.providers.items())
        ]
    )
    return json_answer({"items": items, "next_cursor": None})


async def pause_provider(request: Request, caller: Caller) -> Response:
    """`POST /v1/providers/{name}/pause`: submits wait, polls go on."""
    return await _set(request, lambda standing, now: provider_policy.paused(standing, Pause.OPERATOR, now))


async def resume_provider(request: Request, caller: Caller) -> Response:
    """`POST /v1/providers/{name}/resume`: whoever paused it."""
    return await _set(request, lambda standing, now: provider_policy.resumed(standing))


async def _set(request: Request, decide: Any) -> Response:
    doors, name = doors_of(request), request.path_params["name"]
    served = doors.providers.get(name)
    if served is None:
        raise Unknown(f"no provider {name!r}")

    def write(store: Store) -> tuple[dict[str, Any], Turn | None]:
        now = doors.clock.now()
        before = store.standing(name)
        turn = heard(store, before, decide(before, now), now)
        return _fields(doors, store, served, whole=True), turn

    fields, turn = await doors.storage.write(write)
    log_turn(turn)
    doors.wake_submitter()
    return json_answer(fields)


def _fields(doors: Doors, store: Store, served: Served, *, whole: bool) -> dict[str, Any]:
    """How a provider stands; `whole` with what all tenants together have there, which is for root."""
    name = served.provider.name
    standing: Standing = store.standing(name)
    return {
        "name": name,
        "adapter": served.provider.adapter,
        "learns_by": "callback" if doors.callbacks.expected(served) else "poll",
        "trust": served.provider.trust.value,
        "paused": standing.paused is not None,
        "reason": standing.paused.value if standing.paused else None,
        "since": standing.since and formats.timestamp(standing.since),
        "next_probe_at": standing.probe_at and formats.timestamp(max(standing.probe_at, doors.clock.now())),
        "in_flight": store.count_timers(Work.POLL, name) if whole else None,
        "waiting": store.count_timers(Work.SUBMIT, name) if whole else None,
        "last_error": standing.error if whole else None,
    }

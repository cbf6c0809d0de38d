"""The doors for whoever operates us: are we alive, are we ready, who am I."""

from starlette.requests import Request
from starlette.responses import Response

from receiver.web.answers import json_answer
from receiver.web.doors import Caller, doors_of


async def live(request: Request) -> Response:
    """`GET /health/live`: the process answers; no I/O."""
    return json_answer({"status": "live"})


async def ready(request: Request) -> Response:
    """`GET /health/ready`: the store is reachable and migrated, and the loops move; else 503 with the reason."""
    reason = await doors_of(request).unready()
    if reason is None:
        return json_answer({"status": "ready"})
    return json_answer({"status": "unready", "reason": reason}, 503)


async def me(request: Request, caller: Caller) -> Response:
    """`GET /v1/me`."""
    return json_answer({"tenant": caller.tenant, "label": "root", "scopes": ["read", "submit", "admin"]})

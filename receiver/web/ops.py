"""The doors for whoever operates us: are we alive, are we ready, who am I."""

from starlette.requests import Request
from starlette.responses import Response

from receiver.web.answers import json_answer
from receiver.web.doors import Caller, doors_of


async def live(request: Request) -> Response:
    """`GET /health/live`: the process answers; no I/O."""
    return json_answer({"status": "live"})


async def ready(request: Request) -> Response:
    """`GET /health/ready`: the store takes a write, the loops move, we are not stopping; else 503."""
    report = await doors_of(request).health.report()
    loops = {loop.name: {"moved_s_ago": loop.moved_s_ago, "oldest_due_s": loop.oldest_due_s} for loop in report.loops}
    told = {"warnings": list(report.warnings), "loops": loops}
    if report.reason is None:
        return json_answer({"status": "ready", **told})
    return json_answer({"status": "unready", "reason": report.reason, **told}, 503)


async def me(request: Request, caller: Caller) -> Response:
    """`GET /v1/me`."""
    return json_answer({"tenant": caller.tenant, "label": "root", "scopes": ["read", "submit", "admin"]})

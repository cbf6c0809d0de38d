"""The doors for whoever operates us: are we alive, are we ready, who am I."""

from starlette.requests import Request
from starlette.responses import Response

from receiver.errors import Unknown
from receiver.web.answers import json_answer
from receiver.web.doors import Caller, check_clock, doors_of, query_integer, read_body

DEFAULT_BUDGET_MS, MOST_BUDGET_MS = 25_000, 3_600_000


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


async def tick(request: Request) -> Response:
    """`GET` and `POST /internal/tick?budget_ms=`: do all that is due, for whoever calls by the clock."""
    await check_clock(request)
    doors = doors_of(request)
    if not doors.role.works:
        raise Unknown("this process serves with `--role web`: its workers do what is due, nobody need call")
    await read_body(request, doors.max_body)  # some cannot call without one; it says nothing
    budget_ms = query_integer(request, "budget_ms", DEFAULT_BUDGET_MS, least=0, most=MOST_BUDGET_MS)
    return json_answer((await doors.tick(budget_ms / 1000)).fields())


async def me(request: Request, caller: Caller) -> Response:
    """`GET /v1/me`."""
    return json_answer({"tenant": caller.tenant, "label": caller.label, "scopes": list(caller.scopes)})

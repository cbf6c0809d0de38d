"""The door for Prometheus."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from receiver.web.doors import caller_of, check_scope, doors_of


async def metrics(request: Request) -> Response:
    """`GET /metrics`, for Prometheus: the root key, or open where `TASKWEIR_METRICS_OPEN=1`."""
    doors = doors_of(request)
    if not doors.metrics_open:
        check_scope(await caller_of(request), None)
    report = await doors.health.report()
    registry = CollectorRegistry()
    moved = Gauge("taskweir_loop_moved_seconds_ago", "Since a loop last came round.", ["loop"], registry=registry)
    late = Gauge(
        "taskweir_loop_oldest_due_seconds", "How long the oldest thing to do is due.", ["loop"], registry=registry
    )
    Gauge("taskweir_ready", "Whether the process is fit for work.", registry=registry).set(report.reason is None)
    for loop in report.loops:
        moved.labels(loop.name).set(loop.moved_s_ago)
        late.labels(loop.name).set(loop.oldest_due_s)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

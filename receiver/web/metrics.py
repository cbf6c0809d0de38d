"""The door for Prometheus."""

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from receiver.errors import TaskweirError
from receiver.store.records import Gauges
from receiver.web.doors import Doors, caller_of, check_scope, doors_of
from receiver.web.families import Looked, families

MOST_COUNTED = 20_000


class _Told(Collector):
    """What the client's registry asks for families: those of one moment."""

    def __init__(self, looked: Looked) -> None:
        self._families = list(families(looked))

    def collect(self) -> Iterable[Metric]:
        return self._families


async def metrics(request: Request) -> Response:
    """`GET /metrics`, for Prometheus: the root key, or open where `TASKWEIR_METRICS_OPEN=1`."""
    doors = doors_of(request)
    if not doors.metrics_open:
        check_scope(await caller_of(request), None)
    report = await doors.health.report()
    looked = Looked(
        report=report,
        loops=doors.health.loops,
        counts=doors.counts,
        commits=doors.storage.commits,
        gauges=await _gauges(doors),
        engine="sqlite" if doors.keeps_logs else "postgresql",
        role=doors.role,
        now=doors.clock.now(),
    )
    registry = CollectorRegistry()
    registry.register(_Told(looked))
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _gauges(doors: Doors) -> Gauges | None:
    """How much there is to do; None where the store does not answer, of which the others tell."""
    kinds = doors.counts.kinds.keys()
    try:
        return await doors.storage.read(lambda store: store.gauges(doors.counts.providers, kinds, most=MOST_COUNTED))
    except TaskweirError:
        return None

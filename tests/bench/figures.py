"""What is measured, and what each round of it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.bench.machine import Watch
from tests.bench.seeding import Callbacks, Made
from tests.bench.servers import Server
from tests.bench.wire import Load, request


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how much: `seconds` of load per round, on so many connections, in a directory on a real disk."""

    directory: Path
    seconds: float
    connections: int
    rounds: int
    baseline: Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of one figure: what it gave, what A gave just before, and whatever explains it.

    `faults` are counts that must be zero, by what they count.
    """

    value: float
    baseline: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.value / self.baseline


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles of latencies, in milliseconds."""
    cuts = quantiles(seconds, n=1000, method="inclusive")
    return {"p50_ms": median(seconds) * 1e3, "p99_ms": cuts[989] * 1e3, "max_ms": max(seconds) * 1e3}


def used(watch: Watch) -> dict[str, float]:
    """Who had the processor, as shares of one core."""
    shares = watch.stop()
    return {"server_cpu": shares.server, "load_cpu": shares.load, "others_cpu": shares.others}


def posts(made: Sequence[Made], callbacks: Callbacks, port: int) -> list[bytes]:
    """Each task's final callback, whole, so that sending it costs the load nothing but the write."""
    host = f"127.0.0.1:{port}"
    return [request("POST", each.path, host=host, body=callbacks.succeeded(each)) for each in made]


async def baseline(plan: Plan, requests: Sequence[bytes], *, seconds: float = 2.5) -> tuple[float, dict[str, Any]]:
    """Baseline A's requests per second, for the same requests on as many connections."""
    async with Load(plan.baseline.port, connections=plan.connections) as load:
        watch = Watch(plan.baseline.pid)
        took = await load.closed_loop(cycle(requests), seconds=seconds)
        assert set(load.statuses) == {"200"}, load.statuses
        return len(load.took) / took, {**spread(load.took), **used(watch)}

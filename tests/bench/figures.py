"""What a figure is: what was measured, against what, and what it has to be."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.bench.machine import Watch
from tests.bench.samples import Callbacks
from tests.bench.seeding import Made, prepare
from tests.bench.servers import Server
from tests.bench.wire import Load, request


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything: `make bench` and `make bench-scale` differ in nothing else."""

    rounds: int = 3
    seconds: float = 6
    connections: int = 64
    baseline_s: float = 2.5
    tasks: int = 40_000
    due: int = 10_000
    events: int = 500_000
    in_flight: tuple[int, ...] = (1_000, 10_000, 100_000)
    servers: tuple[int, ...] = (1, 2, 4)
    hour_s: float = 3600


@dataclass(slots=True, kw_only=True)
class Row:
    """One line of the table.

    `values` has one number for each round; `against`, where there is one, what each is divided by: what baseline A
    gave just before, or the same on a small store. The median of the ratios, else of the values, is what must be
    `at_least` (or at most) the `bar`; no bar, nothing to pass. `faults` are counts that must be zero.
    """

    title: str
    unit: str
    bar: float | None = None
    at_least: bool = True
    ratio_of: str = ""
    values: list[float] = field(default_factory=list)
    against: list[float] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        return [value / other for value, other in zip(self.values, self.against, strict=True)] if self.against else []

    @property
    def judged(self) -> float:
        return median(self.ratios or self.values)

    @property
    def passed(self) -> bool | None:
        """None where there is nothing to pass."""
        if any(self.faults.values()):
            return False
        if self.bar is None:
            return None
        return self.judged >= self.bar if self.at_least else self.judged <= self.bar

    def add(
        self,
        value: float,
        against: float | None = None,
        notes: Mapping[str, Any] | None = None,
        faults: Mapping[str, int] | None = None,
    ) -> None:
        """What one round gave."""
        self.values.append(value)
        if against is not None:
            self.against.append(against)
        self.notes.append(notes or {})
        for name, count in (faults or {}).items():
            self.faults[name] = self.faults.get(name, 0) + abs(count)


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the bench: its directory on a real disk, its size, baseline A, and what figures share.

    `say` shows what goes on; `curves` are what plots are drawn of; `sustained` is the first figure, once it is known.
    """

    directory: Path
    size: Size
    baseline: Server
    say: Callable[[str], None]
    curves: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    sustained: float | None = None
    plain: Row = field(default_factory=lambda: Row(title="A: the same POST, parsed, answered 200", unit="/s"))
    _waiting: tuple[Path, Sequence[Made]] | None = None

    def made(self, name: str) -> Path:
        """A directory of that name, empty."""
        directory = self.directory / name
        directory.mkdir()
        return directory

    async def waiting(self) -> tuple[Path, Sequence[Made]]:
        """A directory with a prepared database: tasks that wait for their callbacks."""
        if self._waiting is None:
            seed = self.made("waiting")
            self.say(f"preparing {self.size.tasks:,} tasks")
            self._waiting = seed, await prepare(seed, self.size.tasks)
        return self._waiting


Measure = Callable[[Run], Awaitable[Sequence[Row]]]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles of latencies, in milliseconds."""
    if len(seconds) < 2:
        return {}
    cuts = quantiles(seconds, n=1000, method="inclusive")
    return {"p50_ms": median(seconds) * 1e3, "p99_ms": cuts[989] * 1e3, "max_ms": max(seconds) * 1e3}


def shares(watch: Watch) -> dict[str, float]:
    """Who had the processor, as shares of one core."""
    used = watch.stop()
    return {"server_cpu": used.server, "load_cpu": used.load, "others_cpu": used.others}


def posts(made: Sequence[Made], callbacks: Callbacks, port: int) -> list[bytes]:
    """Each task's final callback, whole, so that sending it costs the load nothing but the write."""
    host = f"127.0.0.1:{port}"
    return [request("POST", each.path, host=host, body=callbacks.succeeded(each)) for each in made]


async def plain_rate(run: Run, made: Sequence[Made]) -> float:
    """Baseline A's requests per second, for the same callbacks on as many connections."""
    requests = posts(made[:1000], Callbacks(), run.baseline.port)
    async with Load(run.baseline.port, connections=run.size.connections) as load:
        watch = Watch(run.baseline.pid)
        took = await load.closed_loop(cycle(requests), seconds=run.size.baseline_s)
        assert set(load.statuses) == {"200"}, load.statuses
        rate = len(load.took) / took
        run.plain.add(rate, notes={**spread(load.took), **shares(watch)})
        return rate

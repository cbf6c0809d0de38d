"""Callback in, committed, signed webhook delivered, attempt recorded: the whole way of one datum, sustained."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests.bench import counting
from tests.bench.figures import Row, Run, plain_rate, posts, shares, spread
from tests.bench.machine import Watch
from tests.bench.samples import Callbacks, Provider
from tests.bench.seeding import JUST_BEFORE_A_MINUTE_S, Made, copy, database
from tests.bench.servers import Server, a_taskweir, profiled
from tests.bench.sink import SECRET, Sink
from tests.bench.wire import Load, serving

IN_FLIGHT = 64
SETTLED_WITHIN_S = 120
PASSED_BY = {
    "token": ("callback in, webhook recorded (token)", 0.20),
    "poll": ("callback in, poll, webhook recorded (poll)", 0.12),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A server in its own directory, with the sink and the provider that it talks to."""

    directory: Path
    server: Server
    sink: Sink
    sink_port: int
    provider: Provider

    @property
    def database(self) -> Path:
        return database(self.directory)

    def destination(self, path: str = "/hook", **fields: Any) -> None:
        """A webhook for every task's end, at the sink."""
        body: dict[str, Any] = {
            "type": "webhook",
            "url": f"http://127.0.0.1:{self.sink_port}{path}",
            "secret": SECRET,
            "max_in_flight": IN_FLIGHT,
            "event_types": ["task.finished"],
        }
        made = self.server.api.post("/v1/destinations", json=body | fields)
        assert made.status_code == 201, made.text


@asynccontextmanager
async def a_stage(run: Run, seed: Path, *, due_in_s: float | None = None, **settings: str) -> AsyncIterator[Stage]:
    """A server on a copy of a prepared database."""
    sink, provider = Sink(), Provider()
    with TemporaryDirectory(dir=run.directory) as name:
        directory = Path(name)
        copy(seed, directory, due_in_s=due_in_s)
        async with serving(sink.answering) as sink_port, serving(provider.answering) as port:
            with a_taskweir(directory, provider_url=f"http://127.0.0.1:{port}", **settings) as server:
                yield Stage(directory=directory, server=server, sink=sink, sink_port=sink_port, provider=provider)


async def by_token(run: Run) -> Sequence[Row]:
    """Deliveries per second that are recorded as delivered, from the first callback on to the last record."""
    [row, *others] = await _rows(run, "token")
    run.sustained = sorted(row.values)[len(row.values) // 2]
    return [row, *others]


async def by_poll(run: Run) -> Sequence[Row]:
    """The same where each callback is confirmed by a poll first."""
    return await _rows(run, "poll")


async def _rows(run: Run, trust: str) -> list[Row]:
    seed, made = await run.waiting()
    title, bar = PASSED_BY[trust]
    row = Row(title=title, unit="/s", bar=bar, ratio_of="A")
    answers = Row(title=f"  answers to its callbacks, p99 ({trust})", unit="ms", at_least=False)
    for number in range(run.size.rounds):
        run.say(f"{title}, round {number + 1}")
        plain, _ = await plain_rate(run, made)
        async with a_stage(run, seed, due_in_s=JUST_BEFORE_A_MINUTE_S, TASKWEIR_APIKLEY_TRUST=trust) as stage:
            stage.destination()
            with profiled(stage.server):
                await _measure(run, stage, made, row, plain)
        answers.add(row.notes[-1]["p99_ms"])
    return [row, answers]


async def _measure(run: Run, stage: Stage, made: Sequence[Made], row: Row, plain: float) -> None:
    stage.provider.tokens = {each.provider_id: each.token for each in made}
    requests = _ended(stage.provider, made, posts(made, Callbacks(), stage.server.port))
    async with Load(stage.server.port, connections=run.size.connections) as load:
        watch, began = Watch(stage.server.pid), perf_counter()
        posted_s = await load.closed_loop(requests, seconds=run.size.seconds)
        posted = len(load.took)
        await stage.sink.wait_for(posted, within_s=SETTLED_WITHIN_S)
        await counting.settled(stage.database, within_s=SETTLED_WITHIN_S)
        took = perf_counter() - began
        used = shares(watch)
    told = {"callbacks_per_s": posted / posted_s, "drained_s": took - posted_s, "polls": stage.provider.polls}
    refused = {"callbacks not answered 200": sum(load.statuses.values()) - load.statuses["200"]}
    row.add(
        counting.delivered(stage.database) / took,
        plain,
        {"callbacks": posted, **told, **spread(load.took), **used},
        {**refused, **faults(stage, posted)},
    )


def _ended(provider: Provider, made: Sequence[Made], requests: Sequence[bytes]) -> Iterator[bytes]:
    """The requests, each task having ended at the provider before its callback leaves."""
    for each, request in zip(made, requests, strict=True):
        provider.ended.add(each.provider_id)
        yield request


def faults(stage: Stage, owed: int) -> dict[str, int]:
    """What must be zero, where so many events were owed, each to one destination."""
    return {
        "deliveries not recorded": owed - counting.delivered(stage.database),
        "deliveries without their one attempt": owed - counting.attempted(stage.database),
        "webhooks that did not come, or came again": owed - stage.sink.count,
        "events that came again": stage.sink.again,
        "signatures that do not verify": stage.sink.forged,
    }

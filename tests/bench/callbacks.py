"""Callback in, committed, signed webhook delivered, attempt recorded: the whole way of one datum, sustained."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from tests.bench import counting
from tests.bench.figures import Plan, Round, baseline, posts, spread, used
from tests.bench.machine import Watch
from tests.bench.seeding import Callbacks, Made, copy, database, prepare
from tests.bench.servers import Server, a_taskweir, profiled
from tests.bench.sink import SECRET, Sink
from tests.bench.wire import Load, serving

IN_FLIGHT = 64
SETTLED_WITHIN_S = 120


async def sustained(plan: Plan, count: int) -> list[Round]:
    """Rounds of trust `token`: deliveries per second that are recorded as delivered, from the first callback on."""
    seed = plan.directory / "tasks"
    seed.mkdir()
    made = await prepare(seed, count)
    return [await _round(plan, seed, made) for _ in range(plan.rounds)]


async def _round(plan: Plan, seed: Path, made: Sequence[Made]) -> Round:
    callbacks, sink = Callbacks(), Sink()
    with tempfile.TemporaryDirectory(dir=plan.directory) as name:
        directory = Path(name)
        copy(seed, directory)
        plain, _ = await baseline(plan, posts(made[:1000], callbacks, plan.baseline.port))
        async with serving(sink.answering) as sink_port:
            with a_taskweir(directory, TASKWEIR_APIKLEY_TRUST="token") as server:
                destination(server, sink_port)
                with profiled(server):
                    return await _measure(plan, server, directory, posts(made, callbacks, server.port), sink, plain)


def destination(server: Server, port: int, **fields: object) -> None:
    """A webhook for every task's end, at the sink."""
    body = {"type": "webhook", "url": f"http://127.0.0.1:{port}/hook", "secret": SECRET, "max_in_flight": IN_FLIGHT}
    body["event_types"] = ["task.finished"]
    made = server.api.post("/v1/destinations", json=body | fields)
    assert made.status_code == 201, made.text


async def _measure(
    plan: Plan, server: Server, directory: Path, requests: list[bytes], sink: Sink, plain: float
) -> Round:
    path = database(directory)
    async with Load(server.port, connections=plan.connections) as load:
        watch, began = Watch(server.pid), perf_counter()
        posted_s = await load.closed_loop(iter(requests), seconds=plan.seconds)
        posted = len(load.took)
        await sink.wait_for(posted, within_s=SETTLED_WITHIN_S)
        await counting.settled(path, within_s=SETTLED_WITHIN_S)
        took = perf_counter() - began
        shares = used(watch)
    delivered = counting.delivered(path)
    return Round(
        value=delivered / took,
        baseline=plain,
        notes={"callbacks_per_s": posted / posted_s, "drained_s": took - posted_s, **spread(load.took), **shares},
        faults={
            "callbacks not answered 200": sum(load.statuses.values()) - load.statuses["200"],
            "deliveries not recorded": posted - delivered,
            "deliveries without their one attempt": posted - counting.attempted(path),
            "events that did not come": posted - len(sink.events),
            "events that came again": sink.count - len(sink.events),
            "signatures that do not verify": sink.forged,
        },
    )

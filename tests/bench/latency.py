"""How long a webhook is behind its callback, at a fixed rate whatever the server does."""

from collections.abc import Sequence
from contextlib import nullcontext

from tests.bench.callbacks import by_token
from tests.bench.figures import Row, Run, posts, shares, spread
from tests.bench.machine import Watch
from tests.bench.samples import Callbacks
from tests.bench.seeding import JUST_BEFORE_A_MINUTE_S
from tests.bench.servers import profiled
from tests.bench.stage import a_stage
from tests.bench.wire import Load

A_FIFTH = 0.2
LOADS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
_WARM_UP_S = 1.0


async def received_to_delivered(run: Run) -> Sequence[Row]:
    """At a fifth of the sustained rate, for the bar; then from little to nearly all of it, for the plot."""
    if run.sustained is None:
        await by_token(run)
    sustained = run.sustained or 0
    what = f"callback to its webhook at {A_FIFTH * sustained:,.0f}/s, open loop"
    rows = [
        Row(title=f"{what}, p50", unit="ms", bar=5, at_least=False),
        Row(title=f"{what}, p99", unit="ms", bar=30, at_least=False),
    ]
    for number in range(run.size.rounds):
        run.say(f"{what}, round {number + 1}")
        notes, faults = await _at(run, A_FIFTH * sustained, profile=True)
        rows[0].add(notes["p50_ms"], notes=notes, faults=faults)
        rows[1].add(notes["p99_ms"])
    for share in LOADS if run.size.rounds > 1 else ():
        run.say(f"callback to its webhook at {share:.0%} of the sustained rate")
        notes, faults = await _at(run, share * sustained)
        run.curves.setdefault("latency", []).append({"share": share, "per_s": share * sustained, **notes})
    return rows


async def _at(run: Run, rate: float, *, profile: bool = False) -> tuple[dict[str, float], dict[str, int]]:
    """One server under this load, after a moment of it that does not count; latencies, and what must be zero."""
    seed, made = await run.waiting()
    async with a_stage(run, seed, due_in_s=JUST_BEFORE_A_MINUTE_S, TASKWEIR_APIKLEY_TRUST="token") as stage:
        stage.destination()
        waiting = zip(made, posts(made, Callbacks(), stage.server.port), strict=True)

        def callback(meant_at: float) -> bytes:
            task, request = next(waiting)
            stage.sink.began_at[task.id.encode()] = meant_at
            return request

        # Each is used about once a second: the server hangs up on those that ask nothing for five.
        connections = min(4 * run.size.connections, max(int(rate), 1))
        async with Load(stage.server.port, connections=connections) as load:
            await load.open_loop(callback, rate=rate, seconds=_WARM_UP_S)
            await stage.delivered(len(load.took))
            stage.sink.took.clear()
            before, watch = len(load.took), Watch(stage.server.pid)
            with profiled(stage.server) if profile else nullcontext():
                await load.open_loop(callback, rate=rate, seconds=run.size.seconds)
            used = shares(watch)
            await stage.delivered(len(load.took))
            answers = spread(load.took[before:])
        told = {**spread(stage.sink.took), "answer_p99_ms": answers["p99_ms"], **used}
        return told, {**load.refused("200"), **stage.faults(len(load.took))}

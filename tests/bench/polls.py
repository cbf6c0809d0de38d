"""Polls: claimed, asked, parsed, rescheduled."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from tests.bench import counting
from tests.bench.figures import Row, Run, plain_rate, shares
from tests.bench.machine import Watch
from tests.bench.seeding import Made, prepare
from tests.bench.servers import profiled
from tests.bench.stage import Stage, a_stage

_WARM_UP_S = 1.0
_STARTED_WITHIN_S = 30
_NEARLY = 0.98


async def polled(run: Run) -> Sequence[Row]:
    """Answered polls per second that change nothing, as most do, out of a backlog that is due."""
    seed = run.made("polled")
    run.say(f"preparing {run.size.tasks:,} tasks to ask about")
    made = await prepare(seed, run.size.tasks, polled=True)
    row = Row(title="polls: claimed, asked, parsed, rescheduled", unit="/s", bar=0.33, ratio_of="A")
    for number in range(run.size.rounds):
        run.say(f"{row.title}, round {number + 1}")
        await _round(run, seed, made, row)
    return [row]


async def _round(run: Run, seed: Path, made: Sequence[Made], row: Row) -> None:
    plain = await plain_rate(run, made)
    async with a_stage(run, seed, due_in_s=0) as stage:
        with profiled(stage.server):
            rate, notes = await speed(stage, run.size.seconds, most=len(made))
        stage.server.stop()  # so that what was asked is recorded, or given back
        recorded = counting.asked_since(stage.database, stage.began_at)
    asked = stage.provider.polls
    row.add(rate, plain, {"polls": asked, **notes}, {"answered polls that are not recorded": asked - recorded})


async def speed(stage: Stage, seconds: float, *, most: int) -> tuple[float, dict[str, float]]:
    """Polls per second once they run, for so long or until all but few of the backlog are asked; who used what."""
    await stage.provider.polled(1, within_s=_STARTED_WITHIN_S)
    await asyncio.sleep(min(_WARM_UP_S, seconds / 4))
    watch, began, before = Watch(stage.server.pid), perf_counter(), stage.provider.polls
    await stage.provider.polled(int(most * _NEARLY), within_s=seconds)
    took, asked = perf_counter() - began, stage.provider.polls - before
    return asked / took, shares(watch)

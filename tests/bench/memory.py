"""Memory with many tasks in flight, and how fast the due ones among them are asked about."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from receiver.domain import HOUR, SECOND, Ms
from tests.bench.bulk import replicate
from tests.bench.figures import Row, Run
from tests.bench.machine import memory_mb
from tests.bench.polls import speed
from tests.bench.seeding import now_ms, prepare
from tests.bench.stage import a_stage

_WITHIN_S = 60


async def in_flight(run: Run) -> Sequence[Row]:
    """The most of resident memory while a backlog is asked about and the others wait, all due over the next hour."""
    template = run.made("polled-template")
    await prepare(template, 1, polled=True)
    counts = run.size.in_flight
    peaks = {count: list[float]() for count in counts}
    speeds = {count: list[float]() for count in counts}
    for count in counts:
        run.say(f"copying a task until {count:,} are in flight")
        seed = _filled(run, template, count)
        for number in range(run.size.rounds if count in (counts[0], counts[-1]) else 1):
            run.say(f"{count:,} tasks in flight, round {number + 1}")
            peak, rate = await _round(run, seed)
            peaks[count].append(peak)
            speeds[count].append(rate)
        curve = {"tasks": count, "mb": max(peaks[count]), "polls_per_s": max(speeds[count])}
        run.curves.setdefault("memory", []).append(curve)
        _remove(seed)
    few, many = counts[0], counts[-1]
    memory = Row(title=f"memory with {many:,} tasks in flight", unit="MB", bar=200, at_least=False)
    memory.values = peaks[many]
    polls = Row(title=f"polls/s beside {many:,} tasks in flight", unit="/s", bar=0.8, ratio_of=f"beside {few:,}:")
    polls.values, polls.against = speeds[many], speeds[few]
    return [memory, polls]


def _filled(run: Run, template: Path, count: int) -> Path:
    """So many tasks due over the next hour, and before them some that are due now."""
    seed, now, due = run.made(f"in-flight-{count}"), now_ms(), run.size.due

    def due_at(number: int) -> Ms:
        return now if number < due else now + 2 * _WITHIN_S * SECOND + HOUR * (number - due) // count

    copies = replicate(template, seed, count + due, created_at=lambda number: now - 2 * HOUR + number, due_at=due_at)
    deque(copies, maxlen=0)
    return seed


async def _round(run: Run, seed: Path) -> tuple[float, float]:
    async with a_stage(run, seed) as stage:
        rate, _ = await speed(stage, _WITHIN_S, most=run.size.due)
        await stage.provider.polled(run.size.due, within_s=_WITHIN_S)
        return memory_mb(stage.server.pid, most=True), rate


def _remove(seed: Path) -> None:
    for path in seed.iterdir():
        path.unlink()

"""An hour at half the sustained rate: memory, open files and latency must not grow, and nothing may be lost."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from receiver.domain import HOUR
from receiver.signing import CallbackTokens
from tests.bench.bulk import replicate
from tests.bench.callbacks import by_token
from tests.bench.figures import Row, Run, spread
from tests.bench.machine import memory_mb, open_files
from tests.bench.samples import PROVIDER, Callbacks
from tests.bench.seeding import SECRET_KEY, Made, now_ms, prepare
from tests.bench.stage import Stage, a_stage
from tests.bench.wire import Load, request

_HALF = 0.5
_SAMPLES = 60
_SPARE = 1.01


async def an_hour(run: Run) -> Sequence[Row]:
    """Open loop. The last quarter is compared with the second: in the first one, caches and the WAL fill."""
    if run.sustained is None:
        await by_token(run)
    rate = _HALF * (run.sustained or 0)
    seed, ids = await _seeded(run, int(rate * run.size.hour_s * _SPARE))
    run.say(f"{run.size.hour_s / 60:g} minutes at {rate:,.0f}/s")
    async with a_stage(run, seed, move=True, TASKWEIR_APIKLEY_TRUST="token") as stage:
        stage.destination()
        async with Load(stage.server.port, connections=4 * run.size.connections) as load:
            watching = asyncio.create_task(_watch(run, stage, load))
            with ids.open() as lines:
                await load.open_loop(_source(lines, stage), rate=rate, seconds=run.size.hour_s)
            samples = await watching
            posted = load.statuses.total()
            await stage.delivered(posted)
            faults = {**load.refused("200"), **stage.faults(posted)}
    run.curves["hour"] = samples
    what = f"{run.size.hour_s / 60:g} min at {rate:,.0f}/s"
    rows = [
        _grown(f"{what}: memory", "MB", "mb", samples, 1.1),
        _grown(f"{what}: open files", "", "files", samples, 1.1),
        _grown(f"{what}: callback to its webhook, p50", "ms", "p50_ms", samples, 1.5),
        _grown(f"{what}: callback to its webhook, p99", "ms", "p99_ms", samples, 1.5),
    ]
    rows[0].faults = {name: abs(count) for name, count in faults.items()}
    rows[0].notes[0] = {"callbacks": posted}
    return rows


def _grown(title: str, unit: str, name: str, samples: Sequence[dict[str, float]], bar: float) -> Row:
    quarter = len(samples) // 4
    row = Row(title=title, unit=unit, bar=bar, at_least=False, ratio_of="2nd quarter")
    last = median(sample[name] for sample in samples[-quarter:])
    row.add(last, median(sample[name] for sample in samples[quarter : 2 * quarter]))
    return row


async def _watch(run: Run, stage: Stage, load: Load) -> list[dict[str, float]]:
    samples: list[dict[str, float]] = []
    began, every_s = perf_counter(), run.size.hour_s / _SAMPLES
    for number in range(1, _SAMPLES + 1):
        await asyncio.sleep(max(began + number * every_s - perf_counter(), 0))
        took, stage.sink.took = stage.sink.took, []
        load.took.clear()
        pid = stage.server.pid
        at = {"minute": number * every_s / 60, "mb": memory_mb(pid), "files": open_files(pid), "webhooks": len(took)}
        samples.append({**at, **spread(took)})
    return samples


async def _seeded(run: Run, count: int) -> tuple[Path, Path]:
    """So many tasks that wait for a callback, nobody asked about meanwhile; and a file with their ids."""
    template, seed = run.made("waiting-template"), run.made("hour")
    await prepare(template, 1, callback=False)
    run.say(f"copying a task until {count:,} wait")
    now, ids = now_ms(), run.directory / "hour.ids"
    copies = replicate(
        template, seed, count, created_at=lambda number: now + number // 1000, due_at=lambda number: now + 12 * HOUR
    )
    with ids.open("w") as file:
        file.writelines(f"{each.id} {each.provider_id}\n" for each in copies)
    return seed, ids


def _source(ids: Iterator[str], stage: Stage) -> Callable[[float], bytes]:
    """Callbacks made as they are needed: five million of them at once would be all of the memory."""
    tokens, callbacks, host = CallbackTokens([SECRET_KEY]), Callbacks(), f"127.0.0.1:{stage.server.port}"

    def callback(meant_at: float) -> bytes:
        task_id, provider_id = next(ids).split()
        made = Made(id=task_id, provider_id=provider_id, token=tokens.issue(PROVIDER, task_id))
        stage.sink.began_at[task_id.encode()] = meant_at
        return request("POST", made.path, host=host, body=callbacks.succeeded(made))

    return callback

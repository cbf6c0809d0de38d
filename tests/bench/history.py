"""A store with a long history: every task of it ended, its events delivered."""

from pathlib import Path

from receiver.domain import DAY, Source, Status, Task, Update, Verified
from receiver.intake import take
from receiver.store.protocol import Store
from tests.bench.bulk import replicate
from tests.bench.figures import Run, posts
from tests.bench.samples import Callbacks
from tests.bench.seeding import database, now_ms, prepare
from tests.bench.stage import a_stage
from tests.bench.wire import Load

EVENTS_PER_TASK = 3
SMALL = 5_000
_TOLD_EVERY = 50_000
_DAYS = 20  # well within what retention keeps


async def history(run: Run, events: int) -> Path:
    """A directory whose database has so many events, about as many rows of everything else as they make."""
    target = run.directory / f"history-{events}"
    if not database(target).exists():
        template = await _template(run)
        run.made(target.name)
        count, now = events // EVENTS_PER_TASK, now_ms()
        first, pause = now - _DAYS * DAY, _DAYS * DAY / count
        copies = replicate(template, target, count, created_at=lambda number: first + round(pause * number))
        for number, _ in enumerate(copies):
            if number % _TOLD_EVERY == 0:
                run.say(f"copying a task: {number * EVENTS_PER_TASK:,} of {events:,} events")
    return target


async def _template(run: Run) -> Path:
    """One task that a server brought to its end: submitted, running, succeeded by its callback, delivered."""
    directory = run.directory / "history-template"
    if not database(directory).exists():
        made = await prepare(run.made(directory.name), 1, after=_run)
        async with a_stage(run, directory, move=True, TASKWEIR_APIKLEY_TRUST="token") as stage:
            stage.destination()
            async with Load(stage.server.port, connections=1) as load:
                await load.closed_loop(iter(posts(made, Callbacks(), stage.server.port)), seconds=10)
                await stage.delivered(1)
            assert not any(stage.faults(1).values()), stage.faults(1)
            stage.server.stop()
    return directory


def _run(store: Store, task: Task) -> None:
    update = Update(status=Status.RUNNING, provider_status="generating", provider_task_id=task.provider_task_id)
    take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=now_ms())

"""One event to 20 webhook destinations, and events appended to the SQLite log."""

from collections.abc import Sequence
from time import perf_counter

from receiver.domain import Destination, Kind, Output, Source, Status, Task, Update, Verified
from receiver.ids import new_id
from receiver.intake import take
from receiver.store.protocol import Store
from tests.bench import counting
from tests.bench.figures import Row, Run, plain_rate, posts, shares
from tests.bench.machine import Watch
from tests.bench.samples import Callbacks
from tests.bench.seeding import JUST_BEFORE_A_MINUTE_S, Made, now_ms, prepare
from tests.bench.servers import profiled
from tests.bench.stage import Stage, a_stage
from tests.bench.wire import Load

DESTINATIONS = 20
_BATCH = 25
_OWED_AT_MOST = 1500
_LOG = "results"


async def to_twenty(run: Run) -> Sequence[Row]:
    """Deliveries per second, callbacks coming in just fast enough that there is always something owed."""
    seed, made = await run.waiting()
    row = Row(title=f"one event to {DESTINATIONS} webhooks: deliveries", unit="/s", bar=0.35, ratio_of="A")
    for number in range(run.size.rounds):
        run.say(f"{row.title}, round {number + 1}")
        plain = await plain_rate(run, made)
        async with a_stage(run, seed, due_in_s=JUST_BEFORE_A_MINUTE_S, TASKWEIR_APIKLEY_TRUST="token") as stage:
            for each in range(DESTINATIONS):
                stage.destination(f"/hook/{each}")
            with profiled(stage.server):
                await _fan_out(run, stage, made, row, plain)
    return [row]


async def _fan_out(run: Run, stage: Stage, made: Sequence[Made], row: Row, plain: float) -> None:
    requests, posted = posts(made, Callbacks(), stage.server.port), 0
    async with Load(stage.server.port, connections=_BATCH) as load:
        watch, began = Watch(stage.server.pid), perf_counter()
        while perf_counter() - began < run.size.seconds and posted < len(requests):
            await load.closed_loop(iter(requests[posted : posted + _BATCH]), seconds=run.size.seconds)
            posted = len(load.took)
            await stage.sink.wait_for(posted * DESTINATIONS - _OWED_AT_MOST, within_s=run.size.seconds)
        owed = posted * DESTINATIONS
        await stage.delivered(owed)
        took, used = perf_counter() - began, shares(watch)
    row.add(owed / took, plain, {"events": posted, **used}, {**load.refused("200"), **stage.faults(owed)})


async def to_the_log(run: Run) -> Sequence[Row]:
    """Rows per second out of a backlog, each recorded as delivered."""
    seed = run.made("log")
    run.say(f"preparing {run.size.tasks:,} events that are owed to a log")
    made = await prepare(seed, run.size.tasks, before=_record_log, after=_succeed)
    row = Row(title="events appended to the SQLite log", unit="/s", bar=0.5, ratio_of="A")
    for number in range(run.size.rounds):
        run.say(f"{row.title}, round {number + 1}")
        plain = await plain_rate(run, made)
        async with a_stage(run, seed) as stage:
            with profiled(stage.server):
                await _drain(stage, len(made), row, plain)
    return [row]


async def _drain(stage: Stage, owed: int, row: Row, plain: float) -> None:
    watch, began, before = Watch(stage.server.pid), perf_counter(), counting.pending(stage.database)
    await counting.settled(stage.database, within_s=120)
    took, used = perf_counter() - began, shares(watch)
    appended = counting.logged(stage.directory / "logs" / "default" / f"{_LOG}.db")
    missing = {"events not in the log": owed - appended, "not recorded": owed - counting.delivered(stage.database)}
    row.add(before / took, plain, {"events": before, **used}, missing)


def _record_log(store: Store) -> None:
    now = now_ms()
    destination = Destination(
        id=new_id("dst", now),
        tenant="default",
        type="sqlite",
        target=_LOG,
        created_at=now,
        event_types=("task.finished",),
    )
    store.record_destination(destination)


def _succeed(store: Store, task: Task) -> None:
    outputs = (Output(kind=Kind.VIDEO, url=f"https://files.example.com/{task.provider_task_id}.mp4"),)
    update = Update(status=Status.SUCCEEDED, provider_status="success", outputs=outputs)
    take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=now_ms())
    store.drop_timer(task.id)

"""Callback in, committed, signed webhook delivered, attempt recorded: the whole way of one datum, sustained."""

from collections.abc import Iterator, Sequence
from statistics import median
from time import perf_counter

from tests.bench import counting
from tests.bench.figures import Row, Run, plain_rate, posts, shares, spread
from tests.bench.machine import Watch
from tests.bench.samples import Callbacks, Provider
from tests.bench.seeding import JUST_BEFORE_A_MINUTE_S, Made
from tests.bench.servers import profiled
from tests.bench.stage import Stage, a_bare_stage, a_stage
from tests.bench.wire import Load

_TITLED = {
    "token": ("callback in, webhook recorded (token)", 0.20),
    "poll": ("callback in, poll, webhook recorded (poll)", 0.12),
}


async def by_token(run: Run) -> Sequence[Row]:
    """Deliveries per second that are recorded as delivered, from the first callback on to the last record."""
    [row, *others] = await _rows(run, "token")
    run.sustained = median(row.values)
    return [row, *others]


async def by_poll(run: Run) -> Sequence[Row]:
    """The same where each callback is confirmed by a poll first."""
    return await _rows(run, "poll")


async def by_a_bare_script(run: Run) -> Sequence[Row]:
    """What of the first figure no service with the same promises can do without: see `tests.bench.bare`."""
    seed, made = await run.waiting()
    row = Row(title="  its rows, commits and posts by a bare script", unit="/s", ratio_of="A")
    for number in range(run.size.rounds):
        run.say(f"{row.title.strip()}, round {number + 1}")
        plain = await plain_rate(run, made)
        async with a_bare_stage(run, seed) as stage:
            with profiled(stage.server):
                await _measure(run, stage, made, row, plain)
    return [row]


async def _rows(run: Run, trust: str) -> list[Row]:
    seed, made = await run.waiting()
    title, bar = _TITLED[trust]
    row = Row(title=title, unit="/s", bar=bar, ratio_of="A")
    answers = Row(title=f"  answers to its callbacks, p99 ({trust})", unit="ms", at_least=False)
    for number in range(run.size.rounds):
        run.say(f"{title}, round {number + 1}")
        plain = await plain_rate(run, made)
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
        await stage.delivered(posted)
        took = perf_counter() - began
        used = shares(watch)
    told = {"callbacks": posted, "callbacks_per_s": posted / posted_s, "drained_s": took - posted_s}
    row.add(
        counting.delivered(stage.database) / took,
        plain,
        {**told, "polls": stage.provider.polls, **spread(load.took), **used},
        {**load.refused("200"), **stage.faults(posted)},
    )


def _ended(provider: Provider, made: Sequence[Made], requests: Sequence[bytes]) -> Iterator[bytes]:
    """The requests, each task having ended at the provider before its callback leaves."""
    for each, request in zip(made, requests, strict=True):
        provider.ended.add(each.provider_id)
        yield request

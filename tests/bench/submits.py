"""Submits through `POST /v1/tasks` to the provider's answer."""

import json
from collections.abc import Iterator, Sequence
from time import perf_counter

from tests.bench import counting
from tests.bench.figures import Row, Run, plain_rate, shares, spread
from tests.bench.machine import Watch
from tests.bench.samples import INPUT, MODEL, PROVIDER
from tests.bench.seeding import prepare
from tests.bench.servers import profiled
from tests.bench.stage import Stage, a_stage
from tests.bench.wire import Load, request
from tests.service.world import API_KEY


async def submitted(run: Run) -> Sequence[Row]:
    """Tasks per second that were answered 201: committed, handed over, the provider's id recorded."""
    _, made = await run.waiting()
    seed = run.made("empty")
    await prepare(seed, 0)
    row = Row(title="submits, to the provider's answer", unit="/s", bar=0.12, ratio_of="A")
    for number in range(run.size.rounds):
        run.say(f"{row.title}, round {number + 1}")
        plain = await plain_rate(run, made)
        async with a_stage(run, seed) as stage:
            with profiled(stage.server):
                await _measure(run, stage, row, plain)
    return [row]


async def _measure(run: Run, stage: Stage, row: Row, plain: float) -> None:
    async with Load(stage.server.port, connections=run.size.connections) as load:
        watch, began = Watch(stage.server.pid), perf_counter()
        await load.closed_loop(_requests(stage.server.port), seconds=run.size.seconds)
        took, used = perf_counter() - began, shares(watch)
    asked, created = len(load.took), stage.provider.submits
    row.add(
        asked / took,
        plain,
        {"submits": asked, **spread(load.took), **used},
        {
            **load.refused("201"),
            "creates at the provider, more or less than answers": created - asked,
            "tasks not recorded as submitted": asked - counting.tasks(stage.database, "submitted"),
        },
    )


def _requests(port: int) -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        body = {"provider": PROVIDER, "model": MODEL, "input": INPUT, "metadata": {"order": str(number)}}
        headers = f"Authorization: Bearer {API_KEY}\r\n"
        host = f"127.0.0.1:{port}"
        yield request("POST", "/v1/tasks", host=host, body=json.dumps(body).encode(), headers=headers)

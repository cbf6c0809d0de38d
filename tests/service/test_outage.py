"""A receiver that is down for days: all it is owed arrives afterwards, nothing dies, nobody else waits."""

import os
from collections import defaultdict
from pathlib import Path

import pytest

from receiver.domain import Status
from tests.service.consumer import Consumer, a_consumer
from tests.service.owing import STEPS, change, happen, kinds, quiet, rows_of
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

# The issue asks for 20000.
MANY = int(os.environ.get("TASKWEIR_TEST_EVENTS", "2000"))
QUARTER_S = 900


@pytest.mark.parametrize(("hours", "ordered"), [(48, False), (96, True)])
async def test_down_for_days(tmp_path: Path, hours: int, ordered: bool) -> None:
    """Held without an attempt used up, delivered when it is back, in order per task where that was asked for."""
    async with a_consumer(503) as down, a_consumer() as other, a_world(tmp_path) as world:
        made = await world.destination(down.url, event_types=["task.*"])
        await change(world, made["id"], ordered=ordered)
        await world.destination(other.url, event_types=["task.failed"])
        owed = await days_pass(world, other, hours)
        failed = len(down.ids)
        # Five at once found it failing; since then a probe every quarter of an hour, and a few sooner.
        assert failed <= 5 + hours * 4 + 5
        assert await tries(world, made["id"]) <= {0, 1}

        down.answers[0] = 204
        world.clock.advance(QUARTER_S)
        await world.turn()
        await world.turn()
        await fresh(world, other, hours + 1)
        await quiet(world)
        assert await states(world, made["id"]) == {"delivered": owed + 1}
        arrived = down.ids[failed:]
        assert len(arrived) == len(set(arrived)) == owed + 1
        if ordered:
            assert in_order(down, failed)
        assert await kinds(world) == ["destination.failing", "destination.recovered"]


async def days_pass(world: World, other: Consumer, hours: int) -> int:
    """Events all the time, and each hour one for another receiver; how many are owed to the one that is down."""
    owed = 0
    for hour in range(hours):
        count = MANY // len(STEPS) // hours + 1
        await happen(world, count, first=(hour + 1) * 10_000, statuses=STEPS)
        owed += count * len(STEPS) + 1
        await fresh(world, other, hour)
        for _ in range(4):
            await quiet(world, QUARTER_S)
    return owed


async def fresh(world: World, other: Consumer, hour: int) -> None:
    """An event for the other receiver, too: it is there in the same turn."""
    before = len(other.ids)
    await happen(world, 1, first=hour, statuses=[Status.FAILED])
    await world.turn()
    assert len(other.ids) == before + 1


async def tries(world: World, destination_id: str) -> set[int]:
    """How far on the schedule any delivery has come."""
    sql = "SELECT DISTINCT tries FROM deliveries WHERE destination_id = :id"
    rows = await rows_of(world, sql, id=destination_id)
    return {row["tries"] for row in rows}


async def states(world: World, destination_id: str) -> dict[str, int]:
    sql = "SELECT state, count(*) AS n FROM deliveries WHERE destination_id = :id GROUP BY state"
    return {row["state"]: row["n"] for row in await rows_of(world, sql, id=destination_id)}


def in_order(consumer: Consumer, first: int) -> bool:
    """Whether the sequence of every task that arrived from this request on is 1, 2, …"""
    sequences: dict[str, list[int]] = defaultdict(list)
    for event in consumer.events[first:]:
        sequences[event["data"]["task"]["id"]].append(event["data"]["sequence"])
    return all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences.values())

"""A destination with a long queue is deleted, ordered and let go of in bites: nobody else waits for all of it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver import destination_actions
from receiver.domain import DeliveryState
from receiver.store.protocol import Store
from receiver.store.records import BITE
from tests.make import NOW, a_delivery, an_event
from tests.service.owing import STEPS, change, due_at, happen, kept
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

HOOK = "http://127.0.0.1:9/hook"
TASKS = BITE + 500
PENDING, CANCELED = DeliveryState.PENDING, DeliveryState.CANCELED


async def owe(world: World, destination_id: str, tasks: int = TASKS) -> None:
    """Two events of each of many tasks are pending, and due long from now."""

    def record(store: Store) -> None:
        for number in range(2 * tasks):
            task_id = f"task_{number % tasks:06}"
            store.record_event(an_event(store.next_seq(), id=f"evt_{number:06}"), "{}")
            fields: dict[str, Any] = {"id": f"dlv_{number:06}", "event_id": f"evt_{number:06}", "task_id": task_id}
            store.record_delivery(a_delivery(**fields, destination_id=destination_id, due_at=2 * NOW), number)

    await world.service.storage.write(record)


async def beside_others(world: World, call: asyncio.Future[httpx.Response]) -> int:
    """How many small writes were committed, one after the other, while a call was under way."""
    turns = 0
    while not call.done():
        await world.service.storage.write(lambda store: store.prune_retired_secrets(NOW))
        turns += 1
    assert call.result().is_success, call.result().text
    return turns


async def states(world: World, tasks: int = TASKS) -> dict[tuple[str, bool], int]:
    """How many deliveries there are in each state, with a time and without."""
    found = await world.service.storage.read(
        lambda store: [store.delivery(f"dlv_{number:06}", "default") for number in range(2 * tasks)]
    )
    counts: dict[tuple[str, bool], int] = {}
    for each in found:
        assert each is not None
        counts[each.state, each.due_at is not None] = counts.get((each.state, each.due_at is not None), 0) + 1
    return counts


async def test_lines_are_formed_and_dissolved_beside_others_and_deleted(tmp_path: Path) -> None:
    """Two events per task: the second waits, then both are due, then nothing is owed; others write in between."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        path = f"/v1/destinations/{made['id']}"
        await owe(world, made["id"])
        calls = [
            (lambda: world.api.patch(path, json={"ordered": True}), {(PENDING, True): TASKS, (PENDING, False): TASKS}),
            (lambda: world.api.patch(path, json={"ordered": False}), {(PENDING, True): 2 * TASKS}),
            (lambda: world.api.delete(path), {(CANCELED, False): 2 * TASKS}),
        ]
        for call, expected in calls:
            assert await beside_others(world, asyncio.ensure_future(call())) >= 2
            assert await states(world) == expected
        assert (await world.api.get(path)).status_code == 404


async def test_lines_of_a_short_queue_are_formed_with_the_change(tmp_path: Path) -> None:
    """By the transaction that makes the destination ordered: whatever dies after it, they are formed."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        await owe(world, made["id"], tasks=BITE // 2)
        before, now = await kept(world, made["id"]), world.clock.now()
        ordered = replace(before, ordered=True)
        await world.service.storage.write(lambda store: destination_actions.change(store, before, ordered, now=now))
        assert await states(world, BITE // 2) == dict.fromkeys([(PENDING, True), (PENDING, False)], BITE // 2)


async def test_a_start_goes_on_where_the_forming_of_lines_was_cut_off(tmp_path: Path) -> None:
    """The process died behind the change, with most of a long queue yet to form lines; no other queue is touched."""
    async with a_world(tmp_path) as world:
        cut_off, other = [(await world.destination(HOOK))["id"] for _ in range(2)]
        await owe(world, cut_off)
        await happen(world, 2, statuses=STEPS)
        await change(world, cut_off, ordered=True)
        assert await states(world) == {(PENDING, True): 2 * TASKS}
        before = [await due_at(world, each["id"]) for each in await world.deliveries(destination_id=other)]
    async with a_world(tmp_path) as world:
        assert await states(world) == {(PENDING, True): TASKS, (PENDING, False): TASKS}
        after = [await due_at(world, each["id"]) for each in await world.deliveries(destination_id=other)]
        assert after == before
        assert None not in after

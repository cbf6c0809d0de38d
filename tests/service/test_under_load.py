"""Editing, rotating, disabling and deleting a destination under load loses nothing, and doubles nothing."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver import signing
from receiver.domain import Destination
from receiver.store.protocol import Store
from tests.make import DAY
from tests.service.consumer import Consumer, a_consumer
from tests.service.owing import attempt_log, change, disable, enable, happen
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

ROUNDS, PER_ROUND = 40, 8


@asynccontextmanager
async def under_load(world: World) -> AsyncIterator[asyncio.Event]:
    """The courier's loop runs as in production, and events keep coming; gives the event that is set with the last."""
    loop, done = world.service.loops[2], asyncio.Event()

    async def go_on() -> None:
        for number in range(ROUNDS):
            await happen(world, PER_ROUND, first=1 + number * PER_ROUND)
            world.service.courier.wake.set()
        done.set()

    loop.start()
    producer = asyncio.create_task(go_on())
    try:
        yield done
        await producer
    finally:
        producer.cancel()
        await loop.stop()
        await world.service.courier.crew.drain()


async def settled(world: World) -> None:
    """Wait until nothing is pending."""
    world.service.courier.wake.set()
    for _ in range(3000):
        if not await world.deliveries(state="pending", limit="1"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("something is pending still")


async def all_deliveries(world: World) -> list[dict[str, str]]:
    def read(store: Store) -> list[dict[str, str]]:
        return list(store.execute("SELECT id, event_id, state, destination_id FROM deliveries", {}))  # type: ignore[attr-defined]

    return await world.service.storage.read(read)


async def rotate(world: World, destination_id: str) -> str:
    """As the door does it: the old secret signs along."""
    seal, now, secret = world.service.doors.seal, world.clock.now(), signing.new_secret(os.urandom(32))

    def record(store: Store) -> None:
        before = _kept(store, destination_id)
        store.retire_secret(destination_id, before.sealed_secret, now=now, until=now + DAY)
        store.save_destination(replace(before, sealed_secret=seal.seal(secret, row=destination_id)))

    await world.service.storage.write(record)
    return secret


def _kept(store: Store, destination_id: str) -> Destination:
    found = store.destination(destination_id, "default")
    assert found is not None
    return found


async def test_editing_under_load(tmp_path: Path) -> None:
    """The URL goes to and fro, limits and order change: each event arrives once, at either address."""
    async with a_consumer() as one, a_consumer() as two, a_world(tmp_path) as world:
        made = await world.destination(one.url)
        async with under_load(world) as done:
            edits = 0
            while not done.is_set():
                edits += 1
                await change(
                    world,
                    made["id"],
                    target=(one.url, two.url)[edits % 2],
                    max_in_flight=1 + edits % 7,
                    description=f"edit {edits}",
                )
            await settled(world)
        assert edits > 5
        await exactly_once(world, one, two)
        assert one.ids
        assert two.ids


async def test_rotating_under_load(tmp_path: Path) -> None:
    """Every request verifies with the first secret, which signs along, and once with the last."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        made = await world.destination(consumer.url)
        secrets = [made["secret"]]
        async with under_load(world) as done:
            while not done.is_set() and len(secrets) < 40:
                secrets.append(await rotate(world, made["id"]))
            await settled(world)
            await happen(world, 1, first=9000)
            await settled(world)
        await exactly_once(world, consumer)
        assert len(secrets) > 5
        consumer.verify(made["secret"])
        last = Consumer(headers=consumer.headers[-1:], bodies=consumer.bodies[-1:])
        last.verify(secrets[-1])


async def test_disabling_and_enabling_under_load(tmp_path: Path) -> None:
    """Whatever a delivery was recorded of arrives once, however often it was turned off and on."""
    async with a_consumer() as consumer, a_consumer() as other, a_world(tmp_path) as world:
        made = await world.destination(consumer.url, max_in_flight=3)
        untouched = await world.destination(other.url)
        async with under_load(world) as done:
            while not done.is_set():
                await disable(world, made["id"])
                await asyncio.sleep(0)
                await enable(world, made["id"])
                world.service.courier.wake.set()
            await settled(world)
        await exactly_once(world, consumer, other)
        found = Counter(each["destination_id"] for each in await all_deliveries(world))
        assert found[untouched["id"]] == ROUNDS * PER_ROUND == len(other.ids)
        assert 0 < found[made["id"]] == len(consumer.ids)


async def exactly_once(world: World, *consumers: Consumer) -> None:
    """What arrived anywhere is what was recorded, each once, and each is recorded as delivered."""
    recorded = await all_deliveries(world)
    assert {each["state"] for each in recorded} == {"delivered"}
    assert Counter(each["event_id"] for each in recorded) == Counter(
        event_id for consumer in consumers for event_id in consumer.ids
    )


async def test_deleting_under_load(tmp_path: Path) -> None:
    """What is delivered arrived once; what is canceled never did, but for attempts that were under way."""
    async with a_consumer() as consumer, a_consumer() as other, a_world(tmp_path) as world:
        await world.destination(other.url)
        deleted = []
        async with under_load(world) as done:
            while not done.is_set():
                made = await world.destination(consumer.url, max_in_flight=2)
                deleted.append(made["id"])
                arrived: list[Any] = []
                while not done.is_set() and len(arrived) < 3:
                    arrived = await world.deliveries(destination_id=made["id"], state="delivered")
                assert (await world.api.delete(f"/v1/destinations/{made['id']}")).status_code == 204
            await settled(world)
        assert len(other.ids) == len(set(other.ids)) == ROUNDS * PER_ROUND
        assert len(deleted) > 2
        recorded = [each for each in await all_deliveries(world) if each["destination_id"] in deleted]
        assert {each["state"] for each in recorded} == {"delivered", "canceled"}
        expected = Counter(each["event_id"] for each in recorded if each["state"] == "delivered")
        for each in recorded:
            if each["state"] == "canceled" and await attempt_log(world, each["id"]):
                expected[each["event_id"]] += 1
        assert Counter(consumer.ids) == expected

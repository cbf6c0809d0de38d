"""Rotating, disabling, editing and deleting a destination while events flow to it loses nothing and doubles nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.service.consumer import Consumer, a_consumer
from tests.service.instant import a_quick_world, finish, post
from tests.service.world import World

pytestmark = pytest.mark.anyio

COUNT = 150


@asynccontextmanager
async def delivering(world: World) -> AsyncIterator[None]:
    """The courier at work beside the test, as a server's loop has it."""
    over, courier = asyncio.Event(), world.service.courier
    world.service.hand_off.open = True

    async def deliver() -> None:
        while not over.is_set():
            courier.wake.clear()
            await courier.run_once()
            with suppress(TimeoutError):
                await asyncio.wait_for(courier.wake.wait(), 0.05)

    worker = asyncio.ensure_future(deliver())
    try:
        yield
    finally:
        over.set()
        world.service.hand_off.open = False
        await worker
        await courier.crew.drain()
        await world.turn()


async def under_load(world: World, edit: Callable[[], Awaitable[object]]) -> list[str]:
    """Finish tasks one after the other, with an edit after every tenth; the ids of their events, in order."""
    async with delivering(world):
        for number in range(COUNT):
            await finish(world)
            if number % 10 == 5:
                await edit()
    return [event["id"] for event in await all_events(world) if event["type"] == "task.succeeded"]


async def all_events(world: World) -> list[dict[str, str]]:
    items: list[dict[str, str]] = (await world.api.get("/v1/events?limit=200")).json()["items"]
    return items


async def test_rotating(tmp_path: Path) -> None:
    """Every request verifies with the secret of the beginning, which signs along all day; the last with the newest."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        path = f"/v1/destinations/{made['id']}/rotate-secret"
        left = iter(range(9))

        async def rotate() -> None:
            if next(left, None) is not None:
                await asyncio.gather(post(world, path), world.api.patch(path.removesuffix("/rotate-secret"), json={}))

        events = await under_load(world, rotate)
        assert sorted(consumer.ids) == sorted(events)
        consumer.verify(made["secret"])
        newest = (await world.api.get(path.replace("rotate-", ""))).json()["secret"]
        Consumer(headers=consumer.headers[-1:], bodies=consumer.bodies[-1:]).verify(newest)


async def test_moving_to_and_fro(tmp_path: Path) -> None:
    """Each event arrives once, at one of the two addresses."""
    async with a_quick_world(tmp_path) as world, a_consumer() as one, a_consumer() as other:
        made = await world.destination(one.url)
        urls = [other.url, one.url] * COUNT

        async def move() -> None:
            changes = {"url": urls.pop(0), "headers": {"X-Turn": str(len(urls))}, "max_in_flight": 1 + len(urls) % 7}
            assert (await world.api.patch(f"/v1/destinations/{made['id']}", json=changes)).status_code == 200

        events = await under_load(world, move)
        assert sorted(one.ids + other.ids) == sorted(events)
        assert one.ids
        assert other.ids


async def test_ordering_and_not(tmp_path: Path) -> None:
    """Lines that are formed and dissolved lose nobody in them."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        ordered = [True, False] * COUNT

        async def switch() -> None:
            answer = await world.api.patch(f"/v1/destinations/{made['id']}", json={"ordered": ordered.pop(0)})
            assert answer.status_code == 200

        events = await under_load(world, switch)
        assert sorted(consumer.ids) == sorted(events)


async def test_disabling_and_enabling(tmp_path: Path) -> None:
    """What was recorded while it was enabled arrives once; the rest is what a replay finds missing, once."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        path = f"/v1/destinations/{made['id']}"
        acts = ["disable", "enable"] * COUNT

        async def switch() -> None:
            await post(world, f"{path}/{acts.pop(0)}")

        events = await under_load(world, switch)
        await post(world, f"{path}/enable")
        await world.turn()
        await world.turn()
        owed = {row["event_id"] for row in await everything_owed(world)}
        assert sorted(consumer.ids) == sorted(owed)
        assert 0 < len(owed) < COUNT
        missing = await post(world, f"{path}/replay", {"since": "2025-01-01"})
        assert missing == {"count": COUNT - len(owed)}
        for _ in range(5):
            await world.turn()
        assert sorted(consumer.ids) == sorted(events)


async def everything_owed(world: World) -> list[dict[str, str]]:
    items: list[dict[str, str]] = (await world.api.get("/v1/deliveries?limit=200")).json()["items"]
    return items


async def test_deleting(tmp_path: Path) -> None:
    """What had arrived by then has arrived once; nothing is pending, and nothing comes after."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer, a_consumer() as other:
        made = await world.destination(consumer.url)
        await world.destination(other.url)
        paths = [f"/v1/destinations/{made['id']}"]

        async def delete() -> None:
            if len(consumer.ids) > 20 and paths:
                assert (await world.api.delete(paths.pop())).status_code == 204

        events = await under_load(world, delete)
        assert paths == []
        assert sorted(other.ids) == sorted(events)
        assert len(set(consumer.ids)) == len(consumer.ids)
        assert set(consumer.ids) < set(other.ids)
        assert await world.deliveries(state="pending") == []

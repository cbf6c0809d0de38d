"""Fresh deliveries go out as they are recorded, where that is nobody's wait; everything else is claimed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from receiver import intake
from receiver.domain import Source, Status, Update, Verified
from receiver.hand_off import HandOff
from receiver.intake import Taken
from receiver.store.protocol import Store
from tests.make import a_task
from tests.service.consumer import a_consumer, a_gated_consumer
from tests.service.owing import PATIENT, TRUSTED_AFTER, attempt_log, change, disable, happen, quiet, trusted, until
from tests.service.world import World, a_world, every

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def handing(directory: Path, **options: Any) -> AsyncIterator[World]:
    """A service whose courier takes over, as one whose loops run does; here it claims only when it is told to."""
    async with a_world(directory, limits=PATIENT, **options) as world:
        world.service.hand_off.open = True
        yield world


async def end(world: World, first: int, count: int = 1) -> list[Taken]:
    """So many tasks end in one transaction, later than what was before; what was taken in, told to nobody yet."""
    world.clock.advance(0.001)

    def record(store: Store) -> list[Taken]:
        now, ended = world.clock.now(), []
        for number in range(first, first + count):
            task = a_task(id=f"task_{number:06}", provider_task_id=f"p{number:06}", created_at=now)
            store.record_task(task)
            update = Update(status=Status.SUCCEEDED, provider_task_id=task.provider_task_id)
            ended.append(intake.take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=now))
        return ended

    return await world.service.storage.write(record)


async def tell(world: World, *taken: Taken) -> None:
    """Tell the courier, and wait until it has done what it does about that by itself."""
    for each in taken:
        world.service.bell.ring(each)
    await world.service.courier.crew.drain()


async def states(world: World) -> list[tuple[str, int]]:
    return [(each["state"], each["attempts"]) for each in await world.deliveries()]


async def test_what_is_fresh_goes_out_without_a_claim(tmp_path: Path) -> None:
    """To a destination that answered well before; its delivery is recorded leased, its attempt counted."""
    async with a_consumer() as consumer, handing(tmp_path) as world:
        await world.destination(consumer.url)
        [first] = await end(world, 1)
        assert (first.owed, first.handed) == (1, ())
        await quiet(world)
        [second] = await end(world, 2)
        assert (second.owed, len(second.handed)) == (0, 1)
        assert await states(world) == [("pending", 1), ("delivered", 1)]
        await tell(world, second)
        assert consumer.ids[1] == second.events[0].id
        assert await states(world) == [("delivered", 1), ("delivered", 1)]
        [latest, _] = await world.deliveries()
        assert [(each["number"], each["status"]) for each in await attempt_log(world, latest["id"])] == [(1, 204)]


async def test_nothing_is_taken_over_unless_somebody_works(tmp_path: Path) -> None:
    """Neither before the loops run nor once the process was told to stop."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        await world.destination(consumer.url)
        await happen(world, 1)
        await quiet(world)
        assert [each.handed for each in await end(world, 2)] == [()]
        world.service.hand_off.open = True
        [taken] = await end(world, 3)
        assert len(taken.handed) == 1
        await tell(world, taken)
        await world.service.drain()
        assert [each.handed for each in await end(world, 4)] == [()]


@pytest.mark.parametrize("fields", [{"ordered": True}, {"rate_per_second": 100.0}])
async def test_what_has_an_order_or_a_rate_is_claimed(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Be it since a moment ago."""
    async with a_consumer() as consumer, handing(tmp_path) as world:
        made = await world.destination(consumer.url)
        await happen(world, 1)
        await quiet(world)
        await change(world, made["id"], **fields)
        assert [each.handed for each in await end(world, 2)] == [()]


async def test_who_failed_last_is_claimed_for(tmp_path: Path) -> None:
    """Until something arrives again."""
    async with a_consumer(204, 500, 204) as consumer, handing(tmp_path) as world:
        await world.destination(consumer.url)
        await happen(world, 1)
        await quiet(world)
        await tell(world, *await end(world, 2))
        assert (await states(world))[0] == ("pending", 1)
        assert [each.handed for each in await end(world, 3)] == [()]
        await quiet(world, 10)
        assert [len(each.handed) for each in await end(world, 4)] == [1]


async def test_a_backlog_and_what_is_fresh_take_half_each(tmp_path: Path) -> None:
    """Neither waits until the other is over."""
    async with a_gated_consumer() as consumer, handing(tmp_path) as world:
        await world.destination(consumer.url, max_in_flight=2)
        await trusted(world, consumer)
        taken = await end(world, 1, 460)
        assert [len(each.handed) for each in taken] == [1] * 258 + [0] * 202
        for each in taken:
            world.service.bell.ring(each)
        await world.service.courier.run_once()
        listed = await every(world, "/v1/deliveries")
        assert [each["attempts"] for each in listed].count(0) == 202 - 129
        fresh = []
        for count in range(2, 142, 2):
            await consumer.arrived(count)
            [late] = await end(world, 1000 + count)
            fresh.append(len(late.handed))
            consumer.answer(204)
        assert fresh == [0] * 65 + [1] * 5  # once 129 are left of those that were handed off before there was a backlog
        consumer.answer(204)


async def test_nothing_is_claimed_for_one_that_hangs_with_all_that_it_may_have(tmp_path: Path) -> None:
    """It would be given back at once, and claimed again at once, until the first of what hangs ends."""
    async with a_gated_consumer() as consumer, handing(tmp_path) as world:
        made = await world.destination(consumer.url, max_in_flight=4)
        await trusted(world, consumer)
        for each in await end(world, 1, 4):
            world.service.bell.ring(each)
        await consumer.arrived(4)
        world.service.hand_off.offer(made["id"], 0)
        await happen(world, 9, first=100)
        world.clock.advance(2)
        world.service.courier.wake.clear()
        assert await world.service.courier.run_once() > 0
        assert world.service.courier.crew.count(made["id"]) == 4
        assert not world.service.courier.wake.is_set()
        consumer.answer(204)


async def test_never_more_than_it_may_have_in_flight(tmp_path: Path) -> None:
    """Two transactions may both be told that there is room: what is over waits in memory, and goes out next."""
    async with a_gated_consumer() as consumer, handing(tmp_path) as world:
        made = await world.destination(consumer.url, max_in_flight=2)
        await trusted(world, consumer)
        first = await end(world, 1, 2)
        world.service.hand_off.offer(made["id"], 2)
        second = await end(world, 3, 2)
        assert [len(each.handed) for each in (*first, *second)] == [1, 1, 1, 1]
        for each in (*first, *second):
            world.service.bell.ring(each)
        await consumer.arrived(2)
        assert world.service.courier.crew.count(made["id"]) == 2
        consumer.answer(204)
        await consumer.arrived(4)
        consumer.answer(204)
        await world.service.courier.crew.drain()
        assert await states(world) == [("delivered", 1)] * (TRUSTED_AFTER + 4)


async def test_who_turns_slow_gives_back_what_waits(tmp_path: Path) -> None:
    """Untried, and not counted: slow ones take their turns in the store."""
    async with a_gated_consumer() as consumer, handing(tmp_path) as world:
        made = await world.destination(consumer.url, max_in_flight=1)
        await trusted(world, consumer)
        first = await end(world, 1)
        world.service.hand_off.offer(made["id"], 1)
        second = await end(world, 2)
        world.service.bell.ring(first[0])
        await consumer.arrived(1)
        world.clock.advance(5)
        world.service.bell.ring(second[0])
        await until(lambda: world.service.courier.crew.count(made["id"]) == 1)
        assert (await states(world))[0] == ("pending", 0)
        consumer.answer(204)
        await world.service.courier.crew.drain()
        assert [each.handed for each in await end(world, 3)] == [()]
        consumer.gates.clear()
        await world.service.courier.run_once()
        await consumer.arrived(1)
        consumer.answer(204)


async def test_what_comes_too_late_is_given_back(tmp_path: Path) -> None:
    """Its lease would end under the attempt, and somebody else begin another."""
    async with a_consumer() as consumer, handing(tmp_path) as world:
        await world.destination(consumer.url)
        await happen(world, 1)
        await quiet(world)
        taken = await end(world, 2)
        world.clock.advance(301)
        await tell(world, *taken)
        assert (len(consumer.ids), (await states(world))[0]) == (1, ("pending", 0))
        await quiet(world)
        assert (len(consumer.ids), (await states(world))[0]) == (2, ("delivered", 1))


async def test_what_nobody_heard_of_is_claimed_when_its_lease_is_over(tmp_path: Path) -> None:
    """The process died between the commit and the request: the same event, as the second attempt."""
    async with a_consumer() as consumer, handing(tmp_path) as world:
        await world.destination(consumer.url)
        await happen(world, 1)
        await quiet(world)
        [lost] = await end(world, 2)
        assert await quiet(world, 599) > 0
        assert len(consumer.ids) == 1
        await quiet(world, 2)
        assert consumer.ids[1:] == [lost.events[0].id]
        assert (await states(world))[0] == ("delivered", 2)


async def test_a_disabled_destination_takes_nothing_over(tmp_path: Path) -> None:
    """What is recorded after the switch is not owed to it at all, whatever the courier offers."""
    async with a_consumer() as consumer, handing(tmp_path) as world:
        made = await world.destination(consumer.url)
        await happen(world, 1)
        await quiet(world)
        await disable(world, made["id"])
        assert [(each.owed, each.handed) for each in await end(world, 2)] == [(0, ())]


def test_room_is_counted_down() -> None:
    """Until the courier says how much there is again."""
    hand_off = HandOff(lease=1, now=0)
    hand_off.offer("dst_1", 2)
    assert not hand_off.take("dst_1")
    hand_off.open = True
    assert [hand_off.take("dst_1") for _ in range(3)] == [True, True, False]
    assert not hand_off.take("dst_2")
    hand_off.offer("dst_1", 1)
    hand_off.offer("dst_1", -1)
    assert not hand_off.take("dst_1")


async def test_a_stop_gives_back_what_waits_in_memory(tmp_path: Path) -> None:
    """Untried, and not counted; nothing of it begins while the rest is cut off."""
    async with a_gated_consumer() as consumer, handing(tmp_path) as world:
        await world.destination(consumer.url, max_in_flight=1)
        await trusted(world, consumer)
        for each in await end(world, 1, 3):
            world.service.bell.ring(each)
        await consumer.arrived(1)
        await world.service.drain()
        found = await world.deliveries(state="pending")
        assert ([each["attempts"] for each in found], len(consumer.ids)) == ([0, 0, 0], 1)


@pytest.mark.parametrize("fields", [{}, {"ordered": True}])
async def test_a_backlog_keeps_to_what_may_be_in_flight(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Claimed by the batch or not, in order or not."""
    async with a_gated_consumer() as consumer, handing(tmp_path) as world:
        made = await world.destination(consumer.url, max_in_flight=2, **fields)
        await trusted(world, consumer)
        world.service.hand_off.offer(made["id"], 0)
        await happen(world, 50)
        await world.service.courier.run_once()
        await consumer.arrived(2)
        assert world.service.courier.crew.count(made["id"]) == 2
        for count in range(4, 51, 2):
            consumer.answer(204)
            while len(consumer.gates) < count:
                await world.service.courier.run_once()
            assert world.service.courier.crew.count(made["id"]) <= 2
        consumer.answer(204)
        await world.service.courier.crew.drain()
        assert len(consumer.ids) == 50

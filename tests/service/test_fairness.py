"""Nobody's slowness, backlog or rate is another's wait; the courier neither spins nor oversleeps because of them."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Status
from tests.make import NOW, a_destination
from tests.service.consumer import Consumer, Gated, a_consumer, a_gated_consumer
from tests.service.engines import makes_a_log
from tests.service.owing import PATIENT, breaker_of, change, happen, quiet, trusted
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio


def slots(count: int) -> Any:
    return replace(PATIENT, delivery=replace(PATIENT.delivery, in_flight=count))


async def one_more(world: World) -> None:
    """A round beside what hangs: what can end, ends, and what that makes room for begins."""
    await world.service.courier.run_once()
    await asyncio.sleep(0)


async def all_of(world: World, consumer: Consumer, destination_id: str, count: int) -> None:
    """So many have arrived, and are recorded: to the courier, what is not recorded yet still runs."""
    while len(consumer.ids) < count or world.service.courier.crew.count(destination_id):
        await one_more(world)


async def come(world: World, consumer: Gated, count: int) -> None:
    """Round after round until so many requests are there."""
    for _ in range(2000):
        await world.service.courier.run_once()
        if len(consumer.ids) >= count:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{len(consumer.ids)} of {count} requests came")


# Who hangs, and who does not


async def test_tarpits_hold_half_of_the_slots_at_most(tmp_path: Path) -> None:
    """Thirty that hang, with a backlog each, beside a healthy one: it gets all of its own while they hang."""
    async with AsyncExitStack() as stack:
        tarpits = [await stack.enter_async_context(a_gated_consumer()) for _ in range(30)]
        healthy = await stack.enter_async_context(a_consumer())
        world = await stack.enter_async_context(a_world(tmp_path, limits=slots(40)))
        for consumer in tarpits:
            await world.destination(consumer.url)
        quick = (await world.destination(healthy.url))["id"]
        await happen(world, 20)
        await all_of(world, healthy, quick, 20)
        assert [len(each.ids) for each in tarpits] == [1] * 30
        world.clock.advance(2)
        await happen(world, 20, first=100)
        await all_of(world, healthy, quick, 40)
        assert [len(each.ids) for each in tarpits] == [1] * 30
        for each in tarpits:
            each.answer(500)
        await world.service.courier.crew.drain()
        world.clock.advance(1)
        await happen(world, 1, first=200)
        while await world.service.courier.run_once() == 0:
            pass
        # They answered late, and so are slow now: half of the slots is all that they get together.
        assert world.service.courier.crew.total - world.service.courier.crew.count(quick) == 20
        await all_of(world, healthy, quick, 41)
        for each in tarpits:
            each.answer(500)


async def test_tenants_share_before_destinations_do(tmp_path: Path) -> None:
    """Six destinations of one tenant take no more than the one of another."""
    async with a_gated_consumer() as big, a_gated_consumer() as small, a_world(tmp_path, limits=slots(40)) as world:
        made = [await world.destination(big.url) for _ in range(6)]
        secret = world.service.doors.seal.seal("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", row="dst_small")
        other = a_destination(id="dst_small", tenant="small", target=small.url, sealed_secret=secret)
        await world.service.storage.write(lambda store: store.record_destination(other))
        await trusted(world, big, small, tenants=("default", "small"))
        await happen(world, 30)
        await happen(world, 30, first=100, tenant="small")
        await world.service.courier.run_once()
        counts = [world.service.courier.crew.count(each["id"]) for each in made]
        assert sorted([sum(counts), world.service.courier.crew.count("dst_small")]) == [17, 18]
        assert max(counts) - min(counts) <= 1
        big.answer(204)
        small.answer(204)


async def test_what_must_wait_for_its_turn_is_woken_by_an_end(tmp_path: Path) -> None:
    """All slots are taken: the loop sleeps though something is due, until one of them is free."""
    async with a_gated_consumer() as slow, a_consumer() as other, a_world(tmp_path, limits=slots(2)) as world:
        for _ in range(2):
            await world.destination(slow.url, max_in_flight=1)
        await happen(world, 1)
        await world.service.courier.run_once()
        await slow.arrived(2)
        await world.destination(other.url)
        await happen(world, 1, first=10)
        world.service.courier.wake.clear()
        assert await world.service.courier.run_once() > 0
        assert (other.ids, world.service.courier.wake.is_set()) == ([], False)
        slow.gates[0].set_result(204)
        await world.service.courier.wake.wait()
        await world.service.courier.run_once()
        slow.answer(204)
        while not other.ids:
            await one_more(world)
            slow.answer(204)


async def test_who_hangs_from_the_first_is_tried_with_five(tmp_path: Path) -> None:
    """However long they take, and though it may have forty in flight: as many as open its breaker."""
    async with a_gated_consumer() as tarpit, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(tarpit.url, max_in_flight=40)
        await happen(world, 50)
        for _ in range(3):
            await world.service.courier.run_once()
            await tarpit.arrived(5)
            world.clock.advance(2)
        assert (len(tarpit.ids), world.service.courier.crew.count(made["id"])) == (5, 5)
        tarpit.answer(500)
        await quiet(world)
        assert len(tarpit.ids) == 5
        assert (await breaker_of(world, made["id"])).open


async def test_who_answers_well_gets_more_at_once_and_who_hangs_then_no_more(tmp_path: Path) -> None:
    """One more for each success, so twice as many with every answer's time; then it hangs, with what it had shown."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        await world.destination(consumer.url)
        await happen(world, 100)
        arrived = 0
        for wave in (5, 10, 20, 32):
            await come(world, consumer, arrived + wave)
            world.clock.advance(2)
            await world.service.courier.run_once()
            assert (len(consumer.ids), world.service.courier.crew.total) == (arrived + wave, wave)
            arrived += wave
            world.clock.advance(-2)
            if wave < 32:
                consumer.answer(204)
        consumer.answer(204)


async def test_what_is_handed_off_to_one_that_is_new_begins_small_as_well(tmp_path: Path) -> None:
    """It answered once, and hangs from the second on: six are tried, and the others wait their turn."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(consumer.url)
        await happen(world, 1)
        await world.service.courier.run_once()
        await consumer.arrived(1)
        consumer.answer(204)
        await world.service.courier.crew.drain()
        await happen(world, 40, first=100)
        for _ in range(3):
            await world.service.courier.run_once()
            await consumer.arrived(7)
            world.clock.advance(2)
        assert (len(consumer.ids), world.service.courier.crew.count(made["id"])) == (7, 6)
        consumer.answer(204)


async def a_crowd(world: World, url: str, count: int = 64) -> None:
    """So many that were never heard of are owed one event each; round after round, a few of them begin."""
    for _ in range(count):
        await world.destination(url)
    await happen(world, 1)
    begun = 0
    while await world.service.courier.run_once() == 0:
        assert 0 < world.service.courier.crew.total - begun <= 8
        begun = world.service.courier.crew.total


async def test_of_a_crowd_of_new_ones_a_few_begin_in_each_round(tmp_path: Path) -> None:
    """Eight at most, and all of them in the end, round after round."""
    async with a_gated_consumer() as crowd, a_world(tmp_path, limits=PATIENT) as world:
        await a_crowd(world, crowd.url)
        assert world.service.courier.crew.total == 64
        crowd.answer(204)


async def test_of_new_ones_the_first_of_each_tenant_begin_first(tmp_path: Path) -> None:
    """The only one of a tenant does not wait behind fifty of another: it is among the first eight."""
    async with a_gated_consumer() as big, a_gated_consumer() as small, a_world(tmp_path, limits=PATIENT) as world:
        for _ in range(50):
            await world.destination(big.url)
        secret = world.service.doors.seal.seal("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", row="dst_small")
        other = a_destination(id="dst_small", tenant="small", target=small.url, sealed_secret=secret)
        await world.service.storage.write(lambda store: store.record_destination(other))
        await happen(world, 1)
        await happen(world, 1, first=100, tenant="small")
        assert await world.service.courier.run_once() == 0
        assert (world.service.courier.crew.total, world.service.courier.crew.count("dst_small")) == (8, 1)
        while await world.service.courier.run_once() == 0:
            pass
        big.answer(204)
        small.answer(204)


@pytest.mark.parametrize(("others", "waits"), [(64, True), (1, False)])
async def test_who_fails_at_once_waits_for_others_where_many_are_under_way(
    tmp_path: Path, others: int, waits: bool
) -> None:
    """It is tried five times as ever, but in rounds that it shares, not in one of its own after each failure."""
    async with a_gated_consumer() as crowd, a_consumer() as failing, a_world(tmp_path, limits=PATIENT) as world:
        await a_crowd(world, crowd.url, others)
        failing.answers.appendleft(500)
        failing.answers.pop()
        made = await world.destination(failing.url, max_in_flight=1)
        await happen(world, 5, first=100)
        courier = world.service.courier
        courier.wake.clear()
        while not failing.ids:
            await courier.run_once()
        for _ in range(1000):
            if not courier.crew.count(made["id"]):
                break
            await asyncio.sleep(0.001)
        assert courier.wake.is_set() is not waits
        await asyncio.wait_for(courier.wake.wait(), 5)
        while len(failing.ids) < 5:
            await one_more(world)
        crowd.answer(204)


# Fresh beside backlog


async def test_half_of_what_goes_out_is_the_freshest(tmp_path: Path) -> None:
    """An event of now does not wait behind a hundred of yesterday, nor these behind those of now."""
    async with a_gated_consumer() as consumer, a_world(tmp_path) as world:
        await world.destination(consumer.url, max_in_flight=10)
        await trusted(world, consumer)
        await happen(world, 100)
        world.clock.advance(86_400)
        await happen(world, 20, first=1000)
        old = {each["id"] for each in await _events(world) if each["data"]["task"]["id"] < "task_001000"}
        await world.service.courier.run_once()
        await consumer.arrived(10)
        assert sum(name in old for name in consumer.ids) == 5
        consumer.answer(204)


async def test_one_at_a_time_both_get_their_turn(tmp_path: Path) -> None:
    """Left to chance, one by one."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        await world.destination(consumer.url, max_in_flight=1, rate_per_second=1000)
        await happen(world, 60)
        world.clock.advance(60)
        await happen(world, 60, first=1000)
        for _ in range(50):
            await world.turn()
        fresh = [event for event in consumer.events if event["data"]["task"]["id"] >= "task_001000"]
        assert 0 < len(fresh) < len(consumer.ids) == 50


@makes_a_log
async def test_a_log_is_written_in_order(tmp_path: Path) -> None:
    """It takes hundreds at once, so that nothing waits for long: people read it from its end."""
    async with a_world(tmp_path) as world:
        await world.api.post("/v1/destinations", json={"type": "sqlite", "name": "results"})
        for number in range(3):
            world.clock.advance(1)
            await happen(world, 150, first=1000 * number)
        await quiet(world)
        with sqlite3.connect(tmp_path / "logs" / "default" / "results.db") as log:
            seqs = [seq for (seq,) in log.execute("SELECT seq FROM events ORDER BY rowid")]
        log.close()
        assert seqs == sorted(seqs)
        assert len(seqs) == 450


# Rates


async def test_no_more_than_its_rate(tmp_path: Path) -> None:
    """A second's worth at once, then one by one; the loop sleeps until the next, and others are not held up."""
    async with a_consumer() as careful, a_consumer() as other, a_world(tmp_path) as world:
        made = await world.destination(careful.url)
        await world.destination(other.url)
        await change(world, made["id"], rate_per_second=2.0)
        await happen(world, 12)
        pause_s = await quiet(world)
        assert (len(careful.ids), len(other.ids)) == (2, 12)
        for number in range(3, 13):
            assert 0.4 < pause_s < 0.6
            pause_s = await quiet(world, pause_s)
            assert len(careful.ids) == number
        assert world.clock.now() - NOW == pytest.approx(5000, abs=50)
        assert pause_s > 1


async def test_a_rate_of_none_again_lets_the_rest_go(tmp_path: Path) -> None:
    """What the courier knows of it follows the destination."""
    async with a_consumer() as careful, a_world(tmp_path) as world:
        made = await world.destination(careful.url)
        await change(world, made["id"], rate_per_second=0.1)
        await happen(world, 12)
        assert 9 < await quiet(world) < 11
        assert len(careful.ids) == 1
        await change(world, made["id"], rate_per_second=None)
        await quiet(world)
        assert len(careful.ids) == 12


# Asleep


async def test_how_long_it_sleeps(tmp_path: Path) -> None:
    """Until the first of: a delivery due, a probe, a token of a rate; a minute where there is nothing."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        assert await quiet(world) == 60
        made = await world.destination(broken.url)
        await happen(world, 1)
        assert 4 <= await quiet(world) <= 6
        await happen(world, 4, first=10)
        assert await quiet(world) == 60
        assert await quiet(world, 20) == 40
        await change(world, made["id"], enabled=False)
        assert await quiet(world, 3600) == 60


async def test_a_line_that_waits_wakes_nobody(tmp_path: Path) -> None:
    """Only its first one has a time."""
    async with a_gated_consumer() as consumer, a_world(tmp_path) as world:
        made = await world.destination(consumer.url, event_types=["task.*"])
        await change(world, made["id"], ordered=True)
        await happen(world, 1, statuses=[Status.RUNNING, Status.SUCCEEDED])
        await world.service.courier.run_once()
        assert await world.service.courier.run_once() == 30
        await _answered(consumer)


async def _answered(consumer: Gated) -> None:
    await consumer.arrived(1)
    consumer.answer(204)


async def _events(world: World) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.api.get("/v1/events", params={"limit": "200"})).json()["items"]
    return items

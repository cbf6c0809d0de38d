"""Ordered destinations: of one task one event at a time, by sequence; no task waits for another."""

from collections import defaultdict
from pathlib import Path

import pytest

from receiver import delivery_policy
from receiver.domain import Status
from receiver.store.protocol import Store
from receiver.store.records import BEHIND_ALL
from tests.service.consumer import Consumer, a_consumer, a_gated_consumer
from tests.service.owing import OPERATORS, PATIENT, STEPS, breaker_of, change, enable, go_on, happen, quiet
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio


async def an_ordered_one(world: World, url: str) -> str:
    made = await world.destination(url, event_types=["task.*"])
    await change(world, made["id"], ordered=True)
    return str(made["id"])


def arrived(consumer: Consumer) -> dict[str, list[int]]:
    """The sequence numbers that arrived, by task, in the order of their coming."""
    seen: dict[str, list[int]] = defaultdict(list)
    for event in consumer.events:
        seen[event["data"]["task"]["id"]].append(event["data"]["sequence"])
    return dict(seen)


async def test_one_under_way_per_task_and_the_next_after_it(tmp_path: Path) -> None:
    """Two events of three tasks: three go out, the other three as these end."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        await an_ordered_one(world, consumer.url)
        await happen(world, 3, statuses=STEPS)
        for _ in range(3):
            await world.service.courier.run_once()
        await consumer.arrived(3)
        assert world.service.courier.crew.total == 3
        consumer.answer(204)
        await world.service.courier.crew.drain()
        assert await world.service.courier.run_once() > 0
        await consumer.arrived(6)
        assert len(set(consumer.ids)) == 6
        consumer.answer(204)


async def test_a_failure_holds_up_its_own_task_only(tmp_path: Path) -> None:
    """The second event waits for the first one's next attempt; the loop sleeps until that."""
    async with a_consumer(500, 204) as consumer, a_world(tmp_path) as world:
        await an_ordered_one(world, consumer.url)
        await happen(world, 1, statuses=STEPS)
        await happen(world, 4, first=10, statuses=STEPS)
        pause_s = await quiet(world)
        [failed] = [name for name, numbers in arrived(consumer).items() if numbers == [1]]
        assert 4 <= pause_s <= 6
        assert all(numbers == [1, 2] for name, numbers in arrived(consumer).items() if name != failed)
        await quiet(world, pause_s)
        assert arrived(consumer)[failed] == [1, 1, 2]


async def test_what_is_recorded_while_one_waits_stands_behind_it(tmp_path: Path) -> None:
    """However much later, and however many."""
    async with a_consumer(500, 500, 204) as consumer, a_world(tmp_path) as world:
        await an_ordered_one(world, consumer.url)
        [task_id] = await happen(world, 1, statuses=[Status.RUNNING])
        await quiet(world)
        await go_on(world, task_id, Status.SUCCEEDED)
        await quiet(world, 6)
        assert arrived(consumer) == {task_id: [1, 1]}
        await quiet(world, 400)
        assert arrived(consumer) == {task_id: [1, 1, 1, 2]}


async def test_a_dead_letter_lets_the_next_one_pass(tmp_path: Path) -> None:
    """The line goes on after every end, not only after a success."""
    async with a_consumer(*[500] * 10, 204) as consumer, a_world(tmp_path) as world:
        await an_ordered_one(world, consumer.url)
        [task_id] = await happen(world, 1, statuses=STEPS)
        for pause_s in delivery_policy.PAUSES_S:
            await quiet(world, pause_s * 1.2)
        assert arrived(consumer) == {task_id: [1] * 10 + [2]}
        assert sorted(each["state"] for each in await world.deliveries(task_id=task_id)) == ["dead", "delivered"]


async def test_one_that_no_worker_survives_lets_the_next_one_pass(tmp_path: Path) -> None:
    """It is dead as it is claimed."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        made = await an_ordered_one(world, consumer.url)
        [task_id] = await happen(world, 1, statuses=STEPS)

        def lose(store: Store) -> None:
            for _ in range(10):
                store.claim_deliveries(made, owner="dead", now=world.clock.now(), until=world.clock.now(), limit=1)

        await world.service.storage.write(lose)
        await quiet(world)
        assert arrived(consumer) == {task_id: [2]}


async def test_a_success_after_the_lease_was_lost_advances_the_line_once(tmp_path: Path) -> None:
    """The same event went out twice; the next one goes out once, after it."""
    async with a_gated_consumer() as slow, a_world(tmp_path, limits=PATIENT) as world:
        await an_ordered_one(world, slow.url)
        await happen(world, 1, statuses=STEPS)
        await world.service.courier.run_once()
        await slow.arrived(1)
        world.clock.advance(601)
        await world.service.courier.run_once()
        await slow.arrived(2)
        assert slow.ids[0] == slow.ids[1]
        slow.answer(204)
        await world.service.courier.crew.drain()
        await world.service.courier.run_once()
        await slow.arrived(3)
        slow.answer(204)
        await world.service.courier.crew.drain()
        await quiet(world, 60)
        assert len(slow.ids) == 3


async def test_turned_on_under_way_the_line_forms_behind_what_is_under_way(tmp_path: Path) -> None:
    """The end of an attempt that began before advances it."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(consumer.url, event_types=["task.*"], max_in_flight=1)
        [task_id] = await happen(world, 1, statuses=STEPS)
        await world.service.courier.run_once()
        await consumer.arrived(1)
        await change(world, made["id"], ordered=True)
        await world.service.storage.write(lambda store: store.form_lines(made["id"], before=BEHIND_ALL, limit=99))
        consumer.answer(204)
        await world.service.courier.crew.drain()
        await world.service.courier.run_once()
        await consumer.arrived(2)
        consumer.answer(204)
        await world.service.courier.crew.drain()
        assert {each["state"] for each in await world.deliveries(task_id=task_id)} == {"delivered"}


async def test_turned_on_under_way_what_fails_falls_in_line(tmp_path: Path) -> None:
    """Both were under way when their order began to count, and both failed: the first goes first, and alone."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(consumer.url, event_types=["task.*"])
        [task_id] = await happen(world, 1, statuses=STEPS)
        await world.service.courier.run_once()
        await consumer.arrived(2)
        await change(world, made["id"], ordered=True)
        await world.service.storage.write(lambda store: store.form_lines(made["id"], before=BEHIND_ALL, limit=99))
        consumer.answer(500)
        await world.service.courier.crew.drain()
        [first, second] = [event["id"] for event in await world.events(task_id)]
        pending = await world.deliveries(task_id=task_id)
        assert [each["event_id"] for each in pending if each["next_attempt_at"] is not None] == [first]
        consumer.ids.clear()
        world.clock.advance(10)
        for count in (3, 4):
            await world.service.courier.run_once()
            await consumer.arrived(count)
            consumer.answer(204)
            await world.service.courier.crew.drain()
        assert consumer.ids == [first, second]


async def test_a_held_queue_keeps_its_lines(tmp_path: Path) -> None:
    """Probes are first ones of their lines; after the recovery each task's events come in order."""
    async with a_consumer(500) as consumer, a_world(tmp_path) as world:
        made = await an_ordered_one(world, consumer.url)
        await happen(world, 6, statuses=STEPS)
        for seconds in (0, 60, 120, 240):
            await quiet(world, seconds)
        assert (await breaker_of(world, made)).open
        assert {number for numbers in arrived(consumer).values() for number in numbers} == {1}
        consumer.answers[0] = 204
        consumer.bodies.clear()
        await enable(world, made)
        await quiet(world)
        assert list(arrived(consumer).values()) == [[1, 2]] * 6


async def test_operators_events_are_never_lined_up(tmp_path: Path) -> None:
    """They are about no task: one that fails holds up no other."""
    async with a_consumer(500) as pager, a_consumer(500) as broken, a_world(tmp_path) as world:
        paged = await world.destination(pager.url, event_types=OPERATORS)
        await change(world, paged["id"], ordered=True)
        for number in range(2):
            made = await world.destination(broken.url)
            await happen(world, 5, first=100 * number + 1)
            await quiet(world)
            await world.api.delete(f"/v1/destinations/{made['id']}")
        assert len(pager.ids) == len(set(pager.ids)) == 2

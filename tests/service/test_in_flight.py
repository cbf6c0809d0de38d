"""What is under way when its destination is edited, disabled or deleted, or its lease is lost, ends well."""

from pathlib import Path

import pytest

from receiver.claims import Claimed, Grant, Rules, claim
from receiver.store.protocol import Store
from tests.make import NOW
from tests.service.consumer import a_consumer, a_gated_consumer
from tests.service.owing import (
    PATIENT,
    TRUSTED_AFTER,
    attempt_log,
    breaker_of,
    change,
    disable,
    enable,
    happen,
    kept,
    kinds,
    quiet,
    trusted,
    until,
)
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio


async def test_a_success_counts_whoever_holds_the_lease(tmp_path: Path) -> None:
    """The answer came after the lease was over and another attempt had failed: the event arrived, that is all."""
    async with a_gated_consumer() as slow, a_world(tmp_path, limits=PATIENT) as world:
        await world.destination(slow.url)
        await happen(world, 1)
        await world.service.courier.run_once()
        await slow.arrived(1)
        world.clock.advance(601)
        await world.service.courier.run_once()
        await slow.arrived(2)
        slow.gates[1].set_result(500)
        await pending_again(world)
        slow.gates[0].set_result(204)
        await world.service.courier.crew.drain()
        [delivery] = await world.deliveries()
        assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)
        log = await attempt_log(world, delivery["id"])
        assert [(entry["number"], entry["status"]) for entry in log] == [(1, 204), (2, 500)]
        await quiet(world, 3600)
        assert len(slow.ids) == 2


async def pending_again(world: World) -> None:
    """Wait until all but one of the attempts are recorded."""
    await until(lambda: world.service.courier.crew.total <= 1)


async def test_a_failure_after_the_lease_was_lost_is_nobodys(tmp_path: Path) -> None:
    """Somebody else is trying: it moves neither the delivery nor the breaker, but stands among the attempts."""
    async with a_gated_consumer() as slow, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(slow.url)
        await happen(world, 1)
        await world.service.courier.run_once()
        await slow.arrived(1)
        world.clock.advance(601)
        await world.service.courier.run_once()
        await slow.arrived(2)
        slow.gates[0].set_result(500)
        await pending_again(world)
        assert (await breaker_of(world, made["id"])).failures == 0
        slow.gates[1].set_result(204)
        await world.service.courier.crew.drain()
        [delivery] = await world.deliveries()
        assert delivery["state"] == "delivered"
        assert [entry["status"] for entry in await attempt_log(world, delivery["id"])] == [500, 204]


async def test_what_an_address_answered_says_nothing_of_the_next_one(tmp_path: Path) -> None:
    """The URL was changed under six attempts: their failures do not hold, and a 410 does not disable, the new one."""
    async with a_gated_consumer() as old, a_consumer() as new, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(old.url)
        await trusted(world, old)
        await happen(world, 6)
        await world.service.courier.run_once()
        await old.arrived(6)
        await change(world, made["id"], target=new.url)
        old.gates[0].set_result(410)
        old.answer(500)
        await world.service.courier.crew.drain()
        assert (await kept(world, made["id"])).enabled
        assert (await breaker_of(world, made["id"])).failures == 0
        await quiet(world, 6)
        assert len(new.ids) == 6
        assert sorted(new.ids) == sorted(old.ids)


async def test_disabled_under_way_a_success_stands_and_a_failure_waits(tmp_path: Path) -> None:
    """Nothing more begins, and nothing is counted against it."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(consumer.url)
        await trusted(world, consumer)
        await happen(world, 7)
        await world.service.courier.run_once()
        await consumer.arrived(7)
        await disable(world, made["id"])
        consumer.gates[0].set_result(204)
        consumer.answer(500)
        await world.service.courier.crew.drain()
        await quiet(world, 3600)
        assert len(consumer.ids) == 7
        assert (
            sorted(each["state"] for each in await world.deliveries())
            == ["delivered"] * (TRUSTED_AFTER + 1) + ["pending"] * 6
        )
        assert (await breaker_of(world, made["id"])).failures == 0
        assert await kinds(world) == ["destination.disabled"]
        await enable(world, made["id"])
        await world.service.courier.run_once()
        await consumer.arrived(12)  # it failed six times, and begins small again
        consumer.answer(204)
        await consumer.arrived(13)
        consumer.answer(204)
        await world.service.courier.crew.drain()
        assert {each["state"] for each in await world.deliveries()} == {"delivered"}


async def test_deleted_under_way_it_is_canceled_unless_it_arrives(tmp_path: Path) -> None:
    """The attempts stand in the log; nothing is left of the destination, its breaker included."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(consumer.url)
        await trusted(world, consumer)
        await happen(world, 6)
        await world.service.courier.run_once()
        await consumer.arrived(6)
        await world.api.delete(f"/v1/destinations/{made['id']}")
        consumer.gates[0].set_result(204)
        consumer.answer(500)
        await world.service.courier.crew.drain()
        for state, statuses in (("delivered", [204]), ("canceled", [500] * 5)):
            found = await world.deliveries(state=state, destination_id=made["id"])
            logs = [await attempt_log(world, each["id"]) for each in found if each["task_id"] < "task_9"]
            assert [log[0]["status"] for log in logs] == statuses
        assert (await breaker_of(world, made["id"])).failures == 0
        assert await kinds(world) == []


async def test_an_attempt_begins_with_the_destination_as_it_is_then(tmp_path: Path) -> None:
    """Not as it was when its queue was looked at; nothing is claimed for one that was disabled or deleted since."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        made = await world.destination(consumer.url)
        await happen(world, 3)
        [queue] = await world.service.storage.read(lambda store: store.queues())

        def try_claim(store: Store) -> Claimed | None:
            rules = Rules(blocked=world.service.courier.blocked.holds, free=True, suspect_pause_s=30)
            return claim(store, Grant(destination_id=queue.destination_id, most=1), rules, now=NOW, until=NOW + 30_000)

        await change(world, made["id"], target="https://other.example/hook")
        claimed = await world.service.storage.write(try_claim)
        assert claimed is not None
        assert (claimed.destination.target, len(claimed.parcels)) == ("https://other.example/hook", 1)
        await disable(world, made["id"])
        assert await world.service.storage.write(try_claim) is None
        await enable(world, made["id"])
        await world.api.delete(f"/v1/destinations/{made['id']}")
        assert await world.service.storage.write(try_claim) is None

"""What a caller does to one delivery: try it again now, or no more."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.breaker_policy import Breaker
from receiver.delivery_policy import PAUSES_S
from receiver.domain import DeliveryState
from receiver.store.protocol import Store
from tests.make import MINUTE, NOW, a_delivery, a_destination
from tests.service.asking import complaint, everything
from tests.service.consumer import a_consumer, a_gated_consumer
from tests.service.instant import a_quick_world, finish, post
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

HOOK = "http://127.0.0.1:9/hook"


async def put(world: World, *deliveries: Any) -> None:
    def record(store: Store) -> None:
        for seq, delivery in enumerate(deliveries, start=1):
            store.record_delivery(delivery, seq)

    await world.service.storage.write(record)


async def get(world: World, delivery_id: str) -> dict[str, Any]:
    value: dict[str, Any] = (await world.api.get(f"/v1/deliveries/{delivery_id}")).json()
    return value


async def test_a_retry_is_due_now(tmp_path: Path) -> None:
    """Its schedule goes on from there; the answer is the delivery with its attempts."""
    async with a_quick_world(tmp_path) as world, a_consumer(500, 204) as consumer:
        await world.destination(consumer.url)
        await finish(world)
        await world.turn()
        [waiting] = await world.deliveries()
        answer = await post(world, f"/v1/deliveries/{waiting['id']}/retry")
        assert answer["next_attempt_at"] == "2025-12-08T09:40:00.000Z" < waiting["next_attempt_at"]
        assert (answer["state"], len(answer["attempt_log"])) == ("pending", 1)
        await world.turn()
        done = await get(world, waiting["id"])
        assert (done["state"], done["attempts"], len(set(consumer.ids))) == ("delivered", 2, 1)


@pytest.mark.parametrize("end", ["dead", "canceled"])
async def test_what_is_over_begins_its_schedule_anew(tmp_path: Path, end: str) -> None:
    """Ten attempts are ahead of it again; the numbers of its attempts go on, its event's id is the same."""
    async with a_quick_world(tmp_path) as world, a_consumer(500) as consumer:
        await world.destination(consumer.url)
        await finish(world)
        await world.turn()
        [waiting] = await world.deliveries()
        over, tries = DeliveryState(end), 10 if end == "dead" else 1
        await world.service.storage.write(
            lambda store: store.set_delivery(waiting["id"], state=over, tries=tries, due_at=None)
        )
        before = await get(world, waiting["id"])
        assert before["state"] == end
        again = await post(world, f"/v1/deliveries/{waiting['id']}/retry")
        assert (again["state"], again["attempts"]) == ("pending", before["attempts"])
        for pause_s in PAUSES_S:
            assert (await get(world, waiting["id"]))["state"] == "pending", pause_s
            await world.turn(pause_s * 1.21)
        after = await get(world, waiting["id"])
        assert (after["state"], after["attempts"]) == ("dead", before["attempts"] + 10)
        assert [each["number"] for each in after["attempt_log"]] == [*range(1, after["attempts"] + 1)]
        assert len(set(consumer.ids)) == 1


async def test_a_retry_is_the_next_probe_of_a_held_queue(tmp_path: Path) -> None:
    """At once, this very delivery, though older ones wait; what it finds is what the queue is told."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        for _ in range(4):
            await finish(world)
            world.clock.advance(1)
        held = Breaker(
            destination_id=made["id"],
            failures=5,
            failing=("a", "b", "c"),
            failing_since=NOW,
            opened_at=NOW,
            probe_at=NOW + 15 * MINUTE,
            probes=3,
        )
        await world.service.storage.write(lambda store: store.save_breaker(held))
        third = (await world.deliveries())[1]
        await post(world, f"/v1/deliveries/{third['id']}/retry")
        breaker = await world.service.storage.read(lambda store: store.breaker(made["id"]))
        assert (breaker.probe_at, breaker.probes) == (world.clock.now(), 2)
        await world.service.courier.run_once()
        await world.service.courier.crew.drain()
        assert consumer.ids == [third["event_id"]]
        assert (await world.api.get(f"/v1/destinations/{made['id']}")).json()["state"] == "healthy"
        await world.turn()
        assert len(set(consumer.ids)) == len(consumer.ids) == 4


async def test_what_is_delivered_is_replayed_instead(tmp_path: Path) -> None:
    """409, with the call that sends its event again."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        await world.destination(consumer.url)
        await finish(world)
        await world.turn()
        [done] = await world.deliveries()
        before = everything(tmp_path)
        for act in ("retry", "cancel"):
            answer = await world.api.post(f"/v1/deliveries/{done['id']}/{act}")
            assert complaint(answer, 409) is None
            if act == "retry":
                assert f"POST /v1/events/{done['event_id']}/replay" in answer.json()["detail"]
        assert everything(tmp_path) == before


async def test_what_is_under_way_is_not_retried(tmp_path: Path) -> None:
    """409 while an attempt holds it; once its lease has lapsed it may be."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        held = a_delivery(destination_id=made["id"], owner="somebody", due_at=NOW + 30_000, attempts=1)
        await put(world, held)
        answer = await world.api.post("/v1/deliveries/dlv_1/retry")
        assert complaint(answer, 409) is None
        assert "under way" in answer.json()["detail"]
        world.clock.advance(30)
        assert (await post(world, "/v1/deliveries/dlv_1/retry"))["state"] == "pending"


async def test_without_a_destination_there_is_no_retry(tmp_path: Path) -> None:
    """Deleted: 409. Disabled: 409, with the call that enables it."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        await put(world, a_delivery(destination_id=made["id"], due_at=NOW + MINUTE))
        path = f"/v1/destinations/{made['id']}"
        await post(world, f"{path}/disable")
        answer = await world.api.post("/v1/deliveries/dlv_1/retry")
        assert complaint(answer, 409) is None
        assert f"POST {path}/enable" in answer.json()["detail"]
        await world.api.delete(path)
        answer = await world.api.post("/v1/deliveries/dlv_1/retry")
        assert complaint(answer, 409) is None
        assert "deleted" in answer.json()["detail"]
        assert (await post(world, "/v1/deliveries/dlv_1/cancel"))["state"] == "canceled"


async def test_a_tasks_own_webhook_is_retried_as_any(tmp_path: Path) -> None:
    """Its destination is hidden, its deliveries are not; one that is disabled has no other door, and is enabled."""
    async with a_quick_world(tmp_path) as world, a_consumer(500, 204) as consumer:
        await finish(world, webhook_url=consumer.url)
        await world.turn()
        [waiting] = await world.deliveries()
        await post(world, f"/v1/deliveries/{waiting['id']}/retry")
        await world.turn()
        assert (await get(world, waiting["id"]))["state"] == "delivered"
        own = await world.service.storage.read(lambda store: store.hidden_destination(waiting["destination_id"]))
        assert own is not None
        off = replace(own, enabled=False)
        await world.service.storage.write(lambda store: store.save_destination(off))
        await put(world, a_delivery(destination_id=own.id, due_at=NOW + MINUTE))
        assert (await post(world, "/v1/deliveries/dlv_1/retry"))["state"] == "pending"
        await world.turn()
        assert (await get(world, "dlv_1"))["state"] == "delivered"


async def test_retries_use_up_no_place_on_the_schedule(tmp_path: Path) -> None:
    """However many of them fail, the next attempt that is ours to make comes as if they had not been made."""
    async with a_quick_world(tmp_path) as world, a_consumer(500) as consumer:
        await world.destination(consumer.url)
        await finish(world)
        await world.turn()
        [waiting] = await world.deliveries()
        for _ in range(12):
            await post(world, f"/v1/deliveries/{waiting['id']}/retry")
            await world.turn()
        found = await get(world, waiting["id"])
        assert (found["state"], found["attempts"]) == ("pending", 13)
        await world.turn(6)
        assert (await get(world, waiting["id"]))["attempts"] == 14


async def test_a_hidden_destination_of_somebody_else_is_none(tmp_path: Path) -> None:
    """A delivery of ours that named it would lead nowhere."""
    async with a_world(tmp_path) as world:
        theirs = a_destination(tenant="other", hidden=True)
        await world.service.storage.write(lambda store: store.record_hidden_destination(theirs))
        await put(world, a_delivery())
        assert complaint(await world.api.post("/v1/deliveries/dlv_1/retry"), 409) is None


async def test_nobody_is_let_past_in_a_line(tmp_path: Path) -> None:
    """409, naming the one that is first; what was over goes to its end."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK, ordered=True)
        of = {"destination_id": made["id"]}
        await put(
            world,
            a_delivery(id="dlv_1", state=DeliveryState.DEAD, due_at=None, tries=10, **of),
            a_delivery(id="dlv_2", due_at=NOW + MINUTE, **of),
            a_delivery(id="dlv_3", due_at=None, **of),
        )
        answer = await world.api.post("/v1/deliveries/dlv_3/retry")
        assert complaint(answer, 409) is None
        assert "behind dlv_2" in answer.json()["detail"]
        again = await post(world, "/v1/deliveries/dlv_1/retry")
        assert (again["state"], again["next_attempt_at"]) == ("pending", None)
        assert (await post(world, "/v1/deliveries/dlv_2/cancel"))["state"] == "canceled"
        times = [(await get(world, f"dlv_{number}"))["next_attempt_at"] for number in (1, 3)]
        assert times == ["2025-12-08T09:40:00.000Z", None]


async def test_canceled_is_canceled(tmp_path: Path) -> None:
    """Nothing more is sent; again is no mistake; a dead one stays dead."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        await world.destination(consumer.url)
        await finish(world)
        [waiting] = await world.deliveries()
        for _ in range(2):
            answer = await post(world, f"/v1/deliveries/{waiting['id']}/cancel")
            assert (answer["state"], answer["next_attempt_at"]) == ("canceled", None)
        await world.turn(3600)
        assert consumer.ids == []
        await put(world, a_delivery(state=DeliveryState.DEAD, due_at=None))
        answer = await world.api.post("/v1/deliveries/dlv_1/cancel")
        assert complaint(answer, 409) is None
        assert "dlv_1 is dead" in answer.json()["detail"]


async def test_what_is_under_way_can_be_canceled(tmp_path: Path) -> None:
    """It may arrive all the same; its attempt is kept, it stays canceled, and is not tried again."""
    async with a_quick_world(tmp_path) as world, a_consumer("hang") as consumer:
        await world.destination(consumer.url)
        await finish(world)
        await world.service.courier.run_once()
        for _ in range(400):
            if consumer.ids:
                break
            await asyncio.sleep(0.005)
        [waiting] = await world.deliveries()
        assert (await post(world, f"/v1/deliveries/{waiting['id']}/cancel"))["state"] == "canceled"
        world.clock.advance(3600)
        await world.service.courier.run_once()
        assert len(consumer.ids) == 1
        assert (await get(world, waiting["id"]))["state"] == "canceled"


@pytest.mark.parametrize(("status", "state"), [(204, "delivered"), (500, "canceled")])
async def test_what_arrives_though_it_was_canceled_is_delivered(tmp_path: Path, status: int, state: str) -> None:
    """Nobody is told that it did not arrive; one that fails is not tried again."""
    async with a_quick_world(tmp_path) as world, a_gated_consumer() as consumer:
        await world.destination(consumer.url)
        await finish(world)
        await world.service.courier.run_once()
        await consumer.arrived(1)
        [waiting] = await world.deliveries()
        assert (await post(world, f"/v1/deliveries/{waiting['id']}/cancel"))["state"] == "canceled"
        consumer.answer(status)
        await world.service.courier.crew.drain()
        found = await get(world, waiting["id"])
        assert (found["state"], found["next_attempt_at"]) == (state, None)
        assert [each["status"] for each in found["attempt_log"]] == [status]
        world.clock.advance(3600)
        await world.service.courier.run_once()
        assert len(consumer.ids) == 1


@pytest.mark.parametrize("act", ["retry", "cancel"])
async def test_a_body_has_nothing_to_say_there(tmp_path: Path, act: str) -> None:
    """None, or an empty one."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        await put(world, a_delivery(destination_id=made["id"], due_at=NOW + MINUTE))
        assert complaint(await world.api.post(f"/v1/deliveries/dlv_1/{act}", json={"x": 1}), 422, "x") is None
        assert complaint(await world.api.post(f"/v1/deliveries/dlv_1/{act}", content=b"["), 400) is None
        await post(world, f"/v1/deliveries/dlv_1/{act}", {})

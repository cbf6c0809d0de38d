"""What is shown of a destination that gets nothing now, when it is tried next, and what a test call does to that."""

from pathlib import Path
from typing import Any

import pytest

from receiver import formats
from receiver.domain import DeliveryState
from tests.make import DAY, HOUR, MINUTE, NOW, SECOND
from tests.service.consumer import Consumer, a_consumer
from tests.service.owing import breaker_of, disable, happen, kinds, quiet
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

BUSY = (503, "retry-after: 3600\r\n", "")


async def held(world: World, broken: Consumer, **fields: Any) -> str:
    """A destination that was just found failing: five events are owed to it, each was tried once."""
    made = await world.destination(broken.url, **fields)
    await happen(world, 5)
    await quiet(world)
    return str(made["id"])


async def shown(world: World, destination_id: str) -> dict[str, Any]:
    answer = await world.api.get(f"/v1/destinations/{destination_id}")
    fields: dict[str, Any] = answer.json()
    [item] = [
        each for each in (await world.api.get("/v1/destinations")).json()["items"] if each["id"] == destination_id
    ]
    assert item == fields
    return fields


async def times(world: World) -> set[str | None]:
    """When the deliveries that are pending are tried next, as their list and each of them say."""
    listed = await world.deliveries(state="pending")
    for each in listed:
        single = (await world.api.get(f"/v1/deliveries/{each['id']}")).json()
        assert single["next_attempt_at"] == each["next_attempt_at"]
    return {each["next_attempt_at"] for each in listed}


async def send_test(world: World, destination_id: str) -> int | None:
    answer = await world.api.post(f"/v1/destinations/{destination_id}/test")
    assert answer.status_code == 200, answer.text
    status: int | None = answer.json()["status"]
    return status


# What is shown


async def test_a_held_destination_says_since_when_why_and_when_it_is_tried(tmp_path: Path) -> None:
    """The last failure in words; nothing of it is left once it recovered."""
    async with a_consumer(500, 500, 500, 500, 500, "close", 204) as broken, a_world(tmp_path) as world:
        destination_id = await held(world, broken)
        fields = await shown(world, destination_id)
        assert fields["state"] == "failing"
        minute = formats.timestamp(NOW + MINUTE)
        assert fields["failing"] == {"since": formats.timestamp(NOW), "reason": "HTTP 500", "next_probe_at": minute}
        await quiet(world, 60)
        assert (await shown(world, destination_id))["failing"] == {
            "since": formats.timestamp(NOW),
            "reason": "the connection was closed before an answer",
            "next_probe_at": formats.timestamp(NOW + 3 * MINUTE),
        }
        await quiet(world, 120)
        fields = await shown(world, destination_id)
        assert (fields["state"], fields["failing"]) == ("healthy", None)


async def test_held_deliveries_are_tried_when_the_probe_goes_out_not_in_the_past(tmp_path: Path) -> None:
    """One whose own time comes later keeps that; a probe that is overdue goes out now."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        await held(world, broken)
        assert await times(world) == {formats.timestamp(NOW + MINUTE)}
        world.clock.advance(600)
        assert await times(world) == {formats.timestamp(NOW + 10 * MINUTE)}
        first, *_ = await world.deliveries(state="pending")
        later = {"state": DeliveryState.PENDING, "tries": 1, "due_at": NOW + DAY}
        await world.service.storage.write(lambda store: store.set_delivery(first["id"], **later))
        assert await times(world) == {formats.timestamp(NOW + 10 * MINUTE), formats.timestamp(NOW + DAY)}


async def test_a_disabled_destination_promises_nothing(tmp_path: Path) -> None:
    """No time for its deliveries, none for a probe; why it failed before is still told."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        destination_id = await held(world, broken)
        await disable(world, destination_id)
        fields = await shown(world, destination_id)
        assert fields["state"] == "disabled"
        since = formats.timestamp(NOW)
        assert fields["failing"] == {"since": since, "reason": "HTTP 500", "next_probe_at": None}
        assert await times(world) == {None}


async def test_the_story_of_a_task_says_so_too(tmp_path: Path) -> None:
    """Two destinations at one host are told apart, and only the one that fails waits."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        await held(world, broken, description="orders")
        other = await world.destination(f"{broken.url}/other", enabled=False)
        await world.api.post(f"/v1/destinations/{other['id']}/enable")
        [event, *_] = await world.events()
        await world.api.post(f"/v1/events/{event['id']}/replay", json={"destination_id": other["id"]})
        story = await world.story(event["data"]["task"]["id"])
        told = {item["text"]: item["data"]["next_attempt_at"] for item in story if item["kind"] == "delivery"}
        host = broken.url.split("/")[2]
        assert told == {
            f"task.succeeded is owed to the webhook at {host} (orders).": formats.timestamp(NOW + MINUTE),
            f"task.succeeded is owed to the webhook at {host} ({other['id']}).": formats.timestamp(NOW),
        }


async def test_what_is_replayed_to_a_held_destination_waits_for_its_probe(tmp_path: Path) -> None:
    """The answer to the replay says so."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        destination_id = await held(world, broken)
        [event, *_] = await world.events()
        answer = await world.api.post(f"/v1/events/{event['id']}/replay", json={"destination_id": destination_id})
        [delivery] = answer.json()["deliveries"]
        assert delivery["next_attempt_at"] == formats.timestamp(NOW + MINUTE)


# A test call


async def test_a_test_that_arrives_lets_a_held_queue_be_tried_at_once(tmp_path: Path) -> None:
    """By one delivery, whose success closes it; a ping alone proves too little to let a backlog loose."""
    async with a_consumer(*[500] * 5, 204, 500, 204) as shaky, a_world(tmp_path) as world:
        destination_id = await held(world, shaky)
        assert await send_test(world, destination_id) == 204
        assert (await shown(world, destination_id))["failing"]["next_probe_at"] == formats.timestamp(NOW)
        await quiet(world)
        assert len(shaky.ids) == 7
        assert (await shown(world, destination_id))["state"] == "failing"
        assert await send_test(world, destination_id) == 204
        await quiet(world, 6)
        assert (await shown(world, destination_id))["state"] == "healthy"
        assert await world.deliveries(state="pending") == []


async def test_a_test_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Neither of a held queue nor of one that is not."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        destination_id = await held(world, broken)
        before = await breaker_of(world, destination_id)
        assert await send_test(world, destination_id) == 500
        assert await breaker_of(world, destination_id) == before


async def test_a_test_closes_it_where_nothing_is_owed_that_could(tmp_path: Path) -> None:
    """Else it would be shown as failing until the next event; operators are told."""
    async with a_consumer(*[500] * 5, 204) as shaky, a_world(tmp_path) as world:
        destination_id = await held(world, shaky)
        for each in await world.deliveries():
            await world.api.post(f"/v1/deliveries/{each['id']}/cancel")
        assert (await shown(world, destination_id))["failing"]["next_probe_at"] is None
        assert await send_test(world, destination_id) == 204
        assert (await shown(world, destination_id))["state"] == "healthy"
        assert await kinds(world) == ["destination.failing", "destination.recovered"]


async def test_a_test_enables_nothing(tmp_path: Path) -> None:
    """Whoever disabled it, or what, had a reason."""
    async with a_consumer(*[500] * 5, 204) as shaky, a_world(tmp_path) as world:
        destination_id = await held(world, shaky)
        await disable(world, destination_id)
        before = await breaker_of(world, destination_id)
        assert await send_test(world, destination_id) == 204
        assert (await shown(world, destination_id))["state"] == "disabled"
        assert await breaker_of(world, destination_id) == before


# Retry-After


@pytest.mark.parametrize(
    ("answer", "first_s"),
    [
        ((503, "retry-after: 3600\r\n", ""), 3600),
        ((429, "retry-after: 9999999\r\n", ""), 24 * 3600),
        ((503, "retry-after: 1\r\n", ""), 120),
        ((500, "retry-after: 3600\r\n", ""), 120),
    ],
)
async def test_a_probe_that_is_asked_to_come_later_does(tmp_path: Path, answer: Any, first_s: int) -> None:
    """By 429 or 503, never earlier than it would anyway, a day at most; the next one is not earlier either."""
    async with a_consumer(*[500] * 5, answer, 204) as busy, a_world(tmp_path) as world:
        destination_id = await held(world, busy)
        await quiet(world, 60)
        assert len(busy.ids) == 6
        next_at = formats.timestamp(NOW + MINUTE + first_s * SECOND)
        assert (await shown(world, destination_id))["failing"]["next_probe_at"] == next_at
        await quiet(world, first_s - 1)
        assert len(busy.ids) == 6
        await quiet(world, 1)
        assert await world.deliveries(state="pending") == []


async def test_the_first_probe_is_not_earlier_than_what_held_the_queue_asked_for(tmp_path: Path) -> None:
    """Somebody who calls for a test, or a retry, does not wait for it."""
    async with a_consumer(*[BUSY] * 5, 204) as busy, a_world(tmp_path) as world:
        destination_id = await held(world, busy)
        next_at = formats.timestamp(NOW + HOUR)
        assert (await shown(world, destination_id))["failing"]["next_probe_at"] == next_at
        assert await send_test(world, destination_id) == 204
        await quiet(world)
        assert (await shown(world, destination_id))["state"] == "healthy"

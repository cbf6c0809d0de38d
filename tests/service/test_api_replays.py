"""Past events are delivered again: one of them, or all that a destination missed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from receiver import formats
from receiver.domain import Delivery, DeliveryState, Status
from receiver.ids import first_id
from receiver.replays import PAGE
from receiver.store.protocol import Store
from receiver.store.records import Page
from tests.make import NOW, a_task, an_event
from tests.service.asking import complaint, counts, everything
from tests.service.consumer import a_consumer
from tests.service.instant import a_quick_world, finish, last_event, post
from tests.service.owing import STEPS, happen
from tests.service.world import API_KEY, World, a_reachable_world, a_world, every

pytestmark = pytest.mark.anyio

HOOK = "http://127.0.0.1:9/hook"
LONG_AGO = "2025-01-01T00:00:00Z"


def past(now: int) -> str:
    return formats.timestamp(now)


async def replay(world: World, made: dict[str, Any], **fields: Any) -> int:
    answer = await post(world, f"/v1/destinations/{made['id']}/replay", {"since": LONG_AGO} | fields)
    assert answer.keys() == {"count"}
    count: int = answer["count"]
    return count


async def fill(world: World, count: int, *, every_s: float = 1) -> None:
    """So many events that nobody was there for."""
    start = world.clock.now()

    def record(store: Store) -> None:
        task = a_task(status=Status.SUCCEEDED, created_at=start, finished_at=start)
        store.record_task(task)
        for number in range(count):
            at = start + round(number * every_s * 1000)
            event = an_event(store.next_seq(), id=_id(at, number), task=task, at=at)
            store.record_event(event, json.dumps(formats.envelope(event), separators=(",", ":")))

    await world.service.storage.write(record)
    world.clock.advance(count * every_s)


async def made_at_least(directory: Path, count: int) -> None:
    """Return once there are so many deliveries."""
    for _ in range(20_000):
        if counts(directory).get("deliveries", 0) >= count:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"never {count} deliveries, but {counts(directory)}")


def _id(at: int, number: int) -> str:
    return first_id("evt", at)[:-6] + f"{number:06d}"


# One event


async def test_an_event_goes_again_to_all_that_want_it(tmp_path: Path) -> None:
    """New deliveries, the same id; filters as they are now; the task's own webhook is among them, the disabled not."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer, a_consumer() as own:
        first = await world.destination(consumer.url)
        other = await world.destination(HOOK, event_types=["task.failed"])
        off = await world.destination(HOOK)
        await finish(world, webhook_url=own.url)
        await world.turn()
        await post(world, f"/v1/destinations/{off['id']}/disable")
        event = (await world.events())[0]
        late = await world.destination(consumer.url, providers=["reve2img"])
        answer = await post(world, f"/v1/events/{event['id']}/replay", status=202)
        assert answer["count"] == len(answer["deliveries"]) == 3
        to = {each["destination_id"] for each in answer["deliveries"]}
        assert to >= {first["id"], late["id"]}
        assert not to & {other["id"], off["id"]}
        assert {each["event_id"] for each in answer["deliveries"]} == {event["id"]}
        listed = await world.deliveries(state="pending")
        assert all(each in listed for each in answer["deliveries"])
        await world.turn()
        assert consumer.ids == [event["id"]] * 3
        assert own.ids == [event["id"]] * 2
        assert len(set(consumer.bodies + own.bodies)) == 1


async def test_an_event_goes_to_the_one_that_is_named_whatever_its_filters(tmp_path: Path) -> None:
    """To the hidden one of a webhook_url as well."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer, a_consumer() as own:
        await world.destination(HOOK)
        choosy = await world.destination(consumer.url, event_types=["task.failed"], models=["other"])
        await finish(world, webhook_url=own.url)
        await world.turn()
        event = (await world.events())[0]
        hidden = next(each["destination_id"] for each in await world.deliveries(state="delivered"))
        for number in range(2):
            for to in (choosy["id"], hidden):
                body = {"destination_id": to}
                answer = await post(world, f"/v1/events/{event['id']}/replay", body, 202)
                assert [each["destination_id"] for each in answer["deliveries"]] == [to]
            await world.turn()
            assert (len(consumer.ids), len(own.ids)) == (number + 1, number + 2)


async def test_an_event_that_nobody_wants_makes_no_delivery(tmp_path: Path) -> None:
    """202 and a count of 0, as when it was recorded."""
    async with a_quick_world(tmp_path) as world:
        await finish(world)
        event = await last_event(world)
        answer = await post(world, f"/v1/events/{event['id']}/replay", {}, 202)
        assert answer == {"count": 0, "deliveries": []}


async def test_an_operators_event_goes_to_those_that_name_it(tmp_path: Path) -> None:
    """Never to the one that it is about, not even where that one is named."""
    types = ["destination.disabled", "provider.paused"]
    async with a_quick_world(tmp_path) as world, a_consumer() as pager:
        about = await world.destination(HOOK, event_types=types)
        await post(world, f"/v1/destinations/{about['id']}/disable")
        event = await last_event(world)
        await post(world, f"/v1/destinations/{about['id']}/enable")
        named = await world.destination(pager.url, event_types=types)
        other = await world.destination(HOOK, event_types=["task.*"])
        path = f"/v1/events/{event['id']}/replay"
        answer = await post(world, path, status=202)
        assert [each["destination_id"] for each in answer["deliveries"]] == [named["id"]]
        answer = await world.api.post(path, json={"destination_id": about["id"]})
        assert complaint(answer, 409) is None
        assert "itself" in answer.json()["detail"]
        assert (await post(world, path, {"destination_id": other["id"]}, 202))["count"] == 1
        await post(world, "/v1/providers/reapi/pause")
        paused = await last_event(world)
        answer = await post(world, f"/v1/events/{paused['id']}/replay", status=202)
        assert {each["destination_id"] for each in answer["deliveries"]} == {named["id"], about["id"]}
        assert {each["task_id"] for each in answer["deliveries"]} == {None}


async def test_a_disabled_destination_is_enabled_first(tmp_path: Path) -> None:
    """409, with the call; a dry run may look all the same."""
    async with a_quick_world(tmp_path) as world:
        made = await world.destination(HOOK, enabled=False)
        await finish(world)
        event = await last_event(world)
        before = everything(tmp_path)
        for path, body in (
            (f"/v1/events/{event['id']}/replay", {"destination_id": made["id"]}),
            (f"/v1/destinations/{made['id']}/replay", {"since": LONG_AGO}),
        ):
            answer = await world.api.post(path, json=body)
            assert complaint(answer, 409) is None
            assert f"POST /v1/destinations/{made['id']}/enable" in answer.json()["detail"]
        assert await replay(world, made, dry_run=True) == 1
        assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"destination_id": "dst_nobody"}, 404, ""),
        ({"destination_id": 1}, 422, "destination_id"),
        ({"destination": "x"}, 422, "destination"),
    ],
)
async def test_a_replay_of_an_event_is_checked(tmp_path: Path, body: dict[str, Any], status: int, path: str) -> None:
    """Nothing is delivered to everybody on a typo."""
    async with a_quick_world(tmp_path) as world:
        await world.destination(HOOK)
        await finish(world)
        event = await last_event(world)
        answer = await world.api.post(f"/v1/events/{event['id']}/replay", json=body)
        assert complaint(answer, status, *filter(None, [path])) is None
        assert len(await world.deliveries()) == 1


# Many events


async def test_what_was_missed_is_found(tmp_path: Path) -> None:
    """Recorded while it was disabled, before it was made, canceled or dead: once each, and not again."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        await finish(world)
        made = await world.destination(consumer.url)
        await finish(world)
        await world.turn()
        await post(world, f"/v1/destinations/{made['id']}/disable")
        await finish(world)
        await post(world, f"/v1/destinations/{made['id']}/enable")
        await finish(world)
        [waiting] = await world.deliveries(state="pending")
        await post(world, f"/v1/deliveries/{waiting['id']}/cancel")
        await finish(world)
        assert await replay(world, made, dry_run=True) == 3
        assert len(consumer.ids) == 1
        assert await replay(world, made) == 3
        assert await replay(world, made) == 0
        await world.turn()
        finished = [event["id"] for event in await world.events() if event["type"] == "task.succeeded"]
        assert sorted(consumer.ids) == sorted(finished)
        assert await replay(world, made, only="missing") == 0
        assert await replay(world, made, only="all", dry_run=True) == 5
        assert await replay(world, made, only="dead") == 0


async def test_what_died_is_found(tmp_path: Path) -> None:
    """And only that; not once more while its new delivery is on its way."""
    async with a_quick_world(tmp_path) as world:
        made = await world.destination(HOOK)
        for _ in range(3):
            await finish(world)
        dying = (await world.deliveries())[1]
        await world.service.storage.write(
            lambda store: store.set_delivery(dying["id"], state=DeliveryState.DEAD, tries=10, due_at=None)
        )
        world.clock.advance(1)
        assert await replay(world, made, only="dead") == 1
        newest = (await world.deliveries())[0]
        assert (newest["event_id"], newest["state"], newest["attempts"]) == (dying["event_id"], "pending", 0)
        assert await replay(world, made, only="dead") == 0


async def test_all_is_all_every_time(tmp_path: Path) -> None:
    """Delivered or not; the same ids again."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        for _ in range(3):
            await finish(world)
        await world.turn()
        for times in (2, 3):
            assert await replay(world, made, only="all") == 3
            await world.turn()
            assert (len(consumer.ids), len(set(consumer.ids))) == (3 * times, 3)


async def test_filters_hold_as_they_are_now(tmp_path: Path) -> None:
    """Those of the destination, and the types of this call beside them."""
    async with a_quick_world(tmp_path) as world:
        await finish(world, metadata={"order": "1"})
        await finish(world, metadata={"order": "2"})
        made = await world.destination(HOOK, metadata={"order": "2"}, event_types=["task.*"])
        assert await replay(world, made, dry_run=True) == 1
        for types, count in (
            (["task.succeeded"], 1),
            (["task.finished"], 1),
            (["task.failed"], 0),
            (["task.failed", "task.*"], 1),
            (["provider.paused"], 0),
        ):
            assert await replay(world, made, dry_run=True, event_types=types) == count, types
        await world.api.patch(f"/v1/destinations/{made['id']}", json={"metadata": None})
        assert await replay(world, made, dry_run=True) == 2
        await world.api.patch(f"/v1/destinations/{made['id']}", json={"event_types": ["task.failed"]})
        assert await replay(world, made, dry_run=True, event_types=["task.*"]) == 0


async def test_a_range_of_time(tmp_path: Path) -> None:
    """From `since` on, before `until`; written as anybody writes a time."""
    async with a_world(tmp_path) as world:
        await fill(world, 10)
        made = await world.destination(HOOK, event_types=["task.submitted"])
        for since, until, count in (
            (past(NOW), None, 10),
            (past(NOW + 3000), None, 7),
            (past(NOW + 3000), past(NOW + 5000), 2),
            (past(NOW + 3001), past(NOW + 5001), 2),
            ("2025-12-08T10:40:03+01:00", "2025-12-08T09:40:05Z", 2),
            (str(NOW // 1000 + 3), str(NOW // 1000 + 5), 2),
            ("2025-12-08", "2025-12-09", 10),
            (past(NOW + 9000), "2999-01-01T00:00:00Z", 1),
            (past(NOW + 10_000), None, 0),
        ):
            fields = {"since": since} | ({"until": until} if until else {})
            assert await replay(world, made, dry_run=True, **fields) == count, (since, until)
        assert await replay(world, made, since=past(NOW + 3000), until=past(NOW + 5000)) == 2
        assert len(await world.deliveries()) == 2


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "since"),
    *(({"since": value}, "since") for value in (None, "", "x", "yesterday", "2025-13-01", "-1", 1, 1.5, True, [], {})),
    ({"since": "2026-01-01T00:00:00Z"}, "since"),
    *(({"since": LONG_AGO, "until": value}, "until") for value in ("", "x", 5, LONG_AGO, "2024-01-01")),
    *(({"since": LONG_AGO, "only": value}, "only") for value in ("", "lost", None, ["all"])),
    *(({"since": LONG_AGO, "event_types": value}, "event_types") for value in ([], ["task.sung"], "task.*")),
    *(({"since": LONG_AGO, "dry_run": value}, "dry_run") for value in ("true", 1, None)),
    ({"since": LONG_AGO, "dryrun": True}, "dryrun"),
    ({"since": LONG_AGO, "after": 1}, "after"),
]


async def test_a_replay_is_checked(tmp_path: Path) -> None:
    """Each field by its path; nothing is made."""
    async with a_quick_world(tmp_path) as world:
        await finish(world)
        made = await world.destination(HOOK)
        for body, fault in BAD:
            answer = await world.api.post(f"/v1/destinations/{made['id']}/replay", json=body)
            assert complaint(answer, 422, fault) is None, body
        for raw in (b"", b"{", b"[1"):
            answer = await world.api.post(f"/v1/destinations/{made['id']}/replay", content=raw)
            assert complaint(answer, 400) is None
        for body in ({}, {"since": "soon"}):
            told = await world.api.post(f"/v1/destinations/{made['id']}/replay", json=body)
            assert "2026-11-20T19:48:00Z" in told.json()["errors"][0]["message"]
        assert await world.deliveries() == []


async def test_page_after_page(tmp_path: Path) -> None:
    """Many more than one page holds, some of them at one time: each once, though two calls run at once."""
    async with a_world(tmp_path) as world:
        count = PAGE * 5 + 7
        await fill(world, count, every_s=0)
        made = await world.destination(HOOK, event_types=["task.*"])
        assert await replay(world, made, dry_run=True) == count
        counted = await asyncio.gather(*(replay(world, made) for _ in range(3)))
        assert sum(counted) == count
        assert counts(tmp_path)["deliveries"] == count
        listed = await world.service.storage.read(
            lambda store: store.list_deliveries(Page(tenant="default", limit=2 * count))
        )
        assert len({each.event_id for each in listed}) == count
        assert await replay(world, made) == 0


async def test_pages_are_short_and_others_come_between(tmp_path: Path) -> None:
    """A write that comes in the middle of a replay is not held up until its end."""
    async with a_world(tmp_path) as world:
        await fill(world, PAGE * 20, every_s=0)
        made = await world.destination(HOOK, event_types=["task.*"])
        running = asyncio.ensure_future(replay(world, made))
        await made_at_least(tmp_path, 1)
        await world.destination(f"{HOOK}/between")
        assert counts(tmp_path)["deliveries"] < PAGE * 20
        assert await running == PAGE * 20


@pytest.mark.parametrize("how", ["disable", "delete"])
async def test_a_destination_that_goes_ends_its_replay(tmp_path: Path, how: str) -> None:
    """What was made is canceled or waits; no more is made, and no error."""
    async with a_world(tmp_path) as world:
        await fill(world, PAGE * 20, every_s=0)
        made = await world.destination(HOOK, event_types=["task.*"])
        running = asyncio.ensure_future(replay(world, made))
        await made_at_least(tmp_path, 1)
        if how == "delete":
            await world.api.delete(f"/v1/destinations/{made['id']}")
        else:
            await post(world, f"/v1/destinations/{made['id']}/disable")
        count = await running
        assert 0 < count == counts(tmp_path)["deliveries"] < PAGE * 20
        states = {each["state"] for each in await world.deliveries()}
        assert states == {"canceled" if how == "delete" else "pending"}


async def test_it_goes_on_when_its_caller_leaves(tmp_path: Path) -> None:
    """A raw request whose connection is closed as soon as it is written: all of it is done."""
    async with a_reachable_world(tmp_path) as world:
        count = PAGE * 20
        await fill(world, count, every_s=0)
        made = await world.destination(HOOK, event_types=["task.*"])
        url = world.service.doors.callbacks.of(world.service.doors.providers["apikley"], "task_x") or ""
        port = int(url.split(":")[2].split("/")[0])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"since": LONG_AGO})
        writer.write(
            f"POST /v1/destinations/{made['id']}/replay HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        await writer.drain()
        await made_at_least(tmp_path, 1)
        assert counts(tmp_path)["deliveries"] < count
        writer.transport.abort()
        await made_at_least(tmp_path, count)
        assert counts(tmp_path)["deliveries"] == count


async def test_an_ordered_destination_gets_them_in_line(tmp_path: Path) -> None:
    """One of a task is due, the others wait behind it, in the order in which they happened."""
    async with a_world(tmp_path) as world:
        await fill(world, 5)
        made = await world.destination(HOOK, event_types=["task.*"], ordered=True)
        assert await replay(world, made) == 5
        due = [each for each in await world.deliveries() if each["next_attempt_at"] is not None]
        assert [each["event_id"] for each in due] == [_id(NOW, 0)]

        def ended(store: Store) -> list[str]:
            order = []
            while True:
                line = store.claim_deliveries(made["id"], owner="o", now=2 * NOW, until=3 * NOW, limit=9)
                if not line:
                    return order
                [parcel] = line
                order.append(parcel.delivery.event_id)
                _deliver(store, parcel.delivery)

        order = await world.service.storage.write(ended)
        assert order == [_id(NOW + number * 1000, number) for number in range(5)]


async def test_what_happened_in_one_millisecond_is_in_line_too(tmp_path: Path) -> None:
    """Ids of one millisecond are in no order: the first to be due is the one that happened first."""
    async with a_world(tmp_path) as world:
        await happen(world, 30, statuses=STEPS)
        made = await world.destination(HOOK, event_types=["task.*"], ordered=True)
        assert await replay(world, made) == 60
        due = [each["event_id"] for each in await every(world, "/v1/deliveries") if each["next_attempt_at"] is not None]
        types = {each["id"]: each["type"] for each in await every(world, "/v1/events")}
        assert [types[event_id] for event_id in due] == ["task.running"] * 30


async def test_what_happened_in_one_millisecond_is_sent_in_order_across_pages(tmp_path: Path) -> None:
    """More of it than a page holds, whose ids are in no order: who happened first is due first."""
    async with a_world(tmp_path) as world:
        await happen(world, 90, statuses=STEPS)
        made = await world.destination(HOOK, event_types=["task.*"])
        assert await replay(world, made) == 180

        def due(store: Store) -> list[str]:
            line = store.claim_deliveries(made["id"], owner="o", now=2 * NOW, until=3 * NOW, limit=999)
            return [parcel.delivery.event_id for parcel in line]

        happened = [each["id"] for each in await every(world, "/v1/events")]
        assert await world.service.storage.write(due) == happened


def _deliver(store: Store, delivery: Delivery) -> None:
    store.set_delivery(delivery.id, state=DeliveryState.DELIVERED, tries=0, due_at=None)
    store.advance_line(delivery.destination_id, delivery.task_id, 2 * NOW)


async def test_operators_events_are_replayed_but_to_the_one_they_are_about(tmp_path: Path) -> None:
    """A destination that names the type gets those about the others."""
    types = ["destination.disabled"]
    async with a_quick_world(tmp_path) as world:
        first = await world.destination(HOOK, event_types=types)
        for _ in range(2):
            await post(world, f"/v1/destinations/{first['id']}/disable")
            await post(world, f"/v1/destinations/{first['id']}/enable")
        late = await world.destination(HOOK, event_types=types)
        assert await replay(world, late) == 2
        assert await replay(world, first) == 0

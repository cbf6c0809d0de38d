"""The door for events answers as the contract says, and what it lists is what was delivered."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from receiver import formats, json_text
from receiver.domain import Event, EventType
from receiver.store.protocol import Store
from tests.make import a_task, an_event
from tests.service.asking import complaint
from tests.service.consumer import Consumer, a_consumer
from tests.service.tenants import a_holder
from tests.service.world import World, a_pair, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

TYPES = [EventType.SUBMITTED, EventType.RUNNING, EventType.PROGRESS, EventType.SUCCEEDED, EventType.FAILED]


async def remember(world: World, *events: Event) -> None:
    """Record events as intake does."""

    def all_of_them(store: Store) -> None:
        for event in events:
            store.record_event(event, json_text.write(formats.envelope(event)))

    await world.service.storage.write(all_of_them)


async def seqs(world: World, query: str = "") -> list[int]:
    answer = await world.api.get(f"/v1/events?{query}")
    assert answer.status_code == 200, answer.text
    return [event["seq"] for event in answer.json()["items"]]


@asynccontextmanager
async def a_finished_task(directory: Path, **fields: Any) -> AsyncIterator[tuple[World, Consumer, dict[str, Any]]]:
    """A task that succeeded, its events delivered to a consumer that asked for all."""
    async with (
        scripted(created(), record("generating"), record("success")) as apikley,
        a_consumer() as consumer,
        a_pair(directory, apikley, TASKWEIR_PUBLIC_URL="") as world,
    ):
        await world.destination(consumer.url, event_types=["task.*"], **fields)
        task = await world.submit()
        await world.end(task["id"], step_s=5)
        await world.turn()
        yield world, consumer, task


async def test_what_is_listed_is_what_was_delivered(tmp_path: Path) -> None:
    """The list's item, the single one and the webhook's body are one text, but for `seq`."""
    async with a_finished_task(tmp_path) as (world, consumer, task):
        listed = (await world.api.get("/v1/events")).json()["items"]
        assert [event["type"] for event in listed] == ["task.submitted", "task.running", "task.succeeded"]
        assert len(consumer.bodies) == 3
        delivered = {json.loads(body)["id"]: body for body in consumer.bodies}
        for event in listed:
            single = (await world.api.get(f"/v1/events/{event['id']}")).text
            assert json.loads(single) == event
            assert single.encode() == f'{{"seq":{event["seq"]},'.encode() + delivered[event["id"]][1:]
            assert event.keys() == {"seq", "id", "type", "timestamp", "data"}
            assert event["data"].keys() == {"task", "sequence", "source", "verified_by", "late"}
            assert not {"input", "waiting_for"} & event["data"]["task"].keys()
        last = listed[-1]["data"]["task"]
        now = await world.task(task["id"])
        assert last == {key: value for key, value in now.items() if key not in ("input", "waiting_for")}


async def test_reading_from_a_cursor(tmp_path: Path) -> None:
    """Ascending; `next_cursor` is never null, and reading on from it misses nothing and repeats nothing."""
    async with a_world(tmp_path) as world:
        empty = (await world.api.get("/v1/events")).json()
        assert empty == {"items": [], "next_cursor": "0", "has_more": False}
        await remember(world, *(an_event(number) for number in (1, 2, 5, 6, 9)))
        seen: list[int] = []
        cursor, more = "0", True
        while more:
            page = (await world.api.get(f"/v1/events?after={cursor}&limit=2")).json()
            seen += [event["seq"] for event in page["items"]]
            cursor, more = page["next_cursor"], page["has_more"]
        assert (seen, cursor) == ([1, 2, 5, 6, 9], "9")
        assert (await world.api.get("/v1/events?after=9")).json() == {
            "items": [],
            "next_cursor": "9",
            "has_more": False,
        }
        await remember(world, an_event(10))
        assert await seqs(world, "after=9") == [10]
        assert (await world.api.get("/v1/events?after=9&limit=1")).json()["has_more"] is False
        assert await seqs(world, "after=3") == [5, 6, 9, 10]
        assert await seqs(world, f"after={2**62}") == []


async def test_newest_first(tmp_path: Path) -> None:
    """`order=desc` from the end, and on from its cursor to the beginning."""
    async with a_world(tmp_path) as world:
        await remember(world, *(an_event(number) for number in range(1, 6)))
        page = (await world.api.get("/v1/events?order=desc&limit=3")).json()
        assert [event["seq"] for event in page["items"]] == [5, 4, 3]
        assert (page["next_cursor"], page["has_more"]) == ("3", True)
        page = (await world.api.get("/v1/events?order=desc&limit=3&after=3")).json()
        assert [event["seq"] for event in page["items"]] == [2, 1]
        assert page["has_more"] is False
        assert await seqs(world, "order=desc&after=1") == []
        assert await seqs(world, "order=asc&after=3") == [4, 5]


async def test_filters_of_events(tmp_path: Path) -> None:
    """By type, in any number and by group, by task, by provider; what is another tenant's never shows."""
    async with a_world(tmp_path) as world:
        events = [an_event(number, type=kind) for number, kind in enumerate(TYPES, 1)]
        other = a_task(id="task_2", provider="reapi")
        events += [an_event(6, task=other), an_event(7, task=a_task(id="task_3", tenant="other"))]
        await remember(world, *events)
        expected = {
            "": [1, 2, 3, 4, 5, 6],
            "type=task.running": [2],
            "type=task.progress": [3],
            "type=task.running,task.failed": [2, 5],
            "type=task.running&type=task.failed": [2, 5],
            "type=task.finished": [4, 5],
            "type=task.*": [1, 2, 4, 5, 6],
            "type=task.*,task.progress": [1, 2, 3, 4, 5, 6],
            "task_id=task_2": [6],
            "task_id=task_1&type=task.submitted": [1],
            "task_id=task_3": [],
            "provider=reapi": [6],
            "provider=apikley&type=task.finished&after=4": [5],
            "order=desc&type=task.finished": [5, 4],
        }
        assert {query: await seqs(world, query) for query in expected} == expected
        holder = await a_holder(world, "default", "read")
        assert complaint(await holder.ask("GET", "/v1/events/evt_7"), 404) is None
        assert (await world.api.get("/v1/events/evt_6")).json()["seq"] == 6


async def test_deliveries(tmp_path: Path) -> None:
    """Each with its state and counts; the attempts, with what was answered, in the single one only."""
    async with a_finished_task(tmp_path) as (world, consumer, task):
        listed = (await world.api.get("/v1/deliveries")).json()
        assert [item["state"] for item in listed["items"]] == ["delivered"] * 3
        [destination] = (await world.api.get("/v1/destinations")).json()["items"]
        events = {event["type"]: event["id"] for event in await world.events()}
        consumer.answers.clear()
        consumer.answers.extend([(503, "retry-after: 60\r\n", "later"), 204])
        second = await world.submit()
        await world.turn()
        [first] = await world.deliveries(task_id=second["id"])
        assert first == {
            "id": first["id"],
            "event_id": (await world.events(second["id"]))[0]["id"],
            "destination_id": destination["id"],
            "task_id": second["id"],
            "state": "pending",
            "attempts": 1,
            "next_attempt_at": first["next_attempt_at"],
            "created_at": first["created_at"],
        }
        assert first["next_attempt_at"] > first["created_at"]
        await world.turn(80)
        single = (await world.api.get(f"/v1/deliveries/{first['id']}")).json()
        log = single.pop("attempt_log")
        ended = {"state": "delivered", "attempts": 2, "next_attempt_at": None, "blocked_reason": None}
        assert single == first | ended
        assert [(entry["number"], entry["status"], entry["error"]) for entry in log] == [(1, 503, None), (2, 204, None)]
        assert [entry["response"] for entry in log] == ["later", ""]
        assert all(entry.keys() == {"number", "at", "status", "duration_ms", "error", "response"} for entry in log)
        for query, count in (
            ({"state": "delivered"}, 4),
            ({"state": "pending"}, 0),
            ({"state": "dead"}, 0),
            ({"destination_id": destination["id"]}, 4),
            ({"destination_id": "dst_x"}, 0),
            ({"task_id": task["id"]}, 3),
            ({"event_id": events["task.succeeded"]}, 1),
            ({"event_id": events["task.succeeded"], "state": "canceled"}, 0),
        ):
            assert len(await world.deliveries(**query)) == count, query

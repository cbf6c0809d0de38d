"""Adopting: a task that somebody else submitted is followed like any other."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.make import a_task
from tests.service.world import UNKNOWN_TASK, World, a_pair, a_world, created, keep, record, scripted

pytestmark = pytest.mark.anyio


async def adopt(world: World, query: str = "", **fields: Any) -> httpx.Response:
    body = {"provider": "apikley", "provider_task_id": "p1", **fields}
    return await world.api.post(f"/v1/tasks/adopt{query}", json=body)


async def test_an_adopted_task_is_polled_at_once(tmp_path: Path) -> None:
    """201, submitted by its caller's word; no callback is expected, and its end is one event like any other."""
    async with scripted(record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        answer = await adopt(world)
        task = answer.json()
        assert (answer.status_code, task["status"], task["provider_task_id"]) == (201, "submitted", "p1")
        assert (task["model"], task["input"], task["callback_expected"]) == ("", {}, False)
        assert task["submitted_at"] == task["created_at"]
        await world.turn()
        events = await world.events(task["id"])
        assert [(event["type"], event["data"]["source"]) for event in events] == [
            ("task.submitted", "caller"),
            ("task.succeeded", "poll"),
        ]
        assert [event["data"]["verified_by"] for event in events] == [None, "poll"]
        assert apikley.lines == ["GET /api/v1/jobs/recordInfo?taskId=p1"]
        timeline = (await world.api.get(f"/v1/tasks/{task['id']}/timeline")).json()["items"]
        assert "It was submitted elsewhere: apikley has it as p1, says its caller." in [
            each["text"] for each in timeline
        ]


async def test_the_same_id_again_is_the_same_task(tmp_path: Path) -> None:
    """200, whatever else is said; also of a task that was submitted here, and of many at once."""
    async with scripted(created("p2"), record("waiting")) as apikley, a_pair(tmp_path, apikley) as world:
        answers = await asyncio.gather(*(adopt(world, metadata={"n": str(number)}) for number in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        own = await world.submit()
        again = await adopt(world, provider_task_id="p2")
        assert (again.status_code, again.json()["id"]) == (200, own["id"])


async def test_another_tenants_task_is_not_adopted(tmp_path: Path) -> None:
    """409: a provider's task is one task, for ever."""
    async with scripted(record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        await keep(world, a_task(tenant="other"))
        answer = await adopt(world)
        assert (answer.status_code, "task_1" in answer.text) == (409, False)


async def test_what_the_caller_knows_is_kept(tmp_path: Path) -> None:
    """Model, input, metadata, deadline and the task's own webhook."""
    async with scripted(record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        fields = {"model": "m", "input": {"prompt": "x"}, "metadata": {"order": "42"}, "deadline_seconds": 60}
        task = (await adopt(world, **fields, webhook_url="http://127.0.0.1:9/hook")).json()
        assert {name: task[name] for name in ("model", "input", "metadata")} == {
            name: fields[name] for name in ("model", "input", "metadata")
        }
        stored = await world.service.storage.read(lambda store: store.task(task["id"]))
        assert stored is not None
        assert stored.deadline_at - stored.created_at == 60_000
        await world.turn()
        [delivery] = await world.deliveries(task_id=task["id"])
        assert delivery["state"] == "pending"


async def test_an_adopted_task_may_echo_any_callback_url(tmp_path: Path) -> None:
    """It was submitted with somebody else's."""
    echo = record("success", param=json.dumps({"callBackUrl": "https://elsewhere.example/hook"}))
    async with scripted(echo) as apikley, a_pair(tmp_path, apikley) as world:
        task = (await adopt(world)).json()
        await world.turn()
        assert (await world.task(task["id"]))["status"] == "succeeded"


async def test_an_id_that_the_provider_does_not_know_fails_in_time(tmp_path: Path) -> None:
    """After its grace, as any task that vanished."""
    async with scripted(UNKNOWN_TASK) as apikley, a_pair(tmp_path, apikley) as world:
        ended = await world.end((await adopt(world)).json()["id"], step_s=20)
        assert (ended["status"], ended["error"]["kind"]) == ("failed", "not_found")


async def test_an_adoption_can_wait_for_the_end(tmp_path: Path) -> None:
    """`?wait=` as everywhere."""
    async with scripted(record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        waiting = asyncio.ensure_future(adopt(world, "?wait=5"))
        await world.until(lambda: apikley.lines, step_s=0)
        assert (await waiting).json()["status"] == "succeeded"


@pytest.mark.parametrize("provider", ["apikley", "reapi", "reelbyte", "reve2img"])
async def test_every_provider_takes_an_id_alone(tmp_path: Path, provider: str) -> None:
    """Its adapter can say how long to wait for a task of which nothing else is known."""
    async with a_world(tmp_path) as world:
        assert (await adopt(world, provider=provider)).status_code == 201


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"provider": "nobody"}, "provider"),
        ({"provider_task_id": ""}, "provider_task_id"),
        ({"provider_task_id": "line\nbreak"}, "provider_task_id"),
        ({"provider_task_id": "x" * 256}, "provider_task_id"),
        ({"provider_task_id": None}, "provider_task_id"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"deadline_seconds": 0}, "deadline_seconds"),
        ({"checks": False}, "checks"),
        ({"webhook_url": "http://10.0.0.1/"}, "webhook_url"),
    ],
)
async def test_what_is_wrong_is_named(tmp_path: Path, fields: dict[str, Any], path: str) -> None:
    """422, and nothing is recorded."""
    async with a_world(tmp_path) as world:
        answer = await adopt(world, **fields)
        assert (answer.status_code, [fault["path"] for fault in answer.json()["errors"]]) == (422, [path])
        assert (await world.api.get("/v1/tasks")).json()["items"] == []

"""Submitting once more: a new task with the same content, and what becomes of the one that it stands for."""

import asyncio
from pathlib import Path

import httpx
import pytest

from receiver.domain import Status
from tests.make import NOW, a_task
from tests.service.world import World, a_pair, created, held_writes, keep, record, scripted, submits

pytestmark = pytest.mark.anyio


async def resubmit(world: World, task_id: str, query: str = "", **headers: str) -> httpx.Response:
    return await world.api.post(f"/v1/tasks/{task_id}/resubmit{query}", headers=headers)


async def test_a_final_task_is_submitted_once_more(tmp_path: Path) -> None:
    """201: the same content and time, `retry_of` set; the first one stays what it is."""
    failed = record("fail", failCode="500", failMsg="upstream")
    async with (
        scripted(created("p1"), failed, created("p2"), record("success", "p2")) as apikley,
        a_pair(tmp_path, apikley) as world,
    ):
        first = await world.end((await world.submit(metadata={"order": "42"}, deadline_seconds=900))["id"], step_s=100)
        answer = await resubmit(world, first["id"])
        again = answer.json()
        assert (answer.status_code, again["status"], again["retry_of"]) == (201, "submitted", first["id"])
        for name in ("provider", "model", "input", "metadata", "tenant"):
            assert again[name] == first[name]
        stored = await world.service.storage.read(lambda store: store.task(again["id"]))
        assert stored is not None
        assert stored.deadline_at - stored.created_at == 900_000
        assert apikley.seen.requests[0][1] != apikley.seen.requests[2][1]  # its own callback URL
        assert await world.task(first["id"]) == first
        assert (await world.end(again["id"], step_s=100))["status"] == "succeeded"
        assert await world.types(first["id"]) == ["submitted", "failed"]


async def test_an_unconfirmed_task_is_replaced_and_both_may_succeed(tmp_path: Path) -> None:
    """It ends failed, open to a late verdict: its callback, hours later, still brings its result."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        lost = await world.submit()
        apikley.say(created("p2"), record("success", "p2"))
        again = (await resubmit(world, lost["id"])).json()
        replaced = await world.task(lost["id"])
        assert (replaced["status"], replaced["error"]["kind"], replaced["error"]["retryable"]) == (
            "failed",
            "unknown",
            False,
        )
        assert again["id"] in replaced["error"]["message"]
        timeline = (await world.api.get(f"/v1/tasks/{lost['id']}/timeline")).json()["items"]
        assert f"Its caller submits it once more, as {again['id']}." in [item["text"] for item in timeline]
        assert (await world.end(again["id"], step_s=100))["provider_task_id"] == "p2"
        await world.turn(7200)
        apikley.say(record("success", "p1"))
        await world.api.post(await world.callback_url(lost["id"]), json=record("success", "p1")[1])
        await world.turn()
        events = await world.events(lost["id"])
        assert [event["type"] for event in events] == ["task.unconfirmed", "task.failed", "task.succeeded"]
        assert [event["data"]["late"] for event in events] == [False, False, True]
        assert [event["data"]["source"] for event in events] == ["submit", "caller", "callback"]
        assert (await world.task(lost["id"]))["provider_task_id"] == "p1"
        assert await world.types(again["id"]) == ["submitted", "succeeded"]
        assert submits(apikley) == 2


@pytest.mark.parametrize("status", ["queued", "submitting", "submitted", "running"])
async def test_an_open_task_is_not_submitted_again(tmp_path: Path, status: str) -> None:
    """409: it may still succeed."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        await keep(world, a_task(status=Status(status)))
        answer = await resubmit(world, "task_1")
        assert (answer.status_code, status in answer.json()["detail"]) == (409, True)
        assert apikley.lines == []


async def test_a_confirmation_that_comes_first_wins(tmp_path: Path) -> None:
    """The task was unconfirmed when asked, and is not any more at the commit: nothing is recorded, nothing sent."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        lost = await world.submit()
        resolution = {"provider_task_id": "p1"}
        async with held_writes(world) as waiting:
            found = asyncio.ensure_future(world.api.post(f"/v1/tasks/{lost['id']}/resolve", json=resolution))
            await waiting(1)
            again = asyncio.ensure_future(resubmit(world, lost["id"]))
            await waiting(2)
        assert ((await found).status_code, (await again).status_code) == (200, 409)
        assert [task["id"] for task in (await world.api.get("/v1/tasks")).json()["items"]] == [lost["id"]]
        assert len(apikley.lines) == 1


async def test_a_resubmission_answers_as_a_submit(tmp_path: Path) -> None:
    """202 where it is in doubt or not waited for, `?wait=` waits for the end, and an Idempotency-Key holds."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        lost = await world.submit()
        second = await resubmit(world, lost["id"], **{"idempotency-key": "again"})
        assert (second.status_code, second.json()["status"]) == (202, "unconfirmed")
        repeated = await resubmit(world, lost["id"], **{"idempotency-key": "again"})
        assert (repeated.status_code, repeated.json()["id"]) == (202, second.json()["id"])
        assert repeated.headers["idempotent-replayed"] == "true"
        other = await resubmit(world, second.json()["id"], **{"idempotency-key": "again"})
        assert (other.status_code, other.json()["errors"][0]["path"]) == (422, "Idempotency-Key")
        assert len(apikley.lines) == 2
        apikley.say(created("p3"))
        third = await resubmit(world, lost["id"], prefer="respond-async")
        assert (third.status_code, third.json()["status"]) in ((202, "submitting"), (202, "queued"))
        assert (await resubmit(world, lost["id"], "?wait=61")).status_code == 422


async def test_what_cannot_be_submitted_is_not_resubmitted(tmp_path: Path) -> None:
    """An adopted task whose input nobody told; a provider that is gone from the settings."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley, TASKWEIR_REAPI_API_KEY="") as world:
        unknown = a_task(status=Status.FAILED, input={}, model="", created_at=NOW)
        gone = a_task(id="task_2", status=Status.FAILED, provider="reapi")
        await keep(world, unknown, gone)
        for task_id, why in (("task_1", "model"), ("task_2", "not configured")):
            answer = await resubmit(world, task_id)
            assert (answer.status_code, why in answer.json()["detail"]) == (409, True)
        assert apikley.lines == []

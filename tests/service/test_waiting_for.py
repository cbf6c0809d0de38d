"""What a task waits for where its provider is the cause: `waiting_for` says so, and when it goes on."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver import formats
from receiver.store.protocol import Store
from tests.service.world import APIKLEY_MODEL, Scripted, World, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

POLL_ONLY = {"TASKWEIR_PUBLIC_URL": ""}


def a_pair(directory: Path, apikley: Scripted, **environment: str) -> Any:
    return a_world(directory, base_urls={"apikley": apikley.base_url}, **environment)


async def waits(world: World, task_id: str) -> tuple[str, float | None]:
    """The sentence, and in how many seconds we look next; alone as in the list."""
    alone = (await world.task(task_id))["waiting_for"]
    listed = (await world.api.get("/v1/tasks")).json()["items"]
    assert [item["waiting_for"] for item in listed if item["id"] == task_id] == [alone]
    at = alone["next_at"] and (formats.time_of(alone["next_at"]) - world.clock.now()) / 1000
    return alone["text"], at


async def queue(world: World) -> str:
    body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
    made = await world.api.post("/v1/tasks", json=body, headers={"prefer": "respond-async"})
    assert made.status_code == 202, made.text
    task_id: str = made.json()["id"]
    return task_id


async def test_a_paused_provider_has_no_next_try(tmp_path: Path) -> None:
    """Nothing is planned before an operator resumes it."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        await world.api.post("/v1/providers/apikley/pause")
        task = await world.submit()
        said = "not handed over to apikley yet: apikley is paused by an operator"
        assert await waits(world, task["id"]) == (said, None)
        await world.turn(7)
        assert await waits(world, task["id"]) == (said, None)


async def test_retry_after_holds_submits_and_polls(tmp_path: Path) -> None:
    """Both say so, and until when; a pause of their own that is longer is what they wait for instead."""
    refused = (429, {"code": 429, "msg": "slow"}, {"retry-after": "30"})
    async with scripted(created(), refused) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=86_400)
        await world.turn(5)
        late = await queue(world)
        text, next_s = await waits(world, late)
        assert text.startswith("not handed over to apikley yet (")
        assert text.endswith("): apikley asked us to wait (Retry-After); next try in 30 s")
        assert next_s == 30
        text, next_s = await waits(world, task["id"])
        assert "the last poll failed; next poll in" in text
        assert next_s is not None
        assert next_s >= 30


async def test_the_rate_that_is_used_up_is_named(tmp_path: Path) -> None:
    """With its figure; polls wait for it as well as submits."""
    async with (
        scripted(created(), record("generating")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_RATE="0.25", **POLL_ONLY) as world,
    ):
        first = await world.submit(deadline_seconds=86_400)
        second = await queue(world)
        text, next_s = await waits(world, second)
        assert text.endswith(": the rate of 0.25 requests per second is used up; next try in 4 s")
        assert next_s == pytest.approx(4, abs=0.01)
        await world.service.storage.write(lambda store: _due_now(store, first["id"], world.clock.now()))
        text, next_s = await waits(world, first["id"])
        assert text.endswith("not polled: the rate of 0.25 requests per second is used up; next poll in 4 s")
        assert next_s == pytest.approx(4, abs=0.01)


def _due_now(store: Store, task_id: str, now: int) -> None:
    timer = store.timer(task_id)
    assert timer is not None
    store.set_timer(replace(timer, due_at=now))


async def test_a_full_window_of_submits_is_told_with_the_place_in_line(tmp_path: Path) -> None:
    """Five may be under way before one was answered: whoever comes next waits for one of them."""
    go = asyncio.Event()
    async with scripted(*[go] * 5, created("p1")) as apikley, a_pair(tmp_path, apikley) as world:
        for _ in range(5):
            await queue(world)
        sixth = await queue(world)
        world.clock.advance(1)
        seventh = await queue(world)
        line = "not handed over to apikley yet: 5 others are being handed over to apikley, as many as may be at once"
        assert await waits(world, sixth) == (f"{line}; this one is next in line", None)
        assert await waits(world, seventh) == (f"{line}; more are before this one", None)
        go.set()
        await world.service.submitter.crew.drain()


async def test_a_provider_that_takes_no_more_tasks_is_named(tmp_path: Path) -> None:
    """TOO_MANY_TASKS holds whatever is queued, until one of ours ends or a minute is over."""
    running = (200, {"code": 200, "message": "success", "data": {"task_id": "r1", "status": "IN_PROGRESS"}})
    full = (429, {"code": 429, "message": "TOO_MANY_TASKS"})
    async with scripted(running, full) as reve, a_world(tmp_path, base_urls={"reve2img": reve.base_url}) as world:
        await world.submit("reve2img", "kling3-pro-text-to-video")
        task = await world.submit("reve2img", "kling3-pro-text-to-video")
        text, next_s = await waits(world, task["id"])
        said = ": reve2img takes no more tasks of ours until one of them ends; next try in 60 s"
        assert (text.endswith(said), next_s) == (True, 60)

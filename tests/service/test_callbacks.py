"""Callbacks ring: what is recorded is what the provider says when asked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.world import a_pair, created, poll, polls, record, ring, scripted

pytestmark = pytest.mark.anyio

DONE = record("success")[1]
FAILED = record("fail", failCode="500", failMsg="upstream")[1] | {"code": 501}


async def test_a_callback_is_confirmed_by_a_poll_at_once(tmp_path: Path) -> None:
    """The event's source is the callback, the poll vouches for it."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await ring(world, task["id"], DONE)
        await world.turn()
        [*_, last] = await world.events(task["id"])
        assert (last["type"], last["data"]["source"], last["data"]["verified_by"]) == (
            "task.succeeded",
            "callback",
            "poll",
        )
        assert polls(apikley) == 1


async def test_a_forged_callback_changes_nothing(tmp_path: Path) -> None:
    """It claims success; asked, the provider says failed: that is recorded, and the poll is who said it."""
    async with scripted(created(), record("fail", failMsg="no")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await ring(world, task["id"], DONE)
        assert (await world.task(task["id"]))["status"] == "submitted"
        await world.turn()
        [*_, last] = await world.events(task["id"])
        assert (last["type"], last["data"]["source"]) == ("task.failed", "poll")


async def test_a_callback_ahead_of_its_own_record_is_asked_about_again(tmp_path: Path) -> None:
    """1, 2, 4, 8, 15, 30 s, then on the schedule."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await ring(world, task["id"], DONE)
        before = 0
        for pause in (0, 1, 2, 4, 8, 15, 30):
            if pause:
                await world.turn(pause - 0.5)
                assert polls(apikley) == before
            await world.turn(0.5 if pause else 0)
            before = polls(apikley)
        assert before == 7
        apikley.say(record("success"))
        assert (await world.end(task["id"], step_s=10))["status"] == "succeeded"


async def test_a_thousand_callbacks_are_one_poll_and_one_event(tmp_path: Path) -> None:
    """The same body at once: kept once, asked once."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await asyncio.gather(*(ring(world, task["id"], DONE) for _ in range(1000)))
        await world.turn()
        assert polls(apikley) == 1
        assert await world.types(task["id"]) == ["submitted", "succeeded"]
        kept = await world.service.storage.read(lambda store: store.callbacks(task["id"]))
        assert len(kept) == 1


async def test_different_bodies_cannot_hammer_the_provider(tmp_path: Path) -> None:
    """A leaked URL: 300 distinct bodies are at most 20 kept and 20 polls."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        for number in range(300):
            await ring(world, task["id"], {"number": number})
            await poll(world)
        assert polls(apikley) <= 20
        assert len(await world.service.storage.read(lambda store: store.callbacks(task["id"]))) == 20


async def test_a_callback_before_the_submit_answer(tmp_path: Path) -> None:
    """It binds the provider's id, and is asked about as soon as the handover ended."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        body = {"provider": "apikley", "model": "m", "input": {"prompt": "x"}}
        answer = await world.api.post("/v1/tasks", json=body, headers={"prefer": "respond-async"})
        await ring(world, answer.json()["id"], DONE)
        await world.service.submitter.crew.drain()
        await world.turn()
        assert await world.types(answer.json()["id"]) == ["submitted", "succeeded"]


async def test_a_callback_confirms_an_unconfirmed_task(tmp_path: Path) -> None:
    """The submit hung; the callback on its token names the provider's id; the poll then tells the outcome."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert task["status"] == "unconfirmed"
        apikley.say(record("success", "p9"))
        await ring(world, task["id"], record("success", "p9")[1])
        confirmed = await world.task(task["id"])
        assert (confirmed["status"], confirmed["provider_task_id"], confirmed["error"]) == ("submitted", "p9", None)
        await world.turn()
        events = await world.events(task["id"])
        assert [event["type"] for event in events] == ["task.unconfirmed", "task.submitted", "task.succeeded"]
        assert [event["data"]["source"] for event in events] == ["submit", "callback", "callback"]
        assert [event["data"]["verified_by"] for event in events] == [None, "token", "poll"]


async def test_a_callback_that_names_another_tasks_id_binds_nothing(tmp_path: Path) -> None:
    """An unconfirmed task is not confirmed by an id that is bound elsewhere."""
    async with scripted(created("p1")) as apikley, a_pair(tmp_path, apikley) as world:
        await world.submit()
        apikley.say("hang")
        task = await world.submit()
        await ring(world, task["id"], DONE)
        after = await world.task(task["id"])
        assert (after["status"], after["provider_task_id"]) == ("unconfirmed", None)


async def test_a_callback_without_an_id_confirms_nothing(tmp_path: Path) -> None:
    """There is nobody to ask about: the task waits on, until its deadline."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=3600)
        await ring(world, task["id"], {"code": 200, "data": {"state": "success"}})
        await world.turn(1800)
        assert (await world.task(task["id"]))["status"] == "unconfirmed"
        await world.turn(1800)
        assert (await world.task(task["id"]))["status"] == "expired"
        assert len(apikley.lines) == 1


async def test_a_callback_about_another_id_changes_nothing(tmp_path: Path) -> None:
    """The task has its id; the body names a different one."""
    async with (
        scripted(created("p1"), record("generating")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST="token") as world,
    ):
        task = await world.submit()
        await ring(world, task["id"], record("success", "p2")[1])
        assert (await world.task(task["id"]))["status"] == "submitted"


async def test_a_callback_after_the_end_is_kept_and_changes_nothing(tmp_path: Path) -> None:
    """A contradiction, even: the provider's verdict never moves, and is not asked about again."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await ring(world, task["id"], DONE)
        await world.turn()
        await ring(world, task["id"], FAILED)
        await world.turn(60)
        assert polls(apikley) == 1
        assert await world.types(task["id"]) == ["submitted", "succeeded"]


async def test_where_the_token_is_trust_enough_the_callback_is_recorded(tmp_path: Path) -> None:
    """`TASKWEIR_APIKLEY_TRUST=token`: no poll, and the event says who vouched."""
    async with (
        scripted(created(), "hang") as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST="token") as world,
    ):
        task = await world.submit()
        await ring(world, task["id"], DONE)
        [*_, last] = await world.events(task["id"])
        assert (last["type"], last["data"]["source"], last["data"]["verified_by"]) == (
            "task.succeeded",
            "callback",
            "token",
        )
        await world.turn(3600)
        assert polls(apikley) == 0


@pytest.mark.parametrize(("body", "ends"), [(DONE, "succeeded"), (FAILED, "failed"), ({"odd": 1}, "submitted")])
async def test_a_claim_counts_when_nobody_could_be_asked_by_the_deadline(tmp_path: Path, body: Any, ends: str) -> None:
    """No poll was answered from the callback to the deadline: its word is taken, marked as the token's."""
    async with scripted(created(), "close") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=600)
        await ring(world, task["id"], body)
        for _ in range(5):
            await world.turn(110)
        assert (await world.task(task["id"]))["status"] == "submitted"
        for _ in range(3):
            await world.turn(300)
        assert (await world.task(task["id"]))["status"] == ends
        if ends != "submitted":
            [*_, last] = await world.events(task["id"])
            assert (last["data"]["source"], last["data"]["verified_by"]) == ("callback", "token")


async def test_after_a_start_tasks_that_expect_a_callback_are_polled_soon(tmp_path: Path) -> None:
    """It may have come while nobody listened."""
    async with scripted(created(), record("generating"), record("success")) as apikley:
        async with a_pair(tmp_path, apikley) as world:
            task = await world.submit()
            await world.turn(3600)
            assert (await world.task(task["id"]))["status"] == "running"
            clock = world.clock
        async with a_pair(tmp_path, apikley, clock=clock) as world:
            await world.turn(61)
            assert (await world.task(task["id"]))["status"] == "succeeded"


async def test_safety_polls_find_what_a_lost_callback_did_not_tell(tmp_path: Path) -> None:
    """First 60 to 90 s after the submit, always."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await world.turn(59)
        assert polls(apikley) == 0
        await world.turn(31)
        [*_, last] = await world.events(task["id"])
        assert (last["type"], last["data"]["source"]) == ("task.succeeded", "poll")

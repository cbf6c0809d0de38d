"""Bugs that were found once: in settling what is in doubt, in who is asked and when, and in what is told meanwhile."""

from pathlib import Path

import pytest

from tests.service.test_regressions import BUSY, a_pair, done, ring, submits
from tests.service.world import Scripted, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

DAY_S = 86_400


def polls(apikley: Scripted) -> int:
    return sum(line.startswith("GET") for line in apikley.lines)


async def test_the_one_callback_that_names_a_task_in_doubt_is_heard_after_a_flood(tmp_path: Path) -> None:
    """As many odd bodies came as are kept: the next one is read all the same, for it may be the only one that tells."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        for number in range(20):
            await ring(world, task["id"], {"odd": number})
        apikley.say(record("success", "p9"))
        await ring(world, task["id"], done("p9"))
        await world.turn()
        ended = await world.task(task["id"])
        assert (ended["status"], ended["provider_task_id"], polls(apikley)) == ("succeeded", "p9", 1)


async def test_a_callback_that_could_not_be_read_confirms_its_task_later(tmp_path: Path) -> None:
    """Its provider was not configured when it came: once it is again, what was kept tells the id of a task in doubt."""
    async with scripted("hang") as apikley:
        async with a_pair(tmp_path, apikley) as world:
            task = await world.submit()
            path, clock = await world.callback_url(task["id"]), world.clock
        async with a_world(tmp_path, clock=clock, TASKWEIR_APIKLEY_API_KEY="") as world:
            assert (await world.api.post(path, json=done("p9"))).status_code == 200
        apikley.say(record("success", "p9"))
        async with a_pair(tmp_path, apikley, clock=clock) as world:
            await world.turn()
            await world.turn()
            ended = await world.task(task["id"])
            assert (ended["status"], ended["provider_task_id"]) == ("succeeded", "p9")
            assert await world.types(task["id"]) == ["unconfirmed", "submitted", "succeeded"]
            told = [item["text"] for item in await world.story(task["id"]) if item["kind"] == "callback"]
            assert told == ["A callback that was kept unread names p9: apikley is asked."]


@pytest.mark.parametrize("trust", ["poll", "token"])
async def test_a_queued_task_that_its_callback_calls_running_is_polled(tmp_path: Path, trust: str) -> None:
    """The provider said 429 and works on it all the same: the timer of its handover becomes that of its polls."""
    async with (
        scripted(BUSY, record("generating"), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST=trust) as world,
    ):
        task = await world.submit()
        await ring(world, task["id"], record("generating", "p1")[1])
        for _ in range(3):
            await world.turn(60)
        assert ((await world.task(task["id"]))["status"], submits(apikley)) == ("succeeded", 1)


async def test_a_leaked_url_cannot_hammer_over_a_task_that_we_ended(tmp_path: Path) -> None:
    """One body three hundred times, after a cancel: asked as often as after one."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await world.api.post(f"/v1/tasks/{task['id']}/cancel")
        for _ in range(300):
            await ring(world, task["id"], done())
            await world.turn()
        assert polls(apikley) == 1

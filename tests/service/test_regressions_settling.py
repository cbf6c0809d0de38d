"""Bugs that were found once: in settling what is in doubt, in who is asked and when, and in what is told meanwhile."""

from pathlib import Path

import pytest

from tests.service.test_regressions import a_pair, done, ring
from tests.service.world import Scripted, a_world, record, scripted

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

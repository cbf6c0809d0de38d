"""Asking: a failed poll is not a failed task, a deadline needs an answer, a late verdict still counts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.poller import PollLimits
from tests.service.world import (
    LIMITS,
    PUBLIC_URL,
    UNKNOWN_TASK,
    World,
    a_pair,
    a_world,
    created,
    record,
    ring,
    scripted,
)

pytestmark = pytest.mark.anyio

POLL_ONLY = {"TASKWEIR_PUBLIC_URL": ""}
BRIEF = replace(LIMITS, poll=PollLimits(deadline_s=0.1))  # for a provider that never answers


async def sleep_through(world: World, seconds: float, step_s: float = 60) -> None:
    for _ in range(round(seconds / step_s)):
        await world.turn(step_s)


async def test_each_change_is_one_event(tmp_path: Path) -> None:
    """Waiting, generating, success: however often each word is said."""
    words = [record(word) for word in ("waiting", "waiting", "generating", "generating", "waiting", "success")]
    async with scripted(created(), *words) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.end((await world.submit())["id"], step_s=2)
        assert await world.types(task["id"]) == ["submitted", "running", "succeeded"]
        assert [event["data"]["sequence"] for event in await world.events(task["id"])] == [1, 2, 3]
        assert task["outputs"][0]["url"] == "https://files.example/1.mp4"
        polls = [line for line in apikley.lines if line.startswith("GET")]
        assert polls == ["GET /api/v1/jobs/recordInfo?taskId=p1"] * 6
        await sleep_through(world, 3600)
        assert len(apikley.lines) == 7


@pytest.mark.parametrize(
    "reply",
    [
        "hang",
        "close",
        (500, b""),
        (502, b"<html>"),
        (429, {}, {"retry-after": "5"}),
        (200, b"{"),
        (200, {"code": 401, "msg": "key"}),
        (200, {"code": 455, "msg": "maintenance"}),
        (301, b"", {"location": "http://127.0.0.1:1/"}),
        record("success", "another"),
    ],
)
async def test_a_failed_poll_is_not_a_failed_task(tmp_path: Path, reply: Any) -> None:
    """An hour of them changes nothing; the first good answer does."""
    limits = BRIEF if reply == "hang" else LIMITS
    async with scripted(created(), reply) as apikley, a_pair(tmp_path, apikley, limits=limits, **POLL_ONLY) as world:
        task = await world.submit()
        await sleep_through(world, 3600, step_s=300)
        assert (await world.task(task["id"]))["status"] == "submitted"
        assert "polls failed in a row" in (await world.task(task["id"]))["waiting_for"]["text"]
        apikley.say(record("success"))
        assert (await world.end(task["id"], step_s=300))["status"] == "succeeded"


async def test_not_found_right_after_the_submit_has_its_grace(tmp_path: Path) -> None:
    """A provider that does not see its own task yet is asked again."""
    async with (
        scripted(created(), UNKNOWN_TASK, UNKNOWN_TASK, record("success")) as apikley,
        a_pair(tmp_path, apikley, **POLL_ONLY) as world,
    ):
        assert (await world.end((await world.submit())["id"], step_s=3))["status"] == "succeeded"


async def test_not_found_for_longer_is_a_failure_that_may_be_revived(tmp_path: Path) -> None:
    """Our verdict, of kind `not_found`; when the provider knows the task again its own verdict follows, late."""
    async with scripted(created(), UNKNOWN_TASK) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.end((await world.submit())["id"], step_s=20)
        assert (task["status"], task["error"]["kind"]) == ("failed", "not_found")
        apikley.say(record("success"))
        await sleep_through(world, 120, step_s=31)
        events = await world.events(task["id"])
        assert [event["type"] for event in events] == ["task.submitted", "task.failed", "task.succeeded"]
        assert [event["data"]["late"] for event in events] == [False, False, True]
        assert (await world.task(task["id"]))["status"] == "succeeded"
        count = len(apikley.lines)
        await sleep_through(world, 3600)
        assert len(apikley.lines) == count


async def test_only_an_answered_poll_expires_a_task(tmp_path: Path) -> None:
    """A six-hour outage over the deadline expires nothing; the first answer after it does, and no sooner."""
    async with scripted(created(), (503, b"")) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=3600)
        await sleep_through(world, 6 * 3600, step_s=300)
        assert (await world.task(task["id"]))["status"] == "submitted"
        apikley.say(record("generating"))
        ended = await world.end(task["id"], step_s=300)
        assert (ended["status"], ended["error"]["kind"]) == ("expired", "timeout")
        [*_, last] = await world.events(task["id"])
        assert (last["data"]["source"], last["data"]["verified_by"]) == ("deadline", None)


async def test_a_task_expires_at_its_deadline_not_after(tmp_path: Path) -> None:
    """A poll falls on the deadline, whatever the pace is by then."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=100)
        await sleep_through(world, 98, step_s=7)
        assert (await world.task(task["id"]))["status"] == "running"
        await world.turn(2)
        assert (await world.task(task["id"]))["status"] == "expired"


async def test_unasked_a_task_waits_a_week_more(tmp_path: Path) -> None:
    """Then it is given up, by us: the provider was never heard again."""
    async with scripted(created(), "close") as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=60)
        await world.turn(7 * 86_400)
        assert (await world.task(task["id"]))["status"] == "submitted"
        await world.turn(400)
        assert (await world.task(task["id"]))["status"] == "expired"


async def test_after_expired_the_provider_is_asked_for_a_day(tmp_path: Path) -> None:
    """Every 30 s for ten minutes, then every ten minutes; a late result is delivered, marked late."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=10)
        await world.turn(10)
        await world.turn(10)
        assert (await world.task(task["id"]))["status"] == "expired"
        before = len(apikley.lines)
        await sleep_through(world, 600, step_s=10)
        assert 18 <= len(apikley.lines) - before <= 21
        apikley.say(record("fail", failCode="500", failMsg="upstream"))
        await sleep_through(world, 1200, step_s=300)
        [*_, last] = await world.events(task["id"])
        assert (last["type"], last["data"]["late"], last["data"]["source"]) == ("task.failed", True, "poll")


async def test_after_a_day_nobody_asks_any_more(tmp_path: Path) -> None:
    """An expired task that never ended leaves no timer behind."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=10)
        await world.turn(10)
        await sleep_through(world, 90_000, step_s=900)
        count = len(apikley.lines)
        await sleep_through(world, 90_000, step_s=900)
        assert len(apikley.lines) == count
        assert await world.service.storage.read(lambda store: store.timer(task["id"])) is None


async def test_an_answer_that_echoes_another_callback_url_is_not_believed(tmp_path: Path) -> None:
    """Apikley's `param` names the callback URL: its token must be this task's; host and path are not compared."""
    async with scripted(created("p1"), created("p2")) as apikley, a_pair(tmp_path, apikley) as world:
        task, other = await world.submit(), await world.submit()

        def echoing(url: str) -> Any:
            return record("success", param=json.dumps({"callBackUrl": url}))

        foreign = PUBLIC_URL + await world.callback_url(other["id"])
        for url in (foreign, "https://evil.example/callbacks/apikley/x", "https://evil.example/"):
            apikley.say(echoing(url))
            await world.turn(600)
            assert (await world.task(task["id"]))["status"] == "submitted"
        own = await world.callback_url(task["id"])
        apikley.say(echoing(f"https://behind.a.proxy/prefix{own}"))
        await world.turn(600)
        assert (await world.task(task["id"]))["status"] == "succeeded"


async def test_progress_is_kept_and_told_only_where_asked_for(tmp_path: Path) -> None:
    """`task.progress` is recorded once somebody names it; it may come again, other types may not."""
    words = [record("generating", progress=number) for number in (10, 20, 20, 35)]
    async with scripted(created(), *words) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit()
        await sleep_through(world, 12, step_s=4)
        assert (await world.task(task["id"]))["progress"] == 20
        assert await world.types(task["id"]) == ["submitted", "running"]
        await world.destination("http://127.0.0.1:9/", event_types=["task.progress"])
        await sleep_through(world, 30, step_s=10)
        assert await world.types(task["id"]) == ["submitted", "running", "progress"]


async def test_a_poll_that_lost_its_lease_changes_the_task_but_not_the_timer(tmp_path: Path) -> None:
    """An answer always reaches intake; when the next poll is, is for whoever holds the lease."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        poller, storage = world.service.poller, world.service.storage
        world.clock.advance(100)
        await poller.run_once()
        answer = await world.api.post(await world.callback_url(task["id"]), json={"odd": True})
        assert answer.status_code == 200
        rung = await storage.read(lambda store: store.timer(task["id"]))
        assert rung is not None
        assert rung.rings == 0
        await poller.crew.drain()
        assert (await world.task(task["id"]))["status"] == "running"
        after = await storage.read(lambda store: store.timer(task["id"]))
        assert after == rung


async def test_one_provider_that_hangs_does_not_hold_up_another(tmp_path: Path) -> None:
    """Polls are counted per provider."""
    reapi_done = {"id": "r_12345678", "status": "completed", "output": {"video_urls": ["https://x/1.mp4"]}}
    async with (
        scripted(created(), "hang") as apikley,
        scripted((200, {"id": "r_12345678", "status": "processing"}), (200, reapi_done)) as reapi,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url, "reapi": reapi.base_url}, **POLL_ONLY) as world,
    ):
        stuck = await world.submit()
        task = await world.submit("reapi", "some-video-model")
        world.clock.advance(10)
        await world.service.poller.run_once()
        waited = await world.api.get(f"/v1/tasks/{task['id']}?wait=5")
        assert waited.json()["status"] == "succeeded"
        assert (await world.task(stuck["id"]))["status"] == "submitted"
        await world.service.poller.crew.drain()


async def test_safety_polls_back_off_only_while_callbacks_prove_healthy(tmp_path: Path) -> None:
    """Three tasks ended and no callback had come: the next is asked about at the provider's pace, until one does."""
    async with scripted(created("p0")) as apikley, a_pair(tmp_path, apikley) as world:

        async def gap_of(number: int, *, rings: bool = False) -> float:
            """Seconds from the poll of a task that is ten minutes old to the next, as it then ends."""
            apikley.say(created(f"p{number}"), record("generating", f"p{number}"))
            task = await world.submit(deadline_seconds=86_400)
            await world.turn(600)
            timer = await world.service.storage.read(lambda store: store.timer(task["id"]))
            assert timer is not None
            gap_s = (timer.due_at - world.clock.now()) / 1000
            apikley.say(record("success", f"p{number}"))
            if rings:
                await ring(world, task["id"], record("success", f"p{number}")[1])
            await world.end(task["id"], step_s=60)
            return gap_s

        assert [await gap_of(number) >= 240 for number in range(3)] == [True] * 3
        assert await gap_of(3) < 120
        assert await gap_of(4, rings=True) < 120
        assert await gap_of(5) >= 240

"""Bugs that were found once: in settling what is in doubt, in who is asked and when, and in what is told meanwhile."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.apikley import Apikley
from adapters.base import Input
from receiver.domain import Provider, Status, Work
from receiver.guard import Guard
from receiver.names import Found
from receiver.outbound import Outbound
from receiver.submit import SubmitLimits
from receiver.wire import Call
from tests.addresses import found as addresses
from tests.make import a_task, a_timer
from tests.service.test_bulk import found, keep_with_timers, many
from tests.service.test_regressions import BODY, BUSY, a_pair, done, ring, submits, under_way
from tests.service.world import LIMITS, Scripted, World, a_world, created, held_writes, poll, record, scripted, soon

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
            for _ in range(2):
                assert (await world.api.post(path, json=done("p9"))).status_code == 200
            assert "given up in 24 h" in (await world.task(task["id"]))["waiting_for"]["text"]
        apikley.say(record("success", "p9"))
        async with a_pair(tmp_path, apikley, clock=clock) as world:
            await world.turn()
            await world.turn()
            ended = await world.task(task["id"])
            assert (ended["status"], ended["provider_task_id"]) == ("succeeded", "p9")
            assert await world.types(task["id"]) == ["unconfirmed", "submitted", "succeeded"]
            told = [item["text"] for item in await world.story(task["id"]) if item["kind"] == "callback"]
            assert told == [
                "A callback came while apikley was not configured here: it is kept, unread.",
                "1 further callback came, repeated or beyond those that are kept.",
                "A callback that was kept unread names p9: apikley is asked.",
            ]


@pytest.mark.parametrize("trust", ["poll", "token"])
async def test_a_queued_task_that_its_callback_calls_running_is_polled(tmp_path: Path, trust: str) -> None:
    """The provider said 429 and works on it all the same: the timer of its handover becomes that of its polls."""
    async with (
        scripted(BUSY, record("generating"), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST=trust) as world,
    ):
        task = await world.submit()
        await ring(world, task["id"], record("generating", "p1")[1])
        assert (await world.task(task["id"]))["status"] in ("submitted", "running")
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
            await poll(world)
        assert polls(apikley) == 1


PATIENT = replace(LIMITS, submit=SubmitLimits(deadline_s=5.0))
MAINTENANCE = (200, {"code": 455, "msg": "maintenance"})


async def standing(world: World) -> dict[str, Any]:
    """How Apikley stands."""
    items = (await world.api.get("/v1/providers")).json()["items"]
    return next(item for item in items if item["name"] == "apikley")


async def pause_by_polls(world: World, apikley: Scripted) -> None:
    """One task with the provider, whose polls fail until it is paused."""
    await world.submit(deadline_seconds=7 * DAY_S)
    apikley.say((503, b""))
    await world.until(lambda: polls(apikley) >= 5, step_s=30)
    assert (await standing(world))["reason"] == "unreachable"


@asynccontextmanager
async def a_paused_pair(directory: Path, *, waiting: int, **fields: Any) -> AsyncIterator[tuple[World, Scripted]]:
    """A provider that polls found down, for which so many submits wait."""
    async with scripted(created()) as apikley, a_pair(directory, apikley, TASKWEIR_PUBLIC_URL="", **fields) as world:
        await pause_by_polls(world, apikley)
        for _ in range(waiting):
            assert (await world.submit(deadline_seconds=7 * DAY_S))["status"] == "queued"
        yield world, apikley


async def test_one_submit_at_a_time_follows_a_probe(tmp_path: Path) -> None:
    """While it hangs no other is tried: each would be one more in doubt."""
    answered = asyncio.Event()
    async with a_paused_pair(tmp_path, waiting=6, limits=PATIENT) as (world, apikley):
        apikley.say(record("generating"), answered, created("p2"), *(created(f"p{number}") for number in range(3, 8)))
        await world.until(lambda: polls(apikley) == 6, step_s=60)
        for _ in range(5):
            world.clock.advance(5)
            await world.service.submitter.run_once()
            await asyncio.sleep(0.01)
        assert submits(apikley) == 2
        answered.set()
        await world.service.submitter.crew.drain()
        assert not (await standing(world))["paused"]
        await world.until(lambda: submits(apikley) == 7, step_s=5)


async def test_maintenance_is_an_answer(tmp_path: Path) -> None:
    """The provider speaks: it is resumed, so that tasks that are with it are asked about."""
    async with a_paused_pair(tmp_path, waiting=1) as (world, apikley):
        apikley.say(record("generating"), MAINTENANCE)
        await world.until(lambda: submits(apikley) == 2, step_s=60)
        assert not (await standing(world))["paused"]


async def test_a_submit_after_a_probe_that_finds_nobody_waits_for_the_next_probe(tmp_path: Path) -> None:
    """Else every task that waits would be tried in turn, as fast as connections are refused."""
    async with AsyncExitStack() as up:
        apikley = await up.enter_async_context(scripted(created()))
        async with a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world:
            await pause_by_polls(world, apikley)
            waiting = [(await world.submit(deadline_seconds=7 * DAY_S))["id"] for _ in range(6)]
            apikley.say(record("generating"))
            while polls(apikley) < 6:
                world.clock.advance(60)
                await world.service.poller.run_once()
                await world.service.poller.crew.drain()
            await up.aclose()
            for _ in range(5):
                await world.turn(5)
            assert (await standing(world))["paused"]
            tried = [task for task in waiting if "Nothing was sent" in str(await world.story(task))]
            assert len(tried) == 1


async def test_a_queued_task_expires_on_time_while_its_provider_may_not_be_asked(tmp_path: Path) -> None:
    """`Retry-After` holds requests back, not the end of a time in which nothing was spent."""
    slow_down = (429, {"code": 429, "msg": "slow down"}, {"retry-after": "3600"})
    async with scripted(slow_down) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=60)
        await world.turn(59)
        assert (await world.task(task["id"]))["status"] == "queued"
        await world.turn(1)
        assert ((await world.task(task["id"]))["status"], submits(apikley)) == ("expired", 1)


@pytest.mark.parametrize("reply", ["hang", BUSY], ids=["unconfirmed", "queued"])
async def test_what_nobody_can_be_asked_about_ends_without_its_provider(tmp_path: Path, reply: Any) -> None:
    """Its provider is not configured any more: it is over at its deadline all the same."""
    async with scripted(reply) as apikley:
        async with a_pair(tmp_path, apikley) as world:
            task = await world.submit(deadline_seconds=600)
            clock = world.clock
        async with a_world(tmp_path, clock=clock, TASKWEIR_APIKLEY_API_KEY="") as world:
            await world.turn(599)
            assert (await world.task(task["id"]))["finished_at"] is None
            await world.turn(1)
            assert (await world.task(task["id"]))["status"] == "expired"


@asynccontextmanager
async def a_crowd_with_a_dead_provider(directory: Path, *, tasks: int = 30) -> AsyncIterator[tuple[World, Scripted]]:
    """Many tasks with a provider that went down: what is tried now and then is seldom any one of them."""
    taken = [created(f"p{number}") for number in range(tasks)]
    async with scripted(*taken) as apikley, a_pair(directory, apikley, limits=PATIENT) as world:
        for _ in range(tasks - 1):
            await world.submit(deadline_seconds=30 * DAY_S)
        yield world, apikley


async def test_a_task_in_doubt_expires_on_time_while_its_provider_is_paused(tmp_path: Path) -> None:
    """However many tasks stand before it in the row of what is to be asked."""
    async with a_crowd_with_a_dead_provider(tmp_path) as (world, apikley):
        apikley.say("close")
        task = await world.submit(deadline_seconds=3600)
        assert task["status"] == "unconfirmed"
        for _ in range(59):
            await world.turn(60)
        assert (await standing(world))["paused"]
        assert (await world.task(task["id"]))["status"] == "unconfirmed"
        await world.turn(60)
        assert (await world.task(task["id"]))["status"] == "expired"


async def test_a_claim_counts_at_the_deadline_while_its_provider_is_paused(tmp_path: Path) -> None:
    """Nobody is asked about it, so that its callback is the only word there is; and its story says so."""
    async with a_crowd_with_a_dead_provider(tmp_path) as (world, apikley):
        task = await world.submit(deadline_seconds=3600)
        apikley.say("close")
        for _ in range(5):
            await world.turn(60)
        assert (await standing(world))["paused"]
        await ring(world, task["id"], done("p29"))
        for _ in range(54):
            await world.turn(60)
        assert (await world.task(task["id"]))["status"] == "submitted"
        for _ in range(30):
            await world.turn(60)
        ended = await world.task(task["id"])
        assert (ended["status"], len(ended["outputs"])) == ("succeeded", 1)
        [*_, last] = await world.events(task["id"])
        assert (last["data"]["source"], last["data"]["verified_by"]) == ("callback", "token")
        told = [item["text"] for item in await world.story(task["id"]) if item["kind"] == "poll"]
        assert told[-1] == (
            "Nobody could be asked by the deadline (apikley is paused): what a callback claimed is taken, "
            "succeeded, with 1 output."
        )
        assert await world.service.storage.read(lambda store: store.timer(task["id"])) is None


async def test_a_paused_providers_tasks_are_given_up_a_week_past_their_deadline(tmp_path: Path) -> None:
    """Each of them, not one per probe."""
    async with a_crowd_with_a_dead_provider(tmp_path) as (world, apikley):
        apikley.say("close")
        for _ in range(5):
            await world.turn(60)
        assert (await standing(world))["paused"]
        open_tasks = "/v1/tasks?status=submitted"
        await world.turn(37 * DAY_S - 3600)
        assert len((await world.api.get(open_tasks)).json()["items"]) == 29
        for _ in range(5):
            await world.turn(900)
        items = (await world.api.get("/v1/tasks?status=expired")).json()["items"]
        assert len(items) == 29
        told = [
            [line["text"] for line in await world.story(item["id"]) if line["kind"] == "poll"][-1] for item in items
        ]
        # A probe asked about one of them in each of the five turns, at most.
        assert told.count("Asked in vain to the end (apikley is paused): the task is expired.") >= 24


async def test_the_task_of_a_probe_is_not_settled_while_it_is_asked_about(tmp_path: Path) -> None:
    """A callback claimed success, and its provider, back again, says that it failed."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=3600)
        apikley.say((503, b""))
        await world.until(lambda: polls(apikley) >= 5, step_s=30)
        await ring(world, task["id"], done())
        apikley.say(record("fail", failMsg="no luck"))
        await world.turn(3600)
        assert (await world.task(task["id"]))["status"] == "failed"


async def test_a_claim_that_cannot_be_read_does_not_keep_a_task_from_its_end(tmp_path: Path) -> None:
    """It came beyond the bodies that are kept: a week past the deadline the task is given up like any other."""
    async with scripted(created(), "close") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=600)
        for number in range(20):
            await ring(world, task["id"], {"odd": number})
        world.clock.advance(120)
        await ring(world, task["id"], done())
        for _ in range(9):
            await world.turn(DAY_S)
        assert (await world.task(task["id"]))["status"] == "expired"


async def test_a_claim_without_its_result_is_not_taken(tmp_path: Path) -> None:
    """Taken, it would stand for good: the provider that comes back after the deadline still has the result."""
    async with scripted(created(), "close") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=600)
        await ring(world, task["id"], done(resultJson=""))
        for _ in range(10):
            await world.turn(300)
        assert (await world.task(task["id"]))["status"] == "submitted"
        apikley.say(record("success"))
        ended = await world.end(task["id"], step_s=300)
        assert (ended["status"], len(ended["outputs"])) == ("succeeded", 1)


async def test_a_claim_that_polls_denied_does_not_stand_in_for_a_later_one(tmp_path: Path) -> None:
    """The later one was not kept, for as many bodies are kept as may be: none of them is what was claimed last."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=3600)
        await ring(world, task["id"], done())
        for number in range(19):
            await ring(world, task["id"], {"odd": number})
        for _ in range(8):
            await world.turn(15)
        apikley.say("close")
        world.clock.advance(1)
        await ring(world, task["id"], record("fail", failMsg="not kept")[1])
        for _ in range(30):
            await world.turn(300)
        assert (await world.task(task["id"]))["status"] == "running"


class Speechless(Apikley):
    """An adapter that fails at writing certain requests."""

    def __init__(self, what: str) -> None:
        self.what = what

    def submit(self, provider: Provider, model: str, input: Input, callback_url: str | None) -> Call:
        if self.what == "submits":
            raise KeyError("an input from tomorrow")
        return super().submit(provider, model, input, callback_url)

    def poll(self, provider: Provider, provider_task_id: str) -> Call:
        if self.what == "polls":
            raise KeyError("an id from tomorrow")
        return super().poll(provider, provider_task_id)


async def test_a_submit_that_its_adapter_cannot_write_is_not_in_doubt(tmp_path: Path) -> None:
    """Nothing was sent: the task waits, says why, and expires with nothing spent."""
    async with (
        scripted(created()) as apikley,
        a_pair(tmp_path, apikley, adapters={"apikley": Speechless("submits")}) as world,
    ):
        task = await world.submit(deadline_seconds=600)
        assert (task["status"], task["error"]["message"]) == ("queued", "an error of the adapter: KeyError")
        for _ in range(11):
            await world.turn(60)
        assert await world.types(task["id"]) == ["queued", "expired"]
        assert apikley.lines == []


async def test_a_poll_that_its_adapter_cannot_write_is_a_failed_one(tmp_path: Path) -> None:
    """Counted, asked again ever more slowly, and given up a week past the deadline."""
    async with (
        scripted(created()) as apikley,
        a_pair(tmp_path, apikley, adapters={"apikley": Speechless("polls")}) as world,
    ):
        task = await world.submit(deadline_seconds=600)
        await world.turn(91)
        waiting = (await world.task(task["id"]))["waiting_for"]
        assert "the last poll failed" in waiting["text"]
        for _ in range(8):
            await world.turn(DAY_S)
        assert (await world.task(task["id"]))["status"] == "expired"


async def test_a_submit_that_waits_for_hours_keeps_no_provider_paused(tmp_path: Path) -> None:
    """It was paced so on purpose: where none is to be tried soon, an answered probe resumes."""
    async with a_paused_pair(tmp_path, waiting=0) as (world, apikley):
        for number in range(2):
            adopted = {"provider": "apikley", "provider_task_id": f"a{number}", "model": "m", "input": {"prompt": "x"}}
            made = (await world.api.post("/v1/tasks/adopt", json=adopted)).json()
            await world.api.post(f"/v1/tasks/{made['id']}/cancel")
        again = {"action": "resubmit", "filter": {"status": "canceled"}, "rate_per_second": 0.0001}
        assert (await world.api.post("/v1/tasks/bulk", json=again)).json() == {"count": 2}
        queued = (await world.api.get("/v1/tasks?status=queued")).json()["items"]
        first = min(queued, key=lambda task: task["deadline_at"])
        await world.api.post(f"/v1/tasks/{first['id']}/cancel")
        apikley.say(record("generating"))
        await world.until(lambda: polls(apikley) > 5, step_s=60)
        assert not (await standing(world))["paused"]


async def test_an_empty_success_past_the_deadline_is_not_asked_about_every_second(tmp_path: Path) -> None:
    """Its result is waited for at the pace that the provider wants."""
    async with (
        scripted(created(), record("success", resultJson="")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world,
    ):
        task = await world.submit(deadline_seconds=120)
        for _ in range(150):
            await world.turn(1)
        before = polls(apikley)
        for _ in range(60):
            await world.turn(1)
        assert polls(apikley) - before <= 4
        assert (await world.task(task["id"]))["status"] == "submitted"


@pytest.mark.parametrize("answer", [{"code": 503, "message": "SERVICE_UNAVAILABLE"}, "<html>"], ids=["own", "page"])
async def test_retry_after_of_a_submit_that_met_a_503_holds_the_others_back(tmp_path: Path, answer: Any) -> None:
    """Whether the provider says that it created nothing, or nobody knows."""
    async with (
        scripted((503, answer, {"retry-after": "60"})) as reve,
        a_world(tmp_path, base_urls={"reve2img": reve.base_url}) as world,
    ):
        for _ in range(3):
            await world.submit("reve2img", "reve-image", deadline_seconds=DAY_S)
        await world.turn(59)
        assert submits(reve) == 1
        await world.turn(2)
        await world.turn(10)
        assert submits(reve) >= 2


async def test_only_the_end_of_a_task_there_frees_a_place(tmp_path: Path) -> None:
    """Too many tasks are with the provider, which works on one that is canceled here all the same."""
    running = (200, {"code": 200, "message": "success", "data": {"task_id": "r1", "status": "IN_PROGRESS"}})
    full = (429, {"code": 429, "message": "TOO_MANY_TASKS"})
    async with scripted(running, full) as reve, a_world(tmp_path, base_urls={"reve2img": reve.base_url}) as world:
        first = await world.submit("reve2img", "kling3-pro-text-to-video")
        assert (await world.submit("reve2img", "kling3-pro-text-to-video"))["status"] == "queued"
        await world.api.post(f"/v1/tasks/{first['id']}/cancel")
        reve.say(running)
        for _ in range(10):
            await world.turn(5)
        assert submits(reve) == 2


async def waits(world: World, task_id: str) -> tuple[str, str | None]:
    """What the task waits for, and when we look next; the same alone and in the list."""
    alone = (await world.task(task_id))["waiting_for"]
    items = (await world.api.get("/v1/tasks")).json()["items"]
    assert [item["waiting_for"] for item in items if item["id"] == task_id] == [alone]
    return alone["text"], alone["next_at"]


async def test_a_task_says_that_its_provider_is_paused(tmp_path: Path) -> None:
    """Not that its next poll, or its next try, is a moment away for hours."""
    async with a_paused_pair(tmp_path, waiting=1) as (world, _):
        await world.turn(3600)
        queued, taken = [item["id"] for item in (await world.api.get("/v1/tasks")).json()["items"]]
        down = "apikley is paused, for it cannot be reached"
        assert await waits(world, queued) == (f"not handed over to apikley yet: {down}", None)
        text, next_at = await waits(world, taken)
        assert (text.rpartition("; ")[2], next_at) == (f"not polled: {down}", None)
        clock = world.clock
    async with a_world(tmp_path, clock=clock, TASKWEIR_APIKLEY_API_KEY="") as world:
        gone = "apikley is not configured here"
        assert await waits(world, queued) == (f"not handed over to apikley yet: {gone}", None)
        text, next_at = await waits(world, taken)
        assert (text.rpartition("; ")[2], next_at) == (f"not polled: {gone}", None)


async def test_a_brief_deadline_is_one_where_a_callback_is_expected(tmp_path: Path) -> None:
    """The first poll falls on it, not a minute later."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=1)
        await world.turn(1)
        assert ((await world.task(task["id"]))["status"], polls(apikley)) == ("expired", 1)


async def test_two_resubmissions_at_once_of_a_task_in_doubt_are_one(tmp_path: Path) -> None:
    """A double click is paid for once."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        apikley.say(created("p1"), created("p2"))
        async with held_writes(world) as waiting:
            path = f"/v1/tasks/{task['id']}/resubmit"
            asked = [asyncio.ensure_future(world.api.post(path)) for _ in range(2)]
            await waiting(2)
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        assert "changed meanwhile: it is failed now" in max(answers, key=lambda each: each.status_code).text
        assert submits(apikley) == 2


def slowly(host: str, port: int) -> Found:
    """A name server that takes its time."""
    threading.Event().wait(2)
    return addresses(["127.0.0.1"], port)


async def test_the_time_of_an_answer_counts_from_the_request(tmp_path: Path) -> None:
    """What looking up the host of its webhook took is not added to it."""
    hooked = BODY | {"webhook_url": "http://slow.test/"}
    brief = replace(LIMITS, submit=SubmitLimits(deadline_s=30.0), answer_within_s=2.0)
    slow = Outbound(Guard("loopback"), look_up=slowly)
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley, limits=brief, outbound=slow) as world:
        began = time.monotonic()
        answer = await world.api.post("/v1/tasks", json=hooked)
        assert (answer.status_code, answer.json()["status"]) == (202, "submitting")
        assert time.monotonic() - began < 3.8


async def test_loops_that_hang_are_stopped_side_by_side(tmp_path: Path) -> None:
    """The grace period is for all of them: one after the other they would use it up."""
    async with a_world(tmp_path) as world:
        async with held_writes(world):
            for loop in world.service.loops:
                loop.start()
            began = time.monotonic()
            stopping = asyncio.ensure_future(world.service.drain())
            await soon(lambda: all(loop._task and loop._task.done() for loop in world.service.loops))
            assert time.monotonic() - began < 8
        await stopping


async def test_all_that_is_overdue_ends_in_one_round(tmp_path: Path) -> None:
    """Hundreds at once, while their provider is paused."""
    async with a_world(tmp_path) as world:
        await world.api.post("/v1/providers/apikley/pause")
        await keep_with_timers(
            world, [replace(task, provider_task_id=None) for task in many(250, status=Status.QUEUED)]
        )
        await world.service.poller.run_once()
        assert await found(world, status="expired") == []
        world.clock.advance(3600)
        await world.service.poller.run_once()
        assert len(await found(world, status="expired")) == 250


async def test_tasks_that_wait_for_a_paused_provider_cost_nothing(tmp_path: Path) -> None:
    """However many: the loop sleeps until somebody resumes it; then they go at once."""
    async with scripted(*(created(f"p{number}") for number in range(9))) as apikley, a_pair(tmp_path, apikley) as world:
        await world.api.post("/v1/providers/apikley/pause")
        waiting = [await world.submit(deadline_seconds=DAY_S) for _ in range(9)]
        for _ in range(3):
            assert await world.service.submitter.run_once() == 60
        await world.turn(600)
        await world.api.post("/v1/providers/apikley/resume")
        await world.until(lambda: submits(apikley) == 9, step_s=0)
        assert {(await world.task(task["id"]))["status"] for task in waiting} == {"submitted"}


async def test_a_half_done_submit_of_a_paused_provider_is_in_doubt(tmp_path: Path) -> None:
    """After a crash, whether anything may be handed over or not; the one that may be is tried, no other."""
    async with a_paused_pair(tmp_path, waiting=2) as (world, apikley):
        left = a_task(id="task_left", status=Status.SUBMITTING, deadline_at=world.clock.now() + DAY_S * 1000)
        dead = a_timer(task_id=left.id, work=Work.SUBMIT, due_at=world.clock.now(), owner="dead")
        await world.service.storage.write(lambda store: [store.record_task(left), store.set_timer(dead)])
        await world.turn(10)
        assert (await world.task(left.id))["status"] == "unconfirmed"
        apikley.say(record("generating"), "close")
        await world.until(lambda: submits(apikley) == 2, step_s=60)
        await world.turn(1)
        assert submits(apikley) == 2


async def test_a_queued_task_that_has_its_providers_id_is_not_handed_over(tmp_path: Path) -> None:
    """However it came to that: it is asked about."""
    async with scripted(record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        named = a_task(status=Status.QUEUED, provider_task_id="p1")
        timer = a_timer(work=Work.SUBMIT)
        await world.service.storage.write(lambda store: [store.record_task(named), store.set_timer(timer)])
        ended = await world.end(named.id, step_s=10)
        assert (ended["status"], submits(apikley)) == ("succeeded", 0)


async def test_an_answer_about_an_id_that_the_task_had_before_is_not_taken(tmp_path: Path) -> None:
    """A leaked URL named another finished task; while that was asked about, the submit told the real one."""
    submit, poll = asyncio.Event(), asyncio.Event()
    replies = (submit, poll, created("real"), record("success", "elsewhere"), record("generating", "real"))
    async with scripted(*replies) as apikley, a_pair(tmp_path, apikley, limits=PATIENT) as world:
        task_id = await under_way(world, apikley)
        await ring(world, task_id, done("elsewhere"))
        await world.service.poller.run_once()
        await soon(lambda: polls(apikley) == 1)
        submit.set()
        await world.service.submitter.crew.drain()
        assert (await world.task(task_id))["provider_task_id"] == "real"
        poll.set()
        await world.service.poller.crew.drain()
        assert (await world.task(task_id))["status"] == "submitted"
        await world.turn()
        assert ((await world.task(task_id))["status"], apikley.lines[-1].partition("taskId=")[2]) == ("running", "real")

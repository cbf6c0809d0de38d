"""Called by the clock, and by nothing else, the heartbeat does what a server's loops do."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.server import create_app, running
from receiver import formats
from receiver.delivery import DeliveryLimits
from receiver.domain import Status, Work
from receiver.poller import PollLimits
from receiver.submit import SubmitLimits
from tests.make import DAY, MINUTE, NOW, a_task, a_timer
from tests.processes import logged
from tests.service.consumer import a_consumer, a_gated_consumer
from tests.service.instant import a_quick_world, finish
from tests.service.world import (
    API_KEY,
    APIKLEY_MODEL,
    CALLERS,
    LIMITS,
    World,
    a_pair,
    a_reachable_world,
    a_world,
    created,
    keep,
    polls,
    record,
    scripted,
    soon,
    submits,
)

pytestmark = pytest.mark.anyio

SERVERLESS = {"TASKWEIR_MODE": "serverless"}
UNREACHED = SERVERLESS | {"TASKWEIR_PUBLIC_URL": ""}  # no callbacks: everything is polled
# For those who hang until they are cut: their own limits are far away.
PATIENT = replace(
    LIMITS,
    submit=SubmitLimits(deadline_s=30.0),
    poll=PollLimits(deadline_s=30.0),
    delivery=DeliveryLimits(deadline_s=30.0, lease_s=60.0),
)
REQUESTS: list[dict[str, Any]] = [
    {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}},
    {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda [fail]"}},
    {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda [no-callback]"}},
    {"provider": "reelbyte", "model": "m", "input": {"mediaType": "video", "provider": "replicate", "prompt": "x y z"}},
    {"provider": "reve2img", "model": "kling3-pro-text-to-video", "input": {"prompt": "a red panda"}},
    {"provider": "reve2img", "model": "reve-2.0", "input": {"prompt": "a red panda"}},
    {"provider": "reapi", "model": "doubao-seedance-2.0-face", "input": {"prompt": "a red panda"}},
]


async def bodies(world: World) -> list[Any]:
    """What one call of all that come at the same minute is answered with."""
    return await asyncio.gather(*(world.tick() for _ in range(CALLERS)))


async def later(world: World, **fields: Any) -> dict[str, Any]:
    """A task that its caller did not wait for: the heartbeat hands it over."""
    body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}, **fields}
    answer = await world.api.post("/v1/tasks", json=body, headers={"prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    task: dict[str, Any] = answer.json()
    return task


# The main job


@pytest.fixture
async def sandbox() -> AsyncIterator[str]:
    async with running(create_app(finish_after_s=0.02)) as url:
        yield url


async def test_the_main_job(sandbox: str, tmp_path: Path) -> None:
    """Four providers, each minute five callers: every task ends, every event is signed at the sink and in the log."""
    async with (
        a_consumer() as consumer,
        a_reachable_world(tmp_path, base_url=sandbox, **SERVERLESS) as world,
    ):
        made = await world.destination(consumer.url, event_types=["task.*"])
        body = {"type": "sqlite", "name": "log", "event_types": ["task.*"]}
        assert (await world.api.post("/v1/destinations", json=body)).status_code == 201
        tasks = [await world.submit(**request) for request in REQUESTS]
        tasks += [await later(world, **request) for request in REQUESTS]

        async def settled() -> bool:
            open_ = [task for task in tasks if (await world.task(task["id"]))["status"] not in ("succeeded", "failed")]
            return not open_ and not await world.deliveries(state="pending")

        await world.until(settled, step_s=60, most=30)
        statuses = Counter([(await world.task(task["id"]))["status"] for task in tasks])
        assert statuses == {"succeeded": 12, "failed": 2}
        events = await world.events()
        ends = [event["data"]["task"]["id"] for event in events if event["type"] in ("task.succeeded", "task.failed")]
        assert sorted(ends) == sorted(task["id"] for task in tasks)
        consumer.verify(made["secret"])
        assert sorted(consumer.ids) == sorted(event["id"] for event in events)
        assert sorted(row["id"] for row in logged(tmp_path)) == sorted(event["id"] for event in events)


# What the loops do beside that


async def test_what_nobody_handed_over_ends_at_its_deadline(tmp_path: Path) -> None:
    """Queued while its provider is paused, it expires on time."""
    async with a_world(tmp_path, **SERVERLESS) as world:
        await world.api.post("/v1/providers/apikley/pause")
        task = await world.submit(deadline_seconds=90)
        assert task["status"] == "queued"
        await world.turn(89)
        assert (await world.task(task["id"]))["status"] == "queued"
        await world.turn(1)
        assert (await world.task(task["id"]))["status"] == "expired"


async def test_what_a_process_left_behind_is_taken_up(tmp_path: Path) -> None:
    """Leases that lapsed: a handover is in doubt, a poll and a delivery are made."""
    async with (
        scripted(record("success", "p2")) as apikley,
        a_consumer() as consumer,
        a_pair(tmp_path, apikley, **UNREACHED) as world,
    ):
        await world.destination(consumer.url)
        begun = a_task(id="task_1", status=Status.SUBMITTING, created_at=NOW)
        asked = a_task(id="task_2", provider_task_id="p2")
        lease = {"due_at": NOW + MINUTE, "owner": "own_of_the_dead"}
        await keep(world, begun, a_timer(work=Work.SUBMIT, **lease))
        await keep(world, asked, a_timer(task_id="task_2", **lease))
        assert await world.tick() == {
            "submitted": 0,
            "polled": 0,
            "delivered": 0,
            "next_due_at": formats.timestamp(NOW + MINUTE),
        }
        await world.turn(60)
        assert (await world.task("task_1"))["status"] == "unconfirmed"
        assert (await world.task("task_2"))["status"] == "succeeded"
        assert sorted(event["type"] for event in consumer.events) == ["task.succeeded", "task.unconfirmed"]


async def test_history_ends_after_its_days(tmp_path: Path) -> None:
    """Retention is a part of it: what ended long ago is gone, and the rows of logs that have an end."""
    async with a_quick_world(tmp_path, TASKWEIR_RETENTION_DAYS="1", **SERVERLESS) as world:
        body = {"type": "sqlite", "name": "log", "retention_days": 1}
        assert (await world.api.post("/v1/destinations", json=body)).status_code == 201
        task_id = await finish(world)
        await world.turn()
        assert len(logged(tmp_path)) == 1
        await world.turn(2 * DAY / 1000)
        await world.turn()
        assert (await world.api.get(f"/v1/tasks/{task_id}")).status_code == 404
        assert (await world.events(), logged(tmp_path)) == ([], [])


async def test_a_paused_provider_is_probed_and_resumed(tmp_path: Path) -> None:
    """Five polls that nobody answers pause it; at its time one is tried, and operators hear of both."""
    async with AsyncExitStack() as up, a_consumer() as consumer:
        apikley = await up.enter_async_context(scripted(created(), record("waiting")))
        async with a_pair(tmp_path, apikley, **UNREACHED) as world:
            await world.destination(consumer.url, event_types=["provider.paused", "provider.resumed"])
            await world.submit(deadline_seconds=86_400)
            apikley.say("close")

            async def told() -> bool:
                return len(consumer.events) == 1

            await world.until(told, step_s=60)
            apikley.say(record("waiting"))
            await world.turn(60)
            await world.turn(60)
            assert [event["type"] for event in consumer.events] == ["provider.paused", "provider.resumed"]


async def test_a_failing_destination_is_held_probed_and_recovers(tmp_path: Path) -> None:
    """Its queue waits without burning attempts; a probe after a minute, and what was held goes out."""
    async with a_consumer(500) as consumer, a_quick_world(tmp_path, **SERVERLESS) as world:
        await world.destination(consumer.url)
        for _ in range(5):
            await finish(world)
        await world.turn()
        assert len(consumer.ids) == 5
        await world.turn(30)
        assert len(consumer.ids) == 5
        consumer.answers.append(204)
        consumer.answers.popleft()
        await world.turn(30)
        await world.turn()
        assert len(set(consumer.ids)) == 5
        assert len(await world.deliveries(state="delivered")) >= 1
        await world.turn(400)
        assert len(await world.deliveries(state="delivered")) == 5


# Five at once


async def test_five_callers_do_each_thing_once(tmp_path: Path) -> None:
    """Forty tasks: forty submits, forty polls, forty webhooks, and their answers add up to that."""
    answers = [created(f"p{number}") for number in range(40)]
    async with (
        a_consumer() as consumer,
        scripted(*answers, record("waiting")) as apikley,
        a_pair(tmp_path, apikley, **UNREACHED) as world,
    ):
        await world.destination(consumer.url, event_types=["task.submitted"])
        for _ in range(40):
            await later(world)
        assert apikley.lines == []
        told = await bodies(world)
        assert (submits(apikley), polls(apikley)) == (40, 0)
        world.clock.advance(60)
        told += await bodies(world)
        assert (submits(apikley), polls(apikley)) == (40, 40)
        assert len(consumer.ids) == len(set(consumer.ids)) == 40
        sums = {name: sum(each[name] for each in told) for name in ("submitted", "polled", "delivered")}
        assert sums == {"submitted": 40, "polled": 40, "delivered": 40}


async def test_five_callers_of_two_replicas_do_each_thing_once(tmp_path: Path, postgres_url: str) -> None:
    """The same on PostgreSQL, five at each of two processes."""
    fields: Any = UNREACHED | {"TASKWEIR_DATABASE_URL": postgres_url}
    answers = [created(f"p{number}") for number in range(40)]
    async with (
        a_consumer() as consumer,
        scripted(*answers, record("waiting")) as apikley,
        a_pair(tmp_path, apikley, **fields) as one,
        a_pair(tmp_path, apikley, **fields) as other,
    ):
        await one.destination(consumer.url, event_types=["task.submitted"])
        for _ in range(40):
            await later(one)
        told = await asyncio.gather(bodies(one), bodies(other))
        for world in (one, other):
            world.clock.advance(60)
        told += await asyncio.gather(bodies(one), bodies(other))
        await one.tick()
        assert (submits(apikley), polls(apikley)) == (40, 40)
        assert len(consumer.ids) == len(set(consumer.ids)) == 40
        sums = {name: sum(each[name] for calls in told for each in calls) for name in ("submitted", "polled")}
        assert sums == {"submitted": 40, "polled": 40}


async def test_beside_a_servers_own_loops(tmp_path: Path) -> None:
    """Where these run, a heartbeat takes part, and nothing is done twice."""
    answers = [created(f"p{number}") for number in range(20)]
    async with (
        a_consumer() as consumer,
        scripted(*answers, record("waiting")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world,
    ):
        await world.destination(consumer.url, event_types=["task.submitted"])
        world.service.start_loops()
        for _ in range(20):
            await later(world)
        await bodies(world)
        await soon(lambda: len(consumer.ids) >= 20)
        assert submits(apikley) == 20
        assert len(set(consumer.ids)) == len(consumer.ids) == 20


# The budget


async def test_a_poll_that_is_cut_says_nothing(tmp_path: Path) -> None:
    """A provider that hangs: the call is answered when its time is over, and nothing is held against anybody."""
    async with scripted(created(), "hang") as apikley, a_pair(tmp_path, apikley, limits=PATIENT, **UNREACHED) as world:
        task = await world.submit()
        before = await world.story(task["id"])
        world.clock.advance(60)
        began = time.monotonic()
        ticked = await world.tick(1500)
        assert 1.0 < time.monotonic() - began < 3.5
        assert (ticked["polled"], polls(apikley)) == (0, 1)
        assert ticked["next_due_at"] == formats.timestamp(world.clock.now())
        timer = await world.service.storage.read(lambda store: store.timer(task["id"]))
        assert timer is not None
        assert (timer.tries, timer.owner, timer.due_at) == (0, None, world.clock.now())
        standing = await world.service.storage.read(lambda store: store.standing("apikley"))
        assert (standing.failed, await world.story(task["id"])) == (0, before)
        apikley.say(record("success"))
        assert (await world.tick())["polled"] == 1
        assert (await world.task(task["id"]))["status"] == "succeeded"


async def test_a_delivery_that_is_cut_burns_no_attempt(tmp_path: Path) -> None:
    """A destination that hangs beyond the budget: it waits as before, and goes out with the next call."""
    async with a_gated_consumer() as consumer, a_quick_world(tmp_path, limits=PATIENT, **SERVERLESS) as world:
        await world.destination(consumer.url)
        await finish(world)
        began = time.monotonic()
        ticked = await world.tick(1500)
        assert 1.0 < time.monotonic() - began < 3.5
        assert (ticked["delivered"], len(consumer.ids)) == (0, 1)
        [waiting] = await world.deliveries(state="pending")
        assert (waiting["attempts"], waiting["next_attempt_at"]) == (0, formats.timestamp(world.clock.now()))
        assert (await world.api.get(f"/v1/deliveries/{waiting['id']}")).json()["attempt_log"] == []
        [fares] = await world.service.storage.read(lambda store: store.owed())
        assert fares.failures == 0
        again = asyncio.ensure_future(world.tick(5000))
        await consumer.arrived(2)
        consumer.answer(204)
        assert (await again)["delivered"] == 1
        [delivery] = await world.deliveries(state="delivered")
        assert (delivery["attempts"], len(set(consumer.ids))) == (1, 1)


async def test_a_submit_starts_only_with_its_whole_limit_left(tmp_path: Path) -> None:
    """Its answer is waited for, or it is not sent."""
    limits = replace(LIMITS, submit=SubmitLimits(deadline_s=3.0))
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley, limits=limits, **SERVERLESS) as world:
        task = await later(world)
        ticked = await world.tick(2900)
        assert (ticked["submitted"], submits(apikley)) == (0, 0)
        assert ticked["next_due_at"] == task["created_at"]
        assert (await world.task(task["id"]))["status"] == "queued"
        assert (await world.tick())["submitted"] == 1
        assert (await world.task(task["id"]))["status"] == "submitted"


async def test_no_time_is_time_to_look(tmp_path: Path) -> None:
    """A budget of nothing does nothing, and tells when something is due."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley, **SERVERLESS) as world:
        task = await later(world)
        ticked = await world.tick(0)
        assert ticked == {"submitted": 0, "polled": 0, "delivered": 0, "next_due_at": task["created_at"]}
        assert apikley.lines == []


async def test_a_rate_is_waited_for_within_the_budget(tmp_path: Path) -> None:
    """What is due and may go out in a moment does not wait for the next call."""
    fields: Any = UNREACHED | {"TASKWEIR_APIKLEY_RATE": "10"}
    async with (
        scripted(*(created(f"p{number}") for number in range(30))) as apikley,
        a_pair(tmp_path, apikley, **fields) as world,
    ):
        for _ in range(11):
            await later(world)
        pending = asyncio.ensure_future(world.tick(4000))
        await soon(lambda: submits(apikley) == 10)  # a second's worth was in hand
        world.clock.advance(1)
        assert (await pending)["submitted"] == 11


# When more is due


async def test_nothing_is_due_where_nothing_waits(tmp_path: Path) -> None:
    """Null: whoever calls by the clock may leave us alone until somebody else calls."""
    async with a_quick_world(tmp_path, **SERVERLESS) as world:
        assert (await world.tick())["next_due_at"] is None
        await finish(world)
        assert (await world.tick())["next_due_at"] is None


async def test_what_is_due_next_is_told(tmp_path: Path) -> None:
    """The next poll, the end of what nobody took, the next attempt, a provider's probe: whatever comes first."""
    async with (
        scripted(created(), record("waiting")) as apikley,
        a_consumer(500) as consumer,
        a_pair(tmp_path, apikley, **SERVERLESS) as world,
    ):
        task = await world.submit()
        assert (await world.tick())["next_due_at"] == task["waiting_for"]["next_at"]
        await world.api.post("/v1/providers/apikley/pause")
        ends = (await world.submit(deadline_seconds=1))["deadline_at"]
        assert (await world.tick())["next_due_at"] == ends
        await world.destination(consumer.url, event_types=["task.expired"])
        world.clock.advance(1)
        due_at = (await world.tick())["next_due_at"]
        [waiting] = await world.deliveries(state="pending")
        assert (waiting["attempts"], waiting["next_attempt_at"]) == (1, due_at)


async def test_a_providers_wait_is_told(tmp_path: Path) -> None:
    """Nothing is due before `Retry-After` is over."""
    full = (429, {"code": 429, "msg": "slow", "data": None}, {"retry-after": "120"})
    async with scripted(created(), full) as apikley, a_pair(tmp_path, apikley, **UNREACHED) as world:
        await world.submit()
        world.clock.advance(60)
        due_at = formats.time_of((await world.tick())["next_due_at"])
        assert due_at >= world.clock.now() + 120_000


async def test_a_probe_is_what_is_due_of_a_paused_provider(tmp_path: Path) -> None:
    """Its polls wait for that, and so do its submits."""
    async with scripted(created(), "close") as apikley, a_pair(tmp_path, apikley, **UNREACHED) as world:
        await world.submit(deadline_seconds=86_400)

        async def paused() -> bool:
            standing = await world.service.storage.read(lambda store: store.standing("apikley"))
            return standing.paused is not None

        await world.until(paused, step_s=60)
        standing = await world.service.storage.read(lambda store: store.standing("apikley"))
        assert standing.probe_at is not None
        assert (await world.tick())["next_due_at"] == formats.timestamp(standing.probe_at)


# Who may call


@pytest.mark.parametrize("mode", ["server", "serverless"])
async def test_who_may_call(tmp_path: Path, mode: str) -> None:
    """The root key and the secret of whoever calls by the clock, by GET and by POST; nobody else."""
    fields: Any = {"TASKWEIR_MODE": mode, "TASKWEIR_CRON_SECRET": "every-minute-0123"}
    async with a_world(tmp_path, **fields) as world:
        for method in ("GET", "POST"):
            for key, status in ((API_KEY, 200), ("every-minute-0123", 200), ("every-minute-0124", 401), ("", 401)):
                answer = await world.api.request(
                    method, "/internal/tick?budget_ms=100", headers={"authorization": f"Bearer {key}"}
                )
                assert (method, key, answer.status_code) == (method, key, status)
            answer = await world.api.request(method, "/internal/tick", headers={"authorization": "Basic x"})
            assert answer.status_code == 401
        clock = {"authorization": "Bearer every-minute-0123"}
        for path in ("/v1/tasks", "/v1/me"):
            assert (await world.api.get(path, headers=clock)).status_code == 401
        assert (await world.api.post("/internal/rotate-secrets", headers=clock)).status_code == 401
        assert (await world.api.post("/internal/tick?budget_ms=100", json={"any": "thing"})).status_code == 200
        assert (await world.api.get("/internal/tick?budget_ms=x")).status_code == 422


async def test_without_a_secret_only_the_root_key(tmp_path: Path) -> None:
    """An unset secret is no secret: nothing equals it."""
    async with a_world(tmp_path, **SERVERLESS) as world:
        for key in ("", "None"):
            answer = await world.api.get("/internal/tick", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 401


async def test_a_store_that_fails_is_told(tmp_path: Path) -> None:
    """Whoever calls by the clock hears that not all was done."""
    async with a_world(tmp_path, **SERVERLESS) as world:
        await world.service.storage.close()
        assert (await world.api.post("/internal/tick?budget_ms=500")).status_code == 503

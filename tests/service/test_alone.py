"""Serverless: a request does what it must before it is answered, and nothing is under way after that."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.delivery import DeliveryLimits
from receiver.poller import PollLimits
from receiver.submit import SubmitLimits
from tests.service.consumer import a_consumer, a_gated_consumer
from tests.service.test_heartbeat import PATIENT, SERVERLESS, UNREACHED, later
from tests.service.world import (
    LIMITS,
    World,
    a_pair,
    created,
    polls,
    record,
    ring,
    scripted,
    soon,
    submits,
)

pytestmark = pytest.mark.anyio

DONE = record("success")[1]


def under_way(world: World) -> int:
    """What goes on in this process beside the requests that it answers."""
    return sum(worker.crew.total for worker in (world.service.submitter, world.service.poller, world.service.courier))


async def test_a_callback_polls_and_delivers_before_its_answer(tmp_path: Path) -> None:
    """No heartbeat comes: the provider is asked, and the webhook is there when the provider hears our 200."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_consumer() as consumer,
        a_pair(tmp_path, apikley, **SERVERLESS) as world,
    ):
        made = await world.destination(consumer.url)
        task = await world.submit()
        await ring(world, task["id"], DONE)
        assert [event["type"] for event in consumer.events] == ["task.succeeded"]
        consumer.verify(made["secret"])
        assert (polls(apikley), under_way(world)) == (1, 0)
        [delivery] = await world.deliveries()
        assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)
        assert (await world.tick())["next_due_at"] is None


async def test_a_callback_answers_within_five_seconds_of_a_provider_that_hangs(tmp_path: Path) -> None:
    """Its poll is cut, counts for nothing, and is the heartbeat's."""
    async with (
        scripted(created(), "hang") as apikley,
        a_pair(tmp_path, apikley, limits=PATIENT, **SERVERLESS) as world,
    ):
        task = await world.submit()
        began = time.monotonic()
        await ring(world, task["id"], DONE)
        assert 3.0 < time.monotonic() - began < 5.0
        timer = await world.service.storage.read(lambda store: store.timer(task["id"]))
        assert timer is not None
        assert (timer.tries, timer.owner, timer.due_at) == (0, None, world.clock.now())
        apikley.say(record("success"))
        assert (await world.tick())["polled"] == 1
        assert await world.types(task["id"]) == ["submitted", "succeeded"]


async def test_a_callback_answers_within_five_seconds_of_a_destination_that_hangs(tmp_path: Path) -> None:
    """Its first attempt is cut, and burnt nothing."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_gated_consumer() as consumer,
        a_pair(tmp_path, apikley, limits=PATIENT, **SERVERLESS) as world,
    ):
        await world.destination(consumer.url)
        task = await world.submit()
        began = time.monotonic()
        await ring(world, task["id"], DONE)
        assert 3.0 < time.monotonic() - began < 5.0
        [waiting] = await world.deliveries(state="pending")
        assert (len(consumer.ids), waiting["attempts"], under_way(world)) == (1, 0, 0)


async def test_a_callback_does_its_own_tasks_work_only(tmp_path: Path) -> None:
    """Another task's poll is due, and its webhook: they are the heartbeat's, whoever calls before it."""
    async with (
        scripted(created("p1"), created("p2"), record("success", "p2"), record("success", "p1")) as apikley,
        a_consumer(500, 204) as consumer,
        a_pair(tmp_path, apikley, **SERVERLESS) as world,
    ):
        await world.destination(consumer.url, event_types=["task.*"])
        waiting, rung = await world.submit(), await world.submit()
        world.clock.advance(100)
        await ring(world, rung["id"], record("success", "p2")[1])
        assert (polls(apikley), (await world.task(waiting["id"]))["status"]) == (1, "submitted")
        assert {event["data"]["task"]["id"] for event in consumer.events} == {rung["id"]}
        await world.tick()
        assert (await world.task(waiting["id"]))["status"] == "succeeded"


async def test_the_same_callback_again_adds_nothing(tmp_path: Path) -> None:
    """One poll, one webhook, however often it comes at once."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_consumer() as consumer,
        a_pair(tmp_path, apikley, **SERVERLESS) as world,
    ):
        await world.destination(consumer.url)
        task = await world.submit()
        await asyncio.gather(*(ring(world, task["id"], DONE) for _ in range(10)))
        assert (polls(apikley), len(consumer.ids)) == (1, 1)


async def test_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    """The same way of one task, where others work on the database as well: who rests leaves its part at once."""
    fields: Any = SERVERLESS | {"TASKWEIR_DATABASE_URL": postgres_url}
    async with (
        scripted(created(), record("success")) as apikley,
        a_consumer() as consumer,
        a_pair(tmp_path, apikley, **fields) as world,
        a_pair(tmp_path, apikley, **fields) as other,
    ):
        await other.tick()
        await world.destination(consumer.url)
        task = await other.submit()
        await ring(world, task["id"], DONE)
        assert [event["type"] for event in consumer.events] == ["task.succeeded"]
        assert (polls(apikley), under_way(world)) == (1, 0)
        assert (await other.tick())["next_due_at"] is None


async def test_a_submit_is_handed_over_before_its_answer(tmp_path: Path) -> None:
    """However long its provider takes, up to the limit: 201, or in doubt, never on its way."""
    limits = replace(LIMITS, submit=SubmitLimits(deadline_s=1.0), answer_within_s=0.2)
    answered = asyncio.Event()
    async with (
        scripted(answered, created(), "hang") as apikley,
        a_pair(tmp_path, apikley, limits=limits, **SERVERLESS) as world,
    ):
        pending = asyncio.ensure_future(world.submit())
        await soon(lambda: submits(apikley) == 1)
        answered.set()
        assert (await pending)["status"] == "submitted"
        assert under_way(world) == 0
        slow = await world.submit()
        assert (under_way(world), slow["status"]) == (0, "unconfirmed")


async def test_a_handover_is_never_cut(tmp_path: Path) -> None:
    """It has its own limit, beyond what a request polls and delivers in: cut off it would be in doubt for our sake."""
    limits = replace(LIMITS, submit=SubmitLimits(deadline_s=5.0))
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley, limits=limits, **SERVERLESS) as world:
        began = time.monotonic()
        task = await world.submit()
        assert time.monotonic() - began >= 5.0
        assert (task["status"], submits(apikley), under_way(world)) == ("unconfirmed", 1, 0)
        assert "within 5 s" in task["error"]["message"]


async def test_who_does_not_wait_leaves_it_to_the_heartbeat(tmp_path: Path) -> None:
    """`respond-async`: recorded, and not begun, for nothing goes on after the answer."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley, **SERVERLESS) as world:
        task = await later(world)
        assert (task["status"], apikley.lines, under_way(world)) == ("queued", [], 0)
        assert (await world.tick())["submitted"] == 1
        assert await world.types(task["id"]) == ["submitted"]


async def test_who_finds_no_place_is_answered_at_once(tmp_path: Path) -> None:
    """Beyond what may be handed over at once a task waits for the heartbeat, not its caller."""
    answered = asyncio.Event()
    async with (
        scripted(*[answered] * 5, *(created(f"p{number}") for number in range(9))) as apikley,
        a_pair(tmp_path, apikley, limits=PATIENT, **SERVERLESS) as world,
    ):
        pending = [asyncio.ensure_future(world.submit()) for _ in range(5)]
        await soon(lambda: submits(apikley) == 5)
        assert (await world.submit())["status"] == "queued"
        answered.set()
        assert {task["status"] for task in await asyncio.gather(*pending)} == {"submitted"}


async def test_refresh_asks_before_its_answer(tmp_path: Path) -> None:
    """Poll now means now."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley, **UNREACHED) as world:
        task = await world.submit()
        answer = await world.api.post(f"/v1/tasks/{task['id']}/refresh")
        assert (answer.json()["status"], polls(apikley)) == ("running", 1)


async def test_nothing_works_by_itself(tmp_path: Path) -> None:
    """No loop runs: ready all the same, and what is due waits for whoever calls."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley, **UNREACHED) as world:
        world.service.start_loops()
        task = await world.submit()
        world.clock.advance(60)
        ready = await world.api.get("/health/ready")
        assert (ready.status_code, ready.json()["loops"]["poll"]["oldest_due_s"] > 0) == (200, True)
        assert (polls(apikley), (await world.task(task["id"]))["status"]) == (0, "submitted")


async def test_no_connection_outlives_a_request(tmp_path: Path) -> None:
    """The process may be stopped for an hour: what was a good connection before might swallow a submit."""
    async with scripted(created("p1"), created("p2")) as apikley, a_pair(tmp_path, apikley, **SERVERLESS) as world:
        await world.submit()
        await world.submit()
        assert (submits(apikley), apikley.seen.connections) == (2, 2)


async def test_what_waits_for_its_turn_is_given_back(tmp_path: Path) -> None:
    """Claimed by the batch, cut off by the budget: all of it is due at once, none was tried, none is kept."""
    limits = replace(PATIENT, delivery=DeliveryLimits(deadline_s=30.0, lease_s=60.0, in_flight=2))
    limits = replace(limits, poll=PollLimits(deadline_s=0.8))
    async with (
        scripted(*(created(f"p{number}") for number in range(9))) as apikley,
        a_gated_consumer() as consumer,
        a_pair(tmp_path, apikley, limits=limits, **SERVERLESS) as world,
    ):
        await world.destination(consumer.url, event_types=["task.submitted"])
        for _ in range(6):
            await world.submit()
        await world.tick(1500)
        waiting = await world.deliveries(state="pending")
        assert [each["attempts"] for each in waiting] == [0] * 6
        owed = await world.service.storage.read(lambda store: [each.next_due_at for each in store.owed()])
        assert owed == [world.clock.now()]
        assert under_way(world) == 0

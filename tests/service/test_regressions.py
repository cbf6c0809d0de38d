"""Bugs that were found once: a task that was paid for keeps its id, is not paid for twice, and ends truly."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Status
from tests.logs import capture_logs
from tests.make import a_task
from tests.service.asking import everything, holds
from tests.service.engines import looks_into_the_file
from tests.service.tenants import a_holder
from tests.service.world import (
    APIKLEY_MODEL,
    UNKNOWN_TASK,
    Scripted,
    World,
    a_pair,
    a_world,
    created,
    held_writes,
    keep,
    record,
    ring,
    scripted,
    soon,
    submits,
)

pytestmark = pytest.mark.anyio

BODY = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
BUSY = (200, {"code": 429, "msg": "slow down"})
REFUSED = (200, {"code": 501, "msg": "generation failed", "data": None})
FORGED = "https://evil.example/forged.mp4"
KEY = "provider-key"  # the world's own


def done(task_id: str = "p1", **fields: Any) -> Any:
    """The body of a callback that claims success."""
    return record("success", task_id, **fields)[1]


async def under_way(world: World, apikley: Scripted) -> str:
    """A task whose submit has arrived at its provider, which has not answered yet."""
    answer = await world.api.post("/v1/tasks", json=BODY, headers={"prefer": "respond-async"})
    await soon(lambda: bool(apikley.lines))
    task_id: str = answer.json()["id"]
    return task_id


@asynccontextmanager
async def somebody_elses_lock(world: World, directory: Path) -> AsyncIterator[None]:
    """Every write is refused in here, at once: another program holds the file."""
    await world.service.storage.write(lambda store: store.execute("PRAGMA busy_timeout = 0", {}))  # type: ignore[attr-defined] # SQLite's own
    with closing(sqlite3.connect(directory / "taskweir.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_callback_on_a_queued_task_stops_its_resubmission(tmp_path: Path) -> None:
    """The provider said 429 and created it all the same: its callback names the task, which is not paid for twice."""
    async with scripted(BUSY, created("p2")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert task["status"] == "queued"
        await ring(world, task["id"], done("p1"))
        apikley.say(record("success", "p1"))
        for _ in range(5):
            await world.turn(60)
        ended = await world.task(task["id"])
        assert (ended["status"], ended["provider_task_id"], submits(apikley)) == ("succeeded", "p1", 1)


@pytest.mark.parametrize("answer", [BUSY, REFUSED], ids=["429", "refused"])
async def test_a_task_that_a_callback_named_during_its_submit_exists(tmp_path: Path, answer: Any) -> None:
    """Whatever the submit is answered then: nothing is sent again, and the provider is asked how it stands."""
    go = asyncio.Event()
    async with scripted(go, answer, record("success", "p1")) as apikley, a_pair(tmp_path, apikley) as world:
        task_id = await under_way(world, apikley)
        await ring(world, task_id, done("p1"))
        go.set()
        await world.service.submitter.crew.drain()
        for _ in range(10):
            await world.turn(60)
        ended = await world.task(task_id)
        assert (ended["status"], ended["provider_task_id"], submits(apikley)) == ("succeeded", "p1", 1)


async def test_the_submits_answer_outweighs_a_callback(tmp_path: Path) -> None:
    """A leaked URL named another id while the submit was under way: the provider's own answer is believed."""
    go = asyncio.Event()
    async with scripted(go, created("real"), record("success", "real")) as apikley, a_pair(tmp_path, apikley) as world:
        task_id = await under_way(world, apikley)
        await ring(world, task_id, done("forged"))
        go.set()
        await world.service.submitter.crew.drain()
        ended = await world.end(task_id, step_s=5)
        assert (ended["status"], ended["provider_task_id"]) == ("succeeded", "real")
        assert all("real" in line for line in apikley.lines if line.startswith("GET"))


async def test_a_late_callback_on_an_expired_unconfirmed_task_is_asked_about(tmp_path: Path) -> None:
    """Our verdict, not the provider's: it may be followed by the truth, once somebody names the task."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=600)
        await world.turn(601)
        assert (await world.task(task["id"]))["status"] == "expired"
        apikley.say(record("success", "p9"))
        await ring(world, task["id"], done("p9"))
        for _ in range(5):
            await world.turn(60)
        ended = await world.task(task["id"])
        assert (ended["status"], ended["provider_task_id"]) == ("succeeded", "p9")


@pytest.mark.parametrize("claims", ["success", "fail"])
async def test_a_claim_about_another_task_is_passed_over(tmp_path: Path, claims: str) -> None:
    """Newer though it is: where nobody could be asked until the deadline, the newest claim about this task counts."""
    async with scripted(created(), "close") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=600)
        await ring(world, task["id"], record("fail", "p1", failMsg="mine")[1])
        world.clock.advance(1)
        foreign = record(claims, "other", failMsg="theirs")[1]
        foreign["data"] |= {"resultJson": json.dumps({"resultUrls": [FORGED]})}
        await ring(world, task["id"], foreign)
        for _ in range(10):
            await world.turn(300)
        ended = await world.task(task["id"])
        assert (ended["status"], ended["outputs"], ended["error"]["message"]) == ("failed", [], "mine")


@looks_into_the_file
async def test_an_answer_that_cannot_be_committed_is_kept_until_it_can(tmp_path: Path) -> None:
    """The store fails right after the provider took the task: its id, which was paid for, is not lost."""
    go = asyncio.Event()
    async with scripted(go, created()) as apikley, a_pair(tmp_path, apikley) as world:
        task_id = await under_way(world, apikley)
        async with somebody_elses_lock(world, tmp_path):
            with capture_logs() as lines:
                go.set()
                await soon(lambda: any(line["event"] == "answer.waits" for line in lines))
            assert (await world.task(task_id))["status"] == "submitting"
        await world.service.submitter.crew.drain()
        task = await world.task(task_id)
        assert (task["status"], task["provider_task_id"], submits(apikley)) == ("submitted", "p1", 1)


async def test_a_caller_that_leaves_during_the_commit_does_not_cut_off_the_handover(tmp_path: Path) -> None:
    """What was recorded as being handed over is: else it would be in doubt without ever having been sent."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        async with held_writes(world) as waiting:
            asking = asyncio.ensure_future(world.service.submitter.accept(a_task(status=Status.SUBMITTING)))
            await waiting(1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await soon(lambda: bool(apikley.lines))
        await world.service.submitter.crew.drain()
        await world.turn(61)
        assert ((await world.task("task_1"))["status"], submits(apikley)) == ("submitted", 1)


async def test_an_answer_over_64_kib_is_read(tmp_path: Path) -> None:
    """It may echo the whole input."""
    big = record("success", param=json.dumps({"input": {"prompt": "x" * 200_000}}))
    async with scripted(created(), big) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await world.turn(120)
        assert (await world.task(task["id"]))["status"] == "succeeded"


async def test_a_poll_asked_before_the_deadline_does_not_expire_the_task(tmp_path: Path) -> None:
    """Its answer came after it, and tells how the task stood before: one more poll is made."""
    go = asyncio.Event()
    async with scripted(created(), go, record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=100)
        world.clock.advance(91)
        await world.service.poller.run_once()
        await soon(lambda: len(apikley.lines) == 2)
        world.clock.advance(10)
        go.set()
        await world.service.poller.crew.drain()
        assert (await world.task(task["id"]))["status"] == "running"
        await world.turn(60)
        assert (await world.task(task["id"]))["status"] == "expired"


async def test_a_queued_task_says_why(tmp_path: Path) -> None:
    """In the provider's own words, on the task and in what it waits for."""
    reply = (200, {"code": 455, "msg": "maintenance until noon"})
    async with scripted(reply) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert task["status"] == "queued"
        assert task["error"]["message"] == "maintenance until noon"
        assert "maintenance until noon" in task["waiting_for"]["text"]


async def test_a_callback_of_a_removed_provider_is_kept(tmp_path: Path) -> None:
    """200, and its body is there once the provider is configured again; the task is asked about then."""
    async with scripted(created(), record("success")) as apikley:
        async with a_pair(tmp_path, apikley) as world:
            task = await world.submit()
            path, clock = await world.callback_url(task["id"]), world.clock
        async with a_world(tmp_path, clock=clock, TASKWEIR_APIKLEY_API_KEY="") as world:
            assert "apikley" not in world.service.doors.providers
            assert (await world.api.post(path, json=done())).status_code == 200
            kept = await world.service.storage.read(lambda store: store.callbacks(task["id"]))
            assert [json.loads(body) for body in kept] == [done()]
            await world.turn(60)
            assert (await world.task(task["id"]))["status"] == "submitted"
        async with a_pair(tmp_path, apikley, clock=clock) as world:
            await world.turn()
            assert (await world.task(task["id"]))["status"] == "succeeded"


async def test_no_token_stays_in_results_or_ids(tmp_path: Path) -> None:
    """A provider that hosts its results under our own callback URL, or names a task by its token, tells it nobody."""
    async with (
        scripted("hang") as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST="token") as world,
    ):
        task = await world.submit()
        path = await world.callback_url(task["id"])
        token = path.rsplit("/", 1)[1]
        result = json.dumps({"resultUrls": [f"https://files.example{path}"]})
        await ring(world, task["id"], done(token, resultJson=result))
        ended = await world.task(task["id"])
        assert (ended["status"], len(ended["outputs"])) == ("succeeded", 1)
        assert token not in json.dumps([ended, await world.events(), await world.story(task["id"])])
        assert holds(everything(tmp_path), token) == []


async def test_no_key_stays_in_results_ids_or_bodies(tmp_path: Path) -> None:
    """A provider that echoes our key everywhere."""
    result = json.dumps({"resultUrls": [f"https://files.example/{KEY}.mp4"]})
    echo = record("success", KEY, resultJson=result, failMsg=KEY)
    async with scripted(created(KEY), echo) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert KEY not in json.dumps(task)
        await ring(world, task["id"], echo[1])
        await world.turn(60)
        assert len(everything(tmp_path)["inbox"]) == 1
        ended = await world.task(task["id"])
        assert (ended["status"], len(ended["outputs"])) == ("succeeded", 1)
        assert KEY not in json.dumps([ended, await world.events(), await world.story(task["id"])])
        assert holds(everything(tmp_path), KEY) == []


@pytest.mark.parametrize("query", ["", "?wait=1"])
async def test_anothers_task_is_refused_under_the_name_it_was_asked_by(tmp_path: Path, query: str) -> None:
    """`<provider>:<id>` of another tenant: the refusal does not show our own id of it."""

    async with a_world(tmp_path) as world:
        await keep(world, a_task(id="task_secret", tenant="other", provider_task_id="guess"))
        holder = await a_holder(world, "default", "read")
        answer = await holder.ask("GET", f"/v1/tasks/apikley:guess{query}")
        assert (answer.status_code, "apikley:guess" in answer.text) == (404, True)
        assert "task_secret" not in answer.text


async def test_an_id_that_the_provider_does_not_know_is_not_kept_from_a_queued_task(tmp_path: Path) -> None:
    """A leaked URL may name an id that does not exist: after its grace the task is told to have failed, not sent on."""
    async with scripted(BUSY, UNKNOWN_TASK) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await ring(world, task["id"], done("forged"))
        for _ in range(10):
            await world.turn(60)
        ended = await world.task(task["id"])
        assert (ended["status"], ended["error"]["kind"], submits(apikley)) == ("failed", "not_found", 1)

"""What a caller does to one task: cancel, refresh, resolve, each exactly where its state allows it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.domain import Status, Timer, Work
from tests.make import DAY, NOW, a_task
from tests.service.tenants import a_holder
from tests.service.world import World, a_pair, a_world, created, held_writes, keep, record, scripted

pytestmark = pytest.mark.anyio

SLOW_DOWN = (429, {"code": 429, "msg": "slow down"})
FINAL = ("succeeded", "failed", "canceled", "expired")


async def act(world: World, task_id: str, action: str, body: Any = None) -> httpx.Response:
    return await world.api.post(f"/v1/tasks/{task_id}/{action}", **({} if body is None else {"json": body}))


async def submitting(world: World) -> str:
    """A task that is being handed over: its provider holds back the answer."""
    body = {"provider": "apikley", "model": "m", "input": {"prompt": "x"}}
    answer = await world.api.post("/v1/tasks", json=body, headers={"prefer": "respond-async"})
    assert answer.json()["status"] == "submitting"
    task_id: str = answer.json()["id"]
    return task_id


async def told(world: World, task_id: str) -> list[str]:
    """What the task's timeline tells of its caller's actions."""
    items = (await world.api.get(f"/v1/tasks/{task_id}/timeline")).json()["items"]
    return [item["text"] for item in items if item["kind"] == "action"]


async def test_a_queued_task_is_canceled_and_never_handed_over(tmp_path: Path) -> None:
    """At once, by its caller; no request leaves any more."""
    async with scripted(SLOW_DOWN) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        apikley.say(created())
        answer = await act(world, task["id"], "cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
        assert (answer.json()["error"]["kind"], answer.json()["waiting_for"]) == ("canceled", None)
        for _ in range(5):
            await world.turn(3600)
        assert len(apikley.lines) == 1
        [_, last] = await world.events(task["id"])
        assert (last["type"], last["data"]["source"], last["data"]["verified_by"]) == ("task.canceled", "caller", None)


async def test_a_success_after_a_cancel_is_told_late(tmp_path: Path) -> None:
    """The provider cannot be told, the work was paid for: its verdict follows ours once."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert (await act(world, task["id"], "cancel")).json()["status"] == "canceled"
        await world.turn(100)
        events = await world.events(task["id"])
        assert [event["type"] for event in events] == ["task.submitted", "task.canceled", "task.succeeded"]
        assert [event["data"]["late"] for event in events] == [False, False, True]
        after = await world.task(task["id"])
        assert (after["status"], len(after["outputs"]), after["error"]) == ("succeeded", 1, None)
        assert (await act(world, task["id"], "cancel")).status_code == 409


async def test_a_cancel_during_the_handover_waits_for_its_answer(tmp_path: Path) -> None:
    """202; the answer then makes it canceled, the provider's id is kept, and its late verdict is heard."""
    answered = asyncio.Event()
    async with (
        scripted(answered, created(), record("generating"), record("success")) as apikley,
        a_pair(tmp_path, apikley) as world,
    ):
        task_id = await submitting(world)
        for _ in range(2):
            asked = await act(world, task_id, "cancel")
            assert (asked.status_code, asked.json()["status"]) == (202, "submitting")
        assert "canceled" in asked.json()["waiting_for"]["text"]
        answered.set()
        await world.service.submitter.crew.drain()
        task = await world.task(task_id)
        assert (task["status"], task["provider_task_id"]) == ("canceled", "p1")
        assert await world.types(task_id) == ["submitted", "canceled"]
        await world.turn(100)
        await world.turn(100)
        assert await world.types(task_id) == ["submitted", "canceled", "succeeded"]
        assert await told(world, task_id) == ["Its caller cancels it: that holds once the handover is answered."]


@pytest.mark.parametrize(
    ("reply", "types"),
    [
        (SLOW_DOWN, ["canceled"]),
        ((200, {"code": 402, "msg": "no credits", "data": None}), ["failed"]),
        ((200, b""), ["unconfirmed", "canceled"]),
    ],
)
async def test_a_cancel_during_a_handover_that_fails(tmp_path: Path, reply: Any, types: list[str]) -> None:
    """Put off: canceled, and not tried again. Refused: failed it is. In doubt: both are told."""
    answered = asyncio.Event()
    async with scripted(answered, reply, created()) as apikley, a_pair(tmp_path, apikley) as world:
        task_id = await submitting(world)
        await act(world, task_id, "cancel")
        answered.set()
        await world.service.submitter.crew.drain()
        for _ in range(5):
            await world.turn(3600)
        assert (await world.types(task_id), len(apikley.lines)) == (types, 1)


@pytest.mark.parametrize(("first", "code"), [("answer", 200), ("cancel", 202)])
async def test_a_cancel_races_the_answer(tmp_path: Path, first: str, code: int) -> None:
    """Whichever is recorded first, the task is submitted and then canceled, under its provider's id."""
    answered = asyncio.Event()
    async with scripted(answered, created()) as apikley, a_pair(tmp_path, apikley) as world:
        task_id = await submitting(world)
        async with held_writes(world) as waiting:
            if first == "answer":
                answered.set()
                await waiting(1)
            asked = asyncio.ensure_future(act(world, task_id, "cancel"))
            await waiting(1 if first == "cancel" else 2)
            answered.set()
            await waiting(2)
        assert (await asked).status_code == code
        await world.service.submitter.crew.drain()
        assert await world.types(task_id) == ["submitted", "canceled"]
        assert (await world.task(task_id))["provider_task_id"] == "p1"


async def test_a_cancel_in_doubt_may_still_be_followed_by_a_success(tmp_path: Path) -> None:
    """Nobody knew whether the provider took it; its callback tells, and the poll confirms."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert (await act(world, task["id"], "cancel")).json()["status"] == "canceled"
        await world.turn(3600)
        assert len(apikley.lines) == 1
        apikley.say(record("success", "p9"))
        await world.api.post(await world.callback_url(task["id"]), json=record("success", "p9")[1])
        await world.turn()
        assert await world.types(task["id"]) == ["unconfirmed", "canceled", "succeeded"]
        assert (await world.task(task["id"]))["provider_task_id"] == "p9"


async def test_a_cancel_outlives_the_process_that_was_handing_over(tmp_path: Path) -> None:
    """What it asked for is on disk: the next process finds the handover in doubt, and cancels."""
    async with a_world(tmp_path) as world:
        left = a_task(status=Status.SUBMITTING, cancel_asked=True, deadline_at=NOW + DAY)
        await keep(world, left, Timer(task_id=left.id, provider="apikley", work=Work.SUBMIT, due_at=NOW, owner="dead"))
        await world.turn()
        assert await world.types(left.id) == ["unconfirmed", "canceled"]


async def test_a_callback_is_an_answer_too(tmp_path: Path) -> None:
    """Where it alone proves that the provider has the task, a cancel that was asked for holds from then on."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST="token") as world:
        task_id = await submitting(world)
        await act(world, task_id, "cancel")
        await world.api.post(await world.callback_url(task_id), json=record("generating")[1])
        assert await world.types(task_id) == ["submitted", "canceled"]
        await world.service.submitter.crew.drain()
        assert await world.types(task_id) == ["submitted", "canceled"]


async def test_a_refresh_polls_now(tmp_path: Path) -> None:
    """Whenever the next poll was planned; 200 with the task, once it is final where the caller waits for that."""
    async with (
        scripted(created(), record("generating"), record("success")) as apikley,
        a_pair(tmp_path, apikley) as world,
    ):
        task = await world.submit()
        answer = await act(world, task["id"], "refresh")
        assert (answer.status_code, answer.json()["status"]) == (200, "submitted")
        await world.turn()
        assert (await world.task(task["id"]))["status"] == "running"
        waiting = asyncio.ensure_future(act(world, task["id"], "refresh?wait=5"))
        await world.until(lambda: len(apikley.lines) == 3, step_s=0)
        assert (await waiting).json()["status"] == "succeeded"
        refused = await act(world, task["id"], "refresh")
        assert (refused.status_code, "does not change" in refused.json()["detail"]) == (409, True)


async def test_a_refresh_during_a_poll_adds_none(tmp_path: Path) -> None:
    """The one that is under way is that poll."""
    answered = asyncio.Event()
    async with scripted(created(), answered, record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await act(world, task["id"], "refresh")
        await world.service.poller.run_once()
        assert (await act(world, task["id"], "refresh")).status_code == 200
        answered.set()
        await world.service.poller.crew.drain()
        await world.turn()
        assert len(apikley.lines) == 2


async def test_a_refresh_of_a_queued_task_hands_it_over_now(tmp_path: Path) -> None:
    """It does not wait for the next try that was planned."""
    async with scripted(created()) as gone:
        pass
    async with a_pair(tmp_path, gone) as world:
        task = await world.submit()
        planned = task["waiting_for"]["next_at"]
        await world.turn(0.1)
        answer = await act(world, task["id"], "refresh")
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert answer.json()["waiting_for"]["next_at"] < planned


async def test_a_refresh_changes_nothing_about_a_handover(tmp_path: Path) -> None:
    """The answer is waited for anyway."""
    answered = asyncio.Event()
    async with scripted(answered, created()) as apikley, a_pair(tmp_path, apikley) as world:
        task_id = await submitting(world)
        assert (await act(world, task_id, "refresh")).json()["status"] == "submitting"
        answered.set()
        await world.turn()
        assert await world.types(task_id) == ["submitted"]


async def test_our_own_verdict_can_be_refreshed(tmp_path: Path) -> None:
    """Even when nobody asks any more by itself."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await act(world, task["id"], "cancel")
        for _ in range(30):
            await world.turn(3600)
        before = len(apikley.lines)
        await world.turn(3600)
        assert len(apikley.lines) == before
        apikley.say(record("success"))
        assert (await act(world, task["id"], "refresh")).status_code == 200
        await world.turn()
        assert (await world.task(task["id"]))["status"] == "succeeded"


async def test_an_unconfirmed_task_cannot_be_refreshed(tmp_path: Path) -> None:
    """Nobody can be asked about a task whose id was never told."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        refused = await act(world, task["id"], "refresh")
        assert (refused.status_code, "cannot be asked" in refused.json()["detail"]) == (409, True)


async def test_an_unconfirmed_task_gets_the_id_that_its_caller_found(tmp_path: Path) -> None:
    """It is submitted, by its caller's word, and polled at once."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world:
        task = await world.submit()
        apikley.say(record("success", "p7"))
        bound = await act(world, task["id"], "resolve", {"provider_task_id": "p7"})
        assert (bound.status_code, bound.json()["status"]) == (200, "submitted")
        assert (bound.json()["provider_task_id"], bound.json()["error"]) == ("p7", None)
        assert bound.json()["submitted_at"] is not None
        await world.turn()
        events = await world.events(task["id"])
        assert [event["type"] for event in events] == ["task.unconfirmed", "task.submitted", "task.succeeded"]
        assert [event["data"]["source"] for event in events] == ["submit", "caller", "poll"]
        assert [event["data"]["verified_by"] for event in events] == [None, None, "poll"]
        assert await told(world, task["id"]) == ["Its caller says that apikley has it as p7: it is asked about."]


async def test_an_id_of_another_task_is_not_bound(tmp_path: Path) -> None:
    """409, and the task stays as it is."""
    async with scripted(created("p1")) as apikley, a_pair(tmp_path, apikley) as world:
        await world.submit()
        apikley.say("hang")
        task = await world.submit()
        refused = await act(world, task["id"], "resolve", {"provider_task_id": "p1"})
        assert (refused.status_code, "another task" in refused.json()["detail"]) == (409, True)
        after = await world.task(task["id"])
        assert (after["status"], after["provider_task_id"]) == ("unconfirmed", None)


async def test_an_unconfirmed_task_declared_failed_is_open_to_a_late_verdict(tmp_path: Path) -> None:
    """It is over, until a callback proves the caller wrong."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        failed = (await act(world, task["id"], "resolve", {"status": "failed"})).json()
        assert (failed["status"], failed["error"]["kind"], failed["error"]["retryable"]) == ("failed", "unknown", True)
        apikley.say(record("success", "p9"))
        await world.api.post(await world.callback_url(task["id"]), json=record("success", "p9")[1])
        await world.turn()
        [*_, last] = await world.events(task["id"])
        assert (last["type"], last["data"]["late"], last["data"]["source"]) == ("task.succeeded", True, "callback")


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"status": "failed", "provider_task_id": "p1"},
        {"status": "succeeded"},
        {"provider_task_id": ""},
        {"provider_task_id": "a b"},
        {"provider_task_id": "x" * 256},
        {"provider_task_id": 7},
        {"status": "failed", "why": "so"},
    ],
)
async def test_a_resolution_is_exactly_one_of_two(tmp_path: Path, body: Any) -> None:
    """Anything else is 422, and names the field."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        answer = await act(world, task["id"], "resolve", body)
        assert (answer.status_code, len(answer.json()["errors"])) == (422, 1)
        assert answer.json()["errors"][0]["path"] in ("provider_task_id", "status", "why")


@pytest.mark.parametrize("action", ["cancel", "refresh", "resolve", "resubmit"])
async def test_what_is_not_there_is_404(tmp_path: Path, action: str) -> None:
    """So is another tenant's, by either of its ids."""
    body = {"status": "failed"} if action == "resolve" else None
    async with a_world(tmp_path) as world:
        await keep(world, a_task(id="task_theirs", tenant="other", provider_task_id="p1"))
        holder = await a_holder(world, "default", "submit")
        for task_id in ("task_nope", "task_theirs", "apikley:p1", "apikley:p2"):
            answer = await holder.ask("POST", f"/v1/tasks/{task_id}/{action}", json=body)
            assert (answer.status_code, task_id in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("action", ["cancel", "refresh", "resolve"])
async def test_what_is_final_stays_so(tmp_path: Path, action: str, status: str) -> None:
    """409 says how the task stands."""
    body = {"status": "failed"} if action == "resolve" else None
    async with a_world(tmp_path) as world:
        await keep(world, a_task(status=Status(status)))
        answer = await act(world, "apikley:p1", action, body)
        assert (answer.status_code, status in answer.json()["detail"]) == (409, True)
        if action == "resolve":
            assert (await act(world, "task_1", action, {"provider_task_id": "p9"})).status_code == 409
        assert (await world.task("task_1"))["status"] == status


@pytest.mark.parametrize("action", ["cancel", "refresh", "resubmit"])
async def test_unknown_fields_are_refused(tmp_path: Path, action: str) -> None:
    """Though a body may be missing, or empty."""
    async with a_world(tmp_path) as world:
        await keep(world, a_task(status=Status.UNCONFIRMED))
        answer = await act(world, "task_1", action, {"really": True})
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "really")
        assert (await world.task("task_1"))["status"] == "unconfirmed"
        assert (await world.api.post(f"/v1/tasks/task_1/{action}", content=b"{")).status_code == 400


async def test_a_task_of_a_provider_that_is_gone_can_be_canceled(tmp_path: Path) -> None:
    """Its provider's key was taken out of the settings."""
    async with a_world(tmp_path, TASKWEIR_APIKLEY_API_KEY="") as world:
        await keep(world, a_task())
        assert (await act(world, "task_1", "cancel", {})).json()["status"] == "canceled"

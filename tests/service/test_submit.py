"""Handing tasks over: what is known to have created nothing is tried again, everything else is not."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver import turns
from receiver.domain import Status, Timer, Work
from receiver.intake import Taken
from receiver.provider_policy import Pause, Standing
from receiver.web.doors import Caller
from receiver.web.showing import shown
from tests.make import DAY, NOW, a_task
from tests.service.world import a_pair, a_world, created, keep, record, scripted

pytestmark = pytest.mark.anyio


async def handed_over(directory: Path, *replies: Any, **fields: Any) -> tuple[dict[str, Any], list[str], list[str]]:
    """Submit one task to a provider that says this: the task, its events, the requests it took."""
    async with scripted(*replies) as apikley, a_pair(directory, apikley) as world:
        task = await world.submit(**fields)
        return task, await world.types(task["id"]), apikley.lines


async def test_accepted(tmp_path: Path) -> None:
    """The provider's id is kept, one request left, with the task's own callback URL in it."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(metadata={"order": "42"})
        assert (task["status"], task["provider_task_id"], task["callback_expected"]) == ("submitted", "p1", True)
        assert task["submitted_at"] is not None
        assert apikley.lines == ["POST /api/v1/jobs/createTask"]
        _, body = apikley.seen.requests[0]
        assert (await world.callback_url(task["id"])).encode() in body
        [event] = await world.events()
        assert (event["type"], event["data"]["source"], event["data"]["verified_by"]) == (
            "task.submitted",
            "submit",
            "poll",
        )


async def test_the_answer_is_what_the_handovers_commit_told(tmp_path: Path) -> None:
    """All that a look would have found, the next poll and what holds it back among it."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        told: list[Taken] = []
        world.service.bell.listen(told.append)
        answered = await world.submit()
        doors, caller = world.service.doors, Caller(tenant="default")
        by_looking, _ = await shown(doors, answered["id"], caller)
        assert {name: answered[name] for name in by_looking} == by_looking
        assert told[-1].outlook is not None

        down = replace(told[-1].outlook.standing, paused=Pause.UNREACHABLE)
        as_told = replace(told[-1], outlook=replace(told[-1].outlook, standing=down))
        fields, status = await shown(doors, answered["id"], caller, told=as_told)
        assert (status, "not polled: apikley is paused" in fields["waiting_for"]["text"]) == (Status.SUBMITTED, True)


async def test_where_others_work_is_settled_first_the_answer_is_read_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn may take seconds: by then a provider may be paused of which the commit knew nothing."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley, TASKWEIR_MODE="serverless") as world:
        settle = turns.settled

        async def settled() -> None:
            await settle()
            down = Standing(provider="apikley", paused=Pause.UNREACHABLE, since=NOW, probe_at=NOW + DAY)
            await world.service.storage.write(lambda store: store.save_standing(down))

        monkeypatch.setattr(turns, "settled", settled)
        task = await world.submit()
        assert (task["status"], "not polled: apikley is paused" in task["waiting_for"]["text"]) == ("submitted", True)


@pytest.mark.parametrize(("status", "read"), [("succeeded", 0), ("queued", 1), ("unconfirmed", 1)])
async def test_what_was_told_is_read_only_where_it_leaves_anything_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, read: int
) -> None:
    """An end is all there is to say; of what waits to be handed over the line before it counts, too."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        doors = world.service.doors
        reads, look = 0, doors.storage.read

        async def counting(do: Any, *, brief: bool = False) -> Any:
            nonlocal reads
            reads += 1
            return await look(do, brief=brief)

        monkeypatch.setattr(doors.storage, "read", counting)
        told = Taken(task=a_task(id=task["id"], status=Status(status)))
        fields, _ = await shown(doors, task["id"], Caller(tenant="default"), told=told)
        assert (reads, fields["status"]) == (read, "submitted" if read else status)


@pytest.mark.parametrize(
    ("code", "kind"), [(401, "auth"), (402, "quota"), (422, "invalid_request"), (501, "upstream"), (505, "unavailable")]
)
async def test_a_refusal_in_the_providers_own_words_is_a_failed_task(tmp_path: Path, code: int, kind: str) -> None:
    """201, failed, with the provider's code and text; nothing is asked again."""
    reply = (200, {"code": code, "msg": "no, because", "data": None})
    task, types, lines = await handed_over(tmp_path, reply)
    assert (task["status"], types, len(lines)) == ("failed", ["failed"], 1)
    assert (task["error"]["kind"], task["error"]["code"], task["error"]["message"]) == (kind, str(code), "no, because")
    assert task["submitted_at"] is None


@pytest.mark.parametrize(
    "reply",
    [
        "hang",
        "close",
        (500, {"code": 500, "msg": "error"}),
        (200, {"code": 500, "msg": "error"}),
        (200, {"code": 200, "msg": "success", "data": {}}),
        (503, b"<html>gateway</html>"),
        (200, b""),
    ],
)
async def test_no_usable_answer_is_unconfirmed_and_never_sent_again(tmp_path: Path, reply: Any) -> None:
    """One request, whatever time passes; at the deadline it is over."""
    async with scripted(reply) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        assert task["status"] == "unconfirmed"
        assert "not sent again" in task["error"]["message"]
        for _ in range(5):
            await world.turn(3600)
        assert apikley.lines == ["POST /api/v1/jobs/createTask"]
        assert await world.types(task["id"]) == ["unconfirmed"]
        await world.turn(86_400)
        assert await world.types(task["id"]) == ["unconfirmed", "expired"]
        assert apikley.lines == ["POST /api/v1/jobs/createTask"]


@pytest.mark.parametrize(
    "reply",
    [
        (429, {"code": 429, "msg": "slow down"}, {"retry-after": "7"}),
        (200, {"code": 429, "msg": "slow down"}),
        (200, {"code": 455, "msg": "maintenance"}),
    ],
)
async def test_what_created_nothing_is_tried_again(tmp_path: Path, reply: Any) -> None:
    """202 and queued; one `task.queued` however often it is put off; then it is handed over."""
    async with (
        scripted(reply, reply, created()) as apikley,
        a_pair(tmp_path, apikley) as world,
    ):
        task = await world.submit()
        assert (task["status"], task["waiting_for"]["what"]) == ("queued", "submit")
        if "retry-after" in str(reply):
            await world.turn(6)
            assert len(apikley.lines) == 1
        await world.until(lambda: len(apikley.lines) == 3, step_s=3)
        assert await world.types(task["id"]) == ["queued", "submitted"]


async def test_an_unreachable_provider_is_tried_until_the_deadline(tmp_path: Path) -> None:
    """No connection: nothing can have left. At its deadline a queued task expires on time: nothing was spent."""
    async with scripted(created()) as gone:
        pass
    async with a_world(tmp_path, base_urls={"apikley": gone.base_url}) as world:
        task = await world.submit(deadline_seconds=60)
        assert (task["status"], await world.types(task["id"])) == ("queued", ["queued"])
        await world.turn(30)
        await world.turn(29)
        assert (await world.task(task["id"]))["status"] == "queued"
        await world.turn(1)
        ended = await world.task(task["id"])
        assert (ended["status"], ended["error"]["kind"]) == ("expired", "timeout")
        assert await world.types(task["id"]) == ["queued", "expired"]


async def test_a_task_finished_inside_the_submit_answer(tmp_path: Path) -> None:
    """One terminal event, no poll."""
    done = {
        "task_id": "r1",
        "status": "SUCCESS",
        "consumed_credits": 12,
        "response": {"resultUrls": ["https://x/1.png"]},
    }
    async with (
        scripted((200, {"code": 200, "message": "success", "data": done})) as reve,
        a_world(tmp_path, base_urls={"reve2img": reve.base_url}) as world,
    ):
        task = await world.submit("reve2img", "reve-2.0")
        assert (task["status"], task["usage"]["amount"]) == ("succeeded", 12)
        assert await world.types(task["id"]) == ["succeeded"]
        await world.turn(3600)
        assert reve.lines == ["POST /api/v1/generate"]


async def test_an_id_that_is_bound_to_another_task_is_refused(tmp_path: Path) -> None:
    """Two submits, one id: the second was answered with somebody else's task, so its own is unconfirmed."""
    async with scripted(created("p1")) as apikley, a_pair(tmp_path, apikley) as world:
        first, second = await world.submit(), await world.submit()
        assert first["provider_task_id"] == "p1"
        assert (second["status"], second["provider_task_id"]) == ("unconfirmed", None)
        assert "bound to another task" in second["error"]["message"]


async def test_a_half_done_submit_is_unconfirmed_after_a_crash(tmp_path: Path) -> None:
    """A process died between the commit and the answer: its lease lapsed, nothing is sent."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        left = a_task(status=Status.SUBMITTING, deadline_at=NOW + DAY)
        timer = Timer(task_id=left.id, provider="apikley", work=Work.SUBMIT, due_at=NOW, owner="dead")
        await keep(world, left, timer)
        await world.turn()
        assert (await world.task(left.id))["status"] == "unconfirmed"
        await world.turn(3600)
        assert apikley.lines == []


async def test_a_timer_without_work_is_dropped(tmp_path: Path) -> None:
    """A timer of a task that is gone, or no longer to be handed over, does not come back."""
    async with a_world(tmp_path) as world:
        running = a_task(status=Status.RUNNING)
        gone = Timer(task_id="gone", provider="apikley", work=Work.SUBMIT, due_at=NOW)
        done = Timer(task_id=running.id, provider="apikley", work=Work.SUBMIT, due_at=NOW)
        lost = Timer(task_id="lost", provider="apikley", work=Work.POLL, due_at=NOW)
        storage = world.service.storage
        await keep(world, running, gone, done, lost)
        await world.turn()
        for task_id in ("gone", running.id, "lost"):
            assert await storage.read(lambda store, task_id=task_id: store.timer(task_id)) is None  # type: ignore[misc]


async def test_the_answer_does_not_wait_for_a_slow_provider(tmp_path: Path) -> None:
    """`Prefer: respond-async`: 202 right after the commit, and the handover goes on."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        body = {"provider": "apikley", "model": "m", "input": {"prompt": "x"}}
        answer = await world.api.post("/v1/tasks", json=body, headers={"prefer": "respond-async"})
        assert (answer.status_code, answer.json()["status"]) == (202, "submitting")
        assert answer.json()["waiting_for"]["text"] == "being handed over to apikley"
        await world.service.submitter.crew.drain()
        assert (await world.task(answer.json()["id"]))["status"] == "submitted"


async def test_a_caller_that_hangs_up_does_not_stop_the_handover(tmp_path: Path) -> None:
    """The task was committed: it is handed over."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        asking = asyncio.ensure_future(world.submit())
        await world.until(lambda: apikley.lines, step_s=0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await world.service.submitter.crew.drain()
        [task] = (await world.api.get("/v1/tasks")).json()["items"]
        assert task["status"] == "submitted"


async def test_without_a_public_url_nothing_is_called_back(tmp_path: Path) -> None:
    """Everything is polled, at the provider's own pace."""
    async with (
        scripted(created(), record("generating"), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world,
    ):
        task = await world.submit()
        assert not task["callback_expected"]
        assert b"callBackUrl" not in apikley.seen.requests[0][1]
        ended = await world.end(task["id"], step_s=3)
        assert (ended["status"], await world.types(task["id"])) == ("succeeded", ["submitted", "running", "succeeded"])

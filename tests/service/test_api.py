"""The door for tasks answers as the contract says."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Failure, FailureKind, Status, Task
from receiver.formats import timestamp
from receiver.ids import first_id
from tests.make import DAY, HOUR, NOW, a_task
from tests.service.asking import complaint, counts
from tests.service.tenants import a_holder
from tests.service.world import APIKLEY_MODEL, World, a_pair, a_world, created, keep, record, scripted

pytestmark = pytest.mark.anyio

BODY = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
FINISHED = {"task_id": "r1", "status": "SUCCESS", "response": {"resultUrls": ["https://x/1.png"]}}
IN_TIME_S = 5.0


async def ids(world: World, **query: str) -> list[str]:
    answer = await world.api.get("/v1/tasks", params=query)
    assert answer.status_code == 200
    return [task["id"] for task in answer.json()["items"]]


def numbered(number: int, **fields: Any) -> Task:
    """A task with an id as ours are, in the order of the numbers."""
    at = NOW + number * 1000
    values = {"id": f"{first_id('task', at)[:-10]}{number:010}", "provider_task_id": f"p{number}", "created_at": at}
    return a_task(**values | fields)


async def test_a_task_is_shown_whole(tmp_path: Path) -> None:
    """Every field of the contract, in the answer to the submit, in the single one and in the list."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        answer = await world.api.post("/v1/tasks", json=BODY | {"metadata": {"order": "42"}, "deadline_seconds": 600})
        task = answer.json()
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "application/json"
        assert task.pop("watch_url").startswith(f"http://taskweir.test/v1/watch/{task['id']}.")
        assert task == (await world.task(task["id"])) == (await world.api.get("/v1/tasks")).json()["items"][0]
        waiting = task.pop("waiting_for")
        assert waiting["what"] == "poll"
        assert waiting["since"] == "2025-12-08T09:40:00.000Z" < waiting["next_at"]
        assert waiting["text"].startswith("handed over to apikley 0 s ago; callback expected; next poll in ")
        assert task == {
            "id": task["id"],
            "tenant": "default",
            "provider": "apikley",
            "model": APIKLEY_MODEL,
            "status": "submitted",
            "provider_task_id": "p1",
            "provider_status": None,
            "input": {"prompt": "a red panda"},
            "metadata": {"order": "42"},
            "progress": None,
            "callback_expected": True,
            "outputs": [],
            "error": None,
            "usage": None,
            "retry_of": None,
            "created_at": "2025-12-08T09:40:00.000Z",
            "submitted_at": "2025-12-08T09:40:00.000Z",
            "finished_at": None,
            "deadline_at": "2025-12-08T09:50:00.000Z",
        }


async def test_a_task_is_found_by_the_providers_own_id(tmp_path: Path) -> None:
    """`<provider>:<provider_task_id>`, colons and all; another tenant's is not there, but for root."""
    async with a_world(tmp_path) as world:
        await keep(
            world,
            a_task(id="task_a", provider_task_id="p:1/é"),
            a_task(id="task_b", provider_task_id="p1", provider="reapi"),
            a_task(id="task_c", provider_task_id="secret", tenant="other"),
        )
        assert (await world.api.get("/v1/tasks/apikley:p:1")).status_code == 404
        assert (await world.api.get("/v1/tasks/reapi:p1")).json()["id"] == "task_b"
        assert (await world.api.get("/v1/tasks/task_b?wait=0")).json()["waiting_for"]["next_at"] is None
        holder = await a_holder(world, "default", "admin")
        for path in ("/v1/tasks/apikley:secret", "/v1/tasks/task_c", "/v1/tasks/task_c?wait=1"):
            assert complaint(await holder.ask("GET", path), 404) is None
            assert (await world.api.get(path)).json()["id"] == "task_c"
        assert await ids(world) == ["task_b", "task_a"]


async def test_filters(tmp_path: Path) -> None:
    """Each by equality, all of them together; what is another tenant's shows only where root asks for that tenant."""
    refused = Failure(kind=FailureKind.QUOTA, message="no credits")
    tasks = [
        numbered(0, status=Status.FAILED, error=refused, metadata={"order": "1", "a.b": "x"}),
        numbered(1, status=Status.RUNNING, provider="reapi", model="m", metadata={"order": "1"}),
        numbered(2, status=Status.QUEUED, metadata={"order": "2", "": ""}),
        numbered(3, tenant="other", provider_task_id=None),
    ]
    expected = {
        "": [2, 1, 0],
        "status=failed": [0],
        "status=submitted": [],
        "provider=reapi": [1],
        "model=m": [1],
        "provider_task_id=p1": [1],
        "error_kind=quota": [0],
        "error_kind=auth": [],
        "metadata.order=1": [1, 0],
        "metadata.order=2": [2],
        "metadata.order=3": [],
        "metadata.a.b=x": [0],
        "metadata.order=1&metadata.a.b=x": [0],
        "metadata.order=1&status=running&provider=reapi": [1],
        "created_after=2025-12-08T09:40:00Z": [2, 1],
        "created_after=2025-12-08T09:40:00.500Z&created_before=2025-12-08T09:40:02Z": [1],
        f"created_before={NOW // 1000 + 1}": [0],
        "created_before=2025-12-08T10:40:02%2B01:00": [1, 0],
        "tenant=other": [3],
        "tenant=default": [2, 1, 0],
        "tenant=nobody": [],
    }
    async with a_world(tmp_path) as world:
        await keep(world, *tasks)
        found = {query: (await world.api.get(f"/v1/tasks?{query}")).json()["items"] for query in expected}
        assert {query: [int(task["id"][-10:]) for task in items] for query, items in found.items()} == expected


async def test_pages_do_not_move_under_what_comes_in(tmp_path: Path) -> None:
    """Newest first; three pages give each task once, though new ones arrive between them."""
    async with a_world(tmp_path) as world:
        await keep(world, *(numbered(number) for number in range(5)))
        seen: list[int] = []
        cursor: str | None = ""
        for page in range(3):
            body = (await world.api.get("/v1/tasks", params={"limit": "2", "cursor": cursor or ""})).json()
            assert body.keys() == {"items", "next_cursor"}
            seen += [int(task["id"][-10:]) for task in body["items"]]
            cursor = body["next_cursor"]
            await keep(world, numbered(100 + page))
        assert (seen, cursor) == ([4, 3, 2, 1, 0], None)
        exact = (await world.api.get("/v1/tasks?limit=8")).json()
        assert (len(exact["items"]), exact["next_cursor"]) == (8, None)


async def test_fifty_are_given_where_nobody_says_how_many(tmp_path: Path) -> None:
    """And two hundred at most."""
    async with a_world(tmp_path) as world:
        await keep(world, *(numbered(number) for number in range(201)))
        assert len(await ids(world)) == 50
        assert len(await ids(world, limit="200")) == 200
        assert len(await ids(world, limit="1")) == 1


async def test_waiting_for_a_task_that_is_final_takes_no_time(tmp_path: Path) -> None:
    """Whatever was asked for."""
    async with a_world(tmp_path) as world:
        await keep(world, a_task(status=Status.CANCELED, finished_at=NOW))
        began = time.monotonic()
        task = (await world.api.get("/v1/tasks/task_1?wait=60")).json()
        assert (task["status"], task["waiting_for"]) == ("canceled", None)
        assert time.monotonic() - began < IN_TIME_S


async def test_waiting_ends_when_the_task_does(tmp_path: Path) -> None:
    """Not at the first change, and not a minute later."""
    async with (
        scripted(created(), record("generating"), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world,
    ):
        task = await world.submit()
        began = time.monotonic()
        waiting = asyncio.ensure_future(world.api.get(f"/v1/tasks/{task['id']}?wait=60"))
        await world.turn(10)
        assert (await world.task(task["id"]))["status"] == "running"
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await world.turn(10)
        assert (await waiting).json()["status"] == "succeeded"
        assert time.monotonic() - began < IN_TIME_S


async def test_waiting_sees_what_another_process_did(tmp_path: Path) -> None:
    """Nobody rings a bell here: the task is looked at again each second."""
    async with a_world(tmp_path) as world:
        await keep(world, a_task())
        waiting = asyncio.ensure_future(world.api.get("/v1/tasks/task_1?wait=30"))
        await asyncio.sleep(0.05)
        ended = a_task(status=Status.SUCCEEDED, version=1, finished_at=NOW)
        await world.service.storage.write(lambda store: store.save_task(ended, expected_version=0))
        assert (await asyncio.wait_for(waiting, IN_TIME_S)).json()["status"] == "succeeded"


async def test_waiting_is_over_when_the_seconds_are(tmp_path: Path) -> None:
    """200 with the task as it is then; 0 and none at all do not wait."""
    async with a_world(tmp_path) as world:
        await keep(world, a_task())
        for wait, least, most in (("1", 0.9, 3.0), ("0", 0.0, 0.9), ("", 0.0, 0.9)):
            began = time.monotonic()
            answer = await world.api.get(f"/v1/tasks/task_1?wait={wait}")
            assert (answer.status_code, answer.json()["status"]) == (200, "submitted")
            assert least <= time.monotonic() - began < most


async def test_a_caller_that_stops_waiting_leaves_nothing_behind(tmp_path: Path) -> None:
    """A thousand impatient ones are not a leak."""
    async with a_world(tmp_path) as world:
        await keep(world, a_task())
        waiting = [asyncio.ensure_future(world.api.get("/v1/tasks/task_1?wait=60")) for _ in range(20)]
        await asyncio.sleep(0.1)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not world.service.bell._waiting


@pytest.mark.parametrize(
    ("reply", "status", "word"),
    [
        (created(), 201, "submitted"),
        ((200, {"code": 402, "msg": "no credits"}), 201, "failed"),
        ((200, {"code": 455, "msg": "maintenance"}), 202, "queued"),
        ((500, b""), 202, "unconfirmed"),
    ],
)
async def test_the_status_code_tells_whether_the_handover_is_over(
    tmp_path: Path, reply: Any, status: int, word: str
) -> None:
    """201 once handed over or refused, 202 while nobody can tell yet."""
    async with scripted(reply) as apikley, a_pair(tmp_path, apikley) as world:
        answer = await world.api.post("/v1/tasks", json=BODY)
        assert (answer.status_code, answer.json()["status"]) == (status, word)


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async", "wait=5, respond-async", "foo;respond-async"])
async def test_who_prefers_not_to_wait_is_answered_after_the_commit(tmp_path: Path, prefer: str) -> None:
    """202 and the task recorded, while the provider has not answered; `?wait=` does not count then."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        began = time.monotonic()
        answer = await world.api.post("/v1/tasks?wait=30", json=BODY, headers={"prefer": prefer})
        assert (answer.status_code, answer.json()["status"]) == (202, "submitting")
        assert time.monotonic() - began < IN_TIME_S
        assert counts(tmp_path)["tasks"] == 1


async def test_a_submit_may_wait_for_the_end(tmp_path: Path) -> None:
    """`POST …?wait=`: as long as the caller wants, or until the task is final."""
    done = (200, {"code": 200, "message": "success", "data": FINISHED})
    async with (
        scripted(created()) as apikley,
        scripted(done) as reve,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url, "reve2img": reve.base_url}) as world,
    ):
        began = time.monotonic()
        body = {"provider": "reve2img", "model": "reve-2.0", "input": {"prompt": "a red panda"}}
        answer = await world.api.post("/v1/tasks?wait=60", json=body)
        assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")
        assert time.monotonic() - began < 0.9
        answer = await world.api.post("/v1/tasks?wait=1", json=BODY)
        assert (answer.status_code, answer.json()["status"]) == (201, "submitted")
        assert 0.9 <= time.monotonic() - began < IN_TIME_S


async def test_deadlines(tmp_path: Path) -> None:
    """The caller's from one second on, else the adapter's own."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        for seconds, ends in ((1, NOW + 1000), (86_400 * 3650, NOW + 3650 * DAY), (None, NOW + 24 * HOUR)):
            task = await world.submit(deadline_seconds=seconds)
            assert task["deadline_at"] == timestamp(ends)

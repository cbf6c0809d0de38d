"""The Idempotency-Key: however often a request is repeated, it makes one task and pays once."""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from receiver.errors import Unavailable
from receiver.store.records import KeptKey
from receiver.web.idempotency import Use, remember
from tests.make import a_task
from tests.service.world import APIKLEY_MODEL, World, a_pair, a_world, created, held_writes, record, scripted, submits

pytestmark = pytest.mark.anyio

BODY: dict[str, Any] = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}


async def post(world: World, key: str, body: Any = None, **headers: str) -> httpx.Response:
    return await world.api.post("/v1/tasks", json=body or BODY, headers={"idempotency-key": key, **headers})


async def tasks(world: World) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.api.get("/v1/tasks")).json()["items"]
    return items


async def test_a_repeat_gets_the_task_as_it_is_now(tmp_path: Path) -> None:
    """The original status code, `Idempotent-Replayed: true`, one request to the provider; for ever."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        first = await post(world, "order-42")
        assert (first.status_code, first.json()["status"]) == (201, "submitted")
        assert "idempotent-replayed" not in first.headers
        for _ in range(2):
            await world.end(first.json()["id"], step_s=100)
            again = await post(world, "order-42")
            assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
            assert (again.json()["id"], again.json()["status"]) == (first.json()["id"], "succeeded")
            world.clock.advance(100 * 86_400)
        assert submits(apikley) == 1


async def test_another_body_under_the_same_key_is_refused(tmp_path: Path) -> None:
    """422 names the header; the order of fields, and quotes around the key, make no difference."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        first = await post(world, 'a"b')
        turned = dict(reversed(BODY.items()))
        assert (await post(world, r'"a\"b"', turned)).json()["id"] == first.json()["id"]
        other = await post(world, 'a"b', BODY | {"metadata": {"order": "43"}})
        assert (other.status_code, other.json()["errors"][0]["path"]) == (422, "Idempotency-Key")
        assert len(await tasks(world)) == 1


@pytest.mark.parametrize(
    "key", ["", '""', "x" * 256, "two words", "tab\there", '"open', '"a"b"', '"a\\b"', "ä", "\x7f"]
)
async def test_a_key_is_1_to_255_visible_ascii_characters(tmp_path: Path, key: str) -> None:
    """Anything else is 422, naming the header, and nothing is recorded."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        answer = await world.api.post("/v1/tasks", json=BODY, headers={b"idempotency-key": key.encode()})
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "Idempotency-Key")
        assert await tasks(world) == []


async def test_the_longest_key_and_only_one_of_them(tmp_path: Path) -> None:
    """255 characters are taken, quotes and backslashes within a bare one are letters; two headers are not taken."""
    async with scripted(created("p1"), created("p2")) as apikley, a_pair(tmp_path, apikley) as world:
        for key in ("~" * 255, 'a"b\\'):
            assert (await post(world, key)).status_code == 201
        two = [("idempotency-key", "a"), ("idempotency-key", "b")]
        assert (await world.api.post("/v1/tasks", json=BODY, headers=two)).status_code == 422


@pytest.mark.parametrize("wrong", [{"input": {}}, {"provider": "nobody"}, {"deadline_seconds": 0}, {"unknown": 1}])
async def test_a_refused_request_does_not_use_up_its_key(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """The mended body goes through under the same key."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        assert (await post(world, "k", BODY | wrong)).status_code == 422
        good = await post(world, "k")
        assert (good.status_code, good.headers.get("idempotent-replayed")) == (201, None)


async def test_fifty_first_uses_at_once_make_one_task(tmp_path: Path) -> None:
    """Each other one is told to ask again, or gets that task."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        answers = await asyncio.gather(*(post(world, "k") for _ in range(50)))
        [task] = await tasks(world)
        assert apikley.lines == ["POST /api/v1/jobs/createTask"]
        assert {answer.status_code for answer in answers} <= {201, 409}
        given = [answer for answer in answers if answer.status_code == 201]
        assert {answer.json()["id"] for answer in given} == {task["id"]}
        assert sum("idempotent-replayed" not in answer.headers for answer in given) == 1
        assert "Idempotency-Key" in next(a.json()["detail"] for a in answers if a.status_code == 409)


async def test_a_first_use_that_is_not_committed_yet_is_409(tmp_path: Path) -> None:
    """And nothing else: keys of others go their way, and after the commit the repeat gets the task."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        async with held_writes(world) as waiting:
            first = asyncio.ensure_future(post(world, "k"))
            await waiting(1)
            busy = await post(world, "k")
            assert (busy.status_code, busy.headers["retry-after"]) == (409, "1")
            other = asyncio.ensure_future(post(world, "another"))
        assert (await first).status_code == 201
        assert (await other).status_code in (201, 202)
        assert (await post(world, "k")).json()["id"] == (await first).json()["id"]


async def test_a_use_that_committed_in_between_wins(tmp_path: Path) -> None:
    """Two processes looked, both found nothing: the index lets one of them through, the other records nothing."""
    fingerprint = hashlib.sha256(json.dumps(BODY, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    theirs = a_task(id="task_theirs", provider_task_id="p0")
    kept = KeptKey(tenant="default", key="k", fingerprint=fingerprint, task_id=theirs.id, status=202)
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        async with held_writes(world) as waiting:
            storage = world.service.storage
            first = asyncio.ensure_future(storage.write(lambda s: (s.record_task(theirs), s.keep_key(kept))))
            second = asyncio.ensure_future(post(world, "k"))
            await waiting(2)
        await first
        answer = await second
        assert (answer.status_code, answer.json()["id"]) == (202, "task_theirs")
        assert answer.headers["idempotent-replayed"] == "true"
        assert ([task["id"] for task in await tasks(world)], apikley.lines) == (["task_theirs"], [])


async def test_a_crash_between_commit_and_answer(tmp_path: Path) -> None:
    """No first answer was given: the repeat, in a new process, says how the task stands; nothing is sent again."""
    async with scripted("hang") as apikley:
        async with a_pair(tmp_path, apikley) as world:
            asking = asyncio.ensure_future(post(world, "k"))
            await world.until(lambda: apikley.lines, step_s=0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        async with a_pair(tmp_path, apikley) as world:
            await world.turn(60)
            again = await post(world, "k")
            assert (again.status_code, again.json()["status"]) == (202, "unconfirmed")
            assert again.headers["idempotent-replayed"] == "true"
            assert apikley.lines == ["POST /api/v1/jobs/createTask"]


async def test_a_repeat_during_the_handover_waits_like_the_first(tmp_path: Path) -> None:
    """Both answer when the provider did: the caller that gave up too early has its task."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        early = await post(world, "k", prefer="respond-async")
        again = await post(world, "k")
        assert (early.status_code, early.json()["status"]) == (202, "submitting")
        assert (again.json()["id"], again.json()["status"]) == (early.json()["id"], "submitted")


async def test_the_original_code_stays(tmp_path: Path) -> None:
    """A first answer of 202 is repeated as 202, however far the task is by then."""
    async with scripted("hang") as apikley, a_pair(tmp_path, apikley) as world:
        first = await post(world, "k")
        assert (first.status_code, first.json()["status"]) == (202, "unconfirmed")
        await world.api.post(f"/v1/tasks/{first.json()['id']}/resolve", json={"status": "failed"})
        again = await post(world, "k")
        assert (again.status_code, again.json()["status"]) == (202, "failed")


async def test_a_repeat_does_not_depend_on_todays_settings(tmp_path: Path) -> None:
    """The provider is gone from them, the task is not."""
    async with scripted(created()) as apikley:
        async with a_pair(tmp_path, apikley) as world:
            first = await post(world, "k")
        async with a_world(tmp_path, TASKWEIR_APIKLEY_API_KEY="") as world:
            again = await post(world, "k")
            assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
            assert (await post(world, "new")).status_code == 422


async def test_two_tenants_may_use_the_same_key(tmp_path: Path) -> None:
    """A key is its tenant's."""
    async with a_world(tmp_path) as world:
        kept = KeptKey(tenant="other", key="k", fingerprint="f", task_id="task_1")
        assert await world.service.storage.write(lambda store: store.keep_key(kept))
        mine = replace(kept, tenant="default")
        assert await world.service.storage.write(lambda store: store.keep_key(mine))
        assert not await world.service.storage.write(lambda store: store.keep_key(mine))


async def test_the_answer_goes_out_even_where_its_code_cannot_be_remembered(tmp_path: Path) -> None:
    """The task is on disk: its caller must hear of it."""

    class Full:
        async def write(self, do: Any, *, brief: bool = False, ends: bool = False, can_wait: bool = False) -> Any:
            raise Unavailable("disk full")

    async with a_world(tmp_path) as world:
        doors = replace(world.service.doors, storage=Full())  # type: ignore[arg-type]
        answer = Response(status_code=201)
        use = Use(tenant="default", key="k", fingerprint="f")
        assert await remember(doors, use, answer) is answer

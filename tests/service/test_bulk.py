"""One action on many tasks: what the filters mean, page after page, at the pace that was asked for."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Failure, FailureKind, Status, Task, Timer, Work
from tests.make import HOUR, NOW, SECOND, a_task
from tests.service.world import APIKLEY_MODEL, World, a_pair, a_world, created, every, held_writes, keep, scripted

pytestmark = pytest.mark.anyio

LOST = Failure(kind=FailureKind.UPSTREAM, message="x")


def id_of(number: int, prefix: str = "many") -> str:
    """An id older than any that is made now."""
    return f"task_00{prefix:x<19}{number:05}"


def many(count: int, prefix: str = "many", **fields: Any) -> list[Task]:
    return [a_task(id=id_of(n, prefix), provider_task_id=f"{prefix}{n}", **fields) for n in range(count)]


async def keep_with_timers(world: World, tasks: Iterable[Task]) -> None:
    """Tasks that are there already, each with the timer that it would have."""
    nouns: list[Task | Timer] = []
    for task in tasks:
        nouns.append(task)
        if not task.status.final:
            work = Work.SUBMIT if task.status is Status.QUEUED else Work.POLL
            nouns.append(Timer(task_id=task.id, provider=task.provider, work=work, due_at=NOW + HOUR))
    await keep(world, *nouns)


async def bulk(world: World, action: str, filter: dict[str, Any], **fields: Any) -> int:
    answer = await world.api.post("/v1/tasks/bulk", json={"action": action, "filter": filter, **fields})
    assert (answer.status_code, set(answer.json())) == (200, {"count"}), answer.text
    count: int = answer.json()["count"]
    return count


async def found(world: World, **filters: str) -> list[dict[str, Any]]:
    return await every(world, "/v1/tasks", **filters)


async def test_more_than_a_page_is_canceled(tmp_path: Path) -> None:
    """Whatever its page; what is final, somebody else's, or not meant by the filter stays; a dry run only counts."""
    async with a_world(tmp_path) as world:
        meant = many(250, metadata={"order": "42"})
        others = [
            *many(3, "final", status=Status.SUCCEEDED, metadata={"order": "42"}),
            *many(3, "other", metadata={"order": "43"}),
            *many(3, "their", tenant="other", metadata={"order": "42"}),
        ]
        await keep_with_timers(world, [*meant, *others])
        assert await bulk(world, "cancel", {"metadata.order": "42"}, dry_run=True) == 250
        assert await found(world, status="canceled") == []
        assert await bulk(world, "cancel", {"metadata.order": "42"}) == 250
        assert {task["id"] for task in await found(world, status="canceled")} == {task.id for task in meant}
        assert await world.types(meant[0].id) == ["canceled"]
        assert await bulk(world, "cancel", {"metadata.order": "42"}) == 0
        assert await bulk(world, "cancel", {}) == 3


async def test_others_are_answered_meanwhile(tmp_path: Path) -> None:
    """The work is done in short transactions: a submit does not wait for the end of it."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        await keep_with_timers(world, many(1500))
        working = asyncio.ensure_future(bulk(world, "cancel", {"status": "submitted"}))
        first = await world.service.storage.read(lambda store: store.next_due_timer(Work.POLL, "apikley"))
        assert first is not None
        task = await world.submit()
        assert task["status"] == "submitted"
        assert not working.done()
        # Made after it began, so it is no part of it.
        assert (await working, (await world.task(task["id"]))["status"]) == (1500, "submitted")


async def test_resubmissions_go_out_at_the_pace_that_was_asked_for(tmp_path: Path) -> None:
    """Each is queued, told so, and due when it is its turn; its time to live begins there."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        await keep_with_timers(world, many(5, status=Status.FAILED, error=LOST, deadline_at=NOW + 60 * SECOND))
        assert await bulk(world, "resubmit", {"error_kind": "upstream"}, rate_per_second=0.5) == 5
        queued = await found(world, status="queued")
        assert {task["retry_of"] for task in queued} == {id_of(n) for n in range(5)}
        assert await world.types(queued[0]["id"]) == ["queued"]
        stored = [await world.service.storage.read(lambda s, t=t: (s.task(t["id"]), s.timer(t["id"]))) for t in queued]  # type: ignore[misc]
        turns = sorted((timer.due_at - NOW, task.deadline_at - timer.due_at) for task, timer in stored)
        assert turns == [(n * 2000, 60_000) for n in range(5)]
        for number in range(1, 6):
            apikley.say(created(f"p{number}"))
            await world.turn()
            assert len(apikley.lines) == number
            await world.turn(1.9)
            assert len(apikley.lines) == number
            await world.turn(0.1)


async def test_nothing_is_paid_for_twice(tmp_path: Path) -> None:
    """A bulk resubmission can be made again: what was resubmitted is left out, and a success unless it is named."""
    async with a_world(tmp_path, TASKWEIR_REAPI_API_KEY="") as world:
        await keep_with_timers(
            world,
            [
                *many(2, "failed", status=Status.FAILED),
                *many(2, "success", status=Status.SUCCEEDED),
                *many(2, "open"),
                *many(1, "bare", status=Status.FAILED, model="", input={}),
                *many(1, "gone", status=Status.FAILED, provider="reapi"),
                replace(a_task(id="task_doubt", status=Status.UNCONFIRMED), ours=False),
            ],
        )
        assert await bulk(world, "resubmit", {}, dry_run=True) == 3
        assert await bulk(world, "resubmit", {}) == 3
        assert (await world.task("task_doubt"))["status"] == "failed"
        assert await world.types("task_doubt") == ["failed"]
        assert await bulk(world, "resubmit", {}) == 0
        assert await bulk(world, "resubmit", {"provider": "apikley", "status": "succeeded"}) == 2
        assert len(await found(world, status="queued")) == 5


async def test_the_same_call_again_does_not_retry_its_own_retries(tmp_path: Path) -> None:
    """Retries that failed, too, are left out whatever the filter; one by one they can still be resubmitted."""
    refused = (200, {"code": 402, "msg": "no credits left"})
    async with scripted(refused) as apikley, a_world(tmp_path, base_urls={"apikley": apikley.base_url}) as world:
        await keep(world, *many(2, status=Status.FAILED, error=LOST, metadata={"order": "42"}))
        meant = {"status": "failed", "metadata.order": "42"}
        assert await bulk(world, "resubmit", meant) == 2
        await world.turn()
        retries = [task for task in await found(world, status="failed") if task["retry_of"]]
        assert len(retries) == 2
        assert await bulk(world, "resubmit", meant, dry_run=True) == 0
        assert await bulk(world, "resubmit", meant) == 0
        again = await world.api.post(f"/v1/tasks/{retries[0]['id']}/resubmit")
        assert (again.status_code, again.json()["retry_of"]) == (201, retries[0]["id"])


async def test_a_key_is_refused_and_not_ignored(tmp_path: Path) -> None:
    """422 that says why, and nothing is done."""
    async with a_world(tmp_path) as world:
        await keep(world, *many(1))
        asked = {"action": "cancel", "filter": {}}
        answer = await world.api.post("/v1/tasks/bulk", json=asked, headers={"Idempotency-Key": "k"})
        [fault] = answer.json()["errors"]
        assert (answer.status_code, fault["path"]) == (422, "Idempotency-Key")
        assert "can be made again without one" in fault["message"]
        assert (await world.task(id_of(0)))["status"] == "submitted"


async def test_refreshes_are_paced_too(tmp_path: Path) -> None:
    """The next poll of each is due at its turn, newest first; nothing else about it changes."""
    async with a_world(tmp_path) as world:
        await keep_with_timers(world, [*many(3), *many(1, "final", status=Status.FAILED)])
        assert await bulk(world, "refresh", {}, rate_per_second=1) == 3
        timers = [await world.service.storage.read(lambda s, n=n: s.timer(id_of(n))) for n in range(3)]  # type: ignore[misc]
        assert [timer and timer.due_at - NOW for timer in timers] == [2000, 1000, 0]
        assert await world.events() == []


async def test_what_is_unconfirmed_is_resolved(tmp_path: Path) -> None:
    """As failed, for no id could be told of many; everything else is left alone."""
    async with a_world(tmp_path) as world:
        await keep_with_timers(world, [*many(2), a_task(id="task_doubt", status=Status.UNCONFIRMED)])
        assert await bulk(world, "resolve", {"created_after": NOW // SECOND - 1}) == 1
        assert (await world.task("task_doubt"))["error"]["retryable"] is True
        assert len(await found(world, status="submitted")) == 2


async def test_what_changed_since_it_was_found_is_looked_at_again(tmp_path: Path) -> None:
    """Only queued tasks were to be canceled: one that was handed over in between is not."""
    async with a_world(tmp_path) as world:
        await keep_with_timers(
            world, [a_task(id="task_1", status=Status.QUEUED), a_task(id="task_2", status=Status.QUEUED)]
        )
        taken = a_task(id="task_1", provider_task_id="p1", version=1)
        async with held_writes(world) as waiting:
            handed = asyncio.ensure_future(
                world.service.storage.write(lambda store: store.save_task(taken, expected_version=0))
            )
            await waiting(1)
            canceling = asyncio.ensure_future(bulk(world, "cancel", {"status": "queued"}))
            await waiting(2)
        assert (await handed, await canceling) == (True, 1)
        assert [task["status"] for task in await found(world)] == ["canceled", "submitted"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"action": "cancel"}, "filter"),
        ({"filter": {}}, "action"),
        ({"action": "delete", "filter": {}}, "action"),
        ({"action": "cancel", "filter": {"state": "queued"}}, "filter.state"),
        ({"action": "cancel", "filter": {"metadata": "x"}}, "filter.metadata"),
        ({"action": "cancel", "filter": {"metadata.": "x"}}, "filter.metadata."),
        ({"action": "cancel", "filter": {"status": ""}}, "filter.status"),
        ({"action": "cancel", "filter": {"status": "done"}}, "filter.status"),
        ({"action": "cancel", "filter": {"error_kind": "bad"}}, "filter.error_kind"),
        ({"action": "cancel", "filter": {"model": 7}}, "filter.model"),
        ({"action": "cancel", "filter": {"model": None}}, "filter.model"),
        ({"action": "cancel", "filter": {"metadata.order": 42}}, "filter.metadata.order"),
        ({"action": "cancel", "filter": {"metadata.order": ["42"]}}, "filter.metadata.order"),
        ({"action": "cancel", "filter": {"created_after": True}}, "filter.created_after"),
        ({"action": "cancel", "filter": {"created_after": 1.5}}, "filter.created_after"),
        ({"action": "cancel", "filter": {"created_before": "soon"}}, "filter.created_before"),
        ({"action": "cancel", "filter": {f"metadata.{n}": "x" for n in range(51)}}, "filter.metadata"),
        ({"action": "cancel", "filter": {}, "rate_per_second": 0}, "rate_per_second"),
        ({"action": "cancel", "filter": {}, "rate_per_second": 1001}, "rate_per_second"),
        ({"action": "cancel", "filter": {}, "dry_run": "yes"}, "dry_run"),
        ({"action": "cancel", "filter": {}, "limit": 5}, "limit"),
    ],
)
async def test_what_is_wrong_is_named(tmp_path: Path, body: dict[str, Any], path: str) -> None:
    """422, and nothing is done: not to everything because a filter was misspelt, least of all."""
    async with a_world(tmp_path) as world:
        await keep_with_timers(world, many(1))
        answer = await world.api.post("/v1/tasks/bulk", json=body)
        assert (answer.status_code, [fault["path"] for fault in answer.json()["errors"]]) == (422, [path])
        assert (await world.task(id_of(0)))["status"] == "submitted"


async def test_a_resubmitted_task_can_be_handed_over(tmp_path: Path) -> None:
    """It is a task like any other, with its own callback URL."""
    async with scripted(created("p2")) as apikley, a_pair(tmp_path, apikley) as world:
        await keep_with_timers(world, many(1, status=Status.EXPIRED, ours=True))
        assert await bulk(world, "resubmit", {"model": APIKLEY_MODEL}) == 1
        await world.turn()
        [task] = await found(world, status="submitted")
        assert await world.types(task["id"]) == ["queued", "submitted"]
        assert (await world.callback_url(task["id"])).encode() in apikley.seen.requests[0][1]

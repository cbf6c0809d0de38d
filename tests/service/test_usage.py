"""What a tenant's tasks came to and cost, by whatever it asks for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from receiver import formats
from receiver.domain import Status, Task, Usage
from receiver.errors import Invalid, Unavailable
from receiver.ids import made_at, new_id
from receiver.usage import Counting, Limits, Question, TooManyGroups, TooManyTasks
from receiver.usage import Usage as Answer
from receiver.web.usage import counted
from tests.make import DAY, NOW, a_task
from tests.service.asking import complaint, failures
from tests.service.world import World, a_world, keep

pytestmark = pytest.mark.anyio

NOTHING = {"reserved": 0, "charged": 0, "refunded": 0}
BAD: list[tuple[str, str]] = [
    *((f"{name}={value}", name) for name in ("from", "to") for value in ("x", "-1", "2026-13-01", "1e9", "")),
    ("from=2025-12-08T09:40:00Z&to=2025-12-08T09:40:00Z", "from"),
    ("from=2030-01-01", "from"),
    ("from=1&from=2", "from"),
    *(
        (f"group_by={value}", "group_by")
        for value in ("x", "status", "metadata", "metadata.", "Model", "", "model,", ",")
    ),
    ("group_by=model&group_by=model", "group_by"),
    ("group_by=model,provider,metadata.a,metadata.b,metadata.c,metadata.d", "group_by"),
    ("groupby=model", "groupby"),
    ("provider=apikley", "provider"),
]


def costing(number: int, status: Status, usage: Usage | None = None, **fields: Any) -> Task:
    at = NOW - DAY + number
    defaults = {"status": status, "usage": usage, "created_at": at, "metadata": {}, "model": "m"}
    return a_task(id=new_id("task", at), **defaults | fields | {"provider_task_id": f"p{number}"})


def credits_(amount: float, phase: str = "charged") -> Usage:
    return Usage(amount=amount, phase=phase)


HISTORY = [
    costing(0, Status.SUCCEEDED, credits_(10.1), metadata={"team": "red"}),
    costing(1, Status.SUCCEEDED, credits_(20.2), metadata={"team": "blue"}),
    costing(2, Status.FAILED, credits_(0, "refunded"), metadata={"team": "blue"}),
    costing(3, Status.RUNNING, credits_(7, "reserved")),
    costing(4, Status.UNCONFIRMED, metadata={"team": "red"}),
    costing(5, Status.UNCONFIRMED, model="never charged"),
    costing(6, Status.SUCCEEDED, Usage(amount=0.5, unit="usd"), provider="reapi"),
    costing(7, Status.EXPIRED),
    costing(8, Status.CANCELED),
    costing(9, Status.QUEUED),
]


async def used(world: World, query: str = "") -> dict[str, Any]:
    answer = await world.api.get(f"/v1/usage?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_it_is_all_counted(tmp_path: Path) -> None:
    """Tasks, outcomes, what they cost by phase, and what those in doubt may have cost, by others of their model."""
    async with a_world(tmp_path) as world:
        await keep(world, *HISTORY)
        assert await used(world) == {
            "from": "2025-11-08T09:40:00.001Z",
            "to": "2025-12-08T09:40:00.001Z",
            "group_by": [],
            "items": [],
            "total": {
                "tasks": 10,
                "open": 4,
                "outcomes": {"succeeded": 3, "failed": 1, "canceled": 1, "expired": 1},
                "credits": {"reserved": 7, "charged": 30.3, "refunded": 0},
                "usd": {"reserved": 0, "charged": 0.5, "refunded": 0},
                "at_risk": {"tasks": 2, "credits": 15.15, "unpriced": 1},
            },
        }


async def test_of_nothing_there_is_nothing(tmp_path: Path) -> None:
    """Zeros, and no price of what is not at risk."""
    async with a_world(tmp_path) as world:
        body = await used(world, "group_by=provider")
        assert body["items"] == []
        assert body["total"] == {
            "tasks": 0,
            "open": 0,
            "outcomes": dict.fromkeys(("succeeded", "failed", "canceled", "expired"), 0),
            "credits": NOTHING,
            "at_risk": {"tasks": 0, "credits": None, "unpriced": 0},
        }


async def test_it_is_grouped_by_what_is_asked_for(tmp_path: Path) -> None:
    """Providers, models, a metadata value, or several; whoever has most comes first, and the sum is the total."""
    async with a_world(tmp_path) as world:
        await keep(world, *HISTORY)
        for query, groups in {
            "group_by=provider": {("apikley",): 9, ("reapi",): 1},
            "group_by=model": {("m",): 9, ("never charged",): 1},
            "group_by=metadata.team": {(None,): 6, ("blue",): 2, ("red",): 2},
            "group_by=provider,metadata.team": {
                ("apikley", None): 5,
                ("apikley", "blue"): 2,
                ("apikley", "red"): 2,
                ("reapi", None): 1,
            },
            "group_by=metadata.other&group_by=provider": {(None, "apikley"): 9, (None, "reapi"): 1},
        }.items():
            body = await used(world, query)
            found = {tuple(each["group"].values()): each["tasks"] for each in body["items"]}
            assert found == groups, query
            assert list(found.values()) == sorted(found.values(), reverse=True)
            assert all(list(each["group"]) == body["group_by"] for each in body["items"])
            assert sum(found.values()) == body["total"]["tasks"] == 10
        [_, blue, red] = (await used(world, "group_by=metadata.team"))["items"]
        assert (blue["credits"]["charged"], blue["outcomes"]["failed"]) == (20.2, 1)
        assert (red["credits"]["charged"], red["at_risk"]) == (10.1, {"tasks": 1, "credits": 15.15, "unpriced": 0})


async def test_a_time_has_its_first_moment_and_not_its_last(tmp_path: Path) -> None:
    """It is that of the task's making, in any way of writing times."""
    async with a_world(tmp_path) as world:
        await keep(world, *HISTORY)
        for query, count in {
            "from=2025-12-07T09:40:00.002Z&to=2025-12-07T09:40:00.005Z": 3,
            "from=2025-12-07T10:40:00.002%2B01:00": 8,
            f"from={(NOW - DAY) // 1000}&to={(NOW - DAY) // 1000 + 1}": 10,
            f"to={(NOW - DAY) // 1000}": 0,
            "from=2025-12-08&to=2030-01-01": 0,
            "from=0001-01-01T00:00:00%2B10:00&to=9999-12-31T23:59:59-10:00": 10,
        }.items():
            assert (await used(world, query))["total"]["tasks"] == count, query


async def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    """With the parameter's name; nobody gets another time, or other groups, than he thinks."""
    async with a_world(tmp_path) as world:
        wrong = {query: complaint(await world.api.get(f"/v1/usage?{query}"), 422, path) for query, path in BAD}
        assert failures(wrong) == {}


def of_all(**fields: Any) -> Question:
    return Question(**{"tenant": "default", "since": 0, "until": NOW, **fields})


async def test_a_long_history_is_counted_in_bites(tmp_path: Path) -> None:
    """Each is a read of its own, so that others come in between; the figures are those of one."""
    async with a_world(tmp_path) as world:
        await keep(world, *HISTORY)
        whole = await Counting(world.service.storage).answer(of_all(group_by=("model", "metadata.team")))
        for bite in (1, 3, 10):
            limits = Limits(bite=bite)
            parts = await Counting(world.service.storage, limits).answer(of_all(group_by=("model", "metadata.team")))
            assert isinstance(whole, Answer)
            assert isinstance(parts, Answer)
            assert parts.total.by_status == whole.total.by_status
            assert parts.total.amounts == pytest.approx(whole.total.amounts)
            assert parts.groups.keys() == whole.groups.keys()


async def test_too_much_is_refused_with_what_would_do(tmp_path: Path) -> None:
    """More tasks than one question may take: the time from which on there are fewer. More groups: that."""
    async with a_world(tmp_path) as world:
        await keep(world, *HISTORY)
        counting = Counting(world.service.storage, Limits(bite=2, tasks=5, groups=2))
        refused = await counting.answer(of_all())
        assert isinstance(refused, TooManyTasks)
        shorter = await counting.answer(of_all(since=refused.since))
        assert isinstance(shorter, Answer)
        assert shorter.total.tasks == 4
        assert isinstance(await counting.answer(of_all(since=refused.since, group_by=("metadata.team",))), Answer)
        many = Counting(world.service.storage, Limits(groups=2))
        assert isinstance(await many.answer(of_all(group_by=("metadata.team",))), TooManyGroups)


async def test_a_refusal_of_too_much_says_what_would_do(tmp_path: Path) -> None:
    """The time from which on it is less; for groups, that there are too many of them."""
    with pytest.raises(Invalid, match=r"more than 1,000,000 tasks .*: from 2025-12-08T09:40"):
        counted(TooManyTasks(NOW))
    async with a_world(tmp_path) as world:
        await keep(world, *(costing(number, Status.QUEUED, metadata={"order": f"{number}"}) for number in range(1001)))
        assert complaint(await world.api.get("/v1/usage?group_by=metadata.order"), 422, "group_by") is None
        fewer = await used(world, f"group_by=metadata.order&from={formats.timestamp(NOW - DAY + 1)}")
        assert len(fewer["items"]) == fewer["total"]["tasks"] == 1000


def test_an_id_tells_when_it_was_made() -> None:
    """To the millisecond."""
    assert [made_at(new_id("task", at)) for at in (0, NOW, 2**48 - 1)] == [0, NOW, 2**48 - 1]


async def test_a_tenants_questions_are_answered_one_after_the_other(tmp_path: Path) -> None:
    """So that many of them do not take all the readers of the store; and a failed one lets the next go on."""
    async with a_world(tmp_path) as world:
        await keep(world, *HISTORY)
        under_way = most = 0
        storage = world.service.storage

        class Watched:
            async def read(self, do: Any, *, brief: bool = False) -> Any:
                nonlocal under_way, most
                under_way += 1
                most = max(most, under_way)
                try:
                    if most > 5:
                        raise Unavailable("the store is closed")
                    return await storage.read(do, brief=brief)
                finally:
                    under_way -= 1

            write = storage.write

        counting = Counting(Watched(), Limits(bite=3))
        answers = await asyncio.gather(*(counting.answer(of_all()) for _ in range(5)))
        assert [each.total.tasks for each in answers if isinstance(each, Answer)] == [10] * 5
        assert most == 1
        tenants = ("default", "acme", "rival")
        await asyncio.gather(*(counting.answer(of_all(tenant=each)) for each in tenants for _ in range(2)))
        assert 1 < most <= len(tenants)
        assert len(counting._turns) == 0

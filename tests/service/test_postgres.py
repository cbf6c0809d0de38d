"""The service on PostgreSQL: what is set otherwise, what is refused, what two of them tell each other."""

import asyncio
from pathlib import Path

import pytest

from tests.service.world import a_pair, a_world, created, record, scripted

pytestmark = pytest.mark.anyio


async def test_a_task_goes_its_way(tmp_path: Path, postgres_url: str) -> None:
    """Submitted, polled, finished, with its events in order: nothing that a caller sees tells which engine it is."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_DATABASE_URL=postgres_url) as world,
    ):
        task = await world.submit()
        await world.turn(120)
        assert await world.types(task["id"]) == ["submitted", "succeeded"]
        assert (await world.api.get("/health/ready")).status_code == 200


async def test_a_log_is_refused_with_what_to_do(tmp_path: Path, postgres_url: str) -> None:
    """A SQLite file of one of several processes would hold a part of it all."""
    async with a_world(tmp_path, TASKWEIR_DATABASE_URL=postgres_url) as world:
        refused = await world.api.post("/v1/destinations", json={"type": "sqlite", "name": "results"})
        assert refused.status_code == 422
        [fault] = refused.json()["errors"]
        assert fault["path"] == "type"
        assert "type postgres" in fault["message"]


async def test_who_waits_at_one_is_told_what_another_did(tmp_path: Path, postgres_url: str) -> None:
    """A caller waits for a task at one process while another one takes its end: seconds later it is there."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_DATABASE_URL=postgres_url) as one,
        a_pair(tmp_path, apikley, TASKWEIR_DATABASE_URL=postgres_url) as other,
    ):
        task = await one.submit()
        waiting = asyncio.ensure_future(one.api.get(f"/v1/tasks/{task['id']}", params={"wait": "30"}))
        await other.turn(120)
        answer = await asyncio.wait_for(waiting, 10)
        assert answer.json()["status"] == "succeeded"


async def test_a_cap_is_for_all_of_them(tmp_path: Path, postgres_url: str) -> None:
    """What the operator allows per second is shared: the second one asks for nothing until the first makes room."""
    fields = {"TASKWEIR_DATABASE_URL": postgres_url, "TASKWEIR_APIKLEY_RATE": "4"}
    async with a_world(tmp_path, **fields) as one, a_world(tmp_path, **fields) as other:  # type: ignore[arg-type]
        budgets = [world.service._budgets["apikley"] for world in (one, other)]
        assert budgets[0].cap == 4
        assert budgets[1].spent(other.clock.now())
        await one.service.replicas.run_once()
        assert budgets[0].cap == 2

"""A process that does a part of it: which doors it has, and what it leaves to others."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.routing import Route

from receiver.poller import MOST_HASTENED
from receiver.roles import ServerRole
from receiver.store.protocol import Store
from receiver.web.app import routes
from tests.make import HOUR, MINUTE, NOW, a_task, a_timer
from tests.service.world import APIKLEY_MODEL, LIMITS, a_pair, a_world, scripted, soon, submits

pytestmark = pytest.mark.anyio


async def test_a_worker_has_no_door_but_health_and_metrics(tmp_path: Path) -> None:
    """Whatever else is asked, by whatever method, is 404 with the role, and where to ask; callbacks too."""
    paths = [route.path for route in routes() if isinstance(route, Route) and route.path != "/metrics"]
    async with a_world(tmp_path, role=ServerRole.WORKER) as worker:
        for path in [*paths, "/callbacks/apikley/token", "/", "/apikley/api/v1/jobs/createTask"]:
            for method in ("GET", "POST"):
                refused = await worker.api.request(method, path)
                assert (refused.status_code, "--role worker" in refused.json()["detail"]) == (404, True), path
        for path in ("/health/live", "/health/ready", "/healthz", "/readyz", "/metrics"):
            assert (await worker.api.get(path)).status_code == 200


async def test_a_web_leaves_handovers_to_others(tmp_path: Path) -> None:
    """What it records is next in line, not put off, so that there is no event; 202 where nobody takes it."""
    limits = replace(LIMITS, answer_within_s=0.3)
    async with scripted() as apikley, a_pair(tmp_path, apikley, limits=limits, role=ServerRole.WEB) as web:
        body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
        made = await web.api.post("/v1/tasks", json=body)
        assert (made.status_code, made.json()["status"]) == (202, "queued")
        assert await web.types(made.json()["id"]) == []
        assert submits(apikley) == 0


async def test_a_web_that_stops_answers_who_waits(tmp_path: Path) -> None:
    """A handover is somebody else's, who goes on: its caller hears 202, not the end of the connection."""
    limits = replace(LIMITS, answer_within_s=3600.0)
    async with scripted() as apikley, a_pair(tmp_path, apikley, limits=limits, role=ServerRole.WEB) as web:
        asking = asyncio.create_task(web.submit())
        await soon(lambda: bool(web.service.bell._waiting))
        await web.service.drain()
        assert (await asking)["status"] == "queued"


async def test_a_web_does_nothing_by_the_clock(tmp_path: Path) -> None:
    """Its heartbeat is 404 with the reason; it has no loop that works, and is ready without."""
    async with a_world(tmp_path, role=ServerRole.WEB) as web:
        refused = await web.api.post("/internal/tick")
        assert (refused.status_code, "--role web" in refused.json()["detail"]) == (404, True)
        ready = await web.api.get("/health/ready")
        assert (ready.status_code, set(ready.json()["loops"]) - {"replicas"}) == (200, {"catch up"})


async def test_a_web_that_was_away_has_every_task_asked_about(tmp_path: Path) -> None:
    """Callbacks may have been missed: bite by bite the tasks that expect one are due soon, and others ask."""
    count = MOST_HASTENED + 1
    far = NOW + HOUR

    def record(store: Store) -> None:
        for number in range(count):
            name = f"task_{number}"
            store.record_task(a_task(id=name, provider_task_id=name, callback_expected=True))
            store.set_timer(a_timer(task_id=name, due_at=far))

    async with a_world(tmp_path, role=ServerRole.WEB) as web:
        poller = web.service.poller
        await web.service.storage.write(record)
        await poller.make_up_for(NOW)
        assert await web.service.storage.read(lambda store: _due_by(store, count, NOW + 2 * MINUTE)) == count - 1
        while await poller.catch_up() == 0.0:
            pass
        assert await web.service.storage.read(lambda store: _due_by(store, count, NOW + 2 * MINUTE)) == count


def _due_by(store: Store, count: int, at: int) -> int:
    timers = [store.timer(f"task_{number}") for number in range(count)]
    return sum(timer is not None and timer.due_at <= at for timer in timers)

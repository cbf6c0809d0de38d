"""Alive, ready, and who am I: what tells whoever operates us how we are, in good days and bad."""

import asyncio
from pathlib import Path

import pytest

from receiver.domain import Timer, Work
from receiver.guard import Guard
from receiver.loops import STUCK_AFTER_S
from receiver.outbound import Outbound
from tests.make import NOW, a_task
from tests.service.asking import complaint, counts
from tests.service.consumer import a_consumer
from tests.service.engines import looks_into_the_file
from tests.service.owing import happen, quiet
from tests.service.world import APIKLEY_MODEL, World, a_pair, a_world, created, scripted

pytestmark = pytest.mark.anyio

BODY = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}


async def test_who_am_i(tmp_path: Path) -> None:
    """The root key is its own tenant's, and may do everything."""
    async with a_world(tmp_path) as world:
        me = (await world.api.get("/v1/me")).json()
        assert me == {"tenant": "default", "label": "root", "scopes": ["read", "submit", "admin"]}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health/live", "live"), ("/healthz", "live"), ("/health/ready", "ready"), ("/readyz", "ready")],
)
async def test_health(tmp_path: Path, path: str, status: str) -> None:
    """Under both names."""
    async with a_world(tmp_path) as world:
        answer = await world.api.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, status)


async def test_readiness_tells_how_late_each_loop_is(tmp_path: Path) -> None:
    """When it last came round, and how long the oldest thing that it should have done is due."""
    async with a_world(tmp_path) as world:
        late = Timer(task_id="task_1", provider="apikley", work=Work.POLL, due_at=NOW - 7000)
        await world.service.storage.write(lambda store: store.set_timer(late))
        loops = (await world.api.get("/health/ready")).json()["loops"]
        assert {name: each["oldest_due_s"] for name, each in loops.items() if name != "replicas"} == {
            "submit": 0,
            "poll": 7,
            "deliver": 0,
            "retain": 0,
        }
        assert all(each["moved_s_ago"] >= 0 for each in loops.values())


async def late(world: World) -> float:
    """How long the oldest delivery that should have been tried is due, in seconds."""
    told: float = (await world.api.get("/health/ready")).json()["loops"]["deliver"]["oldest_due_s"]
    return told


async def test_what_waits_on_purpose_is_not_late(tmp_path: Path) -> None:
    """A held queue is as late as its probe, a disabled one never; what should have gone out is."""
    async with a_consumer(500) as broken, a_consumer() as fine, a_world(tmp_path) as world:
        made = await world.destination(broken.url)
        await happen(world, 5)
        await quiet(world)
        world.clock.advance(59)
        assert await late(world) == 0
        world.clock.advance(4)
        assert await late(world) == 3
        await world.api.post(f"/v1/destinations/{made['id']}/disable")
        assert await late(world) == 0
        await world.destination(fine.url)
        await happen(world, 1, first=100)
        world.clock.advance(2)
        assert await late(world) == 2
        await quiet(world)
        assert await late(world) == 0


async def test_metrics_say_the_same_for_prometheus(tmp_path: Path) -> None:
    """For who has the key, or for everybody where the operator opened them."""
    async with a_world(tmp_path) as world:
        text = (await world.api.get("/metrics")).text
        assert "taskweir_ready 1.0" in text
        assert 'taskweir_loop_oldest_due_seconds{loop="poll"} 0.0' in text
        assert (await world.api.get("/metrics", headers={"authorization": ""})).status_code == 401
    async with a_world(tmp_path / "open", TASKWEIR_METRICS_OPEN="1") as world:
        assert (await world.api.get("/metrics", headers={"authorization": ""})).status_code == 200


async def test_one_that_was_told_to_stop_takes_no_task(tmp_path: Path) -> None:
    """503 with when to try again at every door that takes work, nothing recorded; callbacks and reads go on."""
    refusal = (200, {"code": 402, "msg": "no credits", "data": None})
    async with scripted(created(), refusal) as apikley, a_pair(tmp_path, apikley) as world:
        task, failed = await world.submit(), await world.submit()
        await world.service.drain()
        assert (await world.api.get("/health/ready")).json()["reason"] == "the server is stopping"
        before = counts(tmp_path)
        many = {"action": "resubmit", "filter": {"status": "failed"}}
        for path, body in (
            ("/v1/tasks", BODY),
            ("/v1/tasks/adopt", {"provider": "apikley", "provider_task_id": "p9"}),
            ("/v1/tasks/bulk", many),
            (f"/v1/tasks/{failed['id']}/resubmit", None),
        ):
            refused = await world.api.post(path, json=body)
            assert complaint(refused, 503) is None, path
            assert (refused.headers["retry-after"], counts(tmp_path)) == ("5", before), path
        counted = await world.api.post("/v1/tasks/bulk", json=many | {"dry_run": True})
        assert (counted.status_code, counted.json()) == (200, {"count": 1})
        assert (await world.api.post(await world.callback_url(task["id"]), json={"odd": 1})).status_code == 200
        assert len((await world.api.get("/v1/tasks")).json()["items"]) == 2


class SlowNames(Outbound):
    """Looks a webhook's host up when it is let."""

    def __init__(self) -> None:
        super().__init__(Guard("loopback"))
        self.asked, self.answered = asyncio.Event(), asyncio.Event()

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.set()
        await self.answered.wait()
        return await super().resolve(host, port)


async def test_a_submit_that_the_stop_overtakes_is_not_taken(tmp_path: Path) -> None:
    """It came before, and was still being checked: handed over now, nobody would hear what became of it."""
    names = SlowNames()
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley, outbound=names) as world:
        body = BODY | {"webhook_url": "http://127.0.0.1:9/hook"}
        asking = asyncio.ensure_future(world.api.post("/v1/tasks", json=body))
        await names.asked.wait()
        await world.service.drain()
        names.answered.set()
        assert complaint(await asking, 503) is None
        assert (counts(tmp_path), apikley.lines) == ({}, [])


async def test_a_loop_that_does_not_move_is_not_ready(tmp_path: Path) -> None:
    """503 with its name; alive all the same, for a restart would not help who only waits."""
    async with a_world(tmp_path) as world:
        for name, loop in (("submit", world.service.loops[0]), ("deliver", world.service.loops[2])):
            loop._moved_at -= STUCK_AFTER_S + 1
            answer = await world.api.get("/health/ready")
            assert answer.status_code == 503
            assert name in answer.json()["reason"]
        assert answer.json()["reason"] == "the submit and deliver loop does not move"
        assert (await world.api.get("/readyz")).status_code == 503
        assert (await world.api.get("/health/live")).status_code == 200


async def command(world: World, pragma: str) -> None:
    """Make the real database behave as one that is in trouble."""
    await world.service.storage.write(lambda store: store.execute(f"PRAGMA {pragma}", {}))  # type: ignore[attr-defined]


@looks_into_the_file
async def test_a_store_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    """503 everywhere that would write, with when to come back; nothing is recorded or spent; reading goes on."""
    async with scripted(created("p2")) as apikley:
        async with a_pair(tmp_path, apikley) as world:
            await world.service.storage.write(lambda store: store.record_task(a_task()))
            path = await world.callback_url("task_1")
            before = counts(tmp_path)
            await command(world, "query_only = 1")
            for address in ("/health/ready", "/readyz"):
                ready = await world.api.get(address)
                assert (ready.status_code, "readonly" in ready.json()["reason"]) == (503, True)
            log = {"type": "sqlite", "name": "results"}
            for address, body in (("/v1/tasks", BODY), ("/v1/destinations", log), (path, {"code": 200})):
                answer = await world.api.post(address, json=body)
                assert complaint(answer, 503) is None
                assert int(answer.headers["retry-after"]) > 0
            assert (await world.api.get("/v1/tasks/task_1")).status_code == 200
        async with a_pair(tmp_path, apikley) as world:
            assert (counts(tmp_path), apikley.lines) == (before, [])
            assert (await world.submit())["status"] == "submitted"


@looks_into_the_file
async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """503 while there is no room, and the same request is taken once there is."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        await command(world, "max_page_count = 1")  # which SQLite takes for as many as there are
        body = BODY | {"input": {"prompt": "x" * 9000, "more": "y" * 500_000}}
        assert complaint(await world.api.post("/v1/tasks", json=body), 503) is None
        assert (counts(tmp_path), apikley.lines) == ({}, [])
        await command(world, "max_page_count = 1000000")
        assert (await world.api.post("/v1/tasks", json=body)).status_code == 201


async def test_a_store_that_is_closed_is_not_ready(tmp_path: Path) -> None:
    """As at the end of a process."""
    async with a_world(tmp_path) as world:
        await world.service.storage.close()
        answer = await world.api.get("/health/ready")
        assert (answer.status_code, answer.json()["reason"]) == (503, "the store is closed")
        assert complaint(await world.api.post("/v1/tasks", json=BODY), 503) is None

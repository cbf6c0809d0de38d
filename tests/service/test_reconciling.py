"""A database from a backup, made fit to go on with: nothing is sent twice or forgotten, no seq is given again."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from receiver.domain import MINUTE, Ms, Status, Work
from receiver.errors import ConfigurationError
from receiver.hand_off import HandOff
from receiver.main import settings_of
from receiver.reconciling import BITE, Reconciled, reconcile, reconcile_all
from receiver.storages import storage_of
from receiver.store.protocol import Storage, Store
from receiver.store.records import Page
from tests.make import DAY, NOW, SECOND, a_task, a_timer
from tests.postgres_server import PostgresServer
from tests.service.consumer import a_consumer
from tests.service.world import Scripted, World, a_world, created, polls, record, scripted, submits

pytestmark = pytest.mark.anyio


@dataclass
class Backups:
    """One database that copies are made of, and that becomes such a copy again."""

    url: str
    directory: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"TASKWEIR_DATABASE_URL": self.url, "TASKWEIR_DATA_DIR": str(self.directory)}

    def make(self) -> None:
        self._copy("taskweir", "backup")

    def restore(self) -> None:
        self._copy("backup", "taskweir")

    def _copy(self, source: str, target: str) -> None:
        if self.url.startswith("sqlite"):
            shutil.copy(self.directory / f"{source}.db", self.directory / f"{target}.db")
            return
        with psycopg.connect(self.url.replace("/taskweir?", "/postgres?"), autocommit=True) as server:
            server.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)'.encode())
            server.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"'.encode())


@pytest.fixture(params=["sqlite", "postgres"])
def backups(request: pytest.FixtureRequest, tmp_path: Path) -> Backups:
    """An empty database of each engine."""
    if request.param == "sqlite":
        return Backups(f"sqlite:///{tmp_path}/taskweir.db", tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS taskweir WITH (FORCE)")
    return Backups(server.make_database("taskweir"), tmp_path)


def a_run(backups: Backups, apikley: Scripted) -> AbstractAsyncContextManager[World]:
    """A server from its start to its stop."""
    return a_world(backups.directory, base_urls={"apikley": apikley.base_url}, **backups.settings)


async def reconciled(backups: Backups, *, since: Ms = NOW - 5 * SECOND) -> Reconciled:
    async with opened(backups) as storage:
        return await reconcile(storage, since=since, now=NOW)


@asynccontextmanager
async def opened(backups: Backups) -> AsyncIterator[Storage]:
    """The store, with no server on it."""
    kept = storage_of(settings_of(backups.settings | {"TASKWEIR_SECRET_KEY": "s" * 32}, {}), HandOff(lease=0, now=0))
    await kept.storage.open(now=NOW)
    try:
        yield kept.storage
    finally:
        await kept.storage.write(lambda store: store.release_leases(NOW))
        await kept.storage.close()


async def test_what_happened_after_the_backup_is_found_out_again(backups: Backups) -> None:
    """A task that ended is asked about; one that was handed over is in doubt, and not paid for twice; seqs go on."""
    async with scripted(created("p1"), record("generating", "p1")) as apikley, a_consumer() as consumer:
        async with a_run(backups, apikley) as world:
            await world.destination(consumer.url, event_types=["task.*"])
            asked = await world.submit()
            await world.api.post("/v1/providers/apikley/pause")
            queued = await world.submit()
            assert queued["status"] == "queued"
            await world.turn()
        backups.make()

        apikley.say(created("p2"), record("success", "p1"))
        async with a_run(backups, apikley) as world:
            await world.api.post("/v1/providers/apikley/resume")
            await world.until(lambda: submits(apikley) == 2)
            apikley.say(record("success", "p1"))
            assert (await world.end(asked["id"]))["status"] == "succeeded"
            lost = await world.events()
        backups.restore()

        done = await reconciled(backups)
        assert (done.asked, done.doubtful) == (1, 1)
        assert done.seq > max(event["seq"] for event in lost)
        before = polls(apikley)
        async with a_run(backups, apikley) as world:
            kept = await world.events()
            await world.api.post("/v1/providers/apikley/resume")
            await world.turn(60)
            assert polls(apikley) == before + 1
            assert (await world.task(asked["id"]))["status"] == "succeeded"
            found = await world.task(queued["id"])
            new = [event for event in await world.events() if event not in kept and event["type"] != "provider.resumed"]
        assert (found["status"], submits(apikley)) == ("unconfirmed", 2)
        assert "not sent again by itself" in found["error"]["message"]
        assert sorted(event["type"] for event in new) == ["task.succeeded", "task.unconfirmed"]
        assert min(event["seq"] for event in new) > done.seq
        assert not {event["id"] for event in new} & {event["id"] for event in lost}


async def test_it_can_be_repeated(backups: Backups) -> None:
    """Whatever is queued is doubted once, in bites; what can be asked about is due, also what was put off for long."""
    asked, waits = a_task(id="task_asked"), a_task(id="task_waits", provider_task_id=None, status=Status.UNCONFIRMED)

    def fill(store: Store) -> None:
        for number in range(2 * BITE + 1):
            task = a_task(id=f"task_{number:04}", provider_task_id=None, status=Status.QUEUED)
            store.record_task(task)
            store.set_timer(a_timer(task_id=task.id, work=Work.SUBMIT, due_at=NOW + DAY))
        for task in (asked, waits):
            store.record_task(task)
            store.set_timer(a_timer(task_id=task.id, due_at=NOW + DAY))

    async with opened(backups) as storage:
        await storage.write(fill)
    first, second = await reconciled(backups), await reconciled(backups)
    assert (first.asked, first.doubtful, second.asked, second.doubtful) == (1, 2 * BITE + 1, 1, 0)
    assert (first.seq, second.seq) == (50_000, 100_000)
    async with opened(backups) as storage:
        due = await storage.read(lambda store: [store.timer(each.id) for each in (asked, waits)])
        page = Page(tenant="default", limit=2 * BITE + 9, where={"status": "submitting"})
        begun = await storage.read(lambda store: store.list_tasks(page))
        following = await storage.write(lambda store: store.next_seq())
    assert [timer is not None and timer.due_at < NOW + MINUTE for timer in due] == [True, False]
    assert (len(begun), following) == (2 * BITE + 1, 100_001)


async def test_beside_a_server_it_is_refused(backups: Backups) -> None:
    """It is for a database that nobody works on; so is a time that is not the past."""
    environment = backups.settings | {"TASKWEIR_SECRET_KEY": "s" * 32}
    settings = settings_of(environment, {})
    async with scripted() as apikley, a_run(backups, apikley):
        with pytest.raises(ConfigurationError, match=r"works on this|another process"):
            await reconcile_all(settings, since=NOW)
    with pytest.raises(ConfigurationError, match="future"):
        await reconcile_all(settings, since=10 * NOW)
    assert (await reconcile_all(settings, since=NOW)).doubtful == 0


def test_the_command_tells_what_it_did(backups: Backups) -> None:
    """`taskweir reconcile --since 2h`; without a time, or with what is none, it is a wrong use."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "receiver", "reconcile", *arguments]
        env = os.environ | backups.settings | {"TASKWEIR_SECRET_KEY": "s" * 32, "COLUMNS": "200"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)

    done = run("--since", "2h")
    assert done.returncode == 0, done.stderr
    assert "0 tasks are asked about again" in done.stdout
    seq = int(done.stdout.split()[-1])
    assert 72_000_000 <= seq < 72_000_000 + 600_000
    assert run().returncode == 2
    assert run("--since", "yesterday").returncode == 2

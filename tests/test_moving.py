"""A database moves from one engine to the other and back: all of it, or it is not served."""

import asyncio
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from receiver.domain import Attempt, DeliveryState, Status
from receiver.errors import ConfigurationError
from receiver.moving import Moved, move
from receiver.storages import side_of
from receiver.store.postgres import PostgresStorage
from receiver.store.protocol import Store
from receiver.store.records import KeptKey, Page
from receiver.store.sides import TABLES
from receiver.store.sqlite import SqliteStorage
from tests.make import DAY, NOW, a_delivery, a_destination, a_task, a_timer, an_event
from tests.service.world import a_world

TASKS = int(os.environ.get("TASKWEIR_TEST_MOVED", "10000"))
BATCH = 1000


def fill(store: Store, first: int) -> None:
    """Finished tasks with all that belongs to one, and an odd text among it."""
    for number in range(first, first + BATCH):
        name = f"{number:07}"
        task = a_task(
            id=f"task_{name}", provider_task_id=f"p{name}", status=Status.SUCCEEDED, finished_at=NOW, ours=True
        )
        store.record_task(task)
        seq = store.next_seq()
        store.record_event(an_event(seq, id=f"evt_{name}", task=task), f'{{"id":"evt_{name}","text":"\u2603"}}')
        store.record_delivery(a_delivery(id=f"dlv_{name}", event_id=f"evt_{name}", task_id=task.id), seq)
        attempt = Attempt(number=1, at=NOW, duration_ms=5, status=204, response="a\0b" if number % 100 == 0 else "")
        store.settle_delivery(f"dlv_{name}", attempt, owner="", state=DeliveryState.DELIVERED, tries=0, due_at=None)
        store.note(task.id, at=NOW, sequence=1, kind="poll", text="said so", data={"n": number})
        store.tally(task.id, "poll", at=NOW)
    store.set_timer(a_timer(task_id=f"task_{first:07}", owner="gone", due_at=NOW + DAY))
    store.keep_key(KeptKey(tenant="default", key=f"k{first}", fingerprint="f", task_id=f"task_{first:07}", status=201))
    store.keep_callback(f"task_{first:07}", digest="d", at=NOW, outcome="read", body=b"\x00\xff", most=20)
    store.record_destination(a_destination(id=f"dst_{first}", rate_per_second=0.1))
    store.retire_secret(f"dst_{first}", "sealed", now=NOW, until=NOW + DAY)


async def _fill(path: Path, tasks: int = BATCH) -> None:
    storage = SqliteStorage(path)
    await storage.open(now=NOW)
    for first in range(0, tasks, BATCH):
        await storage.write(lambda store, first=first: fill(store, first))  # type: ignore[misc]
    await storage.close()


def moved(source: str, target: str, most: int | None = None) -> list[Moved]:
    """Move, and break off once so many pages were copied."""
    pages = 0

    def told(table: str, rows: int) -> None:
        nonlocal pages
        pages += 1
        if pages == most:
            raise KeyboardInterrupt

    with closing(side_of(source, now=NOW)) as out, closing(side_of(target, now=NOW)) as into:
        return move(out, into, told=told, bite=500)


def test_there_and_back(tmp_path: Path, postgres_url: str) -> None:
    """Broken off twice and begun again, all of it arrives; back in a file it is the same, by its counts and digests."""
    asyncio.run(_fill(tmp_path / "taskweir.db", TASKS))
    here, there = f"sqlite:///{tmp_path}/taskweir.db", f"sqlite:///{tmp_path}/back.db"
    for most in (3, 40):
        with pytest.raises(KeyboardInterrupt):
            moved(here, postgres_url, most)
    out = moved(here, postgres_url)
    back = moved(postgres_url, there)
    assert out == back
    rows = {each.table: each.rows for each in out}
    assert rows["tasks"] == rows["events"] == rows["deliveries"] == rows["attempts"] == rows["notes"] == TASKS
    assert rows["timers"] == rows["idempotency_keys"] == rows["inbox"] == rows["destinations"] == TASKS // BATCH

    async def look() -> tuple[int, int]:
        storage = PostgresStorage(postgres_url)
        await storage.open(now=NOW)
        page = Page(tenant="default", limit=10, where={"task_id": "task_0000007"})
        [event] = await storage.read(lambda store: store.list_events(page, after=None, newest_first=True))
        following = await storage.write(lambda store: store.next_seq())
        await storage.close()
        return event.seq, following

    assert asyncio.run(look()) == (8, TASKS + 1)


def test_what_is_in_use_is_left_alone(tmp_path: Path, postgres_url: str) -> None:
    """A target that holds something, a server that is running on either side: refused, and nothing is written."""
    asyncio.run(_an_open_one(tmp_path, postgres_url))


async def _an_open_one(directory: Path, url: str) -> None:
    here = f"sqlite:///{directory}/taskweir.db"
    sqlite, postgres = SqliteStorage(directory / "taskweir.db"), PostgresStorage(url)
    await sqlite.open(now=NOW)
    with pytest.raises(ConfigurationError, match="another process"):
        await asyncio.to_thread(moved, here, url)
    await sqlite.write(lambda store: store.record_task(a_task()))
    await sqlite.close()
    await postgres.open(now=NOW)
    with pytest.raises(ConfigurationError, match="a server works on"):
        await asyncio.to_thread(moved, here, url)
    await postgres.write(lambda store: store.record_task(a_task(id="task_other")))
    await postgres.write(lambda store: store.release_leases(NOW))
    await postgres.close()
    with pytest.raises(ConfigurationError, match="something in it already"):
        await asyncio.to_thread(moved, here, url)


def test_what_is_not_whole_is_not_served(tmp_path: Path, postgres_url: str) -> None:
    """A move that was broken off leaves a database that no server opens, on either engine."""
    asyncio.run(_fill(tmp_path / "from.db"))
    for target in (postgres_url, f"sqlite:///{tmp_path}/taskweir.db"):
        with pytest.raises(KeyboardInterrupt):
            moved(f"sqlite:///{tmp_path}/from.db", target, 2)

        async def serve(target: str = target) -> None:
            async with a_world(tmp_path, TASKWEIR_DATABASE_URL=target):
                raise AssertionError("it was served")

        with pytest.raises(ConfigurationError, match="not whole") as refused:
            asyncio.run(serve())
        assert "taskweir migrate --from" in refused.value.hint


def test_every_table_is_moved(tmp_path: Path, postgres_url: str) -> None:
    """Those of both engines, but for the version of the schema, and who is alive."""
    with (
        closing(side_of(f"sqlite:///{tmp_path}/t.db", now=NOW)) as file,
        closing(side_of(postgres_url, now=NOW)) as base,
    ):
        of_file = file._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        of_base = base._cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert {name for (name,) in of_file} - {"schema_migrations"} == TABLES.keys()
    assert {name for (name,) in of_base} - {"schema_migrations", "replicas", "commits"} == TABLES.keys()


def test_the_command_moves(tmp_path: Path, postgres_url: str) -> None:
    """`taskweir migrate --from … --to …` ends with what both hold; either alone is a wrong use."""
    asyncio.run(_fill(tmp_path / "taskweir.db"))

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "receiver", "migrate", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})

    done = run("--from", f"sqlite:///{tmp_path}/taskweir.db", "--to", postgres_url)
    assert done.returncode == 0, done.stderr
    assert f"{BATCH}" in next(line for line in done.stdout.splitlines() if "│ events" in line)
    assert run("--from", f"sqlite:///{tmp_path}/taskweir.db").returncode == 2
    again = run("--from", f"sqlite:///{tmp_path}/taskweir.db", "--to", postgres_url)
    assert again.returncode != 0
    assert "something in it already" in again.stderr + again.stdout

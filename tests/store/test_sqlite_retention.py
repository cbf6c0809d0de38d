"""What deleting leaves of a SQLite file: whole rows after a crash, and room for what comes."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from receiver.domain import Attempt, DeliveryState, Ms, Status
from receiver.ids import new_id
from receiver.store.protocol import Store
from receiver.store.records import KeptKey
from receiver.store.sqlite import SqliteStorage
from tests.make import DAY, NOW, a_delivery, a_task, an_event

pytestmark = pytest.mark.anyio

OLD = NOW - 31 * DAY
BEFORE = NOW - 30 * DAY
TABLES = ("attempts", "deliveries", "events", "idempotency_keys", "inbox", "inputs", "notes", "tallies", "tasks")


def record(store: Store, at: Ms, tasks: int) -> None:
    """Tasks that ended at this time, each with one row of everything."""
    for number in range(tasks):
        task_id = new_id("task", at + number)
        task = a_task(
            id=task_id, provider_task_id=task_id, status=Status.SUCCEEDED, finished_at=at, input={"prompt": "x" * 500}
        )
        store.record_task(task)
        store.keep_callback(task_id, digest="d", at=at, outcome="read", body=b"x" * 500, most=9)
        store.note(task_id, at=at, sequence=0, kind="poll", text="x", data={})
        store.tally(task_id, "poll", at=at)
        store.keep_key(KeptKey(tenant="default", key=task_id, fingerprint="f", task_id=task_id))
        event = an_event(store.next_seq(), id=new_id("evt", at + number), task=task)
        store.record_event(event, "x" * 1000)
        delivery = a_delivery(id=new_id("dlv", at + number), event_id=event.id, task_id=task_id, destination_id="dst_1")
        store.record_delivery(delivery, event.seq)
        done = Attempt(number=1, at=at, duration_ms=1, status=200)
        store.settle_delivery(delivery.id, done, owner="", state=DeliveryState.DELIVERED, tries=0, due_at=None)


def counts(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as database:
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


async def prune(storage: SqliteStorage) -> None:
    for kind in ("events", "tasks"):
        after: str | None = ""
        while after is not None:

            def bite(store: Store, kind: str = kind, after: str = after) -> str | None:
                take = store.prune_events if kind == "events" else store.prune_tasks
                return take(BEFORE, after=after, limit=50).last

            after = await storage.write(bite)


_DIE_IN_A_BITE = """
import asyncio, os, signal, sys
from pathlib import Path
from receiver.store.sqlite import SqliteStorage

async def main():
    storage = SqliteStorage(Path(sys.argv[1]))
    await storage.open(now=int(sys.argv[2]))
    def bite(store):
        verb = store.prune_events if sys.argv[3] == "events" else store.prune_tasks
        assert verb(int(sys.argv[2]), after="", limit=40).rows[sys.argv[3]] == 40
        os.kill(os.getpid(), signal.SIGKILL)
    await storage.write(bite)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["events", "tasks"])
async def test_a_crash_in_the_middle_of_a_bite_leaves_nothing_half_deleted(tmp_path: Path, kind: str) -> None:
    """The process dies once everything is deleted and nothing committed: all is there, and the next run takes it."""
    path = tmp_path / "taskweir.db"
    storage = SqliteStorage(path)
    await storage.open(now=NOW)
    await storage.write(lambda store: record(store, OLD, 100))
    if kind == "tasks":
        await storage.write(lambda store: store.prune_events(BEFORE, after="", limit=999))
    await storage.close()
    before = counts(path)
    command = [sys.executable, "-c", _DIE_IN_A_BITE, str(path), str(BEFORE), kind]
    died = await asyncio.to_thread(subprocess.run, command, check=False)
    assert died.returncode == -signal.SIGKILL
    assert counts(path) == before
    storage = SqliteStorage(path)
    await storage.open(now=NOW)
    await prune(storage)
    await storage.close()
    assert counts(path) == dict.fromkeys(TABLES, 0)


async def test_what_was_deleted_makes_room_for_what_comes(tmp_path: Path) -> None:
    """The file does not shrink, and does not grow: pages that are free are used again, round after round."""
    path = tmp_path / "taskweir.db"
    storage = SqliteStorage(path)
    await storage.open(now=NOW)

    async def pages() -> tuple[int, int]:
        names = ("page_count", "freelist_count")
        rows = await storage.read(lambda store: [store.execute(f"PRAGMA {name}", {})[0] for name in names])
        total, free = (next(iter(row.values())) for row in rows)
        return total, free

    await storage.write(lambda store: record(store, OLD, 500))
    first, _ = await pages()
    for _ in range(4):
        await prune(storage)
        total, free = await pages()
        assert free > 0.8 * total
        await storage.write(lambda store: record(store, OLD, 500))
    total, _ = await pages()
    assert total < 1.1 * first
    await storage.close()

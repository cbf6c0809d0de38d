"""What is SQLite's own: one process, migrations, durability, a full disk."""

import asyncio
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from receiver.errors import ConfigurationError, Unavailable
from receiver.hand_off import HandOff
from receiver.store import sqlite
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.store.sqlite import SqliteStorage
from receiver.store.sqlite_store import SqliteStore
from receiver.store.statements import named_statements
from tests.make import NOW, a_delivery, a_task

pytestmark = pytest.mark.anyio


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """Two writers on one file would corrupt it: the second is told so, and the file is free after the first closed."""
    path = tmp_path / "taskweir.db"
    first, second, third = SqliteStorage(path), SqliteStorage(path), SqliteStorage(path)
    await first.open(now=NOW)
    with pytest.raises(ConfigurationError, match="another process"):
        await second.open(now=NOW)
    await first.close()
    await third.open(now=NOW)
    await third.close()


async def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    """Prompts are in it: the database, and its WAL while it is open, are readable by their owner only."""
    storage = SqliteStorage(tmp_path / "deep" / "taskweir.db")
    await storage.open(now=NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").glob("*.db*")}
    await storage.close()
    assert modes["taskweir.db"] == modes["taskweir.db-wal"] == 0o600


async def test_a_write_is_synced_before_it_is_answered(tmp_path: Path) -> None:
    """WAL, `synchronous=FULL`, and readers that can neither write nor checkpoint."""
    storage = SqliteStorage(tmp_path / "taskweir.db")
    await storage.open(now=NOW)

    def pragmas(store: object) -> list[object]:
        names = ("journal_mode", "synchronous", "query_only", "wal_autocheckpoint")
        return [next(iter(row.values())) for name in names for row in store.execute(f"PRAGMA {name}", {})]  # type: ignore[attr-defined]

    assert await storage.write(pragmas) == ["wal", 2, 0, 16000]
    assert await storage.read(pragmas) == ["wal", 2, 1, 0]
    with pytest.raises(Unavailable, match="readonly"):
        await storage.read(lambda store: store.record_task(a_task()))
    await storage.close()


@pytest.mark.parametrize(("length", "count", "behind"), [(3_000, 3_000, 500), (40_000, 1_000, 100)])
async def test_the_log_of_writes_is_emptied_as_it_fills(tmp_path: Path, length: int, count: int, behind: int) -> None:
    """By then the file itself has all but the last thousand pages or so, however many rows those are."""
    path, at_once, prompt = tmp_path / "taskweir.db", 50, {"prompt": "x" * length}
    storage = SqliteStorage(path)
    await storage.open(now=NOW)

    def record(store: Store, first: int) -> None:
        for number in range(first, first + at_once):
            store.record_task(a_task(id=f"task_{number}", provider_task_id=None, input=prompt))

    for first in range(0, count, at_once):
        await storage.write(lambda store, first=first: record(store, first), brief=first % 100 == 0)
    await storage.write(lambda store: None)  # after a checkpoint that may be under way
    alone = tmp_path / "alone.db"
    shutil.copyfile(path, alone)  # without its -wal
    await storage.close()
    with closing(sqlite3.connect(alone)) as connection:
        [[kept]] = connection.execute("SELECT count(*) FROM tasks")
    assert count - behind <= kept <= count


def test_a_checkpoint_is_due_though_sqlite_counts_no_further(tmp_path: Path) -> None:
    """It counts rows in 32 bits, and goes on below zero."""
    sqlite.migrate_file(tmp_path / "taskweir.db", now=NOW)
    connection = sqlite._Connection(tmp_path / "taskweir.db", HandOff(lease=0, now=0))
    counted, connection._checkpointed_at = connection._connection, 2**31 - 600
    with closing(counted):
        for changes, due in ((-(2**31) + 399, False), (-(2**31) + 400, True)):
            connection._connection = SimpleNamespace(total_changes=changes)  # type: ignore[assignment]
            assert connection.checkpoint_due() is due


def test_migrations_are_applied_once(tmp_path: Path) -> None:
    """The first run brings the schema up to date, the second finds nothing to do."""
    path = tmp_path / "taskweir.db"
    assert sqlite.migrate_file(path, now=NOW) == [number for number, _ in sqlite.migrations()]
    assert sqlite.migrate_file(path, now=NOW) == []
    assert sqlite.schema_version(path) == sqlite.newest_version()


def test_a_claim_of_before_is_as_old_as_its_ring(tmp_path: Path) -> None:
    """A file of the schema before: what a callback claimed, and when it rang, was one fact there."""
    path = tmp_path / "taskweir.db"
    with sqlite3.connect(path) as connection:
        for number, sql in sqlite.migrations()[:2]:
            connection.executescript(sql)
            connection.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, at BIGINT)")
            connection.execute("INSERT INTO schema_migrations (version, at) VALUES (?, 0)", (number,))
        insert = """INSERT INTO timers (task_id, provider, work, due_at, tries, rung_at, claimed)
        VALUES (?, 'apikley', 'poll', 9, 0, 7, ?)"""
        connection.executemany(insert, [("claimed", "succeeded"), ("rung", None)])
    connection.close()
    assert sqlite.migrate_file(path, now=NOW)[0] == 3
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT task_id, claimed_at FROM timers ORDER BY task_id").fetchall()
    connection.close()
    assert rows == [("claimed", 7), ("rung", None)]


async def test_an_old_schema_is_refused_where_migrating_is_left_to_the_operator(tmp_path: Path) -> None:
    """The refusal names the command."""
    storage = SqliteStorage(tmp_path / "taskweir.db")
    with pytest.raises(ConfigurationError, match="schema 0") as refused:
        await storage.open(now=NOW, migrate=False)
    assert "taskweir migrate" in refused.value.hint


async def test_a_migrated_file_is_opened_without_migrating(tmp_path: Path) -> None:
    """`TASKWEIR_MIGRATE=0` after `taskweir migrate` works."""
    path = tmp_path / "taskweir.db"
    sqlite.migrate_file(path, now=NOW)
    storage = SqliteStorage(path)
    await storage.open(now=NOW, migrate=False)
    await storage.close()


def test_a_schema_from_the_future_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what a newer one wrote."""
    path = tmp_path / "taskweir.db"
    sqlite.migrate_file(path, now=NOW)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO schema_migrations (version, at) VALUES (999, 0)")
    connection.close()
    with pytest.raises(ConfigurationError, match="schema 999"):
        sqlite.migrate_file(path, now=NOW)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Each runs in a transaction of its own."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        sqlite._in_transaction(connection, ["CREATE TABLE a (b)", "CREATE TABLE nonsense"])
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("place", ["file/taskweir.db", "."])
async def test_a_place_that_cannot_hold_a_database_is_named(tmp_path: Path, place: str) -> None:
    """A directory that is a file, or a file that is a directory: the setting to change is in the hint."""
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(ConfigurationError) as refused:
        await SqliteStorage(tmp_path / place).open(now=NOW)
    assert "TASKWEIR_DATABASE_URL" in refused.value.hint


async def test_a_file_that_is_no_database_is_an_error_of_opening(tmp_path: Path) -> None:
    """Somebody else's file is not overwritten."""
    path = tmp_path / "taskweir.db"
    path.write_bytes(b"this is a text, and longer than a header, " * 40)
    with pytest.raises(ConfigurationError, match="not a database"):
        await SqliteStorage(path).open(now=NOW)
    assert path.read_bytes().startswith(b"this is a text")


async def test_a_full_disk_refuses_writes_and_recovers(tmp_path: Path) -> None:
    """What does not fit is `Unavailable`, what was answered stays, and writing goes on once there is room."""
    storage = SqliteStorage(tmp_path / "taskweir.db")
    await storage.open(now=NOW)
    pages = await storage.write(lambda store: store.execute("PRAGMA page_count", {}))  # type: ignore[attr-defined]
    limit = pages[0]["page_count"] + 8

    def cap(most: int) -> object:
        return storage.write(lambda store: store.execute(f"PRAGMA max_page_count = {most}", {}))  # type: ignore[attr-defined]

    await cap(limit)  # type: ignore[misc]

    async def fill() -> None:
        for number in range(1000):
            task = a_task(id=f"task_{number}", provider_task_id=f"p{number}", input={"prompt": "x" * 4000})
            await storage.write(lambda store, task=task: store.record_task(task))  # type: ignore[misc]
            kept.append(task.id)

    kept: list[str] = []
    with pytest.raises(Unavailable, match="full"):
        await fill()
    assert all([await storage.read(lambda store, each=each: store.task(each)) for each in kept])  # type: ignore[misc]
    assert await storage.read(lambda store: store.task(f"task_{len(kept)}")) is None
    await cap(100_000)  # type: ignore[misc]
    await storage.write(lambda store: store.record_task(a_task(id="task_after", provider_task_id="after")))
    await storage.close()


async def test_a_foreign_lock_is_waited_for(tmp_path: Path) -> None:
    """Somebody with the sqlite3 shell who holds a write lock delays a write, and does not fail it."""
    path = tmp_path / "taskweir.db"
    storage = SqliteStorage(path)
    await storage.open(now=NOW)
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(storage.write(lambda store: store.record_task(a_task())))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    shell.execute("ROLLBACK")
    await waiting
    shell.close()
    await storage.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Writing after the end is `Unavailable`, and closing twice is nothing."""
    storage = SqliteStorage(tmp_path / "taskweir.db")
    with pytest.raises(Unavailable):
        await storage.write(lambda store: store.schema_version())
    await storage.open(now=NOW)
    await storage.close()
    await storage.close()
    with pytest.raises(Unavailable):
        await storage.write(lambda store: store.schema_version())


_WRITE_FOR_EVER = """
import asyncio, itertools, sys
from dataclasses import replace
from pathlib import Path
from receiver.store.sqlite import SqliteStorage
from tests.make import NOW, a_task

async def main():
    storage = SqliteStorage(Path(sys.argv[1]))
    await storage.open(now=NOW)
    async def one(lane):
        for number in itertools.count():
            task = a_task(id=f"task_{lane}_{number}", provider_task_id=f"{lane}_{number}")
            await storage.write(lambda store: store.record_task(task))
            print(task.id, flush=True)
    await asyncio.gather(*(one(lane) for lane in range(8)))

asyncio.run(main())
"""


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    """A process killed among group commits: every write that was answered is there."""
    path = tmp_path / "taskweir.db"
    writer = subprocess.Popen([sys.executable, "-c", _WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    answered = [writer.stdout.readline().strip() for _ in range(500)]
    writer.kill()
    answered += [line.strip() for line in writer.stdout.read().splitlines()[:-1]]
    writer.wait()
    writer.stdout.close()
    connection = sqlite3.connect(path)
    kept = {row[0] for row in connection.execute("SELECT id FROM tasks")}
    connection.close()
    assert len(answered) >= 500
    assert set(answered) <= kept


@pytest.mark.parametrize("by", ["task_id", "event_id"])
def test_the_deliveries_of_one_task_are_not_looked_for_among_all(tmp_path: Path, by: str) -> None:
    """A tenant may have millions, and a retry asks inside a transaction that every other writer waits for."""
    path = tmp_path / "taskweir.db"
    sqlite.migrate_file(path, now=NOW)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        store: Store = SqliteStore(connection)
        for number in range(2000):
            fields = {"id": f"dlv_{number:04}", "event_id": f"evt_{number}", "task_id": f"task_{number}"}
            store.record_delivery(a_delivery(**fields), number)
        connection.set_progress_handler(step, 1)
        value = f"{by.removesuffix('_id').replace('event', 'evt')}_7"
        for where in ({by: value}, {by: value, "destination_id": "dst_1", "state": "pending"}):
            rows = store.list_deliveries(Page(tenant="default", limit=50, cursor="dlv_9", where=where))
            assert [row.id for row in rows] == ["dlv_0007"]
            assert store.list_deliveries(Page(tenant="other", limit=50, where=where)) == []
        assert steps < 1000


def test_statements_are_found_by_name() -> None:
    """Comments are for readers, not for the engine."""
    text = "-- file\n\n-- one --\n-- why\nSELECT 1\n\n-- two --\nSELECT 2\nWHERE 1\n"
    assert named_statements(text) == {"one": "SELECT 1", "two": "SELECT 2\nWHERE 1"}

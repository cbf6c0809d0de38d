"""The SQLite log as its readers and whoever else touches the file meet it."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from receiver import formats, json_text
from receiver.domain import Destination, EventType, Failure, FailureKind, Kind, Ms, Output, Role, Status, Usage
from receiver.senders import log_file
from receiver.senders.sqlite_log import KEPT_OPEN_S, SqliteLogSender, log_path
from receiver.store.records import Parcel
from tests.make import DAY, NOW, SECOND, StoppedClock, a_delivery, a_destination, a_task, an_event

pytestmark = pytest.mark.anyio

RESULTS = a_destination(id="dst_log", type="sqlite", target="results")
KITTEN, PANDA = "A kitten yawning", "A red panda asleep"


def parcel(
    seq: int, *, prompt: str = KITTEN, at: Ms = NOW, type: EventType = EventType.SUBMITTED, **task: Any
) -> Parcel:
    """An event of seq, claimed for the log."""
    event = an_event(seq, type=type, at=at, task=a_task(**task))
    delivery = a_delivery(id=f"dlv_{seq}", event_id=event.id, attempts=1)
    body, text = json_text.write(formats.envelope(event)), json_text.write({"prompt": prompt})
    return Parcel(delivery=delivery, seq=seq, body=body, input=json_text.Unread(text), was_due_at=NOW)


@pytest.fixture
def sender(tmp_path: Path) -> SqliteLogSender:
    return SqliteLogSender(tmp_path, StoppedClock(), lock_wait_s=0.2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return log_path(tmp_path, RESULTS)


async def errors(sender: SqliteLogSender, *parcels: Parcel, log: Destination = RESULTS) -> list[str | None]:
    """What went wrong with each."""
    sent = await sender.send(log, parcels)
    assert [each.attempt.number for each in sent] == [1] * len(parcels)
    return [each.attempt.error for each in sent]


async def append(sender: SqliteLogSender, *parcels: Parcel) -> None:
    assert await errors(sender, *parcels) == [None] * len(parcels)


def query(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        return reader.execute(sql, values).fetchall()


def seqs(path: Path) -> list[int]:
    return [seq for (seq,) in query(path, "SELECT seq FROM events ORDER BY seq")]


def found(path: Path, words: str) -> list[int]:
    """The rows in which a search finds these words, as a user would ask."""
    sql = (
        "SELECT seq FROM events_fts JOIN events ON events.rowid = events_fts.rowid WHERE events_fts MATCH ? ORDER BY 1"
    )
    return [seq for (seq,) in query(path, sql, words)]


# The latest state of each task


async def test_the_view_has_the_latest_state_of_each_task(sender: SqliteLogSender, path: Path) -> None:
    """One row per task, by seq and in whatever order events were appended; what is about no task is not there."""
    output = Output(kind=Kind.VIDEO, url="https://files.example/1.mp4", role=Role.MAIN, index=0, expires_at=NOW + DAY)
    done = {"status": Status.SUCCEEDED, "outputs": (output,), "usage": Usage(amount=12.0)}
    failure = Failure(kind=FailureKind.UPSTREAM, message="no GPU")
    failed = {"id": "task_2", "provider_task_id": "p2", "status": Status.FAILED, "error": failure}
    body = {
        "id": "evt_9",
        "type": "provider.paused",
        "timestamp": formats.timestamp(NOW),
        "data": {"provider": "reapi"},
    }
    told = Parcel(
        delivery=a_delivery(task_id="", attempts=1), seq=9, body=json_text.write(body), input=None, was_due_at=NOW
    )
    await append(sender, parcel(5, type=EventType.SUCCEEDED, at=NOW + SECOND, **done), told)
    await append(sender, parcel(1), parcel(2, prompt=PANDA, id="task_2"), parcel(3, type=EventType.RUNNING))
    await append(sender, parcel(6, prompt=PANDA, type=EventType.FAILED, **failed))
    rows = query(
        path,
        "SELECT task_id, provider, model, status, prompt, output_url, credits, error_kind, error_message, created_at,"
        " updated_at, seq FROM tasks ORDER BY task_id",
    )
    model, start, later = a_task().model, formats.timestamp(NOW), formats.timestamp(NOW + SECOND)
    assert rows == [
        ("task_1", "apikley", model, "succeeded", KITTEN, output.url, 12.0, None, None, start, later, 5),
        ("task_2", "apikley", model, "failed", PANDA, None, None, "upstream", "no GPU", start, start, 6),
    ]
    assert query(path, "SELECT outputs, expires_at FROM tasks WHERE task_id = 'task_1'") == [
        (json_text.write([formats.output_fields(output)]), formats.timestamp(NOW + DAY))
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM tasks WHERE task_id = 'task_1'",
        "SELECT * FROM tasks ORDER BY seq DESC LIMIT 20",
        "SELECT count(*) FROM tasks",
    ],
)
async def test_the_view_is_read_by_index(sender: SqliteLogSender, path: Path, sql: str) -> None:
    """One task, the latest ones, and for each row of any other query one step to its task's latest event."""
    await append(sender, parcel(1))
    steps = [row[3] for row in query(path, f"EXPLAIN QUERY PLAN {sql}")]
    assert any("idx_events_task_id_seq (task_id=?" in step for step in steps)
    assert [step for step in steps if step.startswith(("SCAN", "SEARCH")) and " INDEX " not in step] == []
    assert [step for step in steps if "TEMP B-TREE" in step] == []


# The search


async def test_prompts_and_errors_are_searched(sender: SqliteLogSender, path: Path) -> None:
    """As sqlite-utils and Datasette look for it, too: a search of the table is theirs without a setting."""
    failure = Failure(kind=FailureKind.UPSTREAM, message="The GPU melted")
    await append(sender, parcel(1), parcel(2, prompt=PANDA), parcel(3, status=Status.FAILED, error=failure))
    assert (found(path, "kitten"), found(path, "panda AND asleep"), found(path, "melted")) == ([1, 3], [2], [3])
    assert found(path, "kitten OR panda") == [1, 2, 3]
    with closing(sqlite_utils.Database(path)) as database:
        table = database.table("events")
        assert table.detect_fts() == "events_fts"
        assert [row["seq"] for row in table.search("panda")] == [2]


async def test_what_is_appended_twice_is_found_once(sender: SqliteLogSender, path: Path) -> None:
    """The search has a row's words as often as the table has the row."""
    for _ in range(2):
        await append(sender, parcel(1), parcel(2, prompt=PANDA))
    assert (found(path, "kitten"), found(path, "panda")) == ([1], [2])
    check_search(path)


async def test_the_search_survives_a_vacuum(sender: SqliteLogSender, path: Path) -> None:
    """A user's own: rows keep the places by which they are found, and rows that go later go from the search."""
    await append(sender, *(parcel(seq, at=NOW - 9 * DAY, prompt=f"number{seq} x") for seq in range(1, 20)))
    assert await sender.prune(RESULTS, before=NOW - 8 * DAY, limit=7) == 7
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("VACUUM")
    assert (found(path, "number8"), found(path, "number7")) == ([8], [])
    assert await sender.prune(RESULTS, before=NOW - 8 * DAY, limit=5) == 5
    await append(sender, parcel(20, prompt="number20 x"))
    assert found(path, "x") == list(range(13, 21))
    check_search(path)


def check_search(path: Path) -> None:
    """FTS5's own check of its index against the table; raises where they differ."""
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("INSERT INTO events_fts (events_fts, rank) VALUES ('integrity-check', 1)")


# Files of before, and of others


def written_before(path: Path, parcels: Sequence[Parcel]) -> None:
    """A log as the version before this one wrote it."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        table = sqlite_utils.Database(connection).table("events")
        table.create(formats.LOG_COLUMNS, pk="id")
        table.create_index(["task_id"])
        table.create_index(["seq"])
        table.insert_all(formats.log_row(each.seq, json.loads(each.body), KITTEN) for each in parcels)


def names(path: Path) -> set[str]:
    return {name for (name,) in query(path, "SELECT name FROM sqlite_master WHERE name NOT LIKE 'events_fts_%'")}


OURS = {"events", "tasks", "events_fts", "events_ai", "events_ad", "events_au"}
INDEXES = {"idx_events_task_id_seq", "idx_events_seq", "sqlite_autoindex_events_1"}


async def test_a_log_of_before_is_brought_up_to_date_where_it_is(sender: SqliteLogSender, path: Path) -> None:
    """With the rows it has: they are found, and stand in the view; then it is as a new one."""
    written_before(path, [parcel(seq) for seq in range(1, 6)])
    await append(sender, parcel(5), parcel(6, prompt=PANDA, id="task_2"))
    assert seqs(path) == [1, 2, 3, 4, 5, 6]
    assert (found(path, "kitten"), found(path, "panda")) == ([1, 2, 3, 4, 5], [6])
    assert query(path, "SELECT task_id, seq FROM tasks ORDER BY seq") == [("task_1", 5), ("task_2", 6)]
    assert names(path) == OURS | INDEXES
    check_search(path)


async def test_what_a_user_made_himself_is_left_as_it_is(sender: SqliteLogSender, path: Path) -> None:
    """A search over other columns, a table of the view's name."""
    written_before(path, [parcel(1)])
    with closing(sqlite_utils.Database(path)) as database:
        database.table("events").enable_fts(["model"], create_triggers=True)
        database.table("tasks").insert({"mine": 1})
    await append(sender, parcel(2))
    assert query(path, "SELECT mine FROM tasks") == [(1,)]
    assert (found(path, "bytedance"), found(path, "kitten")) == ([1, 2], [])


async def test_what_a_user_drops_stays_dropped(sender: SqliteLogSender, path: Path) -> None:
    """The search, say, for the room that it takes; appending goes on."""
    await append(sender, parcel(1))
    with closing(sqlite_utils.Database(path)) as database:
        database.table("events").disable_fts()
        database.view("tasks").drop()
    await append(sender, parcel(2))
    assert seqs(path) == [1, 2]
    assert names(path) == {"events"} | INDEXES


async def test_a_table_of_somebody_else_keeps_us_out_and_is_left_as_it_is(sender: SqliteLogSender, path: Path) -> None:
    """Nothing of ours is made beside it: the attempt says what is wrong."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("CREATE TABLE events (other TEXT)")
    [error] = await errors(sender, parcel(1))
    assert error is not None
    assert error.startswith("the log cannot be written: ")
    assert "events" in error
    assert names(path) == {"events"}


# Readers and writers in other processes

_READ_FOR_EVER = """
import sqlite3, sys
reader = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
reader.execute("PRAGMA query_only = 1")
last = -1
while last < int(sys.argv[2]):
    [(rows, found)] = reader.execute(
        "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM events_fts WHERE events_fts MATCH 'kitten')"
    )
    if rows != last:
        print(rows, found, flush=True)
    last = rows
"""


async def test_readers_see_whole_batches_only(tmp_path: Path, path: Path) -> None:
    """In another process, with a read-only connection as Datasette's: rows and search move together, batch by batch."""
    batches, size = 20, 50
    sender = SqliteLogSender(tmp_path, StoppedClock())
    await append(sender, *(parcel(seq) for seq in range(1, size + 1)))
    command = [sys.executable, "-c", _READ_FOR_EVER, str(path), str(batches * size)]
    reader = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert reader.stdout is not None
    try:
        lines = [await reader.stdout.readline()]
        for first in range(size + 1, batches * size, size):
            await append(sender, *(parcel(seq) for seq in range(first, first + size)))
        lines += (await asyncio.wait_for(reader.stdout.read(), 60)).splitlines()
    finally:
        with suppress(ProcessLookupError):
            reader.kill()
        await reader.wait()
    seen = [tuple(map(int, line.split())) for line in lines]
    assert (seen[0], seen[-1]) == ((size, size), (batches * size, batches * size))
    assert all(rows == words and rows % size == 0 for rows, words in seen)


@contextmanager
def a_transaction(path: Path, kind: str) -> Iterator[sqlite3.Connection]:
    """Somebody's sqlite3 shell in the middle of one."""
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute(f"BEGIN {kind}")
        shell.execute("SELECT count(*) FROM events").fetchone()
        yield shell
        if shell.in_transaction:
            shell.execute("ROLLBACK")


async def test_a_reader_holds_nobody_up(sender: SqliteLogSender, path: Path) -> None:
    """It sees what it saw at its beginning for as long as it likes, while rows come and go."""
    await append(sender, parcel(1, at=NOW - DAY))
    with a_transaction(path, "DEFERRED") as reader:
        await append(sender, parcel(2))
        assert await sender.prune(RESULTS, before=NOW, limit=9) == 1
        assert reader.execute("SELECT seq FROM events").fetchall() == [(1,)]
    assert seqs(path) == [2]


async def test_whoever_holds_the_file_locked_delays_an_append(tmp_path: Path, path: Path) -> None:
    """For seconds, and nothing is lost."""
    sender = SqliteLogSender(tmp_path, StoppedClock())
    await append(sender, parcel(1))
    with a_transaction(path, "IMMEDIATE") as shell:
        appending = asyncio.ensure_future(errors(sender, parcel(2), parcel(3)))
        await asyncio.wait({appending}, timeout=0.3)
        assert not appending.done()
        shell.execute("ROLLBACK")
    assert await appending == [None, None]
    assert seqs(path) == [1, 2, 3]


async def test_a_lock_that_lasts_fails_the_attempt_once_for_all(sender: SqliteLogSender, path: Path) -> None:
    """It is waited for once, not for each row; the same rows are appended later."""
    await append(sender, parcel(1))
    rows = [parcel(seq) for seq in range(2, 200)]
    with a_transaction(path, "EXCLUSIVE"):
        async with asyncio.timeout(10):
            assert set(await errors(sender, *rows)) == {"the log cannot be written: database is locked"}
            assert await sender.prune(RESULTS, before=NOW + DAY, limit=9) == 0
    await append(sender, *rows)
    assert len(seqs(path)) == 199


async def test_a_log_that_is_made_anew_waits_for_what_is_under_way(tmp_path: Path, path: Path) -> None:
    """Another destination, the same file: never two connections of ours at once."""
    sender = SqliteLogSender(tmp_path, StoppedClock(), lock_wait_s=0.3)
    await append(sender, parcel(1))
    began_at = time.monotonic()
    with a_transaction(path, "IMMEDIATE"):
        anew = replace(RESULTS, id="dst_anew")
        both = await asyncio.gather(errors(sender, parcel(2)), errors(sender, parcel(3), log=anew))
    assert [len(each) for each in both] == [1, 1]
    assert None not in (*both[0], *both[1])
    assert time.monotonic() - began_at >= 0.6


async def test_a_locked_log_delays_no_other(tmp_path: Path, path: Path) -> None:
    """Nor whatever else runs in threads: names are resolved there."""
    sender = SqliteLogSender(tmp_path, StoppedClock())
    await append(sender, parcel(1))
    with a_transaction(path, "IMMEDIATE"):
        waiting = [asyncio.ensure_future(errors(sender, parcel(seq))) for seq in range(2, 22)]
        other = a_destination(id="dst_other", type="sqlite", target="other")
        async with asyncio.timeout(5):
            assert await errors(sender, parcel(2), log=other) == [None]
            await asyncio.gather(*(asyncio.to_thread(str) for _ in range(20)))
        assert not any(each.done() for each in waiting)
    assert await asyncio.gather(*waiting) == [[None]] * 20
    assert seqs(path) == list(range(1, 22))


# What may befall the file


def delete(path: Path) -> None:
    path.unlink()


def content(path: Path, write: bytes | None = None) -> bytes:
    if write is not None:
        path.write_bytes(write)
    return path.read_bytes()


def exists(path: Path) -> bool:
    return path.exists()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("read", [False, True], ids=["closed", "open in a reader"])
async def test_a_log_that_was_deleted_is_made_anew(sender: SqliteLogSender, path: Path, read: bool) -> None:
    """With its view and search, whatever a reader of the old one left beside it; its folder, too."""
    await append(sender, parcel(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        if read:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM events").fetchall()
            await append(sender, parcel(2))
        delete(path)
        await append(sender, parcel(3, prompt=PANDA))
        assert (seqs(path), found(path, "panda")) == ([3], [3])
        if read:
            assert reader.execute("SELECT seq FROM events").fetchall() == [(1,)]
    shutil.rmtree(path.parent)
    assert await sender.prune(RESULTS, before=NOW, limit=9) == 0
    assert not exists(path)
    await append(sender, parcel(4))
    assert (seqs(path), names(path)) == ([4], OURS | INDEXES)


async def test_a_file_in_the_place_of_a_log_becomes_one(sender: SqliteLogSender, path: Path) -> None:
    """Somebody's own database keeps what is in it; what is no database fails the attempt, and stays."""
    await append(sender, parcel(1))
    delete(path)
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("CREATE TABLE mine (x)")
    await append(sender, parcel(2))
    assert names(path) == {"mine"} | OURS | INDEXES
    content(path, b"a letter, longer than a header of a database would be; " * 30)
    [error] = await errors(sender, parcel(3))
    assert error == "the log cannot be written: file is not a database"
    assert await sender.prune(RESULTS, before=NOW, limit=9) == 0
    assert content(path).startswith(b"a letter")


_APPEND_WITHOUT_ROOM = """
import asyncio, resource, signal, sys
from pathlib import Path
from receiver.senders.sqlite_log import SqliteLogSender
from tests.make import StoppedClock
from tests.test_sqlite_log import RESULTS, errors, parcel

async def main():
    sender = SqliteLogSender(Path(sys.argv[1]), StoppedClock())
    rows = [parcel(seq, prompt="x" * 10_000) for seq in range(2, 102)]
    print(await errors(sender, parcel(1)))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    print({error for error in await errors(sender, *rows)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print({error for error in await errors(sender, *rows)})

asyncio.run(main())
"""


def test_a_log_without_room_is_tried_again(tmp_path: Path, path: Path) -> None:
    """A process whose files may not grow: the attempt fails, whole, and the same rows are appended once they may."""
    done = subprocess.run(
        [sys.executable, "-c", _APPEND_WITHOUT_ROOM, str(tmp_path)], capture_output=True, text=True, check=True
    )
    before, without, after = done.stdout.splitlines()
    assert (before, after) == ("[None]", "{None}")
    assert without.startswith("{'the log cannot be written: ")
    assert seqs(path) == list(range(1, 102))
    check_search(path)


async def test_a_row_that_does_not_fit_fails_alone(sender: SqliteLogSender, path: Path) -> None:
    """An integer beyond SQLite's: the rows beside it are appended."""
    found_errors = await errors(sender, parcel(1), parcel(2**70), parcel(3))
    assert [error is None for error in found_errors] == [True, False, True]
    assert "too large" in (found_errors[1] or "")
    assert seqs(path) == [1, 3]


async def test_bad_rows_among_many_are_found_by_halves(
    sender: SqliteLogSender, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three in 200: they fail, all others are appended in order, in far fewer transactions than there are rows."""
    bad, tried, append_rows = {5, 6, 150}, [], log_file.LogFile.append

    def counted(log: log_file.LogFile, rows: Sequence[Mapping[str, Any]]) -> None:
        tried.append(len(rows))
        append_rows(log, rows)

    monkeypatch.setattr(log_file.LogFile, "append", counted)
    rows = [parcel(2**70 + each if each in bad else each) for each in range(1, 201)]
    found_errors = await errors(sender, *rows)
    assert {number for number, error in enumerate(found_errors, start=1) if error} == bad
    assert seqs(path) == [each for each in range(1, 201) if each not in bad]
    assert len(tried) < 50


async def test_a_file_that_goes_bad_fails_what_is_left(
    sender: SqliteLogSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a bad row somebody takes the file: it is tried once more, not once for every row that is left."""
    tried, append_rows = [], log_file.LogFile.append

    def taken(log: log_file.LogFile, rows: Sequence[Mapping[str, Any]]) -> None:
        tried.append(len(rows))
        if len(tried) > 1:
            raise sqlite3.OperationalError("database is locked")
        append_rows(log, rows)

    monkeypatch.setattr(log_file.LogFile, "append", taken)
    found_errors = await errors(sender, *(parcel(2**70 if each == 3 else each) for each in range(1, 101)))
    assert all("database is locked" in (error or "") for error in found_errors)
    assert tried == [100, 50]


# What is kept no longer


async def test_the_oldest_rows_go_by_bites(sender: SqliteLogSender, path: Path) -> None:
    """Those of before a time, at most so many at once, out of the search as well; none twice, none too early."""
    await append(sender, *(parcel(seq, at=NOW + seq) for seq in range(1, 11)))

    async def prune() -> int:
        return await sender.prune(RESULTS, before=NOW + 8, limit=3)

    assert [await prune() for _ in range(4)] == [3, 3, 1, 0]
    assert (seqs(path), found(path, "kitten")) == ([8, 9, 10], [8, 9, 10])
    check_search(path)


async def test_a_log_is_its_owners_only(sender: SqliteLogSender, path: Path) -> None:
    """Prompts are in it."""
    await append(sender, parcel(1))
    assert mode(path) == 0o600


# Kept open while batches follow each other


def full(first: int) -> list[Parcel]:
    """As many as one batch takes."""
    return [parcel(seq) for seq in range(first, first + SqliteLogSender.batch)]


async def test_a_log_stays_open_between_full_batches_only(sender: SqliteLogSender, path: Path) -> None:
    """Closing moves all rows into the file, for whoever copies it: at the end, soon after, or where somebody asks."""
    wal = path.with_name(f"{path.name}-wal")
    await append(sender, *full(1))
    assert wal.exists()
    await append(sender, *full(201), parcel(401))
    assert not wal.exists()
    await append(sender, *full(402))
    await asyncio.sleep(KEPT_OPEN_S * 2)
    assert not wal.exists()
    await append(sender, *full(602))
    await sender.close()
    assert not wal.exists()
    await append(sender, *full(802))
    assert await sender.prune(RESULTS, before=NOW - DAY, limit=9) == 0
    assert not wal.exists()
    assert seqs(path) == list(range(1, 1002))


@pytest.mark.parametrize("moved", [True, False])
async def test_a_file_that_is_moved_or_deleted_between_batches(
    sender: SqliteLogSender, path: Path, *, moved: bool
) -> None:
    """Moved, it is whole; what comes later goes to a new one."""
    elsewhere = path.with_name("moved.db")
    await append(sender, *full(1))
    await asyncio.to_thread(path.rename, elsewhere) if moved else await asyncio.to_thread(path.unlink)
    await append(sender, *full(201))
    await sender.close()
    assert not path.with_name(f"{path.name}-wal").exists()
    assert seqs(path) == list(range(201, 401))
    assert not moved or seqs(elsewhere) == list(range(1, 201))


async def test_a_file_that_goes_before_it_is_closed(sender: SqliteLogSender, path: Path) -> None:
    """Its rows are in it."""
    elsewhere = path.with_name("moved.db")
    await append(sender, *full(1))
    await asyncio.to_thread(path.rename, elsewhere)
    await sender.close()
    assert seqs(elsewhere) == list(range(1, 201))


async def test_a_file_that_is_replaced_between_batches(sender: SqliteLogSender, path: Path) -> None:
    """By an older copy of itself: what comes later goes there, and nothing of what was in the other one."""
    older = path.with_name("older.db")
    await append(sender, parcel(1))
    await asyncio.to_thread(shutil.copy, path, older)
    await append(sender, *full(2))
    await asyncio.to_thread(older.replace, path)
    await append(sender, *full(202))
    await sender.close()
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert seqs(path) == [1, *range(202, 402)]


async def test_closing_waits_for_the_batch_that_is_under_way(sender: SqliteLogSender, path: Path) -> None:
    """And then closes what that left open."""
    await append(sender, parcel(1))
    appending = asyncio.ensure_future(append(sender, *full(2)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await sender.close()
    await appending
    assert not path.with_name(f"{path.name}-wal").exists()
    assert len(seqs(path)) == 201


async def test_a_lock_between_batches_is_an_error_and_no_end(sender: SqliteLogSender, path: Path) -> None:
    """The file is opened again for the next batch."""
    await append(sender, *full(1))
    with a_transaction(path, "IMMEDIATE"):
        assert set(await errors(sender, *full(201))) == {"the log cannot be written: database is locked"}
    await append(sender, *full(201))
    await sender.close()
    assert len(seqs(path)) == 400

"""A SQLite log as a file: one row per event, the latest state of each task, full-text search; rows come and go."""

import sqlite3
from collections.abc import Iterator, Sequence, Set
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from receiver import formats
from receiver.domain import Ms

LOCK_WAIT_S = 10.0  # for somebody who holds the file locked; within one attempt's time
_LEVEL = 1  # of what a log is made of, in `PRAGMA user_version`: what a user drops later stays dropped
_SEARCHED = ("prompt", "error_message")
_SEARCH = ("events_fts", "events_ai", "events_ad", "events_au")
_TASKS = """SELECT task_id, provider, provider_task_id, model, status, prompt, output_url, outputs, error_kind,
  error_message, credits, late, expires_at, metadata,
  json_extract(data, '$.task.created_at') AS created_at, timestamp AS updated_at, seq
FROM events AS event
WHERE seq = (SELECT max(seq) FROM events WHERE events.task_id = event.task_id)"""


def append(path: Path, rows: Sequence[dict[str, Any]], *, lock_wait_s: float = LOCK_WAIT_S) -> None:
    """Add rows of `formats.log_row` in one transaction, each once; a file that is not there is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with _transaction(path, lock_wait_s) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "events" not in known:
            connection.execute(_statements()["events"])
        _library().Database(connection).table("events").insert_all(rows, pk="id", ignore=True)
        [(level,)] = connection.execute("PRAGMA user_version")
        if level < _LEVEL or "events" not in known:
            _complete(connection, known)
            connection.execute(f"PRAGMA user_version = {max(level, _LEVEL)}")


def prune(path: Path, before: Ms, *, limit: int, lock_wait_s: float = LOCK_WAIT_S) -> int:
    """Delete those of the `limit` oldest rows that are of before this time; how many there were."""
    if not path.exists():
        return 0
    with _transaction(path, lock_wait_s) as connection:
        old = connection.execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM"
            " (SELECT id, timestamp FROM events ORDER BY seq LIMIT ?) WHERE timestamp < ?)",
            (limit, formats.timestamp(before)),
        )
        return old.rowcount


def refusals() -> tuple[type[Exception], ...]:
    """What keeps rows out of a log: the disk, the file, or what they hold."""
    return (OSError, OverflowError, sqlite3.Error, _library().db.InvalidColumns)


@cache
def _library() -> Any:
    """sqlite-utils, imported when the first log needs it: that takes a seventh of a server's start."""
    import sqlite_utils

    return sqlite_utils


@contextmanager
def _transaction(path: Path, lock_wait_s: float) -> Iterator[sqlite3.Connection]:
    """WAL, so that readers in any process see whole batches only and hold nobody up; on disk when it is over."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=lock_wait_s)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _complete(connection: sqlite3.Connection, known: Set[str]) -> None:
    """Make what a log lacks beside its table, in a file that is new, or was written by an earlier version."""
    statements = _statements()
    for name in statements.keys() - {"events", *_SEARCH} - known:
        connection.execute(statements[name])
    connection.execute("DROP INDEX IF EXISTS idx_events_task_id")  # an earlier version's; the new one does its work
    if _SEARCH[0] in statements and not known & {*_SEARCH}:
        for name in _SEARCH:
            connection.execute(statements[name])
        connection.execute("INSERT INTO events_fts (events_fts) VALUES ('rebuild')")


@cache
def _statements() -> dict[str, str]:
    """What a log is made of, by name, as sqlite-utils makes it; no search where SQLite has no FTS5.

    Made in memory first, because sqlite-utils commits when it enables search: a log is made whole or not at all.
    """
    with closing(_library().Database(memory=True)) as model:
        table = model.table("events")
        table.create(formats.LOG_COLUMNS, pk="id")
        table.create_index(["task_id", "seq"])
        table.create_index(["seq"])
        model.create_view("tasks", _TASKS)
        with suppress(sqlite3.OperationalError):
            table.enable_fts(_SEARCHED, create_triggers=True)
        made = model.query("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'events_fts_%'")
        return {row["name"]: row["sql"] for row in made}

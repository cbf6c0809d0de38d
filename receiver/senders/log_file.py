"""A SQLite log as a file: one row per event, the latest state of each task, full-text search; rows come and go."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager, suppress
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from receiver import formats
from receiver.domain import Ms

LOCK_WAIT_S = 10.0  # for somebody who holds the file locked; within one attempt's time
_LEVEL = 1  # of what a log is made of, in `PRAGMA user_version`: what a user drops later stays dropped
_INSERT = (
    f"INSERT OR IGNORE INTO events ({', '.join(formats.LOG_COLUMNS)})"  # noqa: S608 - names of ours
    f" VALUES ({', '.join('?' * len(formats.LOG_COLUMNS))})"
)
_values = itemgetter(*formats.LOG_COLUMNS)
_SEARCHED = ("prompt", "error_message")
_SEARCH = ("events_fts", "events_ai", "events_ad", "events_au")
_TASKS = """SELECT task_id, provider, provider_task_id, model, status, prompt, output_url, outputs, error_kind,
  error_message, credits, late, expires_at, metadata,
  json_extract(data, '$.task.created_at') AS created_at, timestamp AS updated_at, seq
FROM events AS event
WHERE seq = (SELECT max(seq) FROM events WHERE events.task_id = event.task_id)"""


class LogFile:
    """A log that is open; a file that is not there is made. WAL, so that readers in any process see whole batches only
    and hold nobody up.

    Closing it moves all rows out of the WAL into the file, which takes as long as a batch: worth while where no more
    rows follow at once.
    """

    def __init__(self, path: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._file = _identity(path)
        self._connection = _connect(path, lock_wait_s)

    def __enter__(self) -> "LogFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def current(self) -> bool:
        """Whether its path still leads to it: a user may have moved or deleted the file."""
        return _identity(self._path) == self._file

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows of `formats.log_row` in one transaction, each once; they are on disk when this returns."""
        with _transaction(self._connection) as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if "events" not in known:
                connection.execute(_statements()["events"])
            self._put_in(rows)
            [(level,)] = connection.execute("PRAGMA user_version")
            if level < _LEVEL or "events" not in known:
                _complete(connection, known)
                connection.execute(f"PRAGMA user_version = {max(level, _LEVEL)}")

    def _put_in(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What sqlite-utils' `insert_all` does with them, in three quarters of its time."""
        self._connection.executemany(_INSERT, map(_values, rows))

    def close(self) -> None:
        """All its rows are in the file then, wherever that was moved to."""
        with closing(self._connection), suppress(OSError, sqlite3.Error):
            if not self.current:
                # SQLite itself would leave them in the WAL: lost, or taken for those of the file that is there now.
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def prune(path: Path, before: Ms, *, limit: int, lock_wait_s: float = LOCK_WAIT_S) -> int:
    """Delete those of the `limit` oldest rows that are of before this time; how many there were."""
    if not path.exists():
        return 0
    with closing(_connect(path, lock_wait_s)) as opened, _transaction(opened) as connection:
        old = connection.execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM"
            " (SELECT id, timestamp FROM events ORDER BY seq LIMIT ?) WHERE timestamp < ?)",
            (limit, formats.timestamp(before)),
        )
        return old.rowcount


def refusals() -> tuple[type[Exception], ...]:
    """What keeps rows out of a log: the disk, the file, or what they hold."""
    return (OSError, OverflowError, sqlite3.Error)


@cache
def _library() -> Any:
    """sqlite-utils, imported when the first log needs it: that takes a seventh of a server's start."""
    import sqlite_utils

    return sqlite_utils


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path, lock_wait_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=lock_wait_s, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """On disk when it is over."""
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

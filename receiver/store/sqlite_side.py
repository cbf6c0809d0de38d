"""A SQLite file as rows."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from receiver.domain import Ms
from receiver.store.sides import AT_ONCE, MARK, last_sql, pages_sql
from receiver.store.sqlite import migrate_file, take_lock

# A power cut may take the last commits of a move, never more: it goes on with what is there. 64 MB of memory, and as
# much of a journal, for pages that are written again and again.
_FAST = ("synchronous = NORMAL", "cache_size = -64000", "wal_autocheckpoint = 16000")


class SqliteSide:
    """One file, which is locked against everybody else until it is closed."""

    def __init__(self, path: Path, *, now: Ms) -> None:
        self._lock = take_lock(path)
        migrate_file(path, now=now)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in _FAST:
            self._connection.execute(f"PRAGMA {pragma}")

    def columns(self, table: str) -> list[str]:
        cursor = self._connection.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - names of ours
        return [each[0] for each in cursor.description]

    def pages(self, table: str, key: Sequence[str], columns: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
        cursor = self._connection.execute(pages_sql(table, key, columns))
        while rows := cursor.fetchmany(AT_ONCE):
            yield rows

    def last(self, table: str, key: Sequence[str]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(last_sql(table, key)).fetchone()
        return row

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        signs = ", ".join("?" for _ in columns)
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({signs})",  # noqa: S608 - names of ours
            rows,
        )
        self._connection.execute("COMMIT")

    def replace_counters(self, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.execute("DELETE FROM counters WHERE name <> ?", (MARK,))
        self.put("counters", ("name", "value"), rows)

    def marked(self) -> bool:
        return self._connection.execute("SELECT 1 FROM counters WHERE name = ?", (MARK,)).fetchone() is not None

    def mark(self) -> None:
        self._connection.execute("INSERT INTO counters (name, value) VALUES (?, 0)", (MARK,))

    def unmark(self) -> None:
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("DELETE FROM counters WHERE name = ?", (MARK,))

    def close(self) -> None:
        self._connection.close()
        self._lock.close()

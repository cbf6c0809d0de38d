"""Databases by the million rows: everything that is kept of one real task, copied under other ids and other times."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from receiver.domain import Ms
from receiver.ids import new_id
from tests.bench.seeding import database

_ID = re.compile(r"(task|evt|dlv|note)_[0-9a-hjkmnp-tv-z]{26}")
_A_TIME = 10**12
_AT_ONCE = 2000
_FAST = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000", "temp_store = MEMORY")

Cell = Callable[["Copy"], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What one copy has in the place of what the template has: ids by the old ones, times and seqs by distance."""

    new: Mapping[str, str]
    later: Ms
    further: int
    due_at: Ms | None

    def text(self, old: str, ids: Sequence[str]) -> str:
        for each in ids:
            old = old.replace(each, self.new[each])
        return old


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The rows of one table that belong to the task, each as what copies its cells."""

    insert: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """One copy: our id and the provider's."""

    id: str
    provider_id: str


def replicate(
    template: Path,
    target: Path,
    count: int,
    *,
    created_at: Callable[[int], Ms],
    due_at: Callable[[int], Ms] | None = None,
) -> Iterator[Copied]:
    """Fill a new database with so many copies of the one task in the template; it is whole once all were gone through.

    `created_at` gives the time of each, ascending; every other time of it keeps its distance, but for the timer's,
    which is `due_at` where that is given. What belongs to no task stays as it is.
    """
    copyfile(database(template), database(target))
    with closing(sqlite3.connect(database(target), isolation_level=None)) as connection:
        for pragma in _FAST:
            connection.execute(f"PRAGMA {pragma}")
        [(task_id, provider_id, first_at)] = connection.execute("SELECT id, provider_task_id, created_at FROM tasks")
        [(step,)] = connection.execute("SELECT max(seq) FROM events")
        ids, tables = _belongings(connection, task_id, provider_id)
        waiting: list[list[tuple[Any, ...]]] = [[] for _ in tables]
        connection.execute("BEGIN")
        for number in range(count):
            at = created_at(number)
            new = {old: new_id(old.partition("_")[0], at) for old in ids}
            new[provider_id] = f"task_bytedance_{at}{number:08}"
            due = due_at(number) if due_at else None
            copy = Copy(new=new, later=at - first_at, further=step * (number + 1), due_at=due)
            for table, made in zip(tables, waiting, strict=True):
                made += [tuple(cell(copy) for cell in row) for row in table.rows]
            if number % _AT_ONCE == _AT_ONCE - 1 or number == count - 1:
                _insert(connection, tables, waiting)
            yield Copied(id=new[task_id], provider_id=new[provider_id])
        connection.execute("UPDATE counters SET value = (SELECT max(seq) FROM events) WHERE name = 'seq'")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


def _insert(connection: sqlite3.Connection, tables: Sequence[_Table], waiting: Sequence[list[tuple[Any, ...]]]) -> None:
    for table, made in zip(tables, waiting, strict=True):
        connection.executemany(table.insert, made)
        made.clear()


def _belongings(
    connection: sqlite3.Connection, task_id: str, provider_id: str
) -> tuple[Sequence[str], Sequence[_Table]]:
    """The ids of everything that belongs to the task, and its rows, in whatever tables there are."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    held = {name: connection.execute(f"SELECT * FROM {name}") for name in names}
    columns = {name: [each[0] for each in cursor.description] for name, cursor in held.items()}
    rows = {name: list(cursor) for name, cursor in held.items()}
    texts = [cell for each in rows.values() for row in each for cell in row if isinstance(cell, str)]
    ids = sorted({text for text in texts if _ID.fullmatch(text)})
    assert task_id in ids
    olds = [*ids, provider_id]
    tables = []
    for name, kept in rows.items():
        ours = [row for row in kept if any(isinstance(cell, str) and cell in ids for cell in row)]
        if ours:
            cells = [[_cell(*cell, olds) for cell in zip(columns[name], row, strict=True)] for row in ours]
            into, marks = ", ".join(columns[name]), ", ".join("?" * len(columns[name]))
            tables.append(_Table(insert=f"INSERT INTO {name} ({into}) VALUES ({marks})", rows=cells))
    return ids, tables


def _cell(column: str, old: Any, ids: Sequence[str]) -> Cell:
    """How one cell is copied."""
    text = old.decode() if isinstance(old, bytes) else old
    if isinstance(text, str):
        within = [each for each in ids if each in text]
        if text in ids:
            return lambda copy: copy.new[text]
        if within and isinstance(old, bytes):
            return lambda copy: copy.text(text, within).encode()
        return (lambda copy: copy.text(text, within)) if within else lambda copy: old
    if column in ("seq", "event_seq"):
        return lambda copy: old + copy.further
    if column == "due_at" and old is not None:
        return lambda copy: old + copy.later if copy.due_at is None else copy.due_at
    if isinstance(old, int) and old > _A_TIME:
        return lambda copy: old + copy.later
    return lambda copy: old

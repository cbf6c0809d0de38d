"""Moves everything from one database to another, of either engine: copied in bites, then compared.

Each table goes in the order of its key, so that what is there already is where it begins again after it was broken off.
What is read is digested on its way, and what arrived is read again and digested by itself. Until all of it is there and
equal, the database that it goes to is marked, and refuses to be served.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson

from receiver.errors import ConfigurationError
from receiver.store.sides import MARK, TABLES, Side

BITE = 20_000  # rows that are written at once,
_MOST_BYTES = 8_000_000  # or as many as have so many bytes
_NUL = b"\\u0000"

Rows = list[tuple[Any, ...]]
Told = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One table as it is on both sides: how many rows, and their SHA-256.

    That is of a JSON array without its brackets: rows in the order of their key, each the array of its columns in the
    order of their names, bytes as hexadecimal digits.
    """

    table: str
    rows: int
    digest: str


def move(source: Side, target: Side, *, told: Told, bite: int = BITE) -> list[Moved]:
    """Copy every table that is not there yet, and compare all; `told` hears how many rows of a table went.

    Raises `ConfigurationError` where the target holds something else, or does not hold the same in the end.
    """
    _begin(target)
    with ThreadPoolExecutor(1) as writer:
        moved = [_moved(_Table(source, target, table), writer, told, bite) for table in TABLES]
    target.unmark()
    return moved


def _begin(target: Side) -> None:
    """Mark what is empty; what is marked was begun, and goes on."""
    if target.marked():
        return
    if any(target.last(table, key) is not None for table, key in TABLES.items() if table != "counters"):
        raise ConfigurationError(
            "the database to move to is in use: there is something in it already",
            hint="Name a new one after --to; a move that was broken off goes on where it ended.",
        )
    target.mark()


class _Table:
    """One table and both its sides."""

    def __init__(self, source: Side, target: Side, name: str) -> None:
        self.source, self.target, self.name, self.key = source, target, name, TABLES[name]
        self.columns = sorted(source.columns(name))
        if self.columns != sorted(target.columns(name)):
            raise ConfigurationError(f"the two databases have another {name}", hint="Migrate both with this program.")

    def pages(self, side: Side) -> Iterator[tuple[Rows, bytes]]:
        """All rows as both engines keep them, each page with its text."""
        for rows in side.pages(self.name, self.key, self.columns):
            yield _plain([row for row in rows if MARK not in row] if self.name == "counters" else rows)

    def beyond(self, rows: Rows, last: tuple[Any, ...] | None) -> Rows:
        if last is None:
            return rows
        places = [self.columns.index(name) for name in self.key]
        return [row for row in rows if tuple(row[place] for place in places) > last]

    def put(self, rows: Rows) -> None:
        if self.name == "counters":
            self.target.replace_counters(rows)
        else:
            self.target.put(self.name, self.columns, rows)


@dataclass(slots=True)
class _Digest:
    """What goes by, counted and hashed."""

    rows: int = 0
    sha: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, rows: Rows, text: bytes) -> None:
        if rows:
            self.sha.update(b"," + text if self.rows else text)
            self.rows += len(rows)

    def of(self, table: str) -> Moved:
        return Moved(table=table, rows=self.rows, digest=self.sha.hexdigest())


def _moved(table: _Table, writer: ThreadPoolExecutor, told: Told, bite: int) -> Moved:
    there = _copied(table, writer, told, bite)
    here = _Digest()
    for rows, text in table.pages(table.target):
        here.add(rows, text)
    if there.of(table.name) != here.of(table.name):
        raise ConfigurationError(
            f"{table.name} is not the same in both: {there.rows} rows there, {here.rows} here",
            hint="Stop whatever uses either of them, and move into a new database.",
        )
    told(f"{table.name}, compared", here.rows)
    return here.of(table.name)


def _copied(table: _Table, writer: ThreadPoolExecutor, told: Told, bite: int) -> _Digest:
    """Digest all rows, and write those that are not there yet while the next ones are read."""
    last = None if table.name == "counters" else table.target.last(table.name, table.key)
    digest, waiting, size, under_way = _Digest(), Rows(), 0, Future[None]()
    under_way.set_result(None)

    def write() -> None:
        nonlocal waiting, size, under_way
        under_way.result()
        under_way = writer.submit(table.put, waiting)
        waiting, size = [], 0
        told(table.name, digest.rows)

    for rows, text in table.pages(table.source):
        digest.add(rows, text)
        waiting += table.beyond(rows, last)
        size += len(text)
        if len(waiting) >= bite or (waiting and size >= _MOST_BYTES):
            write()
    if waiting:
        write()
    under_way.result()
    return digest


def _plain(rows: Rows) -> tuple[Rows, bytes]:
    """Rows as both engines keep them, for PostgreSQL knows no NUL in a text, and their JSON without its brackets."""
    text = orjson.dumps(rows, default=bytes.hex)
    if _NUL in text:
        rows = [tuple(v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in row) for row in rows]
        text = orjson.dumps(rows, default=bytes.hex)
    return rows, text[1:-1]

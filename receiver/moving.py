"""Moves everything from one database to another, of either engine: copied in bites, then compared.

Each table goes in the order of its key, so that what is there already is where it begins again after it was broken off.
Until all of it is there and equal, the database that it goes to is marked, and refuses to be served.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from receiver.errors import ConfigurationError
from receiver.store.sides import MARK, TABLES, Side

BITE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One table as it is on both sides: how many rows, and the SHA-256 of them in the order of their key."""

    table: str
    rows: int
    digest: str


def move(source: Side, target: Side, *, told: Callable[[str, int], None], bite: int = BITE) -> list[Moved]:
    """Copy every table that is not there yet, and compare all; `told` hears how many rows of a table there are.

    Raises `ConfigurationError` where the target holds something else, or does not hold the same in the end.
    """
    _begin(target)
    for table, key in TABLES.items():
        columns = source.columns(table)
        if set(columns) != set(target.columns(table)):
            raise ConfigurationError(f"the two databases have another {table}", hint="Migrate both with this program.")
        _copy(source, target, table, key, columns, told=told, bite=bite)
    moved = [_compared(source, target, table, key, bite) for table, key in TABLES.items()]
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


def _copy(
    source: Side,
    target: Side,
    table: str,
    key: Sequence[str],
    columns: Sequence[str],
    *,
    told: Callable[[str, int], None],
    bite: int,
) -> None:
    if table == "counters":
        target.replace_counters([row for row in source.page(table, key, columns, None, bite) if row[0] != MARK])
        return
    copied = 0
    for rows in _pages(source, table, key, columns, target.last(table, key), bite):
        target.put(table, columns, rows)
        copied += len(rows)
        told(table, copied)


def _pages(
    side: Side, table: str, key: Sequence[str], columns: Sequence[str], after: tuple[Any, ...] | None, bite: int
) -> Iterator[list[tuple[Any, ...]]]:
    """All rows beyond a key, page after page."""
    places = [columns.index(name) for name in key]
    while rows := [_plain(row) for row in side.page(table, key, columns, after, bite)]:
        yield rows
        after = tuple(rows[-1][place] for place in places)


def _plain(row: Sequence[Any]) -> tuple[Any, ...]:
    """As both engines keep it: PostgreSQL knows no NUL in a text, and gives bytes as something of its own."""
    return tuple(value.replace("\0", "\ufffd") if isinstance(value, str) else _bytes(value) for value in row)


def _bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


def _compared(source: Side, target: Side, table: str, key: Sequence[str], bite: int) -> Moved:
    columns = sorted(source.columns(table))
    there, here = (_digest(side, table, key, columns, bite) for side in (source, target))
    if there != here:
        raise ConfigurationError(
            f"{table} is not the same in both: {there.rows} rows there, {here.rows} here",
            hint="Stop whatever uses either of them, and move into a new database.",
        )
    return here


def _digest(side: Side, table: str, key: Sequence[str], columns: Sequence[str], bite: int) -> Moved:
    digest, rows = hashlib.sha256(), 0
    for page in _pages(side, table, key, columns, None, bite):
        for row in page:
            if table == "counters" and MARK in row:
                continue
            values = [value.hex() if isinstance(value, bytes) else value for value in row]
            digest.update(json.dumps(values, separators=(",", ":")).encode())
            digest.update(b"\n")
            rows += 1
    return Moved(table=table, rows=rows, digest=digest.hexdigest())

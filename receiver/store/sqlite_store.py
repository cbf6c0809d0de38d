"""The verbs on one SQLite connection, and what its errors mean."""

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NoReturn

from receiver.domain import MINUTE, Ms
from receiver.errors import Unavailable
from receiver.store.statements import Row
from receiver.store.verbs import SharedVerbs

LONGEST_LEASE = 2 * MINUTE  # one that should be longer lapses by itself
STATEMENTS = 512  # kept prepared: more than there are, with the lists' many forms
_OUT_OF_SERVICE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
    }
)


class SqliteStore(SharedVerbs):
    """The verbs on one SQLite connection, inside whatever transaction it has open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        try:
            cursor = self._connection.execute(*_bound(sql, values))
            rows = cursor.fetchall()
        except sqlite3.DatabaseError as error:
            tell(error)
        if not rows:
            return rows
        # sqlite3.Row looks for each name in all of them: rows of twenty columns take twice as long.
        names = [each[0] for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def changed(self, sql: str, values: Mapping[str, Any]) -> int:
        try:
            return self._connection.execute(*_bound(sql, values)).rowcount
        except sqlite3.DatabaseError as error:
            tell(error)

    def change_each(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run one statement for each of these; how many rows they changed."""
        statement, pick = _in_order(sql)
        try:
            return self._connection.executemany(statement, map(pick, rows)).rowcount
        except sqlite3.DatabaseError as error:
            tell(error)

    def lapse_leases(self, now: Ms) -> None:
        self.count("lapse_timers", now=now, until=now + LONGEST_LEASE)
        self.count("lapse_deliveries", now=now, until=now + LONGEST_LEASE)

    def release_leases(self, now: Ms) -> None:
        self.count("release_polls", now=now)
        self.count("release_deliveries", now=now)

    def schema_version(self) -> int:
        row = self.one("select_schema_version")
        return int(row["version"] or 0) if row else 0


_NAME = re.compile(r":(\w+)")
_Picked = Sequence[Any]


def _bound(sql: str, values: Mapping[str, Any]) -> tuple[str, _Picked]:
    """A statement with its values in order: by name SQLite would be asked for each one's place, every time."""
    statement, pick = _in_order(sql)
    return statement, pick(values)


@lru_cache(maxsize=STATEMENTS)
def _in_order(sql: str) -> tuple[str, Callable[[Mapping[str, Any]], _Picked]]:
    names = _NAME.findall(sql)
    pick = itemgetter(*names) if len(names) > 1 else lambda values: [values[name] for name in names]
    return _NAME.sub("?", sql), pick


def tell(error: sqlite3.DatabaseError) -> NoReturn:
    """What is out of service is `Unavailable`; everything else that SQLite refuses is an error of ours."""
    if error.sqlite_errorcode & 0xFF in _OUT_OF_SERVICE:
        raise Unavailable(f"the database cannot be used now: {error}") from error
    raise error

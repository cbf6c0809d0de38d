"""A PostgreSQL database as rows."""

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg.rows import tuple_row
from psycopg.types.string import StrBinaryDumper

from receiver.domain import Ms
from receiver.errors import ConfigurationError
from receiver.store.postgres_connection import dial
from receiver.store.postgres_schema import bring_up_to_date
from receiver.store.postgres_sql import OURS, reading
from receiver.store.shares import GONE_AFTER
from receiver.store.sides import AT_ONCE, MARK, last_sql, pages_sql

_CURSOR = "moving"
_ON_DISK = """SELECT set_config('synchronous_commit', 'on', true)
  WHERE current_setting('synchronous_commit') IN ('off', 'local')"""
_OURS_ALONE = frozenset({"holder"})  # the process that leases: none does, while everything is moved


class PostgresSide:
    """One database, which no server uses: that is looked at once."""

    def __init__(self, url: str, *, now: Ms) -> None:
        bring_up_to_date(url, now=now)
        self._connection = dial(url)
        self._connection.adapters.register_dumper(str, StrBinaryDumper)  # who moves has taken the NULs out
        self._cursor = self._connection.cursor(row_factory=tuple_row)
        [(there,)] = self._cursor.execute(reading(OURS["database_time"])).fetchall()
        alive = self._cursor.execute(
            "SELECT count(*) FROM replicas WHERE seen_at > %s", (int(there) - GONE_AFTER,)
        ).fetchall()
        if alive != [(0,)]:
            self.close()
            raise ConfigurationError(
                "a server works on this PostgreSQL", hint=f"Stop all of them, and wait for {GONE_AFTER // 1000} s."
            )

    def columns(self, table: str) -> list[str]:
        return [name for name in self._types(table) if name not in _OURS_ALONE]

    def _types(self, table: str) -> dict[str, int]:
        """Each column's type, as PostgreSQL numbers them."""
        self._cursor.execute(f"SELECT * FROM {table} LIMIT 0".encode())  # noqa: S608 - names of ours
        return {each.name: each.type_code for each in self._cursor.description or ()}

    def pages(self, table: str, key: Sequence[str], columns: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
        with self._connection.transaction(), self._connection.cursor(_CURSOR, row_factory=tuple_row) as cursor:
            cursor.execute(pages_sql(table, key, columns).encode())
            while rows := cursor.fetchmany(AT_ONCE):
                yield rows

    def last(self, table: str, key: Sequence[str]) -> tuple[Any, ...] | None:
        return self._cursor.execute(last_sql(table, key).encode()).fetchone()

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        types, into = self._types(table), f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with self._connection.transaction():
            self._cursor.execute("SET LOCAL synchronous_commit = off")
            with self._cursor.copy(into.encode()) as copy:
                copy.set_types([types[name] for name in columns])
                for row in rows:
                    copy.write_row(row)

    def replace_counters(self, rows: Sequence[Sequence[Any]]) -> None:
        self._cursor.execute("DELETE FROM counters WHERE name <> %s", (MARK,))
        self.put("counters", ("name", "value"), rows)

    def marked(self) -> bool:
        return self._cursor.execute("SELECT 1 FROM counters WHERE name = %s", (MARK,)).fetchone() is not None

    def mark(self) -> None:
        self._cursor.execute("INSERT INTO counters (name, value) VALUES (%s, 0)", (MARK,))

    def unmark(self) -> None:
        with self._connection.transaction():
            self._cursor.execute(_ON_DISK)
            self._cursor.execute("DELETE FROM counters WHERE name = %s", (MARK,))

    def close(self) -> None:
        self._connection.close()

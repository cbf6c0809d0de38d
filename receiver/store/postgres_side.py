"""A PostgreSQL database as rows."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import tuple_row

from receiver.domain import Ms
from receiver.errors import ConfigurationError
from receiver.store.postgres_connection import dial
from receiver.store.postgres_schema import bring_up_to_date
from receiver.store.postgres_sql import OURS, reading
from receiver.store.shares import GONE_AFTER
from receiver.store.sides import MARK, last_sql, page_sql

_OURS_ALONE = frozenset({"holder"})  # the process that leases: none does, while everything is moved


class PostgresSide:
    """One database, which no server uses: that is looked at once."""

    def __init__(self, url: str, *, now: Ms) -> None:
        bring_up_to_date(url, now=now)
        self._connection = dial(url)
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
        self._cursor.execute(f"SELECT * FROM {table} LIMIT 0".encode())  # noqa: S608 - names of ours
        return [each.name for each in self._cursor.description or () if each.name not in _OURS_ALONE]

    def page(
        self, table: str, key: Sequence[str], columns: Sequence[str], after: tuple[Any, ...] | None, limit: int
    ) -> Sequence[Sequence[Any]]:
        sql = page_sql(table, key, columns, after, "%s").encode()
        return self._cursor.execute(sql, (*(after or ()), limit)).fetchall()

    def last(self, table: str, key: Sequence[str]) -> tuple[Any, ...] | None:
        return self._cursor.execute(last_sql(table, key).encode()).fetchone()

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        with (
            self._connection.transaction(),
            self._cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()) as copy,
        ):
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
        self._cursor.execute("DELETE FROM counters WHERE name = %s", (MARK,))

    def close(self) -> None:
        self._connection.close()

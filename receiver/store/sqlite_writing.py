"""The verbs of the one connection that writes to a SQLite file.

Rows of what is written most are held back, and go in by one call for each statement: before the commit, or before a
statement that might look at them. A call of its own costs as much as a row.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.hand_off import HandOff
from receiver.store.deliveries import OF_ONE_DELIVERY
from receiver.store.kept import KeptVerbs
from receiver.store.sqlite_store import SqliteStore
from receiver.store.statements import QUERIES, Row, mentioning

_NAMES = ("insert_event", "insert_delivery", "insert_attempt", "settle_delivered", "upsert_timer", "count_up")
_HELD_BACK = [QUERIES[name] for name in _NAMES]
_OF_A_DELIVERY = frozenset(QUERIES[name] for name in ("insert_delivery", "settle_delivered"))
_MOST_HELD = 500  # rows of one statement
_TABLES = {table for sql in _HELD_BACK for table in re.findall(r"\b(?:INTO|FROM|^UPDATE) (\w+)", sql, re.MULTILINE)}
_looks_at_held_back = mentioning(_TABLES)


class WritingStore(KeptVerbs, SqliteStore):
    """One for the life of a connection; `before_commit` ends each transaction, or `forget` does."""

    def __init__(self, connection: sqlite3.Connection, handing: HandOff) -> None:
        super().__init__(connection)
        self._handing = handing
        self.forget()

    def forget(self) -> None:
        super().forget()
        self._hold_nothing()

    def _hold_nothing(self) -> None:
        self._held: dict[str, list[Mapping[str, Any]]] = {sql: [] for sql in _HELD_BACK}
        self._holds = False
        self._held_deliveries: set[str] = set()

    def before_commit(self) -> None:
        super().before_commit()
        if self._holds:
            self._put_in()

    def execute(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        self._look(sql, values)
        return super().execute(sql, values)

    def changed(self, sql: str, values: Mapping[str, Any]) -> int:
        held = self._held.get(sql)
        if held is not None:
            return self._hold(sql, values, held)
        self._look(sql, values)
        self.hear(sql)
        return super().changed(sql, values)

    def _hold(self, sql: str, values: Mapping[str, Any], held: list[Mapping[str, Any]]) -> int:
        held.append(values)
        self._holds = True
        if sql in _OF_A_DELIVERY:
            self._held_deliveries.add(values["id"])
        if len(held) >= _MOST_HELD:
            self._put_in()
        return 1

    def _look(self, sql: str, values: Mapping[str, Any]) -> None:
        """A statement is about to run: what it may look at must not be held back."""
        if (
            self._holds
            and _looks_at_held_back(sql)
            and (sql not in OF_ONE_DELIVERY or values["id"] in self._held_deliveries)
        ):
            self._put_in()

    def _put_in(self) -> None:
        held = self._held
        self._hold_nothing()
        for sql, rows in held.items():
            if rows:
                self.change_each(sql, rows)

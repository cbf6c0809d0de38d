"""The verbs of the one connection that writes to a SQLite file.

Rows of what is written most are held back, and go in by one call for each statement: before the commit, or before a
statement that might look at them. A call of its own costs as much as a row.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.domain import Ms, Task
from receiver.hand_off import HandOff
from receiver.store.deliveries import OF_ONE_DELIVERY
from receiver.store.kept import KeptVerbs
from receiver.store.notes import MOST_NOTES, UNKEPT
from receiver.store.rows import task_row
from receiver.store.sqlite_store import SqliteStore
from receiver.store.statements import QUERIES, Row, mentioning

# In the order in which they go in, each with the value that says whose row it is, where anybody asks for that one's.
_WHOSE: Mapping[str, str | None] = {
    QUERIES[name]: whose
    for name, whose in {
        "insert_task": "id",
        "insert_input": "task_id",
        "update_task": "id",
        "insert_event": "task_id",
        "insert_delivery": "id",
        "insert_attempt": None,
        "settle_delivered": "id",
        "upsert_timer": "task_id",
        "delete_timer": "task_id",
        "count_unkept": "task_id",
        "insert_note": "task_id",
        "count_up": "task_id",
    }.items()
}
# Statements that look at nobody's rows but those of the one whom they name.
_OF_ONE = dict.fromkeys(OF_ONE_DELIVERY, "id") | {
    QUERIES[name]: whose
    for name, whose in {
        "select_task": "id",
        "update_task": "id",
        "select_task_by_provider": "provider_task_id",
        "select_timer": "task_id",
        "claim_timer": "task_id",
    }.items()
}
# What must not be in before them, for it comes after them: not of the same one.
_BEHIND = {
    QUERIES[name]: [QUERIES[each] for each in others]
    for name, others in {
        "upsert_timer": ["delete_timer"],
        "count_unkept": ["insert_note", "count_up"],
    }.items()
}
_UPDATE = QUERIES["update_task"]  # held back only of a task that is known: else its version is asked for
_MOST_HELD = 500  # rows of one statement
_TABLES = {table for sql in _WHOSE for table in re.findall(r"(?:\b(?:INTO|FROM)|^UPDATE) (\w+)", sql, re.MULTILINE)}
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
        self._held: dict[str, list[Mapping[str, Any]]] = {sql: [] for sql in _WHOSE}
        self._whose: dict[str, set[str]] = {sql: set() for sql in _WHOSE}
        self._holds = False
        self._held_of: set[str | None] = set()

    def before_commit(self) -> None:
        super().before_commit()
        if self._holds:
            self._put_in()

    def save_task(self, task: Task, *, expected_version: int) -> bool:
        known = self._tasks.get(task.id)
        if known is None or known.version != expected_version:
            return super().save_task(task, expected_version=expected_version)
        self._hold(_UPDATE, task_row(task) | {"expected": expected_version})
        self._held_of.add(known.provider_task_id)  # in the database it is still found by that
        del self._tasks[task.id]
        self._keep_task(task)
        return True

    def note(self, task_id: str, *, at: Ms, sequence: int, kind: str, text: str, data: Mapping[str, Any]) -> None:
        self.count("count_unkept", task_id=task_id, kind=UNKEPT, at=at, most=MOST_NOTES)
        super().note(task_id, at=at, sequence=sequence, kind=kind, text=text, data=data)

    def execute(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        self._look(sql, values)
        return super().execute(sql, values)

    def changed(self, sql: str, values: Mapping[str, Any]) -> int:
        if sql in _WHOSE and sql is not _UPDATE:
            return self._hold(sql, values)
        self._look(sql, values)
        self.hear(sql)
        return super().changed(sql, values)

    def _hold(self, sql: str, values: Mapping[str, Any]) -> int:
        if len(self._held[sql]) >= _MOST_HELD:  # before it, not after: a task's row is not parted from its input
            self._put_in()
        named = _WHOSE[sql]
        if named is not None:
            whose = values[named]
            for other in _BEHIND.get(sql, ()):
                if whose in self._whose[other]:
                    self._put_in()
            self._whose[sql].add(whose)
            self._held_of.update((whose, values.get("provider_task_id")))
        self._held[sql].append(values)
        self._holds = True
        return 1

    def _look(self, sql: str, values: Mapping[str, Any]) -> None:
        """A statement is about to run: what it may look at must not be held back."""
        if (
            self._holds
            and _looks_at_held_back(sql)
            and ((whose := _OF_ONE.get(sql)) is None or values[whose] in self._held_of)
        ):
            self._put_in()

    def _put_in(self) -> None:
        held = self._held
        self._hold_nothing()
        for sql, rows in held.items():
            if rows and self.change_each(sql, rows) < len(rows) and sql is _UPDATE:
                raise RuntimeError("a task changed inside its own transaction")

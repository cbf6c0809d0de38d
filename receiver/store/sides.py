"""A database as rows, whatever they mean: what moving one into another needs of either."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

# Every table that holds something of a user's, with its key.
TABLES: Mapping[str, Sequence[str]] = {
    "tasks": ("id",),
    "inputs": ("task_id",),
    "timers": ("task_id",),
    "inbox": ("task_id", "digest"),
    "events": ("seq",),
    "destinations": ("id",),
    "deliveries": ("id",),
    "attempts": ("delivery_id", "number"),
    "standings": ("provider",),
    "idempotency_keys": ("tenant", "key"),
    "tenant_secrets": ("tenant",),
    "api_keys": ("id",),
    "notes": ("task_id", "number"),
    "tallies": ("task_id", "after", "kind"),
    "breakers": ("destination_id",),
    "retired_secrets": ("owner", "sealed_secret"),
    "pruned": ("tenant",),
    "counters": ("name",),
}
AT_ONCE = 500
MARK = "moving"  # the counter that says that a database is not whole yet
NOT_WHOLE = "a move into it was begun and is not over"
NOT_WHOLE_HINT = "Run `taskweir migrate --from … --to …` again: it goes on where it ended."


class Side(Protocol):
    """One of the two databases; nobody else uses it meanwhile."""

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, but for those that mean something to their engine alone."""

    def pages(self, table: str, key: Sequence[str], columns: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
        """All rows in the order of the key, at most `AT_ONCE` at a time."""

    def last(self, table: str, key: Sequence[str]) -> tuple[Any, ...] | None:
        """The key of the last row; None where there is none."""

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows, all of them or none, on the disk not before `unmark` is over. Any thread may, one at a time."""

    def replace_counters(self, rows: Sequence[Sequence[Any]]) -> None:
        """Set every counter but the mark; a row is a name and a value."""

    def marked(self) -> bool: ...

    def mark(self) -> None: ...

    def unmark(self) -> None:
        """Say that it is whole; this is on the disk when it returns, and with it all that came before."""

    def close(self) -> None: ...


def pages_sql(table: str, key: Sequence[str], columns: Sequence[str]) -> str:
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(key)}"  # noqa: S608 - names of ours


def last_sql(table: str, key: Sequence[str]) -> str:
    backward = ", ".join(f"{name} DESC" for name in key)
    return f"SELECT {', '.join(key)} FROM {table} ORDER BY {backward} LIMIT 1"  # noqa: S608 - names of ours

"""A database as rows, whatever they mean: what moving one into another needs of either."""

from collections.abc import Mapping, Sequence
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
MARK = "moving"  # the counter that says that a database is not whole yet
NOT_WHOLE = "a move into it was begun and is not over"
NOT_WHOLE_HINT = "Run `taskweir migrate --from … --to …` again: it goes on where it ended."


class Side(Protocol):
    """One of the two databases; nobody else uses it meanwhile."""

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, but for those that mean something to their engine alone."""

    def page(
        self, table: str, key: Sequence[str], columns: Sequence[str], after: tuple[Any, ...] | None, limit: int
    ) -> Sequence[Sequence[Any]]:
        """At most so many rows beyond a key, in its order."""

    def last(self, table: str, key: Sequence[str]) -> tuple[Any, ...] | None:
        """The key of the last row; None where there is none."""

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows, all of them or none."""

    def replace_counters(self, rows: Sequence[Sequence[Any]]) -> None:
        """Set every counter but the mark."""

    def marked(self) -> bool: ...

    def mark(self) -> None: ...

    def unmark(self) -> None: ...

    def close(self) -> None: ...


def page_sql(table: str, key: Sequence[str], columns: Sequence[str], after: tuple[Any, ...] | None, sign: str) -> str:
    """The statement of `page`, its parameters written as `sign`: the key to begin behind, and the limit."""
    keys, names = ", ".join(key), ", ".join(columns)
    behind = "" if after is None else f" WHERE ({keys}) > ({', '.join(sign for _ in key)})"
    return f"SELECT {names} FROM {table}{behind} ORDER BY {keys} LIMIT {sign}"  # noqa: S608 - names of ours


def last_sql(table: str, key: Sequence[str]) -> str:
    backward = ", ".join(f"{name} DESC" for name in key)
    return f"SELECT {', '.join(key)} FROM {table} ORDER BY {backward} LIMIT 1"  # noqa: S608 - names of ours

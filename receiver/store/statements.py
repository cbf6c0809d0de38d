"""The named statements, and the ways to run one."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

Row = Mapping[str, Any]
_HEADING = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def named_statements(text: str) -> dict[str, str]:
    """Statements by the name in their heading `-- name --`; comment lines are dropped."""
    _, *parts = _HEADING.split(text)
    return {name: _bare(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _bare(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if line and not line.startswith("--"))


QUERIES = named_statements(files("receiver.store").joinpath("queries.sql").read_text(encoding="utf-8"))


def mentioning(tables: Collection[str]) -> Callable[[str], bool]:
    """Tells of a statement whether it names any of these tables."""
    named = re.compile(rf"\b(?:{'|'.join(sorted(tables))})\b")
    return lru_cache(maxsize=1024)(lambda sql: named.search(sql) is not None)


class Where:
    """The conditions of a list, as SQL with named parameters; one whose value is None is no condition."""

    def __init__(self) -> None:
        self.clauses: list[str] = []
        self.values: dict[str, Any] = {}

    def add(self, clause: str, *values: Any) -> None:
        """A condition with one `?` per value."""
        if any(value is None for value in values):
            return
        for value in values:
            name = f"v{len(self.values)}"
            self.values[name] = value
            clause = clause.replace("?", f":{name}", 1)
        self.clauses.append(clause)


class Statements(ABC):
    """What a store's verbs are made of; an engine gives `execute` and `changed` their meaning."""

    @abstractmethod
    def execute(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """Run one statement with `:named` parameters; the rows that it returns, or none."""

    @abstractmethod
    def changed(self, sql: str, values: Mapping[str, Any]) -> int:
        """Run one statement; how many rows it changed."""

    def run(self, name: str, **values: Any) -> Sequence[Row]:
        return self.execute(QUERIES[name], values)

    def one(self, name: str, **values: Any) -> Row | None:
        rows = self.execute(QUERIES[name], values)
        return rows[0] if rows else None

    def count(self, name: str, **values: Any) -> int:
        return self.changed(QUERIES[name], values)

    def page(self, sql: str, where: Where, *, order: str, limit: int) -> Sequence[Row]:
        conditions = " AND ".join(where.clauses)
        return self.execute(f"{sql} WHERE {conditions} ORDER BY {order} LIMIT :limit", where.values | {"limit": limit})

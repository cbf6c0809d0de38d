"""The shared statements as PostgreSQL wants them: its parameters, its functions, its locks."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files

from receiver.store.statements import QUERIES, named_statements

_ARRAY = re.compile(r":(\w+)\[\]")
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")
_SPELLINGS = (
    (re.compile(r"\bjson_each\((:\w+)\)"), r"json_array_elements_text(CAST(\1 AS json))"),
    (re.compile(r"\bjson_each\(([\w.]+)\)"), r"json_each_text(CAST(\1 AS json))"),
    (re.compile(r"\bjson_extract\(([\w.]+), '\$\.(\w+)'\)"), r"CAST(\1 AS json) ->> '\2'"),
)
OURS = named_statements(files("receiver.store").joinpath("queries_postgres.sql").read_text(encoding="utf-8"))
_REPLACED = {QUERIES[name]: sql for name, sql in OURS.items() if name in QUERIES}

# What a writing transaction reads in order to decide something, nobody else changes until it is over. What is claimed
# by somebody else at this moment is passed over.
_LOCKS = {
    "select_task": "FOR NO KEY UPDATE OF tasks",
    "select_tasks": "FOR NO KEY UPDATE OF tasks",
    "select_task_by_provider": "FOR NO KEY UPDATE OF tasks",
    "select_overdue_tasks": "FOR NO KEY UPDATE OF tasks SKIP LOCKED",
    "select_unasked_tasks": "FOR NO KEY UPDATE OF tasks SKIP LOCKED",
    "select_delivery": "FOR NO KEY UPDATE",
    "select_leased_timers": "FOR NO KEY UPDATE",
    "select_due_timers": "FOR NO KEY UPDATE SKIP LOCKED",
    "select_freshest_timers": "FOR NO KEY UPDATE SKIP LOCKED",
    "select_due_deliveries": "FOR NO KEY UPDATE OF deliveries SKIP LOCKED",
    "select_freshest_deliveries": "FOR NO KEY UPDATE OF deliveries SKIP LOCKED",
    "select_first_delivery": "FOR NO KEY UPDATE OF deliveries SKIP LOCKED",
}
_LOCKED = {QUERIES[name]: lock for name, lock in _LOCKS.items()}


@lru_cache(maxsize=1024)
def reading(sql: str) -> str:
    """A shared statement for a transaction that only reads."""
    return _translated(_REPLACED.get(sql, sql))


@lru_cache(maxsize=1024)
def writing(sql: str) -> str:
    """A shared statement for a transaction that writes, with the locks that it needs there."""
    lock = _LOCKED.get(sql)
    return reading(sql) if lock is None else f"{reading(sql)} {lock}"


def _translated(sql: str) -> str:
    for pattern, ours in _SPELLINGS:
        sql = pattern.sub(ours, sql)
    # As text every quote in an array would be escaped, and each of an event's own has many.
    sql = _ARRAY.sub(r"%(\1)b", sql.replace("%", "%%"))
    return _PARAMETER.sub(r"%(\1)s", sql)


def migrations() -> list[tuple[int, str]]:
    """The numbered migrations: (number, SQL), in order."""
    found = [item for item in files("receiver.store.migrations_postgres").iterdir() if item.name.endswith(".sql")]
    return sorted((int(item.name.split("_")[0]), item.read_text(encoding="utf-8")) for item in found)


def newest_version() -> int:
    return migrations()[-1][0]


def each_value(rows: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, list[object]]]:
    """Rows of the same columns as columns of values: what goes in by one statement."""
    return ((name, [row[name] for row in rows]) for name in rows[0])

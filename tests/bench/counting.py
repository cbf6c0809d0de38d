"""What the database says of a run, read from outside the server."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any


def _one(path: Path, sql: str, *values: Any) -> int:
    # Read-only: the only checkpointer must stay the server's writer.
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as connection:
        return int(connection.execute(sql, values).fetchone()[0])


def pending(path: Path) -> int:
    """Deliveries that are not settled yet; a partial index makes this cheap."""
    return _one(path, "SELECT count(*) FROM deliveries WHERE state = 'pending'")


def delivered(path: Path) -> int:
    return _one(path, "SELECT count(*) FROM deliveries WHERE state = 'delivered'")


def attempted(path: Path) -> int:
    """Deliveries whose only attempt is recorded as a success."""
    return _one(
        path,
        "SELECT count(*) FROM (SELECT delivery_id FROM attempts GROUP BY delivery_id"
        " HAVING count(*) = 1 AND max(status) BETWEEN 200 AND 299)",
    )


def asked_since(path: Path, at: int) -> int:
    """Tasks about which a poll was answered since then, in milliseconds."""
    return _one(path, "SELECT count(*) FROM timers WHERE answered_at >= ?", at)


def tasks(path: Path, status: str) -> int:
    return _one(path, "SELECT count(*) FROM tasks WHERE status = ?", status)


def logged(path: Path) -> int:
    """Rows of a SQLite log."""
    return _one(path, "SELECT count(*) FROM events")


async def settled(path: Path, *, within_s: float) -> None:
    """Return once nothing is owed to anybody any more."""
    ends_at = perf_counter() + within_s
    while pending(path):
        if perf_counter() > ends_at:
            raise TimeoutError(f"{pending(path)} deliveries are still owed after {within_s:g} s")
        await asyncio.sleep(0.005)

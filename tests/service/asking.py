"""Reads what a door answered against what the contract promises, and what the store holds afterwards."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from tests import postgres_server

LARGEST_REFUSAL = 64 * 1024
TABLES = ("tasks", "inputs", "timers", "events", "destinations", "deliveries", "attempts", "inbox")

Rows = dict[str, list[tuple[Any, ...]]]


def complaint(answer: httpx.Response, status: int, *paths: str) -> str | None:
    """What is wrong with a refusal; None where it is the promised one, with a fault at each of the paths."""
    problem = answer.headers.get("content-type") == "application/problem+json"
    bare = not problem or answer.request.method == "HEAD"
    body: dict[str, Any] = {} if bare else answer.json()
    faults = body.get("errors", [])
    members = {"type", "title", "status", "detail"} | ({"errors"} if status == 422 else set())
    promised = {
        "status": answer.status_code == status,
        "content-type": problem,
        "cache-control": answer.headers.get("cache-control") == "no-store",
        "size": len(answer.content) <= LARGEST_REFUSAL,
        "members": bare or (body.keys() == members and all(body[name] for name in members)),
        "type": bare or body["type"] == "about:blank",
        "status in the body": bare or body["status"] == status,
        "www-authenticate": (answer.headers.get("www-authenticate") == "Bearer") == (status == 401),
        "errors": all({"path", "message"} <= fault.keys() <= {"path", "code", "message"} for fault in faults),
        "paths": bare or set(paths) <= {fault["path"] for fault in faults},
    }
    broken = [name for name, kept in promised.items() if not kept]
    return f"{', '.join(broken)} of {answer.status_code} {answer.text[:300]}" if broken else None


def failures(complaints: dict[str, str | None]) -> dict[str, str]:
    """Those rows of a table that have something to complain of."""
    return {name[:200]: what for name, what in complaints.items() if what}


def codes(answer: httpx.Response) -> dict[str, Any]:
    """The provider's own code of each fault, by its path."""
    return {fault["path"]: fault.get("code") for fault in answer.json()["errors"]}


def everything(directory: Path) -> Rows:
    """Every row of every table, as they are committed now."""
    if (url := postgres_server.known(directory)) is not None:
        return postgres_server.everything(url)
    with closing(sqlite3.connect(f"file:{directory}/taskweir.db?mode=ro", uri=True)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def dump(directory: Path) -> bytes:
    """All that is kept, as it lies on the disk, what was overwritten included; of a PostgreSQL its rows."""
    if postgres_server.known(directory) is not None:
        return repr(everything(directory)).encode()
    return b"".join(each.read_bytes() for each in sorted(directory.glob("taskweir.db*")))


def counts(directory: Path) -> dict[str, int]:
    """How many rows there are of everything that a request can leave behind; tables without any are left out."""
    kept = everything(directory)
    return {name: len(kept[name]) for name in TABLES if kept[name]}


def holds(rows: Rows, secret: str) -> list[str]:
    """The tables in which a text stands anywhere, as text or as bytes."""
    return [
        name for name, found in rows.items() if any(secret.encode() in _bytes(value) for row in found for value in row)
    ]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")

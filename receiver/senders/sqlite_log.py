"""Appends events to a SQLite file that people query: one row per event, table `events`."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import sqlite_utils

from receiver import formats
from receiver.clock import Clock
from receiver.domain import Attempt, Destination
from receiver.senders.base import PING_SEQ, Sent
from receiver.store.protocol import Parcel


class SqliteLogSender:
    """Idempotent on the event's id, a batch in one transaction; `<data dir>/logs/<tenant>/<name>.db`."""

    batch = 200
    longest_attempt_s = 15.0

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._data_dir = data_dir
        self._clock = clock

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Sent]:
        at = self._clock.now()
        errors = [await asyncio.to_thread(self._append, destination, parcels)] * len(parcels)
        if errors[0] is not None and len(parcels) > 1:  # one bad row must not keep the others out
            errors = [await asyncio.to_thread(self._append, destination, [parcel]) for parcel in parcels]
        duration_ms = max(self._clock.now() - at, 0)
        return [
            Sent(attempt=Attempt(number=parcel.delivery.attempts, at=at, duration_ms=duration_ms, error=error))
            for parcel, error in zip(parcels, errors, strict=True)
        ]

    def _append(self, destination: Destination, parcels: Sequence[Parcel]) -> str | None:
        try:
            recorded = [parcel for parcel in parcels if parcel.seq != PING_SEQ]
            rows = [
                formats.log_row(parcel.seq, json.loads(parcel.body), formats.prompt_of(parcel.input))
                for parcel in recorded
            ]
            path = log_path(self._data_dir, destination)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            try:
                _append_rows(connection, rows)
            finally:
                connection.close()
        except (OSError, OverflowError, sqlite3.Error, sqlite_utils.db.InvalidColumns) as error:
            return f"the log cannot be written: {error}"
        return None


def log_path(data_dir: Path, destination: Destination) -> Path:
    """Where a SQLite destination's file is."""
    return data_dir / "logs" / destination.tenant / f"{destination.target}.db"


def _append_rows(connection: sqlite3.Connection, rows: Sequence[dict[str, object]]) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        table = sqlite_utils.Database(connection).table("events")
        if not table.exists():
            table.create(formats.LOG_COLUMNS, pk="id")
            table.create_index(["task_id"])
            table.create_index(["seq"])
        table.insert_all(rows, pk="id", ignore=True)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

"""What a start does to a file, however much is under way in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from receiver.store import sqlite
from receiver.store.protocol import Store
from receiver.store.sqlite_store import SqliteStore
from tests.make import DAY, MINUTE, NOW, SECOND, a_delivery, a_timer

PROVIDERS = ("apikley", "reapi", "reve2img")


def record(store: Store, count: int) -> None:
    """As many polls and deliveries, due later than any lease; of each provider and destination one is leased."""
    for number in range(count):
        leased = number < len(PROVIDERS)
        fields = {"due_at": NOW + (30 * SECOND if leased else DAY + number), "owner": "dead" if leased else None}
        provider = PROVIDERS[number % len(PROVIDERS)]
        store.set_timer(a_timer(task_id=f"task_{number:06}", provider=provider, **fields))
        ids = {"id": f"dlv_{number:06}", "destination_id": f"dst_{provider}", "event_id": f"evt_{number:06}"}
        store.record_delivery(a_delivery(**ids, **fields), number)


def lapsed(path: Path, count: int) -> tuple[list[str], int]:
    """What is due after lapsing, and how many hundred steps of the engine that took."""
    sqlite.migrate_file(path, now=NOW)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        store = SqliteStore(connection)
        connection.execute("BEGIN")
        record(store, count)
        connection.execute("COMMIT")
        connection.set_progress_handler(step, 100)
        store.lapse_leases(NOW)
        connection.set_progress_handler(None, 0)
        due = [
            row[0]
            for table, key in (("timers", "task_id"), ("deliveries", "id"))
            for row in connection.execute(f"SELECT {key} FROM {table} WHERE due_at <= {NOW + MINUTE} ORDER BY {key}")
        ]
    return due, steps


def test_leases_are_found_among_all_that_wait(tmp_path: Path) -> None:
    """In as many steps among ten thousand as among a hundred: those of every provider and destination."""
    few, many = lapsed(tmp_path / "few.db", 100), lapsed(tmp_path / "many.db", 10_000)
    leased = [f"task_{number:06}" for number in range(3)] + [f"dlv_{number:06}" for number in range(3)]
    assert few[0] == many[0] == leased
    assert many[1] <= few[1] + 2

"""A history that is over its days, of a tenant of its own: planted before a kill in retention, accounted for after."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from receiver import intake
from receiver.clock import SystemClock
from receiver.domain import Attempt, DeliveryState, Source, Status, Update, Verified
from receiver.ids import new_id
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.store.sqlite import SqliteStorage
from tests.make import DAY, a_destination, a_task

TENANT = "past"
TASKS = 300  # of two events each: three bites of retention
STEPS = (Status.RUNNING, Status.SUCCEEDED)
OWED = 3  # deliveries that are still pending, so that their events must stay
# Rows that belong to one that is gone.
ORPHANS = {
    "deliveries": "NOT EXISTS (SELECT 1 FROM events WHERE events.id = deliveries.event_id)",
    "attempts": "NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = attempts.delivery_id)",
    "inputs": "NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = inputs.task_id)",
    "notes": "NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = notes.task_id)",
}


def plant(directory: Path) -> None:
    """Add tasks that ended sixty days ago, while no server runs: all but a few of their deliveries are over."""
    asyncio.run(_plant(directory))


async def _plant(directory: Path) -> None:
    storage = SqliteStorage(directory / "taskweir.db")
    await storage.open(now=SystemClock().now())
    await storage.write(_record)
    await storage.close()


def _record(store: Store) -> None:
    then = SystemClock().now() - 60 * DAY
    wanted = a_destination(id=new_id("dst", then), tenant=TENANT, created_at=then, event_types=("task.*",))
    store.record_destination(wanted)
    for _ in range(TASKS):
        task_id = new_id("task", then)
        task = a_task(id=task_id, tenant=TENANT, provider_task_id=task_id, created_at=then)
        store.record_task(task)
        for status in STEPS:
            update = Update(status=status, provider_task_id=task_id)
            task = intake.take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=then).task
    page = Page(tenant=TENANT, limit=TASKS * len(STEPS), where={"destination_id": wanted.id})
    for delivery in store.list_deliveries(page)[OWED:]:
        made = Attempt(number=1, at=then, duration_ms=1, status=204)
        store.settle_delivery(delivery.id, made, owner="", state=DeliveryState.DELIVERED, tries=0, due_at=None)
    store.save_destination(replace(wanted, enabled=False))


def history_faults(directory: Path, planted: int) -> tuple[str, ...]:
    """What retention has left though nobody is owed it, has taken though somebody is, or has taken by half."""
    with closing(sqlite3.connect(f"file:{directory}/taskweir.db?mode=ro", uri=True)) as database:
        return tuple(_faults(database, planted))


def _faults(database: sqlite3.Connection, planted: int) -> Iterator[str]:
    def count(sql: str) -> int:
        [(found,)] = database.execute(f"SELECT count(*) FROM {sql}")
        return int(found)

    owed = "EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.state = 'pending')"
    has_events = "EXISTS (SELECT 1 FROM events WHERE events.task_id = tasks.id)"
    left = {
        "events": count(f"events WHERE tenant = '{TENANT}' AND NOT {owed}"),
        "tasks": count(f"tasks WHERE tenant = '{TENANT}' AND NOT {has_events}"),
        **{f"orphans in {table}": count(f"{table} WHERE {orphan}") for table, orphan in ORPHANS.items()},
    }
    yield from (f"{number} {what} left by retention" for what, number in left.items() if number)
    kept = count(f"events WHERE tenant = '{TENANT}' AND {owed}")
    if kept != planted * OWED:
        yield f"{kept} events kept that are owed, of {planted * OWED}"

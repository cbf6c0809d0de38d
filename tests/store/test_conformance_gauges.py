"""What every store tells of how much there is to do: right, and by its indexes, however much that is."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.breaker_policy import Breaker
from receiver.domain import DeliveryState, Status, Work
from receiver.ids import new_id
from receiver.provider_policy import Pause, Standing
from receiver.store.protocol import Storage, Store
from receiver.store.records import Gauges
from receiver.store.sqlite import migrate_file
from receiver.store.statements import QUERIES
from tests.make import NOW, a_delivery, a_destination, a_task, a_timer, an_event

pytestmark = pytest.mark.anyio

PROVIDERS, KINDS = ("apikley", "reapi"), ("webhook", "sqlite", "nats")


async def gauges(storage: Storage, *, most: int = 100) -> Gauges:
    return await storage.read(lambda store: store.gauges(PROVIDERS, KINDS, most=most))


async def test_an_empty_store_has_nothing_to_do(storage: Storage) -> None:
    """Nothing by each of the names that were asked for."""
    found = await gauges(storage)
    assert set(found.tasks.values()) | set(found.deliveries.values()) == {0}
    assert set(found.tasks) == {(name, work) for name in PROVIDERS for work in Work}
    assert (found.doubts, found.oldest, found.destinations, set(found.paused), found.seq) == ({}, {}, {}, set(), 0)


async def test_what_there_is_to_do_is_counted(storage: Storage) -> None:
    """Tasks by provider and work, those in doubt; deliveries and destinations by kind and state; up to a number."""
    await storage.write(_fill)
    found = await gauges(storage)
    assert found.tasks[("apikley", Work.POLL)] == 3
    assert (found.tasks[("apikley", Work.SUBMIT)], found.tasks[("reapi", Work.SUBMIT)]) == (0, 1)
    assert found.doubts == {"reapi": 1}
    assert found.deliveries[("webhook", DeliveryState.PENDING)] == 4
    assert found.deliveries[("webhook", DeliveryState.DEAD)] == 1
    assert found.deliveries[("sqlite", DeliveryState.PENDING)] == 0
    assert found.oldest == {"webhook": NOW + 1000}
    assert found.destinations == {("webhook", "healthy"): 1, ("webhook", "failing"): 1, ("sqlite", "disabled"): 1}
    assert set(found.paused) == {"reapi"}
    assert found.seq == 1
    few = await gauges(storage, most=2)
    assert few.tasks[("apikley", Work.POLL)] == few.deliveries[("webhook", DeliveryState.PENDING)] == 2


def _fill(store: Store) -> None:
    for number in range(3):
        task = a_task(id=new_id("task", NOW + number), provider_task_id=f"p{number}")
        store.record_task(task)
        store.set_timer(a_timer(task_id=task.id, provider="apikley", work=Work.POLL))
    doubtful = a_task(id=new_id("task", NOW + 9), provider="reapi", provider_task_id=None, status=Status.UNCONFIRMED)
    store.record_task(doubtful)
    store.set_timer(a_timer(task_id=doubtful.id, provider="reapi", work=Work.SUBMIT))
    store.save_standing(Standing(provider="reapi", paused=Pause.AUTH))
    one, two = a_destination(), replace(a_destination(), id=new_id("dst", NOW))
    log = replace(a_destination(), id=new_id("dst", NOW), type="sqlite", target="log", enabled=False)
    for destination in (one, two, log):
        store.record_destination(destination)
    store.save_breaker(replace(Breaker(destination_id=two.id), failures=5, probe_at=NOW))
    seq = store.next_seq()
    event = an_event(seq)
    store.record_event(event, "{}")
    for number, destination in enumerate((one, one, two, two, log), start=1):
        of = new_id("dlv", NOW + number * 1000)
        pending = a_delivery(id=of, destination_id=destination.id, event_id=event.id, state=DeliveryState.PENDING)
        if destination is not log:
            store.record_delivery(pending, seq)
    dead = a_delivery(id=new_id("dlv", NOW), destination_id=one.id, event_id=event.id, state=DeliveryState.DEAD)
    store.record_delivery(replace(dead, due_at=None), seq)


@pytest.mark.parametrize(
    "name", ["count_waiting_tasks", "count_doubts", "count_deliveries_of_kind", "select_oldest_owed"]
)
def test_they_are_found_by_indexes(tmp_path: Path, name: str) -> None:
    """No table that grows without end is read row by row for them."""
    migrate_file(tmp_path / "taskweir.db", now=NOW)
    connection = sqlite3.connect(tmp_path / "taskweir.db")
    named = dict.fromkeys(("work", "provider", "most", "type", "state"), "1")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {QUERIES[name]}", named)]
    connection.close()
    assert any("INDEX" in step for step in plan), plan
    scanned = [step for step in plan if step.startswith("SCAN ") and "INDEX" not in step]
    assert not any(table in step for table in ("deliveries", "timers", "tasks") for step in scanned), plan

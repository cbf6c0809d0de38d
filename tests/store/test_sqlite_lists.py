"""How much of a file is read for one page of a list: pieces of an index, whatever else is in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from receiver.domain import DeliveryState
from receiver.store import sqlite
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.store.sqlite_store import SqliteStore
from receiver.store.statements import QUERIES
from tests.make import NOW, a_delivery

MANY = 4000
RARE = {"dead": 11, "canceled": 12, "pending": 13}


@contextmanager
def a_full_file(path: Path) -> Iterator[sqlite3.Connection]:
    """Thousands of deliveries that arrived; of each other state one among the oldest, to a destination of its own."""
    sqlite.migrate_file(path, now=NOW)
    with closing(sqlite3.connect(path)) as connection:
        store: Store = SqliteStore(connection)
        states = {number: DeliveryState(state) for state, number in RARE.items()}
        for number in range(MANY):
            state = states.get(number, DeliveryState.DELIVERED)
            whose = "dst_1" if state is DeliveryState.DELIVERED else f"dst_{state}"
            fields = {"id": f"dlv_{number:04}", "event_id": f"evt_{number}", "task_id": f"task_{number}"}
            due_at = NOW if state is DeliveryState.PENDING else None
            store.record_delivery(a_delivery(**fields, state=state, destination_id=whose, due_at=due_at), number)
        yield connection


def read_for(connection: sqlite3.Connection, where: dict[str, str], cursor: str | None = None) -> tuple[list[str], int]:
    """The ids on a page of three, and how many hundred steps of the engine it took."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    store: Store = SqliteStore(connection)
    connection.set_progress_handler(step, 100)
    rows = store.list_deliveries(Page(tenant="default", limit=3, cursor=cursor, where=where))
    connection.set_progress_handler(None, 0)
    return [row.id for row in rows], steps


@pytest.mark.parametrize("state", RARE)
@pytest.mark.parametrize("by", ["state", "destination_id", "both"])
def test_what_is_rare_is_found_among_many(tmp_path: Path, state: str, by: str) -> None:
    """By its state, by its destination, or by both, however many newer ones there are of another state."""
    asked = {"state": state, "destination_id": f"dst_{state}"}
    where = asked if by == "both" else {by: asked[by]}
    with a_full_file(tmp_path / "taskweir.db") as connection:
        assert read_for(connection, where)[0] == [f"dlv_{RARE[state]:04}"]
        assert read_for(connection, where)[1] < 10


def test_pages_without_a_state_are_in_the_order_of_ids(tmp_path: Path) -> None:
    """All four states, merged, from wherever the page before ended, and for no more work."""
    with a_full_file(tmp_path / "taskweir.db") as connection:
        ids, steps = read_for(connection, {}, "dlv_0014")
        assert ids == ["dlv_0013", "dlv_0012", "dlv_0011"]
        assert steps < 10
        assert read_for(connection, {})[0] == ["dlv_3999", "dlv_3998", "dlv_3997"]
        assert read_for(connection, {"destination_id": "dst_1"}, "dlv_0014")[0] == ["dlv_0010", "dlv_0009", "dlv_0008"]
        assert read_for(connection, {"destination_id": "dst_1", "state": "delivered"}, "dlv_0014")[1] < 10


def test_another_tenant_sees_none_of_it(tmp_path: Path) -> None:
    """Not by the id of a destination either."""
    with a_full_file(tmp_path / "taskweir.db") as connection:
        store: Store = SqliteStore(connection)
        for where in ({}, {"destination_id": "dst_1"}, {"state": "dead"}, {"destination_id": "dst_1", "state": "dead"}):
            assert store.list_deliveries(Page(tenant="other", limit=3, where=where)) == []


HOT = {
    "select_due_deliveries": "deliveries_due (destination_id=? AND due_at<?)",
    "select_freshest_deliveries": "deliveries_due (destination_id=? AND due_at<?)",
    "select_first_delivery": "deliveries_due (destination_id=? AND due_at>?)",
    "select_next_due_delivery": "deliveries_due (destination_id=?)",
    "select_waiting_delivery": "deliveries_by_task (task_id=?)",
    "advance_line": "deliveries_by_task (task_id=?)",
    "fall_in": "deliveries_by_task (task_id=?)",
    "select_delivery_states": "deliveries_by_event (event_id=?)",
}


@pytest.mark.parametrize("name", HOT)
def test_the_indexes_of_lists_are_for_lists(tmp_path: Path, name: str) -> None:
    """What is due, and what belongs to one task or event, is found by the narrow index that is there for it."""
    with a_full_file(tmp_path / "taskweir.db") as connection:
        sql = QUERIES[name]
        named = ("destination_id", "task_id", "event_ids", "now", "limit", "id")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(named))]
    assert any(step.endswith(HOT[name]) for step in plan), plan
    assert not any("deliveries_by_destination" in step or "deliveries_by_state" in step for step in plan)

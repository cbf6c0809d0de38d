"""How much of a history is looked through for one page of a filtered list, and how the rest of it is reached."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from receiver.domain import EventType, Failure, FailureKind, Status
from receiver.ids import first_id
from receiver.store import sqlite
from receiver.store.events import COMMON_TYPES
from receiver.store.postgres_schema import bring_up_to_date
from receiver.store.postgres_store import PostgresStore
from receiver.store.protocol import Storage, Store
from receiver.store.records import BEHIND_ALL, Found, Page
from receiver.store.searches import MOST_SEARCHED
from receiver.store.shares import WHOLE
from receiver.store.sqlite_store import SqliteStore
from receiver.store.statements import Row
from receiver.store.tasks import COMMON_STATUSES
from tests.make import NOW, a_task, an_event

SIZES = (MOST_SEARCHED + 1000, 2 * MOST_SEARCHED + 2000)
MANY = 8 * MOST_SEARCHED  # of fewer rows PostgreSQL would rather read all than walk through an index
ODD: dict[str, Any] = {
    "provider": "reapi",
    "model": "m2",
    "metadata": {"order": "first"},
    "error": Failure(kind=FailureKind.QUOTA, message="no"),
}
STATUSES = ("failed", "canceled", "expired", "queued", "unconfirmed", "submitting", "submitted", "running", "succeeded")
TYPES = ("task.failed", "task.queued", "task.submitted", "destination.failing", "provider.paused", "delivery.dead")

Ask = Callable[[Store], Found[Any]]


def task_id(number: int) -> str:
    return first_id("task", NOW + number)


def record_tasks(store: Store, count: int, crowd: Status) -> None:
    """Of each status one among the oldest, the first of them odd in every other way; then a crowd of one status."""
    for number in range(count):
        status = Status(STATUSES[number]) if number < len(STATUSES) else crowd
        fields: dict[str, Any] = {"id": task_id(number), "provider_task_id": f"p{number}", "status": status}
        odd = {} if number else ODD
        ended = NOW if status.final else None
        store.record_task(a_task(**fields, **odd, created_at=NOW + number, finished_at=ended))


def record_events(store: Store, count: int, *, crowd: EventType) -> None:
    """Of each type one among the oldest, the first of another provider; then a crowd of one type."""
    for seq in range(1, count + 1):
        provider = "reapi" if seq == 1 else "apikley"
        if seq <= len(TYPES):
            fields = {"type": TYPES[seq - 1], "tenant": "default", "provider": provider, "at": NOW, "body": "{}"}
            store.record_operator_event(seq=seq, id=f"evt_{seq:09}", **fields)  # type: ignore[arg-type]
        else:
            task = a_task(id=task_id(seq), provider=provider)
            store.record_event(an_event(seq, id=f"evt_{seq:09}", type=crowd, task=task), "{}")


def tasks(cursor: str | None = None, **filters: Any) -> Ask:
    outside = {name: filters.pop(name) for name in ("metadata", "created_before") if name in filters}
    page = Page(tenant="default", limit=3, cursor=cursor, where=filters, **outside)
    return lambda store: store.list_tasks(page)


def events(after: int | None = None, *, newest_first: bool = True, **filters: Any) -> Ask:
    page = Page(tenant="default", limit=3, where=filters)
    return lambda store: store.list_events(page, after=after, newest_first=newest_first)


# What is there for each of them is at the far end of the list.
TASK_FILTERS: Mapping[str, Ask] = {
    **{f"status {each}": tasks(status=each) for each in (*STATUSES, "none")},
    "provider": tasks(provider="reapi"),
    "provider, none": tasks(provider="none"),
    "provider and status": tasks(provider="reapi", status="failed"),
    "model": tasks(model="m2"),
    "the provider's id": tasks(provider_task_id="p0"),
    "the provider's id, none": tasks(provider_task_id="none"),
    "the provider's id and provider": tasks(provider_task_id="p0", provider="reapi"),
    "error kind": tasks(error_kind="quota"),
    "error kind and status": tasks(error_kind="auth", status="failed"),
    "metadata": tasks(metadata={"order": "first"}),
    "made before": tasks(created_before=NOW + 2),
    "made before, from a cursor": tasks(task_id(2), created_before=NOW + 9),
}
EVENT_FILTERS: Mapping[str, Ask] = {
    **{f"type {each}": events(type=[each]) for each in (*TYPES, "task.expired", "task.progress")},
    "rare types": events(type=list(TYPES[3:])),
    "common and rare types": events(type=list(TYPES)),
    "type and provider": events(type=["task.failed"], provider="none"),
    "provider": events(provider="reapi"),
    "task": events(task_id=task_id(len(TYPES) + 1)),
    "task and type": events(task_id=task_id(len(TYPES) + 1), type=["task.failed"]),
    "from the oldest on": events(0, newest_first=False, provider="none"),
    "rare types from the oldest on": events(0, newest_first=False, type=["delivery.dead", "task.expired"]),
}


@contextmanager
def a_file(path: Path, record: Callable[[Store], None]) -> Iterator[sqlite3.Connection]:
    sqlite.migrate_file(path, now=NOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        record(SqliteStore(connection))
        connection.execute("COMMIT")
        yield connection


def steps(connection: sqlite3.Connection, ask: Ask) -> int:
    """How many hundred steps of the engine a page takes."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1

    connection.set_progress_handler(step, 100)
    ask(SqliteStore(connection))
    connection.set_progress_handler(None, 0)
    return taken


def all_steps(tmp_path: Path, record: Callable[[Store, int], None], asked: Mapping[str, Ask]) -> list[dict[str, int]]:
    """Of each question, to a history of each size."""
    found = []
    for size in SIZES:
        with a_file(tmp_path / f"{size}.db", lambda store, size=size: record(store, size)) as connection:  # type: ignore[misc]
            found.append({name: steps(connection, ask) for name, ask in asked.items()})
    return found


def grown(found: list[dict[str, int]]) -> dict[str, tuple[int, int]]:
    """Those that took more of a longer history, but for what a step more of an index takes."""
    small, large = found
    return {name: (small[name], large[name]) for name in small if large[name] > 1.05 * small[name] + 5}


@pytest.mark.parametrize("crowd", [Status.SUCCEEDED, Status.SUBMITTED, Status.FAILED])
def test_a_page_of_tasks_takes_no_more_of_a_longer_history(tmp_path: Path, crowd: Status) -> None:
    """By any filter, whatever most of them are; nor does any take more than looking through so many."""
    found = all_steps(tmp_path, lambda store, size: record_tasks(store, size, crowd), TASK_FILTERS)
    assert grown(found) == {}
    assert max(found[1].values()) < 25 * MOST_SEARCHED / 100


@pytest.mark.parametrize("crowd", [EventType.SUCCEEDED, EventType.FAILED])
def test_a_page_of_events_takes_no_more_of_a_longer_history(tmp_path: Path, crowd: EventType) -> None:
    """Newest first or oldest first."""
    found = all_steps(tmp_path, lambda store, size: record_events(store, size, crowd=crowd), EVENT_FILTERS)
    assert grown(found) == {}
    assert max(found[1].values()) < 25 * MOST_SEARCHED / 100


AT_ONCE = (
    *(f"status {each}" for each in STATUSES if each != "succeeded"),
    "provider and status",
    "the provider's id",
    "the provider's id and provider",
    "made before",
    "made before, from a cursor",
)


def test_what_is_rare_is_on_the_first_page(tmp_path: Path) -> None:
    """However many newer ones there are that nobody asked for: by an index of its own, in a few steps."""
    with a_file(tmp_path / "tasks.db", lambda store: record_tasks(store, SIZES[0], Status.SUCCEEDED)) as connection:
        for name in AT_ONCE:
            found = TASK_FILTERS[name](SqliteStore(connection))
            assert (bool(found), found.to) == (True, None), name
            assert steps(connection, TASK_FILTERS[name]) < 10, name
    with a_file(
        tmp_path / "events.db", lambda store: record_events(store, SIZES[0], crowd=EventType.SUCCEEDED)
    ) as connection:
        for kind in set(TYPES) - set(COMMON_TYPES):
            found = events(type=[kind])(SqliteStore(connection))
            assert ([each.type for each in found], found.to) == ([kind], None)
        several = events(type=["delivery.dead", "task.failed", "provider.paused"])(SqliteStore(connection))
        assert [each.seq for each in several] == [6, 5, 1]
        assert steps(connection, EVENT_FILTERS["rare types"]) < 10


def test_the_common_words_are_those_of_the_migrations() -> None:
    """What is common is told the engines once, and they find nothing by an index that says otherwise."""
    for _, sql in sqlite.migrations():
        for word in (*COMMON_STATUSES, *COMMON_TYPES):
            assert ("CREATE INDEX" in sql and f"<> '{word}'" in sql) == ("events_of_rare_type" in sql)


@pytest.mark.anyio
async def test_who_follows_the_cursor_finds_what_is_far_behind(storage: Storage) -> None:
    """Pages may be empty before the one that has it; the last says that nothing is left."""

    def record(store: Store) -> None:
        record_tasks(store, MOST_SEARCHED + 50, Status.SUCCEEDED)
        for seq in range(1, MOST_SEARCHED + 51):
            kind = EventType.QUEUED if seq == 2 else EventType.SUBMITTED
            store.record_event(an_event(store.next_seq(), id=f"evt_{seq:09}", type=kind), "{}")

    await storage.write(record)
    first = await storage.read(tasks(model="m2"))
    assert (first, first.to) == ([], task_id(50))
    rest = await storage.read(tasks(first.to, model="m2"))
    assert ([each.id for each in rest], rest.to) == ([task_id(0)], None)

    newest = await storage.read(events(type=["task.queued"]))
    assert (newest, newest.to) == ([], 51)
    older = await storage.read(events(newest.to, type=["task.queued"]))
    assert ([each.seq for each in older], older.to) == ([2], None)
    oldest = await storage.read(events(2, newest_first=False, type=["task.queued"]))
    assert (oldest, oldest.to) == ([], MOST_SEARCHED + 2)
    newer = await storage.read(events(oldest.to, newest_first=False, type=["task.queued"]))
    assert (newer, newer.to) == ([], None)


@pytest.mark.anyio
async def test_a_full_page_ends_at_its_last_item(storage: Storage) -> None:
    """What is found among the first is no reason to go on from anywhere else; without filters there is no search."""
    await storage.write(lambda store: record_tasks(store, MOST_SEARCHED + 50, Status.SUCCEEDED))
    full = await storage.read(tasks(status="succeeded"))
    assert (len(full), full.to) == (3, None)
    plain = await storage.read(tasks())
    assert (len(plain), plain.to) == (3, None)


class Explained(PostgresStore):
    """Counts the rows that each statement looks at."""

    rows = 0

    def execute(self, sql: str, values: Mapping[str, Any]) -> list[Row]:
        asked = {**values, "process": self._process}
        [told] = self._connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {self.translated(sql)}", asked).fetchall()
        self.rows += looked_at(told["QUERY PLAN"][0]["Plan"])
        return list(super().execute(sql, values))


def looked_at(plan: Mapping[str, Any]) -> int:
    """Rows that were read from tables and indexes, those passed over included."""
    own = 0
    if plan["Node Type"].endswith("Scan") and "Relation Name" in plan:
        passed = sum(plan.get(name, 0) for name in ("Rows Removed by Filter", "Rows Removed by Index Recheck"))
        own = (plan["Actual Rows"] + passed) * plan["Actual Loops"]
    return int(own + sum(looked_at(each) for each in plan.get("Plans", ())))


def test_postgres_looks_at_no_more_rows_either(postgres_url: str) -> None:
    """Whatever it plans, knowing its tables: so many entries of an index, the same rows once more, and a few.

    So it is with a part of what is added up for usage.
    """
    bring_up_to_date(postgres_url, now=NOW)
    with psycopg.connect(postgres_url, row_factory=dict_row, autocommit=True) as connection:
        store = Explained(connection, "me", lambda: WHOLE, lambda error: error)
        with connection.transaction():
            record_tasks(store, len(STATUSES), Status.SUCCEEDED)
            fill_tasks(connection, range(len(STATUSES), MANY))
            fill_events(connection, MANY)
        connection.execute("ANALYZE")
        found = {}
        for name, ask in {**TASK_FILTERS, **EVENT_FILTERS}.items():
            store.rows = 0
            ask(store)
            found[name] = store.rows
        store.rows = 0
        part = store.add_up("default", since="task_", before=BEHIND_ALL, limit=MOST_SEARCHED, metadata=["order"])
        assert part is not None
        assert (part.count, sum(row.tasks for row in part.rows)) == (MOST_SEARCHED, MOST_SEARCHED)
        found["usage"] = store.rows
    most = 2 * MOST_SEARCHED + 200
    assert {name: rows for name, rows in found.items() if rows > most} == {}
    assert {name: found[name] for name in (*AT_ONCE, "type task.failed", "rare types") if found[name] > 200} == {}


def fill_tasks(connection: "psycopg.Connection[Row]", numbers: range) -> None:
    """As `record_tasks` goes on, by two statements: like the one that succeeded, under other ids."""
    connection.execute(
        """INSERT INTO tasks
SELECT (jsonb_populate_record(tasks, jsonb_build_object('id', made.id, 'provider_task_id', made.id))).*
FROM tasks, unnest(%(ids)s::text[]) AS made (id) WHERE tasks.status = 'succeeded'""",
        {"ids": [task_id(number) for number in numbers]},
    )
    connection.execute("INSERT INTO inputs SELECT id, '{}' FROM tasks ON CONFLICT DO NOTHING")


def fill_events(connection: "psycopg.Connection[Row]", count: int) -> None:
    """As `record_events`, by one statement."""
    connection.execute(
        """INSERT INTO events (seq, id, tenant, task_id, provider, type, at, body)
SELECT seq, 'evt_' || lpad(seq::text, 9, '0'), 'default', 'task_' || seq,
  CASE WHEN seq = 1 THEN 'reapi' ELSE 'apikley' END,
  coalesce((SELECT value FROM json_array_elements_text(%(types)s::json) WITH ORDINALITY AS t(value, n) WHERE n = seq),
    'task.succeeded'), 0, '{}'
FROM generate_series(1, %(count)s) AS seq""",
        {"types": json.dumps(TYPES), "count": count},
    )

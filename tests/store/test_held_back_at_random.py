"""Transactions made by chance, once with rows held back and once with each statement run at once: nobody can tell.

Where both find the same error, or undo, both have forgotten it; what verbs return and what the tables hold is equal.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Attempt, DeliveryState, Status, Work
from receiver.hand_off import HandOff
from receiver.json_text import Unread
from receiver.store import notes, sqlite, sqlite_writing
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.store.sqlite_store import SqliteStore
from receiver.store.sqlite_writing import WritingStore
from tests.make import NOW, a_delivery, a_task, a_timer, an_event

SEEDS, TRANSACTIONS, VERBS = 40, 25, 12
TASKS = [f"task_{number}" for number in range(3)]
DELIVERIES = [f"dlv_{number}" for number in range(4)]
TABLES = ("tasks", "inputs", "timers", "notes", "tallies", "inbox", "events", "deliveries", "attempts", "counters")
Verb = Callable[[Any], Any]


@contextmanager
def two_stores(directory: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    paths = [directory / name for name in ("held", "at_once")]
    for path in paths:
        sqlite.migrate_file(path, now=NOW)
    with closing(sqlite._connect(paths[0])) as first, closing(sqlite._connect(paths[1])) as second:
        yield first, second


def saved(store: Store, task_id: str, name: str, status: Status, *, stale: bool) -> Any:
    """As intake does it: read, its new id looked for, and over the version that was read; an id may be given up."""
    task, holder = store.task(task_id), store.task_of_provider("apikley", name)
    if task is None or (holder is not None and holder.id != task_id):
        return holder and holder.id
    after = replace(task, provider_task_id=name, status=status, version=task.version + 1)
    return store.save_task(after, expected_version=task.version - stale)


def owed(store: Any, name: str, task_id: str, attempt: Attempt | None = None) -> int:
    seq: int = store.next_seq()
    store.record_event(an_event(seq, id=f"evt_{name}", task=a_task(id=task_id)), "{}")
    store.record_delivery(a_delivery(id=name, event_id=f"evt_{name}", task_id=task_id), seq)
    if attempt is not None:
        store.record_success(name, attempt)
    return seq


def a_verb(chance: random.Random) -> Verb:
    one, name, now = chance.choice(TASKS), f"p_{chance.randrange(4)}", NOW + chance.randrange(1000)
    delivery, number = chance.choice(DELIVERIES), chance.randrange(1, 4)
    status, stale = chance.choice([Status.SUBMITTED, Status.RUNNING, Status.SUCCEEDED]), chance.random() < 0.1
    asked: Any = chance.choice(
        [Unread.of({"prompt": "a fox"}), {"prompt": "a hare"}, Unread.of({"prompt": "long" * 2000})]
    )
    task = a_task(id=one, provider_task_id=None, input=asked, status=Status.SUBMITTING)
    timer = a_timer(task_id=one, work=chance.choice(list(Work)), due_at=now, tries=number)
    attempt = Attempt(number=number, at=now, duration_ms=1, status=200)
    well, state = chance.choice([attempt, None]), chance.choice(list(DeliveryState))
    due_at = now if state is DeliveryState.PENDING else None
    about_many: Sequence[Verb] = [
        lambda store: store.list_tasks(Page(tenant="default", limit=5)),
        lambda store: store.claim_timers(Work.POLL, "apikley", owner="own_1", now=now, until=now + 9, limit=2),
        lambda store: store.next_due_timer(Work.POLL, "apikley"),
        lambda store: store.chronicle(one, most=50),
        lambda store: store.claim_deliveries("dst_1", owner="own_2", now=now, until=now + 9, limit=3),
    ]
    about_one: Sequence[Verb] = [
        lambda store: store.record_task(task),
        lambda store: saved(store, one, name, status, stale=stale),
        lambda store: saved(store, one, name, status, stale=stale),
        lambda store: store.task_of_provider("apikley", name),
        lambda store: [store.task(one), store.timer(one)],
        lambda store: store.keep_callback(one, digest=name, at=now, outcome="read", body=b"x", most=2),
        lambda store: store.set_timer(timer),
        lambda store: store.drop_timer(one),
        lambda store: store.claim_timer(Work.POLL, one, owner="own_1", now=now, until=now + 9),
        lambda store: store.note(one, at=now, sequence=1, kind="poll", text="Asked.", data={}),
        lambda store: store.note(one, at=now, sequence=1, kind="callback", text="It came.", data={}),
        lambda store: store.tally(one, "poll", at=now),
        lambda store: owed(store, f"{delivery}_{name}", one, well),
        lambda store: store.record_success(delivery, attempt),
        lambda store: store.settle_delivery(delivery, attempt, owner="own_2", state=state, tries=1, due_at=due_at),
        lambda store: store.set_delivery(delivery, state=state, tries=0, due_at=due_at),
        lambda store: [store.delivery(delivery, "default"), store.attempts(delivery)],
    ]
    return chance.choice(about_many if chance.random() < 0.1 else about_one)


def done(store: Any, verbs: Sequence[Verb], *, undo: bool) -> list[Any]:
    """What the verbs returned, up to the error that one of them met; an error at the end is told as one, too."""
    told = list[Any]()
    store._connection.execute("BEGIN")
    try:
        for verb in verbs:
            told.append(verb(store))
        if isinstance(store, WritingStore):
            store.before_commit()
    except sqlite3.IntegrityError:
        undo, told = True, ["refused"]
    if isinstance(store, WritingStore) and undo:
        store.forget()
    store._connection.execute("ROLLBACK" if undo else "COMMIT")
    return told


def held(connection: sqlite3.Connection) -> dict[str, list[str]]:
    return {table: sorted(map(repr, connection.execute(f"SELECT * FROM {table}"))) for table in TABLES}


@pytest.mark.parametrize("most_held", [500, 2])
def test_nobody_can_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_held: int) -> None:
    monkeypatch.setattr(sqlite_writing, "_MOST_HELD", most_held)
    for module in (notes, sqlite_writing):
        monkeypatch.setattr(module, "MOST_NOTES", 4)
    begin = [partial(owed, name=name, task_id=TASKS[0]) for name in DELIVERIES]
    committed = 0
    for seed in range(SEEDS):
        directory, chance = tmp_path / str(seed), random.Random(seed)
        directory.mkdir()
        with two_stores(directory) as (first, second):
            writing, plain = WritingStore(first, HandOff(lease=0, now=0)), SqliteStore(second)
            for number in range(TRANSACTIONS):
                verbs = [a_verb(chance) for _ in range(chance.randrange(1, VERBS))] if number else begin
                undo = number > 0 and chance.random() < 0.1
                told = done(writing, verbs, undo=undo)
                assert told == done(plain, verbs, undo=undo), (seed, number)
                assert held(first) == held(second), (seed, number)
                committed += told != ["refused"] and not undo
    assert committed > SEEDS * TRANSACTIONS / 4

"""A file that an earlier version wrote is brought up to date with all that is in it."""

import sqlite3
from pathlib import Path

import pytest

from receiver.breaker_policy import Breaker
from receiver.domain import Delivery, DeliveryState, Destination, Format, RetiredSecret, Scheme
from receiver.store import sqlite
from receiver.store.records import KeptKey, Page
from receiver.store.sqlite import SqliteStorage
from tests.make import MINUTE, NOW, SECOND

pytestmark = pytest.mark.anyio

BEFORE_DELIVERIES = 4
WRITTEN_BEFORE = (
    """INSERT INTO tasks (id, tenant, provider, model, status, metadata, media, callback_expected, outputs, created_at,
  deadline_at, ours, emitted, sequence, version, webhook_id)
VALUES ('task_1', 'default', 'reapi', 'm', 'succeeded', '{}', 'video', 0, '[]', 1, 2, 0, 0, 2, 3, 'dst_own')""",
    "INSERT INTO inputs VALUES ('task_1', '{\"prompt\":\"a red panda\"}')",
    "INSERT INTO idempotency_keys VALUES ('default', 'k', 'f', 'task_1', 201)",
    "UPDATE counters SET value = 2 WHERE name = 'seq'",
    """INSERT INTO events VALUES (1, 'evt_1', 'default', 'task_1', 'reapi', 'task.submitted', 1, '{"id":"evt_1"}'),
  (2, 'evt_2', 'default', 'task_1', 'reapi', 'task.succeeded', 1, '{"id":"evt_2"}')""",
    """INSERT INTO destinations (id, tenant, type, target, created_at, event_types, format, description, max_in_flight,
  enabled, disabled_reason, sealed_secret, hidden)
VALUES ('dst_1', 'default', 'webhook', 'https://a.example', 1, '["task.*"]', 'standard', '', 32, 1, NULL, 'own', 0),
  ('dst_log', 'default', 'sqlite', 'results', 1, '["task.*"]', 'standard', 'd', 32, 0, 'gone', '', 0),
  ('dst_own', 'default', 'webhook', 'https://b.example', 1, '["task.finished"]', 'standard', '', 32, 1, NULL, '', 1)""",
    """INSERT INTO deliveries VALUES
  ('dlv_due', 'default', 1, 'evt_1', 'task_1', 'dst_1', 'pending', 1, 5, 3, NULL),
  ('dlv_leased', 'default', 2, 'evt_2', 'task_1', 'dst_own', 'pending', 1, 9, 1, 'gone'),
  ('dlv_dead', 'default', 1, 'evt_1', 'task_1', 'dst_own', 'dead', 1, NULL, 10, NULL),
  ('dlv_done', 'default', 2, 'evt_2', 'task_1', 'dst_1', 'delivered', 1, NULL, 2, NULL)""",
    """INSERT INTO attempts VALUES ('dlv_due', 1, 1, 1, 500, NULL, 'oops'), ('dlv_due', 3, 2, 1, NULL, 'timeout', ''),
  ('dlv_done', 1, 1, 1, 500, NULL, ''), ('dlv_done', 2, 1, 1, 200, NULL, '')""",
    f"INSERT INTO tenant_secrets VALUES ('default', 'second', 'first', {NOW + MINUTE}), ('other', 'only', NULL, 0)",
)


@pytest.fixture
def written_before(tmp_path: Path) -> Path:
    """A file with the schema before this one, and data in it."""
    path = tmp_path / "taskweir.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, at BIGINT NOT NULL)")
    for version, sql in sqlite.migrations():
        if version <= BEFORE_DELIVERIES:
            connection.executescript(sql)
            connection.execute("INSERT INTO schema_migrations VALUES (?, 0)", (version,))
    for statement in WRITTEN_BEFORE:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


def test_only_what_is_missing_is_run(written_before: Path) -> None:
    """And the file has the newest schema after it."""
    missing = [version for version, _ in sqlite.migrations() if version > BEFORE_DELIVERIES]
    assert len(missing) > 1
    assert sqlite.migrate_file(written_before, now=NOW) == missing
    assert sqlite.schema_version(written_before) == sqlite.newest_version() == missing[-1]
    assert sqlite.migrate_file(written_before, now=NOW) == []


async def test_deliveries_stand_where_they_stood_on_the_schedule(written_before: Path) -> None:
    """What is pending has as many tries behind it as ended; one that a crash cut off is none of them."""
    storage = SqliteStorage(written_before)
    await storage.open(now=NOW)

    async def delivery(delivery_id: str) -> Delivery:
        found = await storage.read(lambda store: store.delivery(delivery_id, "default"))
        assert found is not None
        return found

    due, leased, dead = [await delivery(f"dlv_{name}") for name in ("due", "leased", "dead")]
    assert (due.state, due.attempts, due.tries, due.due_at) == (DeliveryState.PENDING, 3, 2, 5)
    assert (leased.state, leased.attempts, leased.tries, leased.due_at) == (DeliveryState.PENDING, 1, 0, 9)
    assert (dead.state, dead.attempts) == (DeliveryState.DEAD, 10)
    claim = {"owner": "me", "now": NOW, "until": NOW + MINUTE, "limit": 9}
    [parcel] = await storage.write(lambda store: store.claim_deliveries("dst_1", **claim))
    assert (parcel.delivery.id, parcel.delivery.attempts, parcel.input) == ("dlv_due", 4, {"prompt": "a red panda"})
    assert await storage.read(lambda store: store.unended_attempts(parcel.delivery)) == 0
    await storage.close()


async def test_destinations_are_as_they_were_and_have_what_is_new(written_before: Path) -> None:
    """Signed for and formatted as before, unordered, without limits, headers or an end."""
    storage = SqliteStorage(written_before)
    await storage.open(now=NOW)
    log, own = await storage.read(lambda store: store.list_destinations(Page(tenant="default", limit=9)))
    assert own == Destination(
        id="dst_1",
        tenant="default",
        type="webhook",
        target="https://a.example",
        created_at=1,
        event_types=("task.*",),
        format=Format.STANDARD,
        signature=Scheme.V1,
        sealed_secret="own",
    )
    assert (log.id, log.enabled, log.disabled_reason, log.retention_days) == ("dst_log", False, "gone", None)
    assert await storage.read(lambda store: store.breaker("dst_1")) == Breaker(destination_id="dst_1")
    await storage.close()


async def test_a_rotation_that_overlaps_goes_on(written_before: Path) -> None:
    """The secret of before signs along for the rest of its time; who has none retired has none."""
    storage = SqliteStorage(written_before)
    await storage.open(now=NOW)

    async def signing(now: int) -> tuple[str, tuple[RetiredSecret, ...]]:
        queues = await storage.read(lambda store: store.queues())
        found = [await storage.read(lambda store, q=each: store.deliverable(q.destination_id, now)) for each in queues]
        [own] = [each for each in found if each and each.hidden]
        return own.sealed_secret, own.retired

    assert await signing(NOW) == ("second", (RetiredSecret(sealed="first", until=NOW + MINUTE),))
    assert await signing(NOW + MINUTE) == ("second", ())
    sealed = await storage.read(lambda store: store.sealed_secrets())
    assert {(each.place, each.row, each.text) for each in sealed} == {
        ("destination", "dst_1", "own"),
        ("tenant", "tenant:default", "second"),
        ("tenant", "tenant:other", "only"),
        ("retired", "tenant:default", "first"),
    }
    assert await storage.write(lambda store: store.replace_tenant_secret("other", "anew")) == "only"
    await storage.close()


async def test_all_else_is_as_it_was(written_before: Path) -> None:
    """Tasks, keys, events and attempts; nothing counts as deleted."""
    storage = SqliteStorage(written_before)
    await storage.open(now=NOW)
    task = await storage.read(lambda store: store.task("task_1"))
    assert task is not None
    assert (task.webhook_id, task.input, task.sequence) == ("dst_own", {"prompt": "a red panda"}, 2)
    kept = KeptKey(tenant="default", key="k", fingerprint="f", task_id="task_1", status=201)
    assert await storage.read(lambda store: store.kept_key("k", "default")) == kept
    attempts = await storage.read(lambda store: store.attempts("dlv_due"))
    assert [(each.number, each.status, each.error) for each in attempts] == [(1, 500, None), (3, None, "timeout")]
    assert await storage.write(lambda store: store.next_seq()) == 3
    assert await storage.read(lambda store: store.pruned_seq("default")) == 0
    await storage.close()


async def test_a_lease_of_before_lapses_at_the_start(written_before: Path) -> None:
    """However far ahead it was: the process that held it is gone."""
    connection = sqlite3.connect(written_before)
    connection.execute("UPDATE deliveries SET due_at = ? WHERE id = 'dlv_leased'", (NOW + MINUTE,))
    connection.commit()
    connection.close()
    storage = SqliteStorage(written_before)
    await storage.open(now=NOW + SECOND)
    found = await storage.read(lambda store: store.delivery("dlv_leased", "default"))
    assert found is not None
    assert found.due_at == NOW + SECOND
    await storage.close()

"""What every store holds about what is kept no longer: what goes, what goes with it, and what stays."""

from collections.abc import Mapping

import pytest

from receiver.breaker_policy import Breaker
from receiver.domain import Attempt, Delivery, DeliveryState, Event, Ms, Status, Task
from receiver.ids import new_id
from receiver.store.protocol import Storage, Store
from receiver.store.records import Bite, KeptKey, Page
from tests.make import DAY, NOW, SECOND, a_delivery, a_destination, a_task, a_timer, an_event

pytestmark = pytest.mark.anyio

OLD = NOW - 31 * DAY
BEFORE = NOW - 30 * DAY
EVENT_ROWS = {"attempts": 1, "deliveries": 1, "events": 1}
TASK_ROWS = {"inputs": 1, "inbox": 1, "notes": 1, "tallies": 1, "idempotency_keys": 1, "tasks": 1}


def _task(at: Ms = OLD, **fields: object) -> Task:
    task_id = new_id("task", at)
    values = {"status": Status.SUCCEEDED, "provider_task_id": task_id, "created_at": at, "finished_at": at + SECOND}
    return a_task(id=task_id, **values | fields)


def _event(store: Store, task: Task, at: Ms = OLD) -> Event:
    event = an_event(store.next_seq(), id=new_id("evt", at), at=at, task=task)
    store.record_event(event, "{}")
    return event


def _deliver(store: Store, event: Event, state: DeliveryState, destination: str = "dst_1") -> Delivery:
    """A delivery of it, with an attempt."""
    delivery = a_delivery(
        id=new_id("dlv", event.at), event_id=event.id, task_id=event.task.id, destination_id=destination, due_at=None
    )
    store.record_delivery(delivery, event.seq)
    attempt = Attempt(number=1, at=event.at, duration_ms=1, status=200)
    store.settle_delivery(delivery.id, attempt, owner="", state=DeliveryState.DELIVERED, tries=0, due_at=None)
    if state is not DeliveryState.DELIVERED:
        store.set_delivery(delivery.id, state=state, tries=1, due_at=OLD)
    return delivery


def _all_of(store: Store, task: Task) -> None:
    """One row of everything that is kept of a task, but for its events."""
    store.record_task(task)
    store.keep_callback(task.id, digest="d", at=OLD, outcome="read", body=b"{}", most=9)
    store.note(task.id, at=OLD, sequence=0, kind="poll", text="x", data={})
    store.tally(task.id, "poll", at=OLD)
    store.keep_key(KeptKey(tenant=task.tenant, key=task.id, fingerprint="f", task_id=task.id))


async def _bite(storage: Storage, kind: str, *, after: str = "", limit: int = 500) -> Bite:
    def take(store: Store) -> Bite:
        prune = store.prune_events if kind == "events" else store.prune_tasks
        return prune(BEFORE, after=after, limit=limit)

    return await storage.write(take)


async def _prune(storage: Storage) -> Mapping[str, int]:
    """One bite of each kind, which is all; the rows that went."""
    events, tasks = await _bite(storage, "events"), await _bite(storage, "tasks")
    assert (events.last, tasks.last) == (None, None)
    return {**events.rows, **tasks.rows}


async def _seqs(storage: Storage, tenant: str = "default") -> list[int]:
    page = Page(tenant=tenant, limit=999)
    return [each.seq for each in await storage.read(lambda s: s.list_events(page, after=0, newest_first=False))]


async def test_all_of_a_task_of_an_earlier_time_is_deleted(storage: Storage) -> None:
    """Its events with their deliveries and attempts; itself, its input, callbacks, notes, tallies and key."""
    old, new = _task(), _task(NOW)

    def write(store: Store) -> None:
        for task in (old, new):
            _all_of(store, task)
            _deliver(store, _event(store, task, task.created_at), DeliveryState.DELIVERED)

    await storage.write(write)
    assert await _prune(storage) == EVENT_ROWS | TASK_ROWS
    assert await storage.read(lambda store: store.task(old.id)) is None
    assert await storage.read(lambda store: store.task_of_provider("apikley", old.id)) is None
    assert await storage.read(lambda store: store.kept_key(old.id, "default")) is None
    assert await storage.read(lambda store: store.task(new.id)) == new
    assert await storage.read(lambda store: store.kept_key(new.id, "default")) is not None
    told = await storage.read(lambda store: store.chronicle(new.id, most=9))
    assert [len(each) for each in (told.notes, told.tallies, told.events, told.deliveries, told.attempts)] == [1] * 5
    assert await _seqs(storage) == [2]
    assert await _prune(storage) == {}


@pytest.mark.parametrize("enabled", [True, False])
async def test_what_is_owed_is_never_deleted(storage: Storage, enabled: bool) -> None:
    """One pending delivery keeps its event, all deliveries of that, and the task: also to a disabled destination."""
    task = _task()

    def write(store: Store) -> None:
        store.record_destination(a_destination(enabled=enabled))
        _all_of(store, task)
        gone, owed = _event(store, task), _event(store, task)
        for state in (DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.CANCELED):
            _deliver(store, gone, state)
        _deliver(store, owed, DeliveryState.DELIVERED, "dst_2")
        ids.append(_deliver(store, owed, DeliveryState.PENDING).id)

    ids: list[str] = []
    await storage.write(write)
    assert await _prune(storage) == {"attempts": 3, "deliveries": 3, "events": 1}
    assert await _seqs(storage) == [2]
    assert await storage.read(lambda store: store.task(task.id)) == task
    assert len(await storage.read(lambda store: store.attempts(ids[0]))) == 1
    done = {"state": DeliveryState.DELIVERED, "tries": 1, "due_at": None}
    await storage.write(lambda store: store.set_delivery(ids[0], **done))
    assert await _prune(storage) == {"attempts": 2, "deliveries": 2, "events": 1} | TASK_ROWS


async def test_an_event_about_no_task_is_deleted(storage: Storage) -> None:
    """What was told to operators is history, too."""

    def write(store: Store) -> None:
        for at in (OLD, NOW):
            tell = {"id": new_id("evt", at), "tenant": "default", "provider": "reapi", "type": "provider.paused"}
            store.record_operator_event(seq=store.next_seq(), at=at, body="{}", **tell)

    await storage.write(write)
    assert await _prune(storage) == {"attempts": 0, "deliveries": 0, "events": 1}
    assert await _seqs(storage) == [2]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": Status.SUBMITTED, "finished_at": None},
        {"finished_at": BEFORE},
        {"at": BEFORE},
    ],
    ids=["not finished", "finished later", "made later"],
)
async def test_a_task_that_is_not_done_with_is_kept(storage: Storage, fields: Mapping[str, object]) -> None:
    """Whatever is kept of it stays; its events of an earlier time go all the same."""
    task = _task(**fields)

    def write(store: Store) -> None:
        _all_of(store, task)
        _event(store, task)

    await storage.write(write)
    assert await _prune(storage) == {"attempts": 0, "deliveries": 0, "events": 1}
    assert await storage.read(lambda store: store.task(task.id)) == task
    assert await storage.read(lambda store: store.callbacks(task.id)) == [b"{}"]


async def test_a_task_with_a_timer_is_kept(storage: Storage) -> None:
    """We still ask about it, so a verdict may come."""
    task = _task()

    def write(store: Store) -> None:
        _all_of(store, task)
        store.set_timer(a_timer(task_id=task.id))

    await storage.write(write)
    assert await _prune(storage) == {}
    await storage.write(lambda store: store.drop_timer(task.id))
    assert await _prune(storage) == TASK_ROWS


async def test_a_task_with_an_event_that_is_kept_is_kept(storage: Storage) -> None:
    """A late verdict, say."""
    task = _task()

    def write(store: Store) -> None:
        store.record_task(task)
        _event(store, task, BEFORE)

    await storage.write(write)
    assert await _prune(storage) == {}
    assert await storage.read(lambda store: store.task(task.id)) == task


async def test_the_hidden_destination_of_no_task_is_deleted(storage: Storage) -> None:
    """With how it fares; not where another task has the same, and never one that a user made."""
    own = _task(webhook_id="dst_own")
    shared = [_task(webhook_id="dst_shared"), _task(NOW, webhook_id="dst_shared")]
    named = _task(webhook_id="dst_1")

    def write(store: Store) -> None:
        store.record_destination(a_destination())
        for name in ("dst_own", "dst_shared"):
            store.record_hidden_destination(a_destination(id=name, hidden=True, target=f"https://example.com/{name}"))
        for name in ("dst_own", "dst_shared", "dst_1"):
            store.save_breaker(Breaker(destination_id=name, failures=1))
        for task in (own, *shared, named):
            store.record_task(task)

    await storage.write(write)
    rows = await _prune(storage)
    assert {table: count for table, count in rows.items() if count} == {
        "inputs": 3,
        "tasks": 3,
        "breakers": 1,
        "destinations": 1,
    }
    assert await storage.read(lambda store: store.hidden_destination("dst_own")) is None
    assert await storage.read(lambda store: store.hidden_destination("dst_shared")) is not None
    assert await storage.read(lambda store: store.destination("dst_1", "default")) is not None
    fares = await storage.read(lambda store: [store.breaker(f"dst_{n}").failures for n in ("own", "shared", "1")])
    assert fares == [0, 1, 1]


async def test_a_bite_has_its_size_also_where_much_is_owed(storage: Storage) -> None:
    """It looks at so many, deleted or kept, and says where it ended; the last one ends nowhere."""

    def write(store: Store) -> None:
        for number in range(7):
            event = _event(store, _task(), OLD + number)
            _deliver(store, event, DeliveryState.PENDING if number in (0, 1, 4) else DeliveryState.DEAD)
        for number in range(5):
            store.record_task(_task(OLD + number, **({"finished_at": None} if number == 1 else {})))

    await storage.write(write)
    bites, after = [], ""
    while not bites or bites[-1].last:
        bites.append(await _bite(storage, "events", after=after, limit=3))
        after = bites[-1].last or ""
    assert [bite.rows.get("events", 0) for bite in bites] == [1, 2, 1]
    assert await _seqs(storage) == [1, 2, 5]
    first = await _bite(storage, "tasks", limit=3)
    second = await _bite(storage, "tasks", after=first.last or "", limit=3)
    assert (first.rows["tasks"], second.rows["tasks"], second.last) == (2, 2, None)


async def test_how_far_events_were_deleted_is_known(storage: Storage) -> None:
    """The highest seq that went; each tenant has its own."""

    def write(store: Store) -> None:
        for tenant, at in (("default", OLD), ("default", OLD), ("other", OLD), ("default", NOW), ("other", NOW)):
            _event(store, a_task(tenant=tenant), at)

    async def pruned() -> list[int]:
        tenants = ("default", "other", "nobody")
        return await storage.read(lambda store: [store.pruned_seq(tenant) for tenant in tenants])

    await storage.write(write)
    assert await pruned() == [0, 0, 0]
    await _prune(storage)
    assert await pruned() == [2, 3, 0]


async def test_what_is_owed_among_what_was_deleted_does_not_hide_that(storage: Storage) -> None:
    """How far events were deleted never moves down, neither by one that stays nor by one that goes later."""

    def write(store: Store) -> None:
        for state in (DeliveryState.DEAD, DeliveryState.PENDING, DeliveryState.DEAD):
            _deliver(store, _event(store, _task()), state)

    await storage.write(write)
    await _prune(storage)
    assert await storage.read(lambda store: store.pruned_seq("default")) == 3

    def end(store: Store) -> None:
        [pending] = store.list_deliveries(Page(tenant="default", limit=9))
        store.set_delivery(pending.id, state=DeliveryState.DELIVERED, tries=0, due_at=None)

    await storage.write(end)
    await _prune(storage)
    assert await storage.read(lambda store: store.pruned_seq("default")) == 3

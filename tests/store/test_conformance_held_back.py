"""What is written most is held back until its transaction ends: nobody who asks, and nothing that fails, may notice."""

import asyncio
from dataclasses import replace

import pytest

from receiver.domain import Attempt, DeliveryState, Work
from receiver.store.protocol import Storage, Store
from tests.make import MINUTE, NOW, a_delivery, a_destination, a_task, a_timer, an_event

pytestmark = pytest.mark.anyio

WELL = Attempt(number=1, at=NOW, duration_ms=5, status=204)


def owed(store: Store, name: str, seq: int, *, state: DeliveryState = DeliveryState.PENDING) -> None:
    """An event, and one delivery of it."""
    store.record_event(an_event(seq, id=f"evt_{name}"), "{}")
    store.record_delivery(a_delivery(id=f"dlv_{name}", event_id=f"evt_{name}", state=state), seq)


async def test_a_transaction_sees_what_it_wrote(storage: Storage) -> None:
    """Each written and asked for at once, without a commit between."""

    def write(store: Store) -> None:
        store.record_destination(a_destination())
        store.record_task(a_task())
        seq = store.next_seq()
        owed(store, "1", seq)
        assert [event.id for event in store.chronicle("task_1", most=9).events] == ["evt_1"]
        [parcel] = store.claim_deliveries("dst_1", owner="own_1", now=NOW, until=NOW + MINUTE, limit=9)
        assert parcel.delivery.id == "dlv_1"
        store.record_success("dlv_1", WELL)
        assert store.attempts("dlv_1") == [WELL]
        found = store.delivery("dlv_1", "default")
        assert found is not None
        assert (found.state, found.due_at, found.owner) == (DeliveryState.DELIVERED, None, None)
        store.set_timer(a_timer())
        store.set_timer(a_timer(due_at=NOW + 5))
        assert store.next_due_timer(Work.POLL, "apikley") == NOW + 5
        store.tally("task_1", "poll", at=NOW)
        store.note("task_1", at=NOW, sequence=0, kind="poll", text="Asked.", data={})
        store.tally("task_1", "poll", at=NOW + 1)
        tallies = store.chronicle("task_1", most=9).tallies
        assert [(each.after, each.count) for each in tallies] == [(0, 1), (1, 1)]

    await storage.write(write)


@pytest.mark.parametrize("state", DeliveryState)
async def test_a_success_makes_its_delivery_delivered(storage: Storage, state: DeliveryState) -> None:
    """Whoever holds it, and whatever it is by then; its place on the schedule stays."""

    def record(store: Store) -> None:
        owed(store, "1", store.next_seq())
        store.set_delivery("dlv_1", state=state, tries=3, due_at=NOW if state is DeliveryState.PENDING else None)

    await storage.write(record)
    await storage.write(lambda store: [store.record_success("dlv_1", WELL) for _ in range(2)])
    found = await storage.read(lambda store: store.delivery("dlv_1", "default"))
    assert found is not None
    assert (found.state, found.tries, found.due_at, found.owner) == (DeliveryState.DELIVERED, 3, None, None)
    assert await storage.read(lambda store: store.attempts("dlv_1")) == [WELL]


@pytest.mark.parametrize("after", ["release", "settle", "set"])
async def test_what_follows_a_success_in_its_transaction_follows_it(storage: Storage, after: str) -> None:
    """One lapsed lease, two processes' words: a success stands, but for who sets it otherwise."""

    def write(store: Store) -> None:
        owed(store, "1", store.next_seq())
        [parcel] = store.claim_deliveries("dst_1", owner="own_1", now=NOW, until=NOW + MINUTE, limit=9)
        store.record_success("dlv_1", WELL)
        if after == "release":
            store.release_delivery("dlv_1", owner="own_1", now=parcel.was_due_at)
        elif after == "settle":
            failed = replace(WELL, number=2, status=500)
            following = DeliveryState.PENDING
            assert not store.settle_delivery("dlv_1", failed, owner="own_1", state=following, tries=1, due_at=NOW)
        else:
            store.set_delivery("dlv_1", state=DeliveryState.PENDING, tries=0, due_at=NOW)

    await storage.write(lambda store: store.record_destination(a_destination()))
    await storage.write(write)
    found = await storage.read(lambda store: store.delivery("dlv_1", "default"))
    assert found is not None
    assert found.state is (DeliveryState.PENDING if after == "set" else DeliveryState.DELIVERED)


@pytest.mark.parametrize("brief", [True, False])
async def test_a_row_that_is_refused_fails_its_own_write_only(storage: Storage, *, brief: bool) -> None:
    """Found at the transaction's end, where it is one of many: the others are undone with it, and run again."""

    def good(name: str, store: Store) -> None:
        owed(store, name, store.next_seq())
        store.set_timer(a_timer(task_id=f"task_{name}"))

    def bad(store: Store) -> None:
        store.set_timer(a_timer(task_id="task_bad"))
        owed(store, "1", store.next_seq())

    await storage.write(lambda store: good("1", store), brief=brief)
    names = [str(number) for number in range(2, 12)]
    writes = [storage.write(lambda store, name=name: good(name, store), brief=brief) for name in names]  # type: ignore[misc]
    writes.insert(5, storage.write(bad, brief=brief))
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert [each is None for each in ended] == [number != 5 for number in range(11)]
    assert await storage.read(lambda store: store.count_timers(Work.POLL, "apikley")) == 11
    assert await storage.read(lambda store: store.timer("task_bad")) is None
    events = await storage.read(lambda store: store.chronicle("task_1", most=99).events)
    assert [each.id for each in events] == [f"evt_{name}" for name in ["1", *names]]


async def test_more_rows_than_are_held_back(storage: Storage) -> None:
    """Thousands in one transaction, undone and then not."""

    def record(store: Store) -> None:
        for number in range(1_700):
            store.set_timer(a_timer(task_id=f"task_{number:04}"))

    def undone(store: Store) -> None:
        record(store)
        raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await storage.write(undone)
    assert await storage.write(lambda store: store.count_timers(Work.POLL, "apikley")) == 0
    await storage.write(record)
    assert await storage.read(lambda store: store.count_timers(Work.POLL, "apikley")) == 1_700

"""What is written most is held back until its transaction ends: nobody who asks, and nothing that fails, may notice."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from receiver.domain import Attempt, DeliveryState, Source, Status, Update, Work
from receiver.intake import Taken, take
from receiver.json_text import Unread
from receiver.store.notes import MOST_NOTES
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


async def test_a_task_is_as_it_was_saved_last(storage: Storage) -> None:
    """Recorded, changed and looked for by every name that it has, in one transaction; a version that was is refused."""
    task = a_task(provider_task_id=None, status=Status.SUBMITTING, input=Unread.of({"prompt": "a fox"}))
    known = replace(task, provider_task_id="p_1", status=Status.SUBMITTED, version=1)
    ended = replace(known, status=Status.SUCCEEDED, version=2)

    def write(store: Store) -> None:
        store.record_task(task)
        store.record_task(replace(task, id="task_0"))
        assert store.task_of_provider("apikley", "p_1") is None
        assert store.save_task(known, expected_version=0)
        assert store.task_of_provider("apikley", "p_1") == known
        assert store.save_task(ended, expected_version=1)
        assert not store.save_task(known, expected_version=0)
        assert not store.save_task(replace(known, id="task_9"), expected_version=0)
        assert store.task("task_1") == store.task_of_provider("apikley", "p_1") == ended

    await storage.write(write)
    await storage.write(
        lambda store: store.save_task(replace(ended, id="task_0", provider_task_id="p_0"), expected_version=0)
    )
    found = await storage.read(lambda store: store.task_of_provider("apikley", "p_0"))
    assert found is not None
    assert (found.id, found.version) == ("task_0", 2)
    assert not await storage.write(lambda store: store.save_task(known, expected_version=0))
    assert await storage.read(lambda store: store.task("task_1")) == ended


async def test_an_id_of_the_provider_s_is_bound_once(storage: Storage) -> None:
    """However soon the second follows: the write that would bind it again fails alone."""
    await storage.write(
        lambda store: [store.record_task(a_task(id=f"task_{each}", provider_task_id=None)) for each in "123"]
    )

    def bind(task_id: str, name: str, store: Store) -> None:
        task = store.task(task_id)
        assert task is not None
        assert store.save_task(
            replace(task, provider_task_id=name, version=task.version + 1), expected_version=task.version
        )

    ways = [("task_1", "p_1"), ("task_2", "p_1"), ("task_3", "p_3")]
    writes = [storage.write(partial(bind, *each), brief=True) for each in ways]
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert [each is None for each in ended] == [True, False, True]
    tasks = await storage.read(lambda store: store.tasks(["task_1", "task_2", "task_3"]))
    assert [tasks[f"task_{each}"].provider_task_id for each in "123"] == ["p_1", None, "p_3"]


async def test_an_id_is_free_once_its_task_has_another(storage: Storage) -> None:
    """What the answer to a submit says goes before what a callback said: two answers in one transaction, the first of
    which gives up the id that the second names.
    """

    def submitted(name: str, provider_task_id: str, store: Store, source: Source = Source.SUBMIT) -> Taken:
        task = store.task(f"task_{name}")
        assert task is not None
        update = Update(status=Status.SUBMITTED, provider_task_id=provider_task_id)
        return take(store, task, update, source=source, verified_by=None, now=NOW)

    def record(store: Store) -> None:
        for name in "12":
            store.record_task(a_task(id=f"task_{name}", provider_task_id=None, status=Status.SUBMITTING))

    await storage.write(record)
    await storage.write(partial(submitted, "1", "p_2", source=Source.CALLBACK))
    answers = [storage.write(partial(submitted, name, f"p_{name}"), brief=True) for name in "12"]
    taken = await asyncio.gather(*answers)
    assert [(each.refused, each.task.provider_task_id) for each in taken] == [(False, "p_1"), (False, "p_2")]
    found = await storage.read(lambda store: [store.task_of_provider("apikley", each) for each in ("p_1", "p_2")])
    assert [each and each.id for each in found] == ["task_1", "task_2"]


async def test_a_task_is_found_with_its_input_however_many_were_recorded(storage: Storage) -> None:
    """By the provider's id, at any place among more than are held back."""

    def record(store: Store) -> None:
        for number in range(1_002):
            store.record_task(a_task(id=f"task_{number}", provider_task_id=f"p_{number}"))
            if number % 500 in (498, 499, 0, 1):
                assert store.task_of_provider("apikley", f"p_{number}") is not None

    await storage.write(record)


async def test_timers_in_the_order_of_what_happened(storage: Storage) -> None:
    """Set, dropped and set again; set and dropped: what came last holds."""

    def write(store: Store) -> None:
        for task_id in ("task_1", "task_2"):
            store.set_timer(a_timer(task_id=task_id))
            store.drop_timer(task_id)
        store.set_timer(a_timer(task_id="task_1", due_at=NOW + 7))

    await storage.write(write)
    timers = await storage.read(lambda store: [store.timer(each) for each in ("task_1", "task_2")])
    assert timers == [a_timer(task_id="task_1", due_at=NOW + 7), None]
    await storage.write(lambda store: store.drop_timer("task_1"))
    assert await storage.read(lambda store: store.count_timers(Work.POLL, "apikley")) == 0


@pytest.mark.parametrize("at_once", [True, False])
async def test_notes_and_counts_in_the_order_of_what_happened(storage: Storage, *, at_once: bool) -> None:
    """In one transaction or many: a count stands behind the note before it, and what is too much is counted, too."""
    await storage.write(
        lambda store: [store.record_task(a_task(id=f"task_{each}", provider_task_id=None)) for each in "12"]
    )
    steps = list[Callable[[Store], None]]()

    def note(task_id: str, number: int, store: Store) -> None:
        store.note(task_id, at=NOW + number, sequence=0, kind="poll", text=str(number), data={})

    for number in range(MOST_NOTES + 2):
        steps.append(partial(note, "task_1", number))
        if number % 100 == 0:
            steps += [partial(note, "task_2", number)]
            steps += [
                lambda store: store.tally("task_2", "poll", at=NOW),
                lambda store: store.tally("task_1", "poll", at=NOW),
            ]
    if at_once:
        await storage.write(lambda store: [step(store) for step in steps])
    else:
        await asyncio.gather(*(storage.write(step, brief=True) for step in steps))
    first, second = [
        await storage.read(lambda store, name=f"task_{each}": store.chronicle(name, most=9)) for each in "12"
    ]  # type: ignore[misc]
    assert [each.text for each in first.notes] == [str(number) for number in range(MOST_NOTES)]
    assert [(each.after, each.kind, each.count) for each in first.tallies] == [
        *((1 + number, "poll", 1) for number in range(0, MOST_NOTES, 100)),
        (MOST_NOTES, "poll", 1),
        (MOST_NOTES, "unkept", 2),
    ]
    assert [each.text for each in second.notes] == [str(number) for number in range(0, MOST_NOTES + 1, 100)]
    assert [(each.after, each.count) for each in second.tallies] == [(number + 1, 1) for number in range(6)]


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

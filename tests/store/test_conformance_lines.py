"""What every store holds about ordered destinations: one delivery per task at a time, by sequence."""

from collections.abc import Callable
from functools import partial

import pytest

from receiver.domain import DeliveryState, Ms
from receiver.store.protocol import Storage, Store
from receiver.store.records import BEHIND_ALL, Page
from tests.make import DAY, MINUTE, NOW, SECOND, a_delivery, a_destination, an_event

pytestmark = pytest.mark.anyio

LATER = NOW + SECOND


async def _owe(storage: Storage, *lines: tuple[str, str, int, Ms | None]) -> None:
    """Deliveries to dst_1: (id, task, seq, due at)."""

    def write(store: Store) -> None:
        store.record_destination(a_destination(ordered=True))
        for delivery_id, task_id, seq, due_at in lines:
            if store.event(f"evt_{seq}", "default") is None:
                store.record_event(an_event(seq), "{}")
            store.record_delivery(a_delivery(id=delivery_id, task_id=task_id, due_at=due_at), seq)

    await storage.write(write)


async def _due(storage: Storage) -> dict[str, Ms | None]:
    rows = await storage.read(lambda store: store.list_deliveries(Page(tenant="default", limit=99)))
    return {row.id: row.due_at for row in reversed(rows)}


async def _claim(storage: Storage, *, now: Ms = NOW, limit: int = 9) -> list[str]:
    claim = {"owner": "me", "now": now, "until": now + MINUTE, "limit": limit}
    return [each.delivery.id for each in await storage.write(lambda store: store.claim_deliveries("dst_1", **claim))]


async def _end(storage: Storage, delivery_id: str, state: DeliveryState) -> None:
    def end(store: Store) -> None:
        store.set_delivery(delivery_id, state=state, tries=0, due_at=None)
        store.advance_line("dst_1", "task_1", LATER)

    await storage.write(end)


async def test_a_task_waits_where_anything_of_it_is_pending(storage: Storage) -> None:
    """For that destination, and whether it is due, under way or in line itself."""
    await _owe(storage, ("dlv_1", "task_1", 1, None))

    async def waits(destination: str, task: str) -> bool:
        return await storage.read(lambda store: store.waits_for(destination, task))

    assert await waits("dst_1", "task_1")
    assert not await waits("dst_2", "task_1")
    assert not await waits("dst_1", "task_2")
    for state in (DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.CANCELED):
        await storage.write(lambda store, s=state: store.set_delivery("dlv_1", state=s, tries=0, due_at=None))
        assert not await waits("dst_1", "task_1")


async def test_what_waits_in_line_is_neither_claimed_nor_told_as_due(storage: Storage) -> None:
    """A destination where all is in line has nothing due."""
    await _owe(storage, ("dlv_1", "task_1", 1, NOW + DAY), ("dlv_2", "task_1", 2, None))
    assert await _claim(storage) == []
    [queue] = await storage.read(lambda store: store.queues())
    assert queue.next_due_at == NOW + DAY
    await storage.write(lambda store: store.set_delivery("dlv_1", state=DeliveryState.DEAD, tries=0, due_at=None))
    assert await storage.read(lambda store: store.queues()) == []


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.CANCELED])
async def test_a_line_advances_by_sequence_however_its_head_ended(storage: Storage, state: DeliveryState) -> None:
    """The next one is due at once, and only that one; ids and times of making do not matter."""
    await _owe(
        storage,
        ("dlv_1", "task_1", 1, NOW),
        ("dlv_2", "task_1", 3, None),
        ("dlv_3", "task_1", 2, None),
        ("dlv_4", "task_2", 4, NOW),
        ("dlv_5", "task_2", 5, None),
    )
    await _end(storage, "dlv_1", state)
    assert await _due(storage) == {"dlv_1": None, "dlv_2": None, "dlv_3": LATER, "dlv_4": NOW, "dlv_5": None}
    await _end(storage, "dlv_3", state)
    assert (await _due(storage))["dlv_2"] == LATER
    await _end(storage, "dlv_2", state)
    assert await _due(storage) == {"dlv_1": None, "dlv_2": None, "dlv_3": None, "dlv_4": NOW, "dlv_5": None}


@pytest.mark.parametrize("due_at", [NOW, NOW + DAY])
async def test_a_line_does_not_advance_past_its_head(storage: Storage, due_at: Ms) -> None:
    """Whether that is due, or waits for its next try; a head that is under way as well."""
    await _owe(storage, ("dlv_1", "task_1", 1, due_at), ("dlv_2", "task_1", 2, None))
    await storage.write(lambda store: store.advance_line("dst_1", "task_1", LATER))
    assert await _due(storage) == {"dlv_1": due_at, "dlv_2": None}
    assert await _claim(storage, now=due_at) == ["dlv_1"]
    await storage.write(lambda store: store.advance_line("dst_1", "task_1", LATER))
    assert await _due(storage) == {"dlv_1": due_at + MINUTE, "dlv_2": None}


async def test_an_earlier_event_that_is_replayed_waits_for_the_head_under_way(storage: Storage) -> None:
    """And goes before the later ones that wait."""
    await _owe(
        storage, ("dlv_1", "task_1", 2, NOW), ("dlv_2", "task_1", 3, None), ("dlv_3_replayed", "task_1", 1, None)
    )
    await storage.write(lambda store: store.advance_line("dst_1", "task_1", LATER))
    assert await _due(storage) == {"dlv_1": NOW, "dlv_2": None, "dlv_3_replayed": None}
    await _end(storage, "dlv_1", DeliveryState.DELIVERED)
    assert await _due(storage) == {"dlv_1": None, "dlv_2": None, "dlv_3_replayed": LATER}


UNORDERED = (
    ("dlv_1", "task_1", 3, NOW),
    ("dlv_2", "task_1", 1, NOW + DAY),
    ("dlv_3", "task_1", 2, NOW),
    ("dlv_4", "task_2", 4, NOW),
    ("dlv_5", "", 5, NOW),
    ("dlv_6", "", 6, NOW),
)


async def test_lines_are_formed_behind_the_first_of_each_task(storage: Storage) -> None:
    """By sequence, at whatever time that is due; what is about no task never waits. Forming them again is nothing."""
    await _owe(storage, *UNORDERED)
    await storage.write(lambda store: store.record_delivery(a_delivery(id="dlv_9", destination_id="dst_2"), 1))
    formed = {"dlv_1": None, "dlv_2": NOW + DAY, "dlv_3": None, "dlv_4": NOW, "dlv_5": NOW, "dlv_6": NOW, "dlv_9": NOW}
    for _ in range(2):
        await storage.write(lambda store: store.form_lines("dst_1", before=BEHIND_ALL, limit=99))
        assert await _due(storage) == formed


async def test_lines_are_formed_behind_whatever_is_under_way(storage: Storage) -> None:
    """Be it not the first of its task, or more than one: those end, and then the first one comes."""
    await _owe(storage, *UNORDERED)
    assert sorted(await _claim(storage, limit=2)) == ["dlv_1", "dlv_3"]
    await storage.write(lambda store: store.form_lines("dst_1", before=BEHIND_ALL, limit=99))
    due = await _due(storage)
    assert (due["dlv_1"], due["dlv_2"], due["dlv_3"]) == (NOW + MINUTE, None, NOW + MINUTE)
    await _end(storage, "dlv_1", DeliveryState.DELIVERED)
    assert (await _due(storage))["dlv_2"] is None
    await _end(storage, "dlv_3", DeliveryState.DELIVERED)
    assert (await _due(storage))["dlv_2"] == LATER


async def test_forming_lines_again_keeps_a_head_that_an_earlier_event_waits_for(storage: Storage) -> None:
    """Else the two would wait for each other."""
    await _owe(storage, ("dlv_1", "task_1", 2, NOW), ("dlv_2_replayed", "task_1", 1, None))
    await storage.write(lambda store: store.form_lines("dst_1", before=BEHIND_ALL, limit=99))
    assert await _due(storage) == {"dlv_1": NOW, "dlv_2_replayed": None}


@pytest.mark.parametrize("limit", [1, 2, 3, 6])
async def test_lines_are_formed_and_dissolved_bite_by_bite(storage: Storage, limit: int) -> None:
    """To the same end, however small the bites are; each says where it ended, and the last one that it was."""
    await _owe(storage, *UNORDERED)

    async def bites(take: Callable[[Store, str], str | None]) -> int:
        before: str | None = BEHIND_ALL
        count = 0
        while before is not None:
            before = await storage.write(partial(lambda store, at: take(store, at), at=before))
            count += 1
        return count

    assert await bites(lambda store, at: store.form_lines("dst_1", before=at, limit=limit)) == 6 // limit + 1
    due = await _due(storage)
    assert [name for name, at in due.items() if at is None] == ["dlv_1", "dlv_3"]
    assert await bites(lambda store, at: store.dissolve_lines("dst_1", LATER, before=at, limit=limit)) == 2 // limit + 1
    assert await _due(storage) == due | {"dlv_1": LATER, "dlv_3": LATER}
    assert await bites(lambda store, at: store.cancel_owed("dst_1", before=at, limit=limit)) == 6 // limit + 1
    found = await storage.read(lambda store: store.list_deliveries(Page(tenant="default", limit=9)))
    assert {each.state for each in found} == {DeliveryState.CANCELED}


async def test_lines_are_dissolved(storage: Storage) -> None:
    """Whatever waits is due now; what has a time keeps it, and another destination's lines stay."""
    await _owe(storage, *UNORDERED)

    def dissolve(store: Store) -> None:
        store.form_lines("dst_1", before=BEHIND_ALL, limit=99)
        store.record_delivery(a_delivery(id="dlv_9", destination_id="dst_2", due_at=None), 1)
        store.set_delivery("dlv_4", state=DeliveryState.DEAD, tries=10, due_at=None)
        store.dissolve_lines("dst_1", LATER, before=BEHIND_ALL, limit=99)

    await storage.write(dissolve)
    assert await _due(storage) == {
        "dlv_1": LATER,
        "dlv_2": NOW + DAY,
        "dlv_3": LATER,
        "dlv_4": None,
        "dlv_5": NOW,
        "dlv_6": NOW,
        "dlv_9": None,
    }


async def test_lines_of_a_long_queue_are_formed_at_once(storage: Storage) -> None:
    """20,000 deliveries of 10,000 tasks: one statement, that does not compare each with all others."""

    def write(store: Store) -> None:
        store.record_event(an_event(1), "{}")
        store.record_event(an_event(2), "{}")
        for number in range(20_000):
            delivery = a_delivery(id=f"dlv_{number:05}", task_id=f"task_{number // 2}", due_at=NOW)
            store.record_delivery(delivery, 1 + number % 2)

    await storage.write(write)
    await storage.write(lambda store: store.form_lines("dst_1", before=BEHIND_ALL, limit=20_000))
    rows = await storage.read(lambda store: store.list_deliveries(Page(tenant="default", limit=20_000)))
    assert {row.due_at is None for row in rows if int(row.id[4:]) % 2} == {True}
    assert {row.due_at for row in rows if not int(row.id[4:]) % 2} == {NOW}


@pytest.mark.parametrize(
    ("dlv_1", "dlv_2", "falls", "due"),
    [
        (LATER, MINUTE, "dlv_2", {"dlv_1": LATER, "dlv_2": None}),
        (None, MINUTE, "dlv_2", {"dlv_1": MINUTE, "dlv_2": None}),
        (LATER, MINUTE, "dlv_1", {"dlv_1": LATER, "dlv_2": MINUTE}),
    ],
)
async def test_one_that_fails_falls_in_behind_what_is_earlier(
    storage: Storage, dlv_1: Ms | None, dlv_2: Ms, falls: str, due: dict[str, Ms | None]
) -> None:
    """Which is due at its own time, or where it waited itself, at that of the one that falls in."""
    others = {"dlv_3": NOW, "dlv_4": None}
    await _owe(
        storage,
        ("dlv_1", "task_1", 1, dlv_1),
        ("dlv_2", "task_1", 2, dlv_2),
        ("dlv_3", "task_2", 1, NOW),
        ("dlv_4", "task_1", 3, None),
    )

    def fall(store: Store) -> None:
        delivery = store.delivery(falls, "default")
        assert delivery is not None
        store.fall_in(delivery, MINUTE)

    await storage.write(fall)
    assert await _due(storage) == due | others

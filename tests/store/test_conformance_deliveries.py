"""What every store holds about deliveries: what is owed, claimed, tried, and settled."""

from collections.abc import Mapping
from typing import Any

import pytest

from receiver.domain import Attempt, Delivery, DeliveryState
from receiver.ids import new_id
from receiver.store.protocol import Storage, Store
from receiver.store.records import Page, Parcel
from tests.make import DAY, MINUTE, NOW, SECOND, a_delivery, a_destination, a_task, an_event

pytestmark = pytest.mark.anyio


async def _owe(storage: Storage, count: int = 3) -> None:
    def record(store: Store) -> None:
        store.record_task(a_task())
        store.record_destination(a_destination())
        store.record_event(an_event(1), '{"id":"evt_1"}')
        for number in range(count):
            store.record_delivery(a_delivery(id=f"dlv_{number}", due_at=NOW + number), 1)

    await storage.write(record)


async def test_what_is_owed_is_claimed_per_destination_and_counted_before_the_work(storage: Storage) -> None:
    """Oldest first, up to the limit, each with its event and its task's input; a claimed one is not claimed again."""
    await _owe(storage)
    [queue] = await storage.read(lambda store: store.queues())
    assert (queue.destination_id, queue.next_due_at, queue.ready_at) == ("dst_1", NOW, NOW)
    assert await storage.read(lambda store: store.deliverable("dst_1", NOW)) == a_destination()

    def claim(store: Store) -> list[tuple[str, int, Any]]:
        parcels = store.claim_deliveries("dst_1", owner="me", now=NOW + 1, until=NOW + MINUTE, limit=5)
        assert all((parcel.body, parcel.seq) == ('{"id":"evt_1"}', 1) for parcel in parcels)
        return [(parcel.delivery.id, parcel.delivery.attempts, parcel.input) for parcel in parcels]

    asked = {"prompt": "a red panda"}
    assert await storage.write(claim) == [("dlv_0", 1, asked), ("dlv_1", 1, asked)]
    assert await storage.write(claim) == []


async def test_a_disabled_destination_is_owed_nothing_for_now(storage: Storage) -> None:
    """Its deliveries wait; they are not handed out."""

    def record(store: Store) -> None:
        store.record_destination(a_destination(enabled=False))
        store.record_delivery(a_delivery(), 1)

    await storage.write(record)
    assert await storage.read(lambda store: store.queues()) == []
    assert await storage.read(lambda store: store.deliverable("dst_1", NOW)) is None


async def test_a_failure_is_recorded_only_by_who_holds_the_lease(storage: Storage) -> None:
    """Whoever lost its lease may still record a success, for that is true whoever says it."""
    await _owe(storage, 1)
    claim = {"now": NOW, "until": NOW + MINUTE, "limit": 1}
    await storage.write(lambda store: store.claim_deliveries("dst_1", owner="me", **claim))
    bad = Attempt(number=1, at=NOW, duration_ms=5, status=500, response="oops")
    good = Attempt(number=1, at=NOW, duration_ms=5, status=200)

    def settle(owner: str, attempt: Attempt, state: DeliveryState, due_at: int | None = None) -> object:
        return storage.write(
            lambda store: store.settle_delivery("dlv_0", attempt, owner=owner, state=state, tries=1, due_at=due_at)
        )

    assert not await settle("another", bad, DeliveryState.PENDING, NOW + DAY)  # type: ignore[misc]
    assert await settle("another", good, DeliveryState.DELIVERED)  # type: ignore[misc]
    assert not await settle("me", bad, DeliveryState.DEAD)  # type: ignore[misc]
    found = await storage.read(lambda store: store.delivery("dlv_0", "default"))
    assert found is not None
    assert (found.state, found.due_at, found.owner) == (DeliveryState.DELIVERED, None, None)
    assert await storage.read(lambda store: store.attempts("dlv_0")) == [bad]
    assert await storage.read(lambda store: store.delivery("dlv_0", "other")) is None


async def test_a_delivery_given_back_is_due_at_once_and_its_attempt_does_not_count(storage: Storage) -> None:
    """Only its holder can give it back."""
    await _owe(storage, 1)
    claim = {"now": NOW, "until": NOW + MINUTE, "limit": 1}
    await storage.write(lambda store: store.claim_deliveries("dst_1", owner="me", **claim))
    await storage.write(lambda store: store.release_delivery("dlv_0", owner="another", now=NOW))
    assert await storage.write(lambda store: store.claim_deliveries("dst_1", owner="x", **claim)) == []
    await storage.write(lambda store: store.release_delivery("dlv_0", owner="me", now=NOW))
    [parcel] = await storage.write(lambda store: store.claim_deliveries("dst_1", owner="me", **claim))
    assert parcel.delivery.attempts == 1


async def test_deliveries_are_filtered(storage: Storage) -> None:
    """By state, destination, task and event."""
    await storage.write(lambda store: store.record_delivery(a_delivery(), 1))
    for where, count in (
        ({"state": "pending"}, 1),
        ({"state": "dead"}, 0),
        ({"destination_id": "dst_1", "task_id": "task_1", "event_id": "evt_1"}, 1),
        ({"event_id": "evt_2"}, 0),
    ):
        page = Page(tenant="default", limit=9, where=where)
        assert len(await storage.read(lambda store, page=page: store.list_deliveries(page))) == count  # type: ignore[misc]


async def _claim(
    storage: Storage, *, now: int = NOW, limit: int = 9, freshest: int = 0, owner: str = "me"
) -> list[str]:
    parcels = await storage.write(
        lambda store: store.claim_deliveries(
            "dst_1", owner=owner, now=now, until=now + MINUTE, limit=limit, freshest=freshest
        )
    )
    return [parcel.delivery.id for parcel in parcels]


async def _probe(storage: Storage, *, now: int = NOW, owner: str = "prober") -> Parcel | None:
    return await storage.write(lambda store: store.claim_probe("dst_1", owner=owner, now=now, until=now + MINUTE))


async def _delivery(storage: Storage, delivery_id: str = "dlv_0") -> Delivery:
    found = await storage.read(lambda store: store.delivery(delivery_id, "default"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("limit", "freshest", "claimed"),
    [
        (4, 2, ["dlv_0", "dlv_1", "dlv_5", "dlv_4"]),
        (2, 1, ["dlv_0", "dlv_5"]),
        (1, 1, ["dlv_5"]),
        (1, 0, ["dlv_0"]),
        (10, 5, ["dlv_0", "dlv_1", "dlv_2", "dlv_3", "dlv_4", "dlv_5"]),
        (12, 6, ["dlv_0", "dlv_1", "dlv_2", "dlv_3", "dlv_4", "dlv_5"]),
        (20, 10, ["dlv_0", "dlv_1", "dlv_2", "dlv_3", "dlv_4", "dlv_5"]),
    ],
)
async def test_the_freshest_are_claimed_beside_the_oldest(
    storage: Storage, limit: int, freshest: int, claimed: list[str]
) -> None:
    """A backlog shall not hold up what happens now; none is claimed twice, nor more than the limit."""
    await _owe(storage, 8)
    assert sorted(await _claim(storage, now=NOW + 5, limit=limit, freshest=freshest)) == sorted(claimed)


async def test_a_parcel_says_when_it_was_due(storage: Storage) -> None:
    """Before the lease moved that, which the delivery shows."""
    await _owe(storage, 1)
    claim = {"owner": "me", "now": NOW + SECOND, "until": NOW + MINUTE, "limit": 1}
    [parcel] = await storage.write(lambda store: store.claim_deliveries("dst_1", **claim))
    assert (parcel.was_due_at, parcel.delivery.due_at, parcel.delivery.owner) == (NOW, NOW + MINUTE, "me")
    assert parcel.delivery == await _delivery(storage)


async def test_a_probe_is_the_delivery_due_first_be_it_in_the_future(storage: Storage) -> None:
    """It is leased and counted like any other, and says when it was due."""
    await _owe(storage)
    parcel = await _probe(storage, now=NOW - DAY)
    assert parcel is not None
    assert (parcel.delivery.id, parcel.was_due_at, parcel.delivery.attempts) == ("dlv_0", NOW, 1)
    assert (parcel.seq, parcel.body, parcel.input) == (1, '{"id":"evt_1"}', {"prompt": "a red panda"})
    assert await _delivery(storage) == parcel.delivery


async def test_a_probe_may_be_the_freshest_that_is_due(storage: Storage) -> None:
    """So that one bad delivery does not decide over all; where none is due, it is the one due first."""
    await _owe(storage, 3)

    async def probe(now: int) -> str:
        parcel = await storage.write(
            lambda store: store.claim_probe("dst_1", owner="prober", now=now, until=NOW + DAY, freshest=True)
        )
        assert parcel is not None
        return parcel.delivery.id

    assert [await probe(NOW + 1), await probe(NOW + 1), await probe(NOW + 1)] == ["dlv_1", "dlv_0", "dlv_2"]


async def test_the_next_time_that_anything_is_due_is_told(storage: Storage) -> None:
    """Of one destination, its leases included; none where nothing waits but in line."""

    async def due() -> int | None:
        return await storage.read(lambda store: store.next_due_delivery("dst_1"))

    assert await due() is None
    await _owe(storage, 2)
    assert await due() == NOW
    await _claim(storage, now=NOW)
    assert await due() == NOW + 1
    for name in ("dlv_0", "dlv_1"):
        await storage.write(
            lambda store, n=name: store.set_delivery(n, state=DeliveryState.PENDING, tries=0, due_at=None)
        )
    assert await due() is None


async def test_a_probe_never_takes_what_is_under_way(storage: Storage) -> None:
    """Not even where that is due before all others; once its lease is over, it does."""
    await _owe(storage, 2)
    assert await _claim(storage, now=NOW, limit=1) == ["dlv_0"]
    first, none = await _probe(storage), await _probe(storage)
    assert first is not None
    assert first.delivery.id == "dlv_1"
    assert none is None
    lapsed = await _probe(storage, now=NOW + MINUTE)
    assert lapsed is not None
    assert (lapsed.delivery.attempts, lapsed.delivery.owner) == (2, "prober")


async def test_a_probe_never_takes_what_waits_in_a_line_nor_what_is_done(storage: Storage) -> None:
    """Where nothing else is owed, there is nothing to probe with."""

    def write(store: Store) -> None:
        store.record_event(an_event(1), "{}")
        store.record_delivery(a_delivery(due_at=None), 1)
        store.record_delivery(a_delivery(id="dlv_2", state=DeliveryState.DEAD, due_at=None), 1)

    await storage.write(write)
    assert await _probe(storage) is None


async def test_attempts_that_were_never_heard_of_again_are_counted(storage: Storage) -> None:
    """What kills its worker leaves no attempt behind; those in a row count, up to the last one that ended."""
    await _owe(storage, 1)

    async def claim(at: int) -> Delivery:
        [claimed] = await _claim(storage, now=at)
        assert claimed == "dlv_0"
        return await _delivery(storage)

    async def unended(delivery: Delivery) -> int:
        return await storage.read(lambda store: store.unended_attempts(delivery))

    assert await unended(await claim(NOW)) == 0
    assert await unended(await claim(NOW + DAY)) == 1
    attempt = Attempt(number=2, at=NOW + DAY, duration_ms=1, status=500)
    await _settle(storage, attempt, due_at=NOW + 2 * DAY, tries=1)
    assert await unended(await claim(NOW + 2 * DAY)) == 0
    assert await unended(await claim(NOW + 3 * DAY)) == 1
    assert await unended(await claim(NOW + 4 * DAY)) == 2


async def test_a_claim_tells_whether_the_one_before_was_never_heard_of_again(storage: Storage) -> None:
    """Its lease ended; not where it was given back, or its attempt ended."""
    await _owe(storage, 1)

    async def lapsed(at: int) -> bool:
        claim = {"now": at, "until": at + MINUTE, "limit": 1}
        [parcel] = await storage.write(lambda store: store.claim_deliveries("dst_1", owner="me", **claim))
        return parcel.lapsed

    assert not await lapsed(NOW)
    assert await lapsed(NOW + DAY)
    await storage.write(lambda store: store.release_delivery("dlv_0", owner="me", now=NOW + 2 * DAY))
    assert not await lapsed(NOW + 2 * DAY)
    attempt = Attempt(number=3, at=NOW + 2 * DAY, duration_ms=1, status=500)
    await _settle(storage, attempt, due_at=NOW + 3 * DAY, tries=1)
    assert not await lapsed(NOW + 3 * DAY)


async def _settle(
    storage: Storage,
    attempt: Attempt,
    *,
    due_at: int | None = None,
    tries: int = 0,
    state: DeliveryState = DeliveryState.PENDING,
    owner: str = "me",
) -> bool:
    return await storage.write(
        lambda store: store.settle_delivery("dlv_0", attempt, owner=owner, state=state, tries=tries, due_at=due_at)
    )


async def test_settling_keeps_where_a_delivery_stands_on_the_schedule(storage: Storage) -> None:
    """Its tries are what they are settled to; the attempts begun stay counted, a probe's too."""
    await _owe(storage, 1)
    await _claim(storage)
    assert await _settle(storage, Attempt(number=1, at=NOW, duration_ms=1, status=500), tries=1, due_at=NOW + SECOND)
    assert (await _probe(storage)) is not None
    probe = Attempt(number=2, at=NOW, duration_ms=1, error="timeout")
    assert await _settle(storage, probe, tries=1, due_at=NOW + SECOND, owner="prober")
    found = await _delivery(storage)
    assert (found.state, found.attempts, found.tries, found.due_at) == (DeliveryState.PENDING, 2, 1, NOW + SECOND)
    assert [each.number for each in await storage.read(lambda store: store.attempts("dlv_0"))] == [1, 2]


@pytest.mark.parametrize(
    ("state", "tries", "due_at"),
    [(DeliveryState.PENDING, 0, NOW), (DeliveryState.CANCELED, 3, None), (DeliveryState.DEAD, 9, None)],
)
async def test_a_delivery_is_moved_whatever_it_was(
    storage: Storage, state: DeliveryState, tries: int, due_at: int | None
) -> None:
    """Its attempts stay counted, for the log numbers them; nobody holds it any more."""
    await _owe(storage, 1)
    await _claim(storage)
    for before in DeliveryState:
        await storage.write(lambda store, b=before: store.set_delivery("dlv_0", state=b, tries=1, due_at=None))
        await storage.write(lambda store: store.set_delivery("dlv_0", state=state, tries=tries, due_at=due_at))
        found = await _delivery(storage)
        assert (found.state, found.tries, found.due_at) == (state, tries, due_at)
        assert (found.attempts, found.owner) == (1, None)


async def test_an_attempt_under_way_does_not_move_what_was_moved_since(storage: Storage) -> None:
    """It stands in the log; but a success is one: whatever was given up meanwhile did arrive."""
    await _owe(storage, 1)
    await _claim(storage)
    failure = Attempt(number=1, at=NOW, duration_ms=1, status=500)
    success = Attempt(number=1, at=NOW, duration_ms=1, status=200)
    move = {"tries": 0, "due_at": NOW}
    await storage.write(lambda store: store.set_delivery("dlv_0", state=DeliveryState.PENDING, **move))
    assert not await _settle(storage, failure, tries=1, due_at=NOW + DAY)
    assert (await _delivery(storage)).due_at == NOW
    assert await storage.read(lambda store: store.attempts("dlv_0")) == [failure]
    assert await _settle(storage, success, state=DeliveryState.DELIVERED)
    assert not await _settle(storage, success, state=DeliveryState.DELIVERED)
    for state in (DeliveryState.CANCELED, DeliveryState.DEAD):
        give_up = {"state": state, "tries": 0, "due_at": None}
        await storage.write(lambda store, to=give_up: store.set_delivery("dlv_0", **to))
        assert not await _settle(storage, failure, tries=1, due_at=NOW + DAY)
        assert (await _delivery(storage)).state is state
        assert await _settle(storage, success, state=DeliveryState.DELIVERED)
        assert (await _delivery(storage)).state is DeliveryState.DELIVERED


async def test_states_of_an_events_deliveries_are_told_per_destination(storage: Storage) -> None:
    """Each state once, whatever number of deliveries are in it; an event without any is missing."""

    def write(store: Store) -> None:
        states = ("delivered", "dead", "dead", "pending", "canceled")
        events = ("evt_1", "evt_1", "evt_1", "evt_2", "evt_3")
        for number, (event, state) in enumerate(zip(events, states, strict=True)):
            store.record_delivery(a_delivery(id=f"dlv_{number}", event_id=event, state=DeliveryState(state)), number)
        store.record_delivery(a_delivery(id="dlv_9", event_id="evt_4", destination_id="dst_2"), 9)

    async def states(*events: str) -> Mapping[str, set[DeliveryState]]:
        return await storage.read(lambda store: store.delivery_states("dst_1", events))

    await storage.write(write)
    assert await states("evt_1", "evt_2", "evt_4") == {
        "evt_1": {DeliveryState.DELIVERED, DeliveryState.DEAD},
        "evt_2": {DeliveryState.PENDING},
    }
    assert await states() == {}


async def test_events_of_a_time_are_read_in_the_order_in_which_they_were_recorded(storage: Storage) -> None:
    """Their ids tell the time, and are in another order; those of another time, or tenant, lie among them."""
    times = [NOW, NOW - 1, NOW + SECOND, NOW, NOW + MINUTE, NOW + 2 * SECOND]

    def write(store: Store) -> None:
        for seq, at in enumerate(times, start=1):
            store.record_event(an_event(seq, id=new_id("evt", at), at=at), f"{seq}")
        store.record_event(an_event(9, id=new_id("evt", NOW), task=a_task(tenant="other")), "other")

    async def bodies(until: int, limit: int = 9, after: int = 0) -> list[str]:
        def read(store: Store) -> list[str]:
            span = store.span_of_events("default", since=NOW, until=until)
            assert span is not None
            return [row.body for row in store.events_between("default", span, after=after, limit=limit)]

        return await storage.read(read)

    await storage.write(write)
    assert await bodies(NOW + MINUTE) == ["1", "3", "4", "6"]
    assert await bodies(NOW + MINUTE + 1) == ["1", "3", "4", "5", "6"]
    assert await bodies(NOW + MINUTE, limit=2) == ["1", "3"]
    assert await bodies(NOW + MINUTE, limit=2, after=3) == ["4", "6"]
    assert await storage.read(lambda store: store.span_of_events("default", since=2 * NOW, until=3 * NOW)) is None
    assert await storage.read(lambda store: store.span_of_events("nobody", since=0, until=3 * NOW)) is None

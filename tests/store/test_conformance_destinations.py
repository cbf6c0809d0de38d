"""What every store holds about destinations, and about how each of them fares."""

import sqlite3
from dataclasses import replace

import pytest
from psycopg.errors import UniqueViolation

from receiver.breaker_policy import Breaker
from receiver.domain import DeliveryState, Destination, Format, RetiredSecret, Scheme
from receiver.store.protocol import Storage, Store
from receiver.store.records import Page
from tests.make import MINUTE, NOW, a_delivery, a_destination, an_event

pytestmark = pytest.mark.anyio

FULL = a_destination(
    event_types=("task.*", "delivery.dead"),
    providers=("reapi",),
    models=("m",),
    metadata={"k": "v"},
    format=Format.CLOUDEVENTS_BINARY,
    description="d \u2603",
    headers={"x-team": "v1:sealed", "x-other": "v1:too"},
    signature=Scheme.V1A,
    ordered=True,
    max_in_flight=3,
    rate_per_second=0.5,
    retention_days=7,
    enabled=False,
    disabled_reason="gone",
    sealed_secret="sealed",
)


async def _kept(storage: Storage, destination_id: str = "dst_1") -> Destination | None:
    return await storage.read(lambda store: store.destination(destination_id, "default"))


async def test_a_destination_comes_back_as_it_was_recorded(storage: Storage) -> None:
    """Every field survives; another tenant does not find it; a disabled one is not matched against events."""
    on = a_destination(id="dst_2")
    await storage.write(lambda store: [store.record_destination(each) for each in (FULL, on)])
    assert await _kept(storage) == FULL
    assert await storage.read(lambda store: store.destination("dst_1", "other")) is None
    assert await storage.read(lambda store: store.enabled_destinations("default")) == [on]
    page = Page(tenant="default", limit=9)
    assert await storage.read(lambda store: store.list_destinations(page)) == [on, FULL]


@pytest.mark.parametrize(("before", "after"), [(a_destination(), FULL), (FULL, a_destination())])
async def test_a_destination_is_replaced_by_what_is_saved(
    storage: Storage, before: Destination, after: Destination
) -> None:
    """Every field that can change, to a value and back to none; another one stays as it is."""
    await storage.write(
        lambda store: [store.record_destination(each) for each in (before, replace(before, id="dst_2"))]
    )
    after = replace(after, target="https://example.com/moved")
    await storage.write(lambda store: store.save_destination(after))
    assert await _kept(storage) == after
    assert await _kept(storage, "dst_2") == replace(before, id="dst_2")


async def test_saving_a_destination_leaves_its_retired_secrets(storage: Storage) -> None:
    """They sign along for their own time, whatever else changes."""

    def write(store: Store) -> None:
        store.record_destination(a_destination())
        store.record_delivery(a_delivery(), 1)
        store.retire_secret("dst_1", "before", now=NOW, until=NOW + MINUTE)
        store.save_destination(a_destination(description="changed"))

    await storage.write(write)
    kept = await storage.read(lambda store: store.deliverable("dst_1", NOW))
    retired = (RetiredSecret(sealed="before", until=NOW + MINUTE),)
    assert kept == a_destination(description="changed", retired=retired)


async def test_a_log_is_found_by_its_name(storage: Storage) -> None:
    """Per tenant one SQLite log of a name."""
    log = a_destination(type="sqlite", target="results")
    await storage.write(lambda store: store.record_destination(log))
    assert await storage.read(lambda store: store.log_named("results", "default")) == log
    assert await storage.read(lambda store: store.log_named("results", "other")) is None
    with pytest.raises((sqlite3.IntegrityError, UniqueViolation)):
        await storage.write(lambda store: store.record_destination(replace(log, id="dst_2")))


async def test_deleting_a_destination_cancels_what_is_owed_to_it(storage: Storage) -> None:
    """What was delivered stays delivered."""

    def record(store: Store) -> None:
        store.record_destination(a_destination())
        store.record_event(an_event(1), "{}")
        store.record_delivery(a_delivery(), 1)
        store.record_delivery(a_delivery(id="dlv_2", state=DeliveryState.DELIVERED, due_at=None), 1)
        store.delete_destination("dst_1")

    await storage.write(record)
    rows = await storage.read(lambda store: store.list_deliveries(Page(tenant="default", limit=9)))
    assert {row.id: row.state for row in rows} == {
        "dlv_1": DeliveryState.CANCELED,
        "dlv_2": DeliveryState.DELIVERED,
    }
    assert await storage.read(lambda store: store.queues()) == []


A_HOOK = a_destination(
    id="dst_hook",
    format=Format.FLAT,
    description="REST hook",
    rate_per_second=14.0,
    sealed_secret="s",
    hook="task.finished",
)


async def test_a_hook_is_there_once_for_its_url_and_event(storage: Storage) -> None:
    """Whoever subscribes again gets the same one, enabled again if it was not, and as it was made."""
    assert await storage.write(lambda store: store.enabled_destinations("default")) == []
    first = await storage.write(lambda store: store.record_hook(A_HOOK))
    assert await storage.write(lambda store: store.enabled_destinations("default")) == [A_HOOK]
    again = replace(A_HOOK, id="dst_again", sealed_secret="other", created_at=NOW + 1)
    off = replace(A_HOOK, enabled=False, disabled_reason="failing")
    fares = Breaker(destination_id="dst_hook", failures=5, failing=("a", "b", "c"), failing_since=1, opened_at=1)
    await storage.write(lambda store: [store.save_destination(off), store.save_breaker(fares)])
    assert await _kept(storage, "dst_hook") == off
    assert await storage.write(lambda store: store.enabled_destinations("default")) == []
    assert await storage.write(lambda store: store.record_hook(again)) == first == "dst_hook"
    assert await storage.write(lambda store: store.enabled_destinations("default")) == [A_HOOK]
    assert await _kept(storage, "dst_hook") == A_HOOK
    assert await storage.read(lambda store: store.breaker("dst_hook")) == Breaker(destination_id="dst_hook")
    assert await _kept(storage, "dst_again") is None


async def test_a_hook_that_is_gone_is_forgotten_unless_it_is_subscribed_again(storage: Storage) -> None:
    """With what it is owed; what is no hook, or is disabled for another reason, stays."""
    gone = {"enabled": False, "disabled_reason": "gone"}
    kept = [
        replace(A_HOOK, id="dst_again", hook="task.failed", **gone),
        replace(A_HOOK, id="dst_off", hook="task.*", enabled=False, disabled_reason="failing"),
        a_destination(**gone),
    ]
    owed = a_delivery(destination_id=A_HOOK.id)
    await storage.write(
        lambda store: (
            [store.record_destination(each) for each in (replace(A_HOOK, **gone), *kept)]
            + [store.record_delivery(owed, 1)]
        )
    )
    assert set(await storage.read(lambda store: store.gone_hooks())) == {A_HOOK.id, "dst_again"}
    await storage.write(lambda store: store.record_hook(kept[0]))
    every = (A_HOOK.id, *(each.id for each in kept))
    await storage.write(lambda store: [store.delete_gone_hook(each) for each in every])
    assert [await _kept(storage, each) is None for each in every] == [True, False, False, False]
    delivery = await storage.read(lambda store: store.delivery(owed.id, "default"))
    assert delivery is not None
    assert delivery.state is DeliveryState.CANCELED


async def test_hooks_are_listed_by_url_and_event(storage: Storage) -> None:
    """A tenant's, newest first; what is no hook is not among them, a hook is among the destinations."""
    others = [
        replace(A_HOOK, id="dst_other_event", hook="task.failed"),
        replace(A_HOOK, id="dst_other_url", target="https://example.com/other"),
        replace(A_HOOK, id="dst_theirs", tenant="other"),
    ]
    await storage.write(lambda store: store.record_destination(a_destination(target=A_HOOK.target)))
    recorded = await storage.write(lambda store: [store.record_hook(each) for each in (A_HOOK, *others)])
    assert recorded == [A_HOOK.id, *(each.id for each in others)]

    async def listed(**where: str) -> list[str]:
        page = Page(tenant="default", limit=9, where=where)
        return [each.id for each in await storage.read(lambda store: store.list_hooks(page))]

    assert await listed() == ["dst_other_url", "dst_other_event", "dst_hook"]
    assert await listed(target=A_HOOK.target) == ["dst_other_event", "dst_hook"]
    assert await listed(target=A_HOOK.target, hook="task.failed") == ["dst_other_event"]
    after = Page(tenant="default", limit=1, cursor="dst_other_url")
    assert [each.id for each in await storage.read(lambda store: store.list_hooks(after))] == ["dst_other_event"]
    found = await storage.read(lambda store: store.list_destinations(Page(tenant="default", limit=9)))
    assert A_HOOK in found


async def test_a_hidden_destination_is_made_once_and_not_shown(storage: Storage) -> None:
    """It is found by its id alone; no list, no tenant's view and no match has it."""
    hidden = a_destination(id="dst_own", hidden=True)

    def write(store: Store) -> None:
        store.record_hidden_destination(hidden)
        store.record_hidden_destination(replace(hidden, created_at=NOW + 1))

    await storage.write(write)
    assert await storage.read(lambda store: store.hidden_destination("dst_own")) == hidden
    assert await storage.read(lambda store: store.hidden_destination("dst_none")) is None
    assert await storage.read(lambda store: store.destination("dst_own", "default")) is None
    assert await storage.read(lambda store: store.enabled_destinations("default")) == []
    assert await storage.read(lambda store: store.list_destinations(Page(tenant="default", limit=9))) == []
    await storage.write(lambda store: store.record_destination(a_destination(target=hidden.target)))
    assert await storage.read(lambda store: store.hidden_destination("dst_1")) is None


async def test_a_hidden_destination_is_enabled_again_by_its_next_use(storage: Storage) -> None:
    """A new task with its webhook_url is a caller that says it is there; how it fared before is forgotten."""
    hidden = a_destination(id="dst_own", hidden=True)

    def disable(store: Store) -> None:
        store.record_hidden_destination(hidden)
        store.save_destination(replace(hidden, enabled=False, disabled_reason="gone"))
        store.save_breaker(OPEN)

    await storage.write(disable)
    off = await storage.read(lambda store: store.hidden_destination("dst_own"))
    assert off == replace(hidden, enabled=False, disabled_reason="gone")
    await storage.write(lambda store: store.record_hidden_destination(hidden))
    assert await storage.read(lambda store: store.hidden_destination("dst_own")) == hidden
    assert await storage.read(lambda store: store.breaker("dst_own")) == Breaker(destination_id="dst_own")


async def test_a_hidden_destination_that_fails_stays_as_it_fares(storage: Storage) -> None:
    """Another task with its webhook_url does not close a breaker: the queue is held until a probe succeeds."""

    def use(store: Store) -> None:
        store.record_hidden_destination(a_destination(id="dst_own", hidden=True))
        store.save_breaker(OPEN)
        store.record_hidden_destination(a_destination(id="dst_own", hidden=True))

    await storage.write(use)
    assert await storage.read(lambda store: store.breaker("dst_own")) == OPEN


OPEN = Breaker(
    destination_id="dst_own",
    failures=6,
    failing=("dlv_1", "dlv_2", "dlv_3"),
    failing_since=NOW,
    reason="HTTP 500",
    opened_at=NOW + 1,
    probe_at=NOW + MINUTE,
    probes=2,
)


async def test_a_breaker_is_kept_as_it_is_and_forgotten_once_all_is_well(storage: Storage) -> None:
    """A destination without one fares well; each has its own."""
    well = Breaker(destination_id="dst_own")
    assert await storage.read(lambda store: store.breaker("dst_own")) == well
    for state in (replace(well, failures=1, failing=("dlv_1",), failing_since=NOW), OPEN, well):

        def save(store: Store, state: Breaker = state) -> Breaker:
            store.save_breaker(state)
            return store.breaker("dst_own")

        assert await storage.write(save) == state
    await storage.write(lambda store: store.save_breaker(OPEN))
    assert await storage.read(lambda store: store.breaker("dst_1")) == Breaker(destination_id="dst_1")


async def test_what_is_owed_comes_with_how_its_destination_fares(storage: Storage) -> None:
    """One whose breaker is open is told of, too: somebody has to probe it. Deleting it forgets the breaker."""

    def write(store: Store) -> None:
        for name in ("dst_own", "dst_1"):
            store.record_destination(a_destination(id=name))
            store.record_delivery(a_delivery(id=f"dlv_{name}", destination_id=name), 1)
        store.save_breaker(OPEN)

    await storage.write(write)
    queues = await storage.read(lambda store: store.queues())
    assert {each.destination_id: (each.failures, each.probe_at) for each in queues} == {
        "dst_own": (OPEN.failures, OPEN.probe_at),
        "dst_1": (0, None),
    }
    await storage.write(lambda store: store.delete_destination("dst_own"))
    assert await storage.read(lambda store: store.breaker("dst_own")) == Breaker(destination_id="dst_own")


async def test_logs_that_forget_are_listed_for_all_tenants(storage: Storage) -> None:
    """Enabled or not; neither those that keep their rows for ever, nor webhooks."""
    log = a_destination(type="sqlite", target="results", retention_days=7)
    logs = [log, replace(log, id="dst_2", tenant="other", enabled=False, retention_days=1)]
    others = [
        replace(log, id="dst_3", target="endless", retention_days=None),
        a_destination(id="dst_4", retention_days=7),
    ]
    await storage.write(lambda store: [store.record_destination(each) for each in [*others, *reversed(logs)]])
    assert await storage.read(lambda store: store.logs_with_an_end()) == logs

"""What PostgreSQL alone must hold: many processes on one database, none of which knows what the others do."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from receiver import claims
from receiver.claims import Grant, Rules
from receiver.domain import Attempt, DeliveryState, Status, Work
from receiver.errors import ConfigurationError
from receiver.hand_off import HandOff
from receiver.ids import first_id
from receiver.provider_policy import Standing
from receiver.roles import ServerRole
from receiver.store.postgres import Offset, PostgresStorage
from receiver.store.postgres_schema import bring_up_to_date, schema_version
from receiver.store.postgres_sql import migrations, newest_version
from receiver.store.protocol import Store
from receiver.store.records import KeptKey, Page, Recorded
from receiver.store.shares import Word
from tests.make import MINUTE, NOW, a_delivery, a_destination, a_task, a_timer, an_event
from tests.postgres_server import PostgresServer
from tests.service.world import soon

pytestmark = pytest.mark.anyio

PENDING = Page(tenant="default", limit=99, where={"state": "pending"})


@asynccontextmanager
async def processes(url: str, count: int) -> AsyncIterator[list[PostgresStorage]]:
    """So many storages on one database, as so many processes would have."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            storage = PostgresStorage(url)
            await storage.open(now=NOW)
            stack.push_async_callback(storage.close)
            opened.append(storage)
        yield opened


async def test_what_is_claimed_by_many_is_claimed_once(postgres_url: str) -> None:
    """Polls and deliveries: nothing is leased to two, nothing is left out."""

    def record(store: Store) -> None:
        store.record_destination(a_destination(max_in_flight=1000))
        for seq in range(1, 301):
            store.set_timer(a_timer(task_id=f"task_{seq:03}", due_at=NOW - seq))
            store.record_event(an_event(seq), "{}")
            store.record_delivery(a_delivery(id=f"dlv_{seq:03}", event_id=f"evt_{seq}"), seq)

    def claim(store: Store) -> list[str]:
        lease = {"owner": "me", "now": NOW, "until": NOW + MINUTE, "limit": 7}
        timers = store.claim_timers(Work.POLL, "apikley", **lease, freshest=3)  # type: ignore[arg-type]
        parcels = store.claim_deliveries("dst_1", **lease, freshest=3)  # type: ignore[arg-type]
        return [each.timer.task_id for each in timers] + [each.delivery.id for each in parcels]

    async def claim_all(storage: PostgresStorage) -> list[str]:
        mine: list[str] = []
        while claimed := await storage.write(claim):
            mine += claimed
        return mine

    async with processes(postgres_url, 3) as each:
        await each[0].write(record)
        found = [name for names in await asyncio.gather(*map(claim_all, each)) for name in names]
    assert len(found) == len(set(found)) == 600


async def test_a_reader_that_follows_never_misses_an_event(postgres_url: str) -> None:
    """While three write, some of it in vain: in order, each once, and no place is taken before one that was read."""
    seen: list[int] = []

    async def write(storage: PostgresStorage, writer: int) -> None:
        for number in range(40):

            def record(store: Store, number: int = number) -> None:
                event = an_event(store.next_seq(), id=f"evt_{writer}_{number}")
                store.record_event(event, "{}")
                if number % 7 == 3:
                    raise ValueError("in vain")

            results = await asyncio.gather(*(storage.write(record) for _ in range(1)), return_exceptions=True)
            assert all(each is None or isinstance(each, ValueError) for each in results)

    async def follow(storage: PostgresStorage) -> None:
        page = Page(tenant="default", limit=50)
        while True:
            after = seen[-1] if seen else 0
            found = await storage.read(lambda s, after=after: s.list_events(page, after=after, newest_first=False))  # type: ignore[misc]
            seen.extend(each.seq for each in found)
            await asyncio.sleep(0)

    async with processes(postgres_url, 4) as (reader, *writers):
        following = asyncio.ensure_future(follow(reader))
        await asyncio.gather(*(write(storage, number) for number, storage in enumerate(writers)))
        everything = await _events(reader)
        await soon(lambda: len(seen) >= len(everything))
        following.cancel()
    assert seen == [each.seq for each in everything]
    assert len(seen) == 3 * 34


async def _events(storage: PostgresStorage) -> list[Recorded]:
    page = Page(tenant="default", limit=10_000)
    return list(await storage.read(lambda store: store.list_events(page, after=None, newest_first=False)))


async def test_a_delivery_names_its_events_place_whoever_committed_before(postgres_url: str) -> None:
    """The place that an event was promised may be another's by the commit: what hangs on it moves along."""
    async with processes(postgres_url, 2) as (one, other):
        promised: list[int] = []

        def record(store: Store, name: str) -> None:
            promised.append(store.next_seq())
            store.record_event(an_event(promised[-1], id=f"evt_{name}"), "{}")
            store.record_delivery(a_delivery(id=f"dlv_{name}", event_id=f"evt_{name}"), promised[-1])

        for number in range(3):
            await one.write(lambda store, n=number: record(store, f"one_{n}"))  # type: ignore[misc]
            await other.write(lambda store, n=number: record(store, f"other_{n}"))  # type: ignore[misc]
        events = await _events(one)
        parcels = await one.write(
            lambda store: [
                store.record_destination(a_destination()),
                store.claim_deliveries("dst_1", owner="me", now=NOW, until=NOW + MINUTE, limit=9),
            ][1]
        )
    assert len(set(promised)) < 6
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert {each.delivery.event_id: each.seq for each in parcels or ()} == {each.id: each.seq for each in events}


async def test_leases_of_others_are_left_alone(postgres_url: str) -> None:
    """Who begins, or stops, makes due what is its own; a submit of somebody else's is not in doubt because we stop."""

    def lease(store: Store, name: str) -> None:
        store.set_timer(a_timer(task_id=f"poll_{name}", owner="o", due_at=NOW + MINUTE))
        store.set_timer(a_timer(task_id=f"submit_{name}", work=Work.SUBMIT, owner="o", due_at=NOW + MINUTE))
        store.record_event(an_event(store.next_seq(), id=f"evt_{name}"), "{}")
        store.record_delivery(a_delivery(id=f"dlv_{name}", event_id=f"evt_{name}", owner="o", due_at=NOW + MINUTE), 1)

    async with processes(postgres_url, 2) as (one, other):
        await one.write(lambda store: lease(store, "one"))
        await other.write(lambda store: lease(store, "other"))
        mine = await other.read(lambda store: store.leased_timers(Work.SUBMIT, mine=True))
        assert [each.task_id for each in mine] == ["submit_other"]
        assert len(await other.read(lambda store: store.leased_timers(Work.SUBMIT))) == 2
        await other.write(lambda store: store.release_leases(NOW))
        polls = {name: await one.read(lambda s, n=name: s.timer(f"poll_{n}")) for name in ("one", "other")}  # type: ignore[misc]
        deliveries = await one.read(lambda store: store.list_deliveries(Page(tenant="default", limit=9)))
    assert {name: timer and timer.owner for name, timer in polls.items()} == {"one": "o", "other": None}
    assert {each.id: each.owner for each in deliveries} == {"dlv_one": "o", "dlv_other": None}


Change = Callable[[PostgresStorage], Awaitable[object]]


async def both(one: Change, other: Change, storages: list[PostgresStorage], times: int = 20) -> None:
    """Both at the same time, again and again."""
    for _ in range(times):
        await asyncio.gather(one(storages[0]), other(storages[1]))


async def test_what_two_count_is_counted_twice(postgres_url: str) -> None:
    """Read, changed in memory and written back whole, by two at once: neither is overwritten, where nothing was too."""

    async def fail(storage: PostgresStorage) -> None:
        def count(store: Store) -> None:
            before = store.standing("apikley")
            store.save_standing(Standing(provider="apikley", failed=before.failed + 1))

        await storage.write(count)

    async with processes(postgres_url, 2) as storages:
        await both(fail, fail, storages)
        assert (await storages[0].read(lambda store: store.standing("apikley"))).failed == 40


async def test_an_edit_and_a_failure_do_not_overwrite_each_other(postgres_url: str) -> None:
    """A new address that was saved, and the destination disabled at the same moment: both stand."""

    async def readdress(storage: PostgresStorage) -> None:
        def change(store: Store) -> None:
            kept = store.destination("dst_1", "default")
            assert kept is not None
            number = int(kept.description or 0) + 1
            store.save_destination(
                a_destination(enabled=kept.enabled, max_in_flight=kept.max_in_flight, description=f"{number}")
            )

        await storage.write(change)

    async def widen(storage: PostgresStorage) -> None:
        def change(store: Store) -> None:
            kept = store.destination("dst_1", "default")
            assert kept is not None
            store.save_destination(a_destination(max_in_flight=kept.max_in_flight + 1, description=kept.description))

        await storage.write(change)

    async with processes(postgres_url, 2) as storages:
        await storages[0].write(lambda store: store.record_destination(a_destination(max_in_flight=1)))
        await both(readdress, widen, storages)
        found = await storages[0].read(lambda store: store.destination("dst_1", "default"))
    assert found is not None
    assert (found.description, found.max_in_flight) == ("20", 21)


async def test_an_idempotency_key_is_kept_by_one_of_two(postgres_url: str) -> None:
    """Used at two processes in the same moment: who comes second is told so, and sees what the first one recorded."""

    def use(store: Store, task_id: str, number: int) -> str:
        if store.keep_key(KeptKey(tenant="default", key=f"k{number}", fingerprint="f", task_id=task_id)):
            store.record_task(a_task(id=task_id, provider_task_id=task_id))
        kept = store.kept_key(f"k{number}", "default")
        assert kept is not None
        assert store.task(kept.task_id) is not None
        return kept.task_id

    async with processes(postgres_url, 2) as (one, other):
        for number in range(10):
            answers = await asyncio.gather(
                one.write(lambda store, n=number: use(store, f"task_a{n}", n)),  # type: ignore[misc]
                other.write(lambda store, n=number: use(store, f"task_b{n}", n)),  # type: ignore[misc]
            )
            assert len(set(answers)) == 1
        tasks = await one.read(lambda store: store.list_tasks(Page(tenant="default", limit=99)))
    assert len(tasks) == 10


async def test_a_task_is_changed_by_one_after_the_other(postgres_url: str) -> None:
    """Read in a transaction that writes, it is nobody else's until the commit: no compare-and-set is ever lost."""

    async def advance(storage: PostgresStorage) -> None:
        def change(store: Store) -> None:
            task = store.task("task_1")
            assert task is not None
            after = a_task(version=task.version + 1, progress=(task.progress or 0) + 1, status=Status.RUNNING)
            assert store.save_task(after, expected_version=task.version)

        await storage.write(change)

    async with processes(postgres_url, 2) as storages:
        await storages[0].write(lambda store: store.record_task(a_task()))
        await both(advance, advance, storages)
        task = await storages[0].read(lambda store: store.task("task_1"))
    assert task is not None
    assert (task.version, task.progress) == (40, 40)


async def test_nothing_waits_in_line_behind_nothing(postgres_url: str) -> None:
    """One ends the delivery before, another owes the next one of its task, in the same moment: the next one is due."""
    attempt = Attempt(number=1, at=NOW, duration_ms=5, status=204)

    async with processes(postgres_url, 2) as (one, other):

        def begin(store: Store) -> None:
            store.record_task(a_task())
            store.record_destination(a_destination(ordered=True))
            store.record_event(an_event(store.next_seq(), id="evt_0"), "{}")
            store.record_delivery(a_delivery(id="dlv_00", event_id="evt_0"), 1)

        def end(store: Store, name: str) -> None:
            store.settle_delivery(name, attempt, owner="", state=DeliveryState.DELIVERED, tries=0, due_at=None)
            store.set_delivery(name, state=DeliveryState.DELIVERED, tries=0, due_at=None)
            store.advance_line("dst_1", "task_1", NOW)

        def owe(store: Store, name: str) -> None:
            assert store.task("task_1") is not None
            behind = store.waits_for("dst_1", "task_1")
            store.record_delivery(a_delivery(id=name, event_id="evt_0", due_at=None if behind else NOW), 1)

        await one.write(begin)
        for number in range(20):
            await asyncio.gather(
                one.write(lambda store, n=number: end(store, f"dlv_{n:02}")),  # type: ignore[misc]
                other.write(lambda store, n=number + 1: owe(store, f"dlv_{n:02}")),  # type: ignore[misc]
            )
            [left] = await one.read(lambda store: store.list_deliveries(PENDING))
            assert (left.id, left.due_at) == (f"dlv_{number + 1:02}", NOW)


async def test_nothing_is_owed_to_what_was_deleted_meanwhile(postgres_url: str) -> None:
    """A destination that was there when the event was held against it, and is gone by the commit: canceled."""
    async with processes(postgres_url, 2) as (one, other):
        await one.write(lambda store: store.record_destination(a_destination()))
        loop = asyncio.get_running_loop()

        def owe(store: Store) -> None:
            [found] = store.enabled_destinations("default")
            asyncio.run_coroutine_threadsafe(other.write(lambda s: s.delete_destination(found.id)), loop).result(10)
            store.record_event(an_event(store.next_seq()), "{}")
            store.record_delivery(a_delivery(), 1)

        await one.write(owe)
        [left] = await one.read(lambda store: store.list_deliveries(Page(tenant="default", limit=9)))
    assert (left.state, left.due_at) == (DeliveryState.CANCELED, None)


async def test_those_that_lock_each_other_out_are_run_again(postgres_url: str) -> None:
    """Two tasks, taken in either order: the engine undoes one of the transactions, and it is run once more."""

    def change(store: Store, names: tuple[str, str]) -> None:
        for name in names:
            task = store.task(name)
            assert task is not None
            store.save_task(
                a_task(id=name, provider_task_id=name, version=task.version + 1), expected_version=task.version
            )
            store.execute("SELECT pg_sleep(0.05)", {})  # type: ignore[attr-defined]

    async with processes(postgres_url, 2) as (one, other):
        await one.write(
            lambda store: [store.record_task(a_task(id=name, provider_task_id=name)) for name in ("task_a", "task_b")]
        )
        await asyncio.gather(
            one.write(lambda store: change(store, ("task_a", "task_b"))),
            other.write(lambda store: change(store, ("task_b", "task_a"))),
        )
        tasks = await one.read(lambda store: store.list_tasks(Page(tenant="default", limit=9)))
    assert {task.id: task.version for task in tasks} == {"task_a": 2, "task_b": 2}


async def test_each_has_its_part_and_together_they_have_the_whole(postgres_url: str) -> None:
    """The first has all; who comes later has nothing until the others have made room; who leaves, leaves its part."""
    async with processes(postgres_url, 2) as (one, other):
        assert (one.share().whole(5), other.share().whole(5)) == (5, 0)
        await one.beat()
        assert one.share().whole(5) == 3
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE replicas SET began_at = began_at - 60000")
        for storage in (one, other):
            await storage.beat()
        assert one.share().whole(5) + other.share().whole(5) == 5
        assert [storage.share().rate(3.0) for storage in (one, other)] == [1.5, 1.5]
        await one.write(lambda store: store.record_destination(a_destination(max_in_flight=1)))
        await one.write(lambda store: store.record_event(an_event(1), "{}"))
        await one.write(lambda store: store.record_delivery(a_delivery(), 1))
        assert sorted([len(await each.read(lambda store: store.queues())) for each in (one, other)]) == [0, 1]
        await other.write(lambda store: store.release_leases(NOW))
        assert (await one.beat()).share.whole(5) == 5


async def test_who_has_no_part_is_given_nothing_to_deliver(postgres_url: str) -> None:
    """Neither by a claim nor by hand-off: nothing of it might begin, and it would wait in memory for ever."""
    rules = Rules(blocked=lambda destination, now: False, free=True, suspect_pause_s=1)
    handing, destination = HandOff(lease=1000, now=NOW), a_destination(max_in_flight=9)
    handing.open = True

    def claim(store: Store) -> int:
        found = claims.claim(store, Grant(destination_id=destination.id, most=5), rules, now=NOW, until=NOW + 1000)
        return 0 if found is None else len(found.parcels)

    def hand_off(store: Store) -> bool:
        handing.offer(destination.id, 5)
        return store.hand_off(destination, NOW) is not None

    async with processes(postgres_url, 1) as (one,):
        other = PostgresStorage(postgres_url, handing)
        await other.open(now=NOW)
        await one.write(lambda store: store.record_destination(destination))
        await one.write(lambda store: store.record_event(an_event(1), "{}"))
        await one.write(lambda store: store.record_delivery(a_delivery(), 1))
        assert (await other.write(claim), await other.write(hand_off)) == (0, False)
        assert await one.write(claim) == 1
        await one.write(lambda store: store.release_leases(NOW))
        await other.beat()
        assert await other.write(hand_off)
        await other.close()


async def test_who_does_not_work_has_no_part(postgres_url: str) -> None:
    """A web process takes nothing from those that deliver and poll, and is not alone while they take callbacks, too."""
    async with processes(postgres_url, 1) as (one,), AsyncExitStack() as stack:
        web, worker = (PostgresStorage(postgres_url, role=role) for role in (ServerRole.WEB, ServerRole.WORKER))
        for each in (web, worker):
            await each.open(now=NOW)
            stack.push_async_callback(each.close)
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE replicas SET began_at = began_at - 60000")
        heard = {each: await each.beat() for each in (one, web, worker)}
        assert [each.share().whole(5) for each in (one, worker, web)] == [3, 2, 0]
        assert [each.alone for each in heard.values()] == [False, False, False]
        await one.write(lambda store: store.release_leases(NOW))
        assert ((await web.beat()).alone, (await worker.beat()).alone) == (True, False)
        assert (worker.share().whole(5), web.share().whole(5)) == (5, 0)


async def test_who_rests_leaves_its_part_and_begins_anew(postgres_url: str) -> None:
    """The others have it at once, and know what it told of providers; back again it waits until they made room."""
    async with processes(postgres_url, 2) as (one, other):
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE replicas SET began_at = began_at - 60000")
        until = one.offset.now() + 60_000
        told = {"apikley": Word(wait_until=until)}
        await one.beat(told)
        await one.rest()
        assert one.share().whole(5) == 0
        heard = await other.beat()
        assert (heard.share.whole(5), dict(heard.words)) == (5, told)
        assert (await one.beat()).share.whole(5) == 0
        await other.beat()
        assert other.share().whole(5) == 3
        await other.rest()
        assert (await one.beat()).share.whole(5) == 5


async def test_text_that_postgres_cannot_keep_is_kept_without_its_nul(postgres_url: str) -> None:
    """A NUL that a webhook answered with, or a provider, ends nothing."""
    attempt = Attempt(number=1, at=NOW, duration_ms=5, status=500, response="a\0b")
    async with processes(postgres_url, 1) as [storage]:
        await storage.write(
            lambda store: store.settle_delivery(
                "dlv_1", attempt, owner="", state=DeliveryState.PENDING, tries=1, due_at=NOW
            )
        )
        [kept] = await storage.read(lambda store: store.attempts("dlv_1"))
    assert kept.response == "a\ufffdb"


def test_migrations_run_once_however_many_begin(postgres_server: PostgresServer) -> None:
    """Under one lock; another schema than this program's is refused, be it older and not to be touched, or newer."""
    url = postgres_server.make_database(f"migrated_{random.getrandbits(40)}")
    with pytest.raises(ConfigurationError, match="has schema 0") as refused:
        bring_up_to_date(url, now=NOW, migrate=False)
    assert "taskweir migrate" in refused.value.hint

    async def all_at_once() -> list[list[int]]:
        return await asyncio.gather(*(asyncio.to_thread(bring_up_to_date, url, now=NOW) for _ in range(4)))

    applied = asyncio.run(all_at_once())
    assert sorted(applied) == [[], [], [], [version for version, _ in migrations()]]
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, 0)")
    for migrate in (True, False):
        with pytest.raises(ConfigurationError, match="has schema 999"):
            bring_up_to_date(url, now=NOW, migrate=migrate)


def test_what_is_compared_is_compared_by_its_bytes(postgres_url: str) -> None:
    """Whatever the database's own order of letters is: every text in an index, or ids would not sort by their time."""
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            """SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
            JOIN pg_collation o ON o.oid = a.attcollation
            WHERE c.relnamespace = 'public'::regnamespace AND o.collname <> 'C'"""
        ).fetchall()
    assert rows == []


async def test_a_wrong_address_is_told_with_what_to_set(postgres_server: PostgresServer) -> None:
    """A database that is not there, a server that is not there: who sets it is told which setting, not its password."""
    for url in (postgres_server.url("nowhere"), "postgresql://me:hunter2@127.0.0.1:1/none"):
        with pytest.raises(ConfigurationError) as refused:
            await PostgresStorage(url).open(now=NOW)
        assert "TASKWEIR_DATABASE_URL" in refused.value.hint
        assert "hunter2" not in f"{refused.value}"


def test_the_schema_has_the_newest_version(postgres_url: str) -> None:
    """What the suite runs on is what the program needs."""
    with psycopg.connect(postgres_url, row_factory=psycopg.rows.dict_row) as connection:
        assert schema_version(connection) == newest_version()


async def test_who_is_told_something_tells_the_others(postgres_url: str) -> None:
    """A provider's `Retry-After` and refusal hold for all that work on the database: the last, whoever it was told."""
    async with processes(postgres_url, 3) as (one, other, third):
        now = one.offset.now()
        await one.beat({"apikley": Word(wait_until=now + 60_000, refused_at=now), "reapi": Word()})
        await other.beat({"apikley": Word(wait_until=now + 90_000, refused_at=now - 1)})
        last = Word(wait_until=now + 90_000, refused_at=now)
        assert (await third.beat()).words == {"apikley": last, "reapi": Word()}
        await other.beat({})
        assert (await third.beat()).words == {"apikley": Word(wait_until=now + 60_000, refused_at=now), "reapi": Word()}


async def test_what_is_over_is_deleted_by_one_at_a_time(postgres_url: str) -> None:
    """Who finds another one at it leaves it to him."""
    async with processes(postgres_url, 2) as (one, other):
        for seq in (1, 2):
            event = an_event(seq, id=first_id("evt", NOW) + f"{seq}")
            await one.write(lambda store, event=event: store.record_event(event, "{}"))  # type: ignore[misc]
        loop = asyncio.get_running_loop()

        def prune(store: Store) -> int:
            return store.prune_events(NOW + MINUTE, after="", limit=1).rows.get("events", 0)

        def prune_beside(store: Store) -> tuple[int, int]:
            mine = prune(store)
            return mine, asyncio.run_coroutine_threadsafe(other.write(prune), loop).result(10)

        assert await one.write(prune_beside) == (1, 0)
        assert await other.write(prune) == 1


def test_the_databases_time_is_everybodys() -> None:
    """Whatever this machine's clock says; of several answers the quickest is believed, until it is old."""
    offset = Offset()
    offset.learn(100.0, 160_050, 100.1)
    assert abs(offset.now() - time.time() * 1000 - 60_000) < 50
    offset.learn(101.0, 171_000, 103.0)
    assert abs(offset.now() - time.time() * 1000 - 60_000) < 50
    offset.learn(115.0, 126_000, 117.0)
    assert abs(offset.now() - time.time() * 1000 - 10_000) < 50

"""What becomes of writes while PostgreSQL goes away: in the middle, at the commit, for a while, and for good."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg.errors import IdleInTransactionSessionTimeout

from receiver.errors import Unavailable
from receiver.store.postgres import PostgresStorage
from receiver.store.postgres_connection import Broken, Link
from receiver.store.protocol import Store
from receiver.store.records import Page, Recorded
from tests.make import NOW, an_event
from tests.postgres_proxy import a_proxy
from tests.postgres_server import SUPERUSER, PostgresServer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def durable() -> Iterator[PostgresServer]:
    """A server of our own, that keeps what it committed however it ends."""
    server = PostgresServer(durable=True)
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def storage(anyio_backend: str, durable: PostgresServer) -> AsyncIterator[PostgresStorage]:
    """An empty store on it."""
    name = f"outage_{time.monotonic_ns()}"
    opened = PostgresStorage(durable.make_database(name))
    await opened.open(now=NOW)
    yield opened
    await opened.close()


def record(store: Store, name: str) -> None:
    store.record_event(an_event(store.next_seq(), id=f"evt_{name}"), "{}")


async def events(storage: PostgresStorage) -> list[Recorded]:
    page = Page(tenant="default", limit=10_000)
    return list(await storage.read(lambda store: store.list_events(page, after=None, newest_first=False)))


async def test_a_connection_that_breaks_in_the_middle_costs_nothing(storage: PostgresStorage) -> None:
    """What was under way was not committed: it is run again on another connection, a read too."""
    runs = []

    def do(store: Store) -> None:
        runs.append(1)
        record(store, "1")
        if len(runs) == 1:
            store.execute("SELECT pg_terminate_backend(pg_backend_pid())", {})  # type: ignore[attr-defined]

    def look(store: Store) -> int:
        runs.append(1)
        if len(runs) == 3:
            store.execute("SELECT pg_terminate_backend(pg_backend_pid())", {})  # type: ignore[attr-defined]
        return store.newest_seq("default")

    await storage.write(do)
    assert await storage.read(look) == 1
    assert len(runs) == 4


@pytest.mark.parametrize(("cut", "runs"), [("before", 2), ("after", 1)])
async def test_a_commit_whose_answer_is_lost_is_asked_about(durable: PostgresServer, cut: str, runs: int) -> None:
    """Committed or not, the next connection is told: it is run again where it was not, and only there."""
    database = f"cut_{cut}"
    durable.make_database(database)
    began = []

    def do(store: Store) -> None:
        began.append(1)
        record(store, "1")

    async with a_proxy(durable.home / "data" / ".s.PGSQL.5432") as proxy:
        storage = PostgresStorage(proxy.url(database, SUPERUSER))
        await storage.open(now=NOW)
        proxy.cut = cut
        await storage.write(do)
        assert [each.id for each in await events(storage)] == ["evt_1"]
        await storage.close()
    assert (proxy.cuts, len(began)) == (1, runs)


@pytest.mark.parametrize("others", [0, 10])
async def test_a_transaction_that_never_was_is_not_taken_for_another_with_its_id(others: int) -> None:
    """The server ends before anything of it is on disk, and gives its id to somebody who commits, or to nobody yet."""
    server = PostgresServer(durable=True, settings={"wal_writer_delay": "10s"})
    server.start()
    server.make_database("reused")
    ids: list[str] = []

    def do(store: Store) -> None:
        [row] = store.execute("SELECT pg_current_xact_id()::text AS id", {})  # type: ignore[attr-defined]
        ids.append(row["id"])
        record(store, "1")

    def meanwhile() -> None:
        server.stop()
        server.start()
        with psycopg.connect(server.url("reused"), autocommit=True) as connection:
            for _ in range(others):
                [other] = connection.execute("SELECT pg_current_xact_id()::text").fetchall()
                taken.append(other[0])

    taken: list[str] = []
    try:
        async with a_proxy(server.home / "data" / ".s.PGSQL.5432") as proxy:
            storage = PostgresStorage(proxy.url("reused", SUPERUSER))
            await storage.open(now=NOW)
            proxy.cut, proxy.meanwhile = "before", meanwhile
            await storage.write(do)
            assert [each.id for each in await events(storage)] == ["evt_1"]
            await storage.close()
    finally:
        server.remove()
    # Where nobody else came, it was given to the transaction that asked, and then to one of a later run.
    assert (proxy.cuts, len(ids), ids[0] in taken) == (1, 2, others > 0)
    assert others or int(ids[1]) <= int(ids[0]) + 3


def test_a_standby_is_not_asked_what_was_committed(durable: PostgresServer) -> None:
    """It may not have heard of it yet, and be promoted later; once it is, what it never heard of was undone."""
    url = durable.make_database("followed")
    PostgresStorage.migrate(url, now=NOW)
    durable.stop(signal.SIGINT)
    durable.follow()
    link = Link(url)
    with pytest.raises(Broken):
        link.committed("web_1", "999999999")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_promote(true, 20)")
    assert link.committed("web_1", "999999999") is False
    link.drop()


async def test_restarts_under_load_lose_and_double_nothing(durable: PostgresServer, storage: PostgresStorage) -> None:
    """Stopped five times while eight write: what was answered is there, once, and nothing that nobody wrote."""
    answered: list[str] = []
    refused: set[str] = set()
    writing = True

    async def write(writer: int) -> None:
        number = 0
        while writing:
            number += 1
            name = f"{writer}_{number}"
            try:
                await storage.write(lambda store, name=name: record(store, name))  # type: ignore[misc]
            except Unavailable:
                refused.add(f"evt_{name}")
                await asyncio.sleep(0.1)
            else:
                answered.append(f"evt_{name}")

    writers = [asyncio.ensure_future(write(number)) for number in range(8)]
    for _ in range(5):
        least = len(answered) + 200
        while len(answered) < least:
            await asyncio.sleep(0.01)
            assert not any(each.done() for each in writers), [each.exception() for each in writers if each.done()]
        await asyncio.to_thread(durable.stop)
        await asyncio.to_thread(durable.start)
    writing = False
    await asyncio.gather(*writers)
    found = await events(storage)
    assert set(answered) <= {each.id for each in found} <= refused.union(answered)
    assert [each.seq for each in found] == list(range(1, len(found) + 1))


async def test_a_server_that_stays_away_is_told_soon_and_comes_back(
    durable: PostgresServer, storage: PostgresStorage
) -> None:
    """`Unavailable` after a few seconds, then at once, however many wait; as soon as it is back all goes on."""
    await asyncio.to_thread(durable.stop, signal.SIGINT)
    began = time.monotonic()
    for _ in range(2):
        refused = await asyncio.gather(
            *(storage.write(lambda store: record(store, "1")) for _ in range(20)),
            storage.read(lambda store: store.newest_seq("default")),
            return_exceptions=True,
        )
        assert [type(each) for each in refused] == [Unavailable] * 21
    assert time.monotonic() - began < 15
    await asyncio.to_thread(durable.start)
    await asyncio.sleep(1.1)  # nobody looks more often
    await storage.write(lambda store: record(store, "1"))
    assert len(await events(storage)) == 1


async def test_who_holds_a_lock_too_long_is_hung_up_on(storage: PostgresStorage, durable: PostgresServer) -> None:
    """A process that stops in the middle of a transaction keeps the others waiting for seconds, not for ever."""
    await storage.write(lambda store: record(store, "1"))
    url = storage._url
    other = await asyncio.to_thread(psycopg.connect, url)
    try:
        other.execute("SET idle_in_transaction_session_timeout = '5s'")
        other.execute("UPDATE counters SET value = value WHERE name = 'seq'")
        await storage.write(lambda store: record(store, "2"))
        with pytest.raises(IdleInTransactionSessionTimeout):
            other.execute("SELECT 1")
    finally:
        other.close()
    assert [each.seq for each in await events(storage)] == [1, 2]


async def test_a_column_that_a_newer_program_added_disturbs_nobody(storage: PostgresStorage) -> None:
    """Statements are prepared, on a connection of our own; one that the tables have left behind is prepared anew."""
    for _ in range(9):
        await storage.write(lambda store: store.destination("dst_1", "default"))
        await storage.read(lambda store: store.destination("dst_1", "default"))
    assert storage._links[0].connection.prepare_threshold is not None
    await storage.write(lambda store: store.execute("ALTER TABLE destinations ADD COLUMN newer TEXT", {}))  # type: ignore[attr-defined]
    for _ in range(9):
        assert await storage.write(lambda store: store.destination("dst_1", "default")) is None
        assert await storage.read(lambda store: store.destination("dst_1", "default")) is None

"""Through a pooler in transaction mode, where each transaction may have another connection."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from receiver.domain import Work
from receiver.store.postgres import PostgresStorage
from receiver.store.protocol import Store
from receiver.store.records import Page
from tests.make import MINUTE, NOW, a_destination, a_task, a_timer, an_event
from tests.pgbouncer import SERVER_CONNECTIONS, a_pooler
from tests.postgres_server import SUPERUSER, PostgresServer

pytestmark = pytest.mark.anyio


async def test_more_processes_than_the_pooler_has_connections(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Nothing is kept in a session: no prepared statement is missed, no lock or limit is another's, nothing is lost."""
    database = postgres_url.partition("?")[0].rpartition("/")[2]
    processes = 2 * SERVER_CONNECTIONS
    with a_pooler(postgres_server) as host:
        async with AsyncExitStack() as stack:
            opened = [
                PostgresStorage(f"postgresql://{SUPERUSER}@/{database}?host={host}&port=6432") for _ in range(processes)
            ]
            for storage in opened:
                await storage.open(now=NOW)
                stack.push_async_callback(storage.close)
            claimed = await asyncio.gather(*(_work(storage, number) for number, storage in enumerate(opened)))
            [one, *_] = opened
            assert {storage._links[0].connection.prepare_threshold for storage in opened} == {None}
            page = Page(tenant="default", limit=1000)
            events = await one.read(lambda store: store.list_events(page, after=None, newest_first=False))
            tasks = await one.read(lambda store: store.list_tasks(page))
    assert [event.seq for event in events] == list(range(1, 20 * processes + 1))
    assert len(tasks) == 20 * processes
    assert Counter(name for names in claimed for name in names) == Counter(task.id for task in tasks)


async def _work(storage: PostgresStorage, number: int) -> list[str]:
    """Record tasks with their events, read beside, and claim whatever is due; what was claimed."""
    mine: list[str] = []

    def record(store: Store, name: str) -> None:
        store.record_task(a_task(id=name, provider_task_id=name))
        store.set_timer(a_timer(task_id=name))
        store.record_event(an_event(store.next_seq(), id=f"evt_{name}"), "{}")
        store.enabled_destinations("default")

    def claim(store: Store) -> list[str]:
        lease = {"owner": "me", "now": NOW, "until": NOW + MINUTE, "limit": 5}
        return [each.timer.task_id for each in store.claim_timers(Work.POLL, "apikley", **lease)]  # type: ignore[arg-type]

    for turn in range(20):
        await storage.write(lambda store, name=f"task_{number}_{turn:02}": record(store, name))  # type: ignore[misc]
        await storage.read(lambda store: store.list_tasks(Page(tenant="default", limit=3)))
        mine += await storage.write(claim)
    await storage.write(lambda store: store.record_destination(a_destination(id=f"dst_{number}")))
    while found := await storage.write(claim):
        mine += found
    return mine

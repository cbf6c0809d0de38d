"""Servers side by side on one PostgreSQL: what 1, 2 and 4 carry, against one on SQLite, and what that takes of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psycopg

from receiver.moving import move
from receiver.storages import side_of
from receiver.store.shares import KNOWN_AFTER
from tests.bench import counting
from tests.bench.figures import Row, Run, posts, spread
from tests.bench.machine import REST, cpu_seconds, disk_of, family_seconds, in_memory, on_cores
from tests.bench.samples import Callbacks, Provider
from tests.bench.seeding import JUST_BEFORE_A_MINUTE_S, Made, now_ms
from tests.bench.servers import Server, a_taskweir
from tests.bench.sink import SECRET, Sink
from tests.bench.stage import IN_FLIGHT, SETTLED_WITHIN_S, a_stage
from tests.bench.wire import Load, serving
from tests.postgres_server import PostgresServer

SEED = "seed"
_DELIVERED = "SELECT count(*) FROM deliveries WHERE state = 'delivered'"
_PENDING = "SELECT count(*) FROM deliveries WHERE state = 'pending'"
_HAVE_THEIR_PART = "SELECT count(*) FROM replicas WHERE began_at < %s"
_ACTIVE_MS = "SELECT active_time FROM pg_stat_database WHERE datname = current_database()"


async def side_by_side(run: Run) -> Sequence[Row]:
    """Deliveries per second for each number of servers, and the database's time for each of them."""
    seed, made = await run.waiting()
    plain = Row(title="the same, one server on SQLite", unit="/s")
    rows = {
        count: (
            Row(title=f"callback in, webhook recorded ({count} on PostgreSQL)", unit="/s", ratio_of="SQLite"),
            Row(title=f"  database time per event ({count})", unit="ms", at_least=False),
            Row(title=f"  the servers' processor time per event ({count})", unit="ms", at_least=False),
            Row(title=f"  the database's processor time per event ({count})", unit="ms", at_least=False),
        )
        for count in run.size.servers
    }
    with a_database(seed) as database:
        for number in range(run.size.rounds):
            run.say(f"one server on SQLite, round {number + 1}")
            rate = await _on_sqlite(run, seed, made, plain)
            for count, about in rows.items():
                run.say(f"{about[0].title}, round {number + 1}")
                url = database.make_database(f"round_{number}_{count}", like=SEED)
                async with a_house(run, database, url, count) as house:
                    await _measure(run, house, made, about, rate)
    return [plain, *(row for about in rows.values() for row in about)]


@contextmanager
def a_database(seed: Path) -> Iterator[PostgresServer]:
    """A durable PostgreSQL with the prepared tasks in it."""
    server = PostgresServer(durable=True)
    try:
        if in_memory(disk_of(server.home)):
            raise SystemExit(f"{server.home} is in memory, where a commit costs nothing: set TMPDIR to a disk")
        with on_cores(REST):
            server.start()
        url = server.make_database(SEED)
        with (
            closing(side_of(f"sqlite:///{seed}/taskweir.db", now=now_ms())) as out,
            closing(side_of(url, now=now_ms())) as into,
        ):
            move(out, into, told=lambda table, rows: None)
        yield server
    finally:
        server.remove()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The servers, the database that they share, the sink."""

    database: PostgresServer
    url: str
    servers: Sequence[Server]
    sink: Sink
    provider: Provider

    def one(self, sql: str, *values: object) -> float:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(sql.encode(), values).fetchone()
        assert row is not None
        return float(row[0])

    @property
    def database_cpu(self) -> float:
        """Processor seconds of the database so far."""
        return family_seconds(self.database.pid)

    @property
    def servers_cpu(self) -> float:
        return sum(cpu_seconds(each.pid) for each in self.servers)

    async def settled(self) -> None:
        ends_at = perf_counter() + SETTLED_WITHIN_S
        while self.one(_PENDING) and perf_counter() < ends_at:  # noqa: ASYNC110 - other processes work on it
            await asyncio.sleep(0.02)


@asynccontextmanager
async def a_house(
    run: Run, database: PostgresServer, url: str, count: int, *, through: str | None = None
) -> AsyncIterator[House]:
    """So many servers, ready and each with its part; `through` is how they reach the database, where that differs."""
    with psycopg.connect(url) as connection:
        due_at = now_ms() + round(JUST_BEFORE_A_MINUTE_S * 1000)
        connection.execute("UPDATE timers SET due_at = %s", (due_at,))
    sink, provider = Sink(), Provider()
    async with serving(sink.answering) as sink_port, serving(provider.answering) as port:
        with ExitStack() as stack:
            servers = []
            for number in range(count):
                directory = run.made(f"{url.split('/')[3].partition('?')[0]}-{number}")
                settings = {"TASKWEIR_DATABASE_URL": through or url, "TASKWEIR_APIKLEY_TRUST": "token"}
                started = a_taskweir(directory, provider_url=f"http://127.0.0.1:{port}", cores=REST, **settings)
                servers.append(stack.enter_context(started))
            hook = {"type": "webhook", "url": f"http://127.0.0.1:{sink_port}/hook", "secret": SECRET}
            fields = {"max_in_flight": IN_FLIGHT, "event_types": ["task.finished"]}
            assert servers[0].api.post("/v1/destinations", json=hook | fields).status_code == 201
            house = House(database=database, url=url, servers=servers, sink=sink, provider=provider)
            while house.one(_HAVE_THEIR_PART, now_ms() - KNOWN_AFTER - 2000) < count:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
            yield house


async def _on_sqlite(run: Run, seed: Path, made: Sequence[Made], row: Row) -> float:
    settings = {"TASKWEIR_APIKLEY_TRUST": "token"}
    async with a_stage(run, seed, due_in_s=JUST_BEFORE_A_MINUTE_S, **settings) as stage:
        stage.destination()
        async with Load(stage.server.port, connections=run.size.connections) as load:
            began = perf_counter()
            await load.closed_loop(iter(posts(made, Callbacks(), stage.server.port)), seconds=run.size.seconds)
            await stage.delivered(len(load.took))
            rate = counting.delivered(stage.database) / (perf_counter() - began)
        row.add(rate, notes=spread(load.took), faults=stage.faults(len(load.took)))
        return rate


async def _measure(run: Run, house: House, made: Sequence[Made], about: Sequence[Row], rate: float) -> None:
    row, cost, of_servers, of_database = about
    count = len(house.servers)
    async with AsyncExitStack() as stack:
        connections = max(run.size.connections // count, 1)
        loads = [await stack.enter_async_context(Load(each.port, connections=connections)) for each in house.servers]
        parts = [iter(posts(made[number::count], Callbacks(), each.port)) for number, each in enumerate(house.servers)]
        before, active = (house.database_cpu, house.servers_cpu), house.one(_ACTIVE_MS)
        began = perf_counter()
        asked = [load.closed_loop(part, seconds=run.size.seconds) for load, part in zip(loads, parts, strict=True)]
        await asyncio.gather(*asked)
        posted = sum(len(load.took) for load in loads)
        await house.sink.wait_for(posted, within_s=SETTLED_WITHIN_S)
        await house.settled()
        took = perf_counter() - began
        used = (house.database_cpu - before[0], house.servers_cpu - before[1])
    delivered = int(house.one(_DELIVERED))
    refused = {name: n for load in loads for name, n in load.refused("200").items()}
    notes = {"callbacks": posted, **spread([each for load in loads for each in load.took])}
    of_database.add(used[0] / posted * 1e3)
    of_servers.add(used[1] / posted * 1e3)
    faults = {
        "deliveries not recorded": posted - delivered,
        "webhooks that did not come, or came again": posted - house.sink.count,
        "signatures that do not verify": house.sink.forged,
    }
    row.add(delivered / took, rate, notes, {**refused, **faults})
    await asyncio.sleep(1.1)  # a session tells what it did at most once a second
    cost.add((house.one(_ACTIVE_MS) - active) / posted)

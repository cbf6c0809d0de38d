"""What one event costs a server and its database: bytes, processor time, transactions, round trips."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg

from receiver.moving import move
from receiver.storages import side_of
from tests.bench.distance import asked_meanwhile, further
from tests.bench.figures import Row, Run, posts
from tests.bench.machine import cpu_seconds
from tests.bench.replicas import SEED, House, a_database, a_house
from tests.bench.samples import Callbacks
from tests.bench.seeding import Made, database, now_ms, prepare
from tests.bench.stage import SETTLED_WITHIN_S
from tests.bench.wire import Load
from tests.moving import finished_tasks
from tests.postgres_server import PostgresServer

_COMMITS = "INSERT INTO commits"  # and COMMIT, in one message
_COMMITTED = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
_WRITTEN_AHEAD = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'taskweir'"
_CONNECTED = f"SELECT count(*) FROM ({_SESSIONS}) AS ours"
_STORED = "SELECT pg_database_size(current_database())"
_TIMED = re.compile(r"\[(\d+)\] LOG:  duration: ([\d.]+) ms  (parse|bind|execute|statement)(?: [^:]*)?: (.*)")
_WHILE_HELD = ("UPDATE counters ", "INSERT INTO events ", "INSERT INTO deliveries ")
_TOLD_WITHIN_S = 1.1  # a session tells what it did at most once a second
_IDLE_S = 6
_NEARLY = 0.98
AWAY_MS = (1, 2)


async def one_event(run: Run) -> Sequence[Row]:
    """One server on PostgreSQL with one callback at a time and with many, then idle; the disk of finished tasks."""
    seed, made = await run.waiting()
    rows = list[Row]()
    with a_database(seed) as server:
        run.say(f"{run.size.tasks:,} finished tasks on the disk")
        rows += await asyncio.to_thread(_on_disk, run, server)
        for connections in (1, run.size.connections):
            run.say(f"events on {connections} connections")
            url = server.make_database(f"costs_{connections}", like=SEED)
            async with a_house(run, server, url, 1) as house:
                rows += await _loaded(run, house, made, connections)
                rows += await _idle(house) if connections == 1 else []
        run.say("counting statements")
        rows += await _statements(run, server, made)
        for round_trip_ms in AWAY_MS:
            run.say(f"a database {round_trip_ms} ms away")
            rows += await _far(run, server, made, round_trip_ms)
        rows += await _polls(run, server)
    return rows


def _on_disk(run: Run, server: PostgresServer) -> list[Row]:
    """Whole ways of tasks, two events and a delivery each, as intake leaves them."""
    directory, url = run.made("finished"), server.make_database("finished")
    for _ in finished_tasks(directory, run.size.tasks):
        pass
    path = database(directory)
    _move(directory, url)
    with psycopg.connect(url) as connection:
        [(stored,)] = connection.execute(_STORED).fetchall()
    return [
        _row("a finished task on the disk, SQLite", "bytes", path.stat().st_size / run.size.tasks),
        _row("a finished task on the disk, PostgreSQL", "bytes", stored / run.size.tasks),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counters:
    """What only grows."""

    servers_cpu: float
    database_cpu: float
    committed: float
    written: float

    @classmethod
    def of(cls, house: House) -> "_Counters":
        return cls(
            servers_cpu=house.servers_cpu,
            database_cpu=house.database_cpu,
            committed=house.one(_COMMITTED),
            written=house.one(_WRITTEN_AHEAD),
        )


async def _loaded(run: Run, house: House, made: Sequence[Made], connections: int) -> list[Row]:
    before = _Counters.of(house)
    posted, took = await _posted(run, house, made, connections)
    connected = house.one(_CONNECTED)
    await asyncio.sleep(_TOLD_WITHIN_S)
    after = _Counters.of(house)
    of = f"({connections} at once)"
    return [
        _row(f"events {of}", "/s", posted / took),
        _row(f"  the server's processor time per event {of}", "ms", (after.servers_cpu - before.servers_cpu) / posted),
        _row(f"  the database's {of}", "ms", (after.database_cpu - before.database_cpu) / posted),
        _row(f"  transactions per event {of}", "", (after.committed - before.committed) / posted),
        _row(f"  write-ahead log per event {of}", "bytes", (after.written - before.written) / posted),
        _row(f"  connections of the server {of}", "", connected),
    ]


async def _idle(house: House) -> list[Row]:
    """Its own sessions' time only: the database still clears up after the load."""
    with psycopg.connect(house.url) as connection:
        sessions = [pid for (pid,) in connection.execute(_SESSIONS).fetchall()]
    before, began = (house.servers_cpu, sum(map(cpu_seconds, sessions))), perf_counter()
    await asyncio.sleep(_IDLE_S)
    used, took = (house.servers_cpu - before[0], sum(map(cpu_seconds, sessions)) - before[1]), perf_counter() - began
    return [
        _row("an idle server's processor time per second", "ms", used[0] / took),
        _row("  the database's for it", "ms", used[1] / took),
    ]


async def _statements(run: Run, server: PostgresServer, made: Sequence[Made]) -> list[Row]:
    """Each is a round trip, made one after the other; counted and timed by the database's own log."""
    url = server.make_database("counted", like=SEED)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE counted SET log_min_duration_statement = 0")
    async with a_house(run, server, url, 1) as house:
        log = server.home / "log"
        before = log.stat().st_size
        posted, _ = await _posted(run, house, made, run.size.connections)
        with log.open("rb") as lines:
            lines.seek(before)
            found = [_TIMED.search(line.decode(errors="replace")) for line in lines]
    timed = [(each[1], float(each[2]), each[3], each[4]) for each in found if each]
    ran = [each for each in timed if each[2] in ("execute", "statement")]
    commits = [
        ms
        for (before, _, _, sql), (pid, ms, _, then) in pairwise(ran)
        if then.startswith(_COMMITS) and pid == before and sql.startswith(_WHILE_HELD)
    ]
    worked = sum(ms for _, ms, _, sql in timed if not sql.startswith(_COMMITS))
    held = sum(ms for _, ms, _, sql in timed if sql.startswith(_WHILE_HELD))
    of = f"({run.size.connections} at once)"
    return [
        _row(f"statements per event {of}", "", len(ran) / posted),
        _row("  share of their time in which others' commits wait", "", held / worked),
        _row("  a COMMIT that the disk is waited for, median", "ms", median(commits) / 1e3),
    ]


async def _far(run: Run, server: PostgresServer, made: Sequence[Made], away_ms: int) -> list[Row]:
    """What a round trip takes under that load, and how many events then fit into a second."""
    name = f"far_{away_ms}"
    url = server.make_database(name, like=SEED)
    with further(server.socket, name, round_trip_s=away_ms / 1e3) as through:
        async with a_house(run, server, url, 1, through=through) as house:
            with asked_meanwhile(through) as round_trip_s:
                longer = replace(run, size=replace(run.size, seconds=run.size.seconds * 3))
                posted, seconds = await _posted(longer, house, made, run.size.connections)
                took = round_trip_s()
    return [
        _row(f"a round trip meanwhile, the database {away_ms} ms away", "ms", took),
        _row(f"  events, {away_ms} ms away ({run.size.connections} at once)", "/s", posted / seconds),
    ]


async def _polls(run: Run, server: PostgresServer) -> list[Row]:
    """Answered polls that change nothing, out of a backlog that falls due when the server has started."""
    seed, url = run.made("asked_about"), server.make_database("asked_about")
    run.say(f"polls about {run.size.tasks:,} tasks")
    await prepare(seed, run.size.tasks, polled=True)
    await asyncio.to_thread(_move, seed, url)
    async with a_house(run, server, url, 1) as house:
        before, asked = _Counters.of(house), house.provider.polls
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE timers SET due_at = %s", (now_ms(),))
        await house.provider.polled(asked + int(run.size.tasks * _NEARLY), within_s=run.size.seconds * 4)
        polls = house.provider.polls - asked
        await asyncio.sleep(_TOLD_WITHIN_S)
        after = _Counters.of(house)
    return [
        _row("the server's processor time per poll", "ms", (after.servers_cpu - before.servers_cpu) / polls),
        _row("  the database's per poll", "ms", (after.database_cpu - before.database_cpu) / polls),
    ]


def _move(seed: Path, url: str) -> None:
    with (
        closing(side_of(f"sqlite:///{database(seed)}", now=now_ms())) as out,
        closing(side_of(url, now=now_ms())) as to,
    ):
        move(out, to, told=lambda table, rows: None)


async def _posted(run: Run, house: House, made: Sequence[Made], connections: int) -> tuple[int, float]:
    [server] = house.servers
    async with Load(server.port, connections=connections) as load:
        began = perf_counter()
        await load.closed_loop(iter(posts(made, Callbacks(), server.port)), seconds=run.size.seconds)
        posted = len(load.took)
        await house.sink.wait_for(posted, within_s=SETTLED_WITHIN_S)
        await house.settled()
        return posted, perf_counter() - began


def _row(title: str, unit: str, value: float) -> Row:
    row = Row(title=title, unit=unit, at_least=False)
    row.add(value * 1e3 if unit == "ms" else value)
    return row

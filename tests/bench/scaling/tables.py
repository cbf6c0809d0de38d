"""The tables of deploy/SCALING.md: what was measured, how near the model comes to it, what it says of more."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tests.bench.scaling.house import House, Outcome, simulated
from tests.bench.scaling.measured import CONNECTIONS, Measured
from tests.bench.scaling.tenants import WAYS, fullest

Table = Iterable[Sequence[str]]

ONCE = 575  # events a second: what one process on SQLite was held to for an hour
A_CELL = 1_500  # events a second that one database is given: see SCALING.md
CELL = House(servers=12, database_cores=8, round_trip=0.25, commit=1.0)
LATE_MS = 250
_EVENTS = 2_500  # of each simulation, or a second's worth
_LONG_S = 3.0  # several rounds of the largest transactions
_A_DAY = 86_400


def costs(measured: Measured) -> Table:
    yield "of one event", "one callback at a time", f"{CONNECTIONS} at once"
    for title, unit in (
        ("  the server's processor time per event", "ms"),
        ("  the database's", "ms"),
        ("  transactions per event", ""),
        ("  write-ahead log per event", "bytes"),
        ("  connections of the server", ""),
    ):
        both = [measured.loaded(title, count) for count in (1, CONNECTIONS)]
        yield title.strip(), *(_with(unit, each) for each in both)
    yield "statements, one after the other", "", _with("", measured.loaded("statements per event"))


def disk(measured: Measured) -> Table:
    yield "on the disk", "bytes", "a million tasks a day, kept for 30 days"
    for engine in ("SQLite", "PostgreSQL"):
        size = measured[f"a finished task on the disk, {engine}"]
        yield f"a finished task, {engine}", f"{size:,.0f}", f"{size * 30e6 / 1e9:,.0f} GB"


def checked(measured: Measured) -> Table:
    yield "servers", "figure", "measured", "simulated", "error"
    bench = House(shared=True, round_trip=0.0, commit=measured["  a COMMIT that the disk is waited for, median"])
    alone = simulated(measured.costs, bench, seconds=12, clients=1)
    yield (
        "1, one client",
        "transactions per event",
        *_both(measured.loaded("  transactions per event", 1), alone.transactions),
    )
    for servers in (1, 2, 4):
        found = measured.get(f"  the servers' processor time per event ({servers})")
        if found is None:
            continue
        rate = measured[f"callback in, webhook recorded ({servers} on PostgreSQL)"]
        got = simulated(measured.costs, replace(bench, servers=servers), seconds=9, clients=CONNECTIONS)
        stored = measured[f"  the database's processor time per event ({servers})"]
        yield str(servers), "servers' processor ms per event", *_both(found, got.server_ms)
        yield str(servers), "database's processor ms per event", *_both(stored, got.database_ms)
        yield str(servers), "events a second, all on one core", *_both(rate, got.rate)
    for away in (1, 2):
        found, took = (
            measured.loaded(f"  events, {away} ms away"),
            measured[f"a round trip meanwhile, the database {away} ms away"],
        )
        got = simulated(measured.costs, replace(bench, round_trip=took), seconds=30, clients=CONNECTIONS)
        yield "1", f"events a second, the database {away} ms away", *_both(found, got.rate)


def knee(measured: Measured) -> Table:
    yield (
        "servers",
        "most, events a second",
        f"with p99 under {LATE_MS} ms",
        "p50 at half of that",
        "p99",
        "database, cores busy",
    )
    for servers in (1, 2, 4):
        house = replace(CELL, servers=servers, database_cores=4)
        most = _most(measured, house)
        rate = _in_time(measured, house, most.rate)
        half = _open(measured, house, rate / 2)
        yield (
            str(servers),
            f"{most.rate:,.0f}",
            f"{rate:,.0f}",
            f"{half.p50:.0f} ms",
            f"{half.p99:.0f} ms",
            f"{half.database_busy * 4:.2f}",
        )


def ceiling(measured: Measured) -> Table:
    yield "servers", "round trip", "commit", "most, events a second", "counter held", "database, cores busy"
    near, usual, far = (0.1, 0.3), (0.25, 1.0), (0.7, 2.0)
    for servers, (round_trip, commit) in ((12, usual), (24, usual), (48, usual), (24, near), (24, far)):
        house = replace(CELL, servers=servers, round_trip=round_trip, commit=commit, database_cores=16)
        most = _most(measured, house)
        busy, held = f"{most.database_busy * 16:.1f}", f"{most.counter_held:.0%}"
        yield str(servers), f"{round_trip} ms", f"{commit} ms", f"{most.rate:,.0f}", held, busy


def steps(measured: Measured) -> Table:
    yield (
        *("load", "events a second", "a day", "cells", "servers in all", "their cores busy"),
        *("database cores busy, each", "p50", "p99", "log, each", "a day kept, each"),
    )
    log, stored = measured.loaded("  write-ahead log per event"), measured["a finished task on the disk, PostgreSQL"]
    for times in (1, 10, 100, 1000):
        rate = ONCE * times
        cells = -(-rate // A_CELL)
        each = rate / cells
        house = replace(CELL, servers=max(2, round(CELL.servers * each / A_CELL)))
        got = _open(measured, house, each)
        yield (
            *(f"{times:,}x", f"{rate:,}", f"{rate * _A_DAY / 1e6:,.0f} million", f"{cells:,}"),
            *(f"{cells * house.servers:,}", f"{cells * house.servers * got.server_busy:,.0f}"),
            *(f"{got.database_busy * house.database_cores:.1f}", f"{got.p50:.0f} ms", f"{got.p99:.0f} ms"),
            *(f"{each * log / 1e6:.0f} MB/s", f"{each * stored * _A_DAY / 1e9:,.0f} GB"),
        )


def tenants(measured: Measured) -> Table:
    yield "tenants", "largest tenant", "databases", *(f"fullest database, {way}" for way in WAYS)
    for count, largest, cells in ((10_000, 0.001, 4), (10_000, 0.001, 39), (10_000, 0.01, 39), (100_000, 0.001, 384)):
        loads = [fullest(way, tenants=count, largest=largest, cells=cells) for way in WAYS]
        yield f"{count:,}", f"{largest:.1%}", str(cells), *(f"{load:.2f} of its part" for load in loads)


def in_flight(measured: Measured) -> Table:
    yield "polled every", "server: tasks on half a core", "PostgreSQL: tasks on half a core"
    server, database = measured["the server's processor time per poll"], measured["  the database's per poll"]
    for said, seconds in (("5 s", 5), ("60 s", 60), ("10 min, a callback being expected", 600)):
        yield said, *(f"{500 / each * seconds:,.0f}" for each in (server, database))


TABLES: Mapping[str, Callable[[Measured], Table]] = {
    "costs": costs,
    "disk": disk,
    "in flight": in_flight,
    "checked": checked,
    "knee": knee,
    "ceiling": ceiling,
    "steps": steps,
    "tenants": tenants,
}


def markdown(table: Table) -> str:
    head, *rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _most(measured: Measured, house: House) -> Outcome:
    """What is carried when each server always has as many waiting as the bench gives one."""
    return simulated(measured.costs, house, seconds=_LONG_S, clients=CONNECTIONS * house.servers)


def _open(measured: Measured, house: House, rate: float) -> Outcome:
    return simulated(measured.costs, house, seconds=max(_EVENTS / rate, 1.0), rate=rate)


def _in_time(measured: Measured, house: House, most: float) -> float:
    """The highest of a few rates at which webhooks come in time."""
    for share in _shares():
        if _open(measured, house, most * share).p99 <= LATE_MS:
            return most * share
    return 0.0


def _shares() -> Iterator[float]:
    yield from (percent / 100 for percent in range(95, 25, -5))


def _both(measured: float, simulated: float) -> tuple[str, str, str]:
    return _with("", measured), _with("", simulated), f"{simulated / measured - 1:+.0%}"


def _with(unit: str, number: float) -> str:
    said = f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.2f}"
    return f"{said} {unit}".strip()

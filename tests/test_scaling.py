"""The model of many servers is one: it obeys what is known of queues, and deploy/SCALING.md says what it says."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.bench.scaling.__main__ import PAGE, filled
from tests.bench.scaling.engine import Cores, Lock, Process, Signal, Use, World
from tests.bench.scaling.house import Costs, House, simulated
from tests.bench.scaling.measured import kept
from tests.bench.scaling.tables import TABLES
from tests.bench.scaling.tenants import BY_HASH, BY_LOAD, fullest
from tests.service.world import a_world

COSTS = Costs(
    server_event=1.0,
    server_transaction=2.0,
    server_idle=0.0,
    database_event=0.5,
    database_transaction=1.0,
    database_idle=0.0,
    statements=8.0,
    held=0.1,
)
NEAR = House(round_trip=0.0, commit=0.0, webhook=0.0)


def test_time_is_taken_in_turns() -> None:
    """One core does one piece of work after the other, two do two at once, a lock is had by one, a signal wakes all."""
    world, one, two, lock, signal = World(), Cores(1), Cores(2), Lock(), Signal()
    seen = list[tuple[str, float]]()

    def work(name: str, cores: Cores) -> Process:
        yield Use(cores, 1.0)
        seen.append((name, world.now))

    def hold(name: str) -> Process:
        yield lock
        yield 2.0
        seen.append((name, world.now))
        world.release(lock)
        world.happen(signal)

    def wait() -> Process:
        yield signal
        seen.append(("signal", world.now))

    for process in (work("a", one), work("b", one), work("c", two), work("d", two), hold("e"), hold("f"), wait()):
        world.begin(process)
    world.run(10)
    assert sorted(seen) == [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 2), ("f", 4), ("signal", 2)]
    assert (one.busy_s, two.busy_s) == (2, 2)


def test_a_core_cannot_do_more_than_it_can() -> None:
    """Where it waits for nothing, one server carries what its core does: an event, and its part of a transaction."""
    got = simulated(replace(COSTS, database_event=0, database_transaction=0), NEAR, seconds=6, clients=64)
    at_most = 1e3 / (COSTS.server_event + COSTS.server_transaction * got.transactions)
    assert got.rate == pytest.approx(at_most, rel=0.05)
    assert got.server_busy == pytest.approx(1, abs=0.05)


def test_what_comes_is_carried_until_the_knee() -> None:
    """At half of what is carried all of it is, soon; beyond it what is carried stays, and all else waits."""
    most = simulated(COSTS, NEAR, seconds=6, clients=64).rate
    half = simulated(COSTS, NEAR, seconds=6, rate=most / 2)
    more = simulated(COSTS, NEAR, seconds=6, rate=most * 1.5)
    assert half.rate == pytest.approx(most / 2, rel=0.1)
    assert half.p99 < 50
    assert more.rate == pytest.approx(most, rel=0.25)
    assert more.p50 > 500


def test_round_trips_are_made_one_after_the_other() -> None:
    """A server far from its database carries what fits between two answers; twice as many servers carry twice that."""
    far = replace(NEAR, round_trip=2.0, database_cores=16)
    one, two = (simulated(COSTS, replace(far, servers=n), seconds=12, clients=64 * n).rate for n in (1, 2))
    assert one == pytest.approx(1e3 / (COSTS.statements * 2.17), rel=0.15)  # the mean of what spreads around 2
    assert two == pytest.approx(2 * one, rel=0.1)


def test_the_counter_is_the_ceiling() -> None:
    """However many servers and cores: one commit after the other, each with at most so many events."""
    slow = replace(NEAR, servers=16, database_cores=64, commit=50.0)
    got = simulated(COSTS, slow, seconds=12, clients=16 * 16)
    assert got.counter_held > 0.9
    assert got.rate < 1e3 / 50 * 16 * 1.2


def test_the_same_seed_gives_the_same() -> None:
    """And another one nearly the same."""
    one, again, other = (simulated(COSTS, House(), seconds=4, rate=100, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert other.p50 == pytest.approx(one.p50, rel=0.2)


def test_tenants_by_load_are_spread_better_than_by_hash() -> None:
    """And one that is larger than a whole part fills its database alone."""
    parts = {way: fullest(way, tenants=2_000, largest=0.01, cells=20) for way in (BY_HASH, BY_LOAD)}
    assert 1 <= parts[BY_LOAD] < parts[BY_HASH]
    assert fullest(BY_LOAD, tenants=2_000, largest=0.1, cells=20) >= 2


@pytest.mark.anyio
async def test_a_schema_is_a_cell(tmp_path: Path, postgres_url: str) -> None:
    """Two servers on one database, each with a schema of its own in its URL, know nothing of each other."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in ("one", "two"):
            connection.execute(f"CREATE SCHEMA {name}".encode())
    one, two = (f"{postgres_url}&options=-csearch_path%3D{name}" for name in ("one", "two"))
    async with (
        a_world(tmp_path, TASKWEIR_DATABASE_URL=one) as first,
        a_world(tmp_path, TASKWEIR_DATABASE_URL=two) as other,
    ):
        made = await first.destination("http://127.0.0.1:9/hook")
        assert (await other.api.get(f"/v1/destinations/{made['id']}")).status_code == 404
        assert (await other.api.get("/v1/destinations")).json()["items"] == []


def test_the_page_says_what_the_program_does() -> None:
    """Every table of deploy/SCALING.md is what `python -m tests.bench.scaling` prints: `--write` puts it there."""
    page = PAGE.read_text()
    assert page.count("<!-- ") == len(TABLES)
    assert filled(page, kept()) == page

"""Servers on one PostgreSQL, event by event: who waits for which core, which round trip, which lock and which disk.

An event is a callback that ends a task, its webhook, and the record of that attempt. Each server has one core and one
writer, which makes a transaction of all that waits: its statements one after the other, each a round trip and a piece
of the database's work; then, where events are among them, the counter of events, which is held until the commit is on
the disk (`receiver/store/postgres_writing.py`).
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles

from tests.bench.scaling.engine import Cores, Lock, Process, Signal, Use, World

MOST = 256  # writes of one transaction (`receiver/store/writer.py`)
_AT_ONCE = 4  # writes that are simulated as one piece of work
_RECORDS, _SETTLES = 0.75, 0.25  # what the event, and its attempt, take of all that an event writes: 7 of 9 statements
_BEFORE, _WRITING = 0.3, 0.4  # of a server's work for an event, as py-spy saw it; the rest is the webhook's
_FEWEST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Milliseconds of a core for each event, each transaction, and each second of a server that has nothing to do.

    `statements` are for each event; `held` is the share of the database's time for it in which it has the counter.
    """

    server_event: float
    server_transaction: float
    server_idle: float
    database_event: float
    database_transaction: float
    database_idle: float
    statements: float
    held: float


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What there is. `round_trip` and `commit` are milliseconds; `shared`: one core for servers and database."""

    servers: int = 1
    database_cores: int = 4
    round_trip: float = 0.25
    commit: float = 1.0
    webhook: float = 1.0
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it: events per second, how late their webhooks came in ms, how busy each was (1: all the time).

    `server_ms`, `database_ms` and `transactions` are for each event.
    """

    rate: float
    p50: float
    p99: float
    server_busy: float
    database_busy: float
    counter_held: float
    server_ms: float
    database_ms: float
    transactions: float


def simulated(
    costs: Costs, house: House, *, seconds: float, rate: float = 0, clients: int = 0, seed: int = 1
) -> Outcome:
    """Events at random, so many per second; or from so many clients, each sending the next when one is answered."""
    return _Simulation(costs, house, seed).run(seconds, rate, clients)


@dataclass(slots=True, eq=False)
class _Write:
    records: bool
    committed: Signal


class _Simulation:
    def __init__(self, costs: Costs, house: House, seed: int) -> None:
        self.costs, self.house = costs, house
        self.world, self.random = World(), random.Random(seed)
        shared = Cores(1)
        self.database = shared if house.shared else Cores(house.database_cores)
        self.counter = Lock()
        self.servers = [_Server(self, shared if house.shared else Cores(1)) for _ in range(house.servers)]
        self.lags, self.done, self.transactions = list[float](), 0, 0
        self.server_s, self.database_s, self.held_s = 0.0, 0.0, 0.0
        self._since = 0.0

    def run(self, seconds: float, rate: float, clients: int) -> Outcome:
        for server in self.servers:
            self.world.begin(server.writer())
            self.world.begin(server.housekeeping())
            if rate:
                self.world.begin(server.arrivals(rate / len(self.servers)))
            for _ in range(clients // len(self.servers)):
                self.world.begin(server.client())
        self.world.run(seconds / 3)  # until it is as it will be
        self.lags, self.done, self.transactions = [], 0, 0
        self.server_s, self.database_s, self.held_s = 0.0, 0.0, 0.0
        self.world.run(seconds)
        return self._outcome(seconds * 2 / 3)

    def _outcome(self, took: float) -> Outcome:
        cuts = quantiles(self.lags, n=100) if len(self.lags) > _FEWEST else [float("inf")] * 99
        events = max(self.done, 1)
        cores = 1 if self.house.shared else self.house.database_cores
        return Outcome(
            rate=self.done / took,
            p50=cuts[49] * 1e3,
            p99=cuts[98] * 1e3,
            server_busy=self.server_s / took / (1 if self.house.shared else self.house.servers),
            database_busy=self.database_s / took / cores,
            counter_held=self.held_s / took,
            server_ms=self.server_s / events * 1e3,
            database_ms=self.database_s / events * 1e3,
            transactions=self.transactions / events,
        )

    def on_server(self, cores: Cores, ms: float) -> Use:
        self.server_s += ms / 1e3
        return Use(cores, ms / 1e3)

    def on_database(self, ms: float) -> Use:
        self.database_s += ms / 1e3
        return Use(self.database, ms / 1e3)

    def spread(self, ms: float) -> float:
        """Seconds that differ, a quarter of them by a third or more, as those of disks and networks do."""
        return ms / 1e3 * self.random.lognormvariate(0, 0.4)


class _Server:
    """One process: a core, a writer, and the writes that wait for it."""

    def __init__(self, all_: _Simulation, core: Cores) -> None:
        self.all, self.core = all_, core
        self.waiting: deque[_Write] = deque()
        self.wanted = Signal()

    def housekeeping(self) -> Process:
        """The sign of life, and every loop's look at what is due."""
        while True:
            yield 0.1
            yield self.all.on_server(self.core, self.all.costs.server_idle / 10)
            yield self.all.on_database(self.all.costs.database_idle / 10)

    def arrivals(self, rate: float) -> Process:
        while True:
            yield self.all.random.expovariate(rate)
            self.all.world.begin(self.event(self.all.world.now))

    def client(self) -> Process:
        while True:
            yield from self.event(self.all.world.now, answered=(answered := Signal()))
            yield answered

    def event(self, came: float, answered: Signal | None = None) -> Process:
        """Until it is committed; what follows goes on by itself."""
        costs, world = self.all.costs, self.all.world
        yield self.all.on_server(self.core, costs.server_event * _BEFORE)
        yield self.written(_Write(records=True, committed=Signal()))
        if answered is not None:
            world.happen(answered)
        world.begin(self.delivery(came))

    def delivery(self, came: float) -> Process:
        all_ = self.all
        yield all_.on_server(self.core, all_.costs.server_event * (1 - _BEFORE - _WRITING))
        yield all_.spread(all_.house.webhook / 2)
        all_.lags.append(all_.world.now - came)
        yield all_.spread(all_.house.webhook / 2)
        yield self.written(_Write(records=False, committed=Signal()))
        all_.done += 1

    def written(self, write: _Write) -> Signal:
        self.waiting.append(write)
        if not self.wanted.happened:
            self.all.world.happen(self.wanted)
        return write.committed

    def writer(self) -> Process:
        all_ = self.all
        while True:
            if not self.waiting:
                self.wanted = Signal()
                yield self.wanted
            batch = [self.waiting.popleft() for _ in range(min(len(self.waiting), MOST))]
            yield from self.transaction(batch)
            all_.transactions += 1
            for write in batch:
                all_.world.happen(write.committed)

    def transaction(self, batch: list[_Write]) -> Process:
        all_, costs, house = self.all, self.all.costs, self.all.house
        yield all_.on_server(self.core, costs.server_transaction)
        yield all_.spread(house.round_trip)
        yield all_.on_database(costs.database_transaction)
        for some in _in_bites(batch):
            part = sum(_RECORDS if each.records else _SETTLES for each in some)
            yield all_.on_server(self.core, costs.server_event * _WRITING * part)
            yield all_.spread(house.round_trip * costs.statements * part)
            yield all_.on_database(costs.database_event * (1 - costs.held) * part)
        events = sum(each.records for each in batch)
        if events:
            yield all_.counter
        began = all_.world.now
        if events:
            yield all_.spread(house.round_trip * 3)
            yield all_.on_database(costs.database_event * costs.held * events)
        yield all_.spread(house.round_trip + house.commit)
        if events:
            all_.held_s += all_.world.now - began
            all_.world.release(all_.counter)


def _in_bites(batch: list[_Write]) -> Iterator[list[_Write]]:
    for first in range(0, len(batch), _AT_ONCE):
        yield batch[first : first + _AT_ONCE]

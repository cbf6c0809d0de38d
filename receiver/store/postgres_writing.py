"""The verbs of a PostgreSQL transaction that writes, while others write beside it.

What is written most is held back until the commit, and goes in by one statement each. Events and deliveries go last,
after the counter of events was moved: whoever holds that row holds up every other replica's commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from receiver import json_text
from receiver.domain import Delivery, Destination, Format, Ms
from receiver.hand_off import HandOff
from receiver.store.deliveries import OF_ONE_DELIVERY
from receiver.store.kept import KeptVerbs
from receiver.store.postgres_sql import OURS, each_value, writing
from receiver.store.postgres_store import PostgresStore
from receiver.store.records import Bite, Lease
from receiver.store.shares import GONE_AFTER, Alive, Heard, Share, Word, heard_by
from receiver.store.statements import QUERIES, Row, mentioning

_INSERT_EVENT, _INSERT_DELIVERY = QUERIES["insert_event"], QUERIES["insert_delivery"]
_INSERT_ATTEMPT, _SETTLE_DELIVERED = QUERIES["insert_attempt"], QUERIES["settle_delivered"]
_looks_at_held_back = mentioning(("events", "deliveries", "attempts"))
_TELLS_SEQ = frozenset({Format.CLOUDEVENTS, Format.CLOUDEVENTS_BINARY})

HOUR: Ms = 3600 * 1000
_NOTHING = Bite(rows={}, last=None)
_FIRST = "SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0)) AS first"
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"
_HOLD_DESTINATIONS = "SELECT id FROM destinations WHERE id = ANY(CAST(:ids[] AS TEXT[])) FOR KEY SHARE"
_HOLD_ORDER = "SELECT ordered FROM destinations WHERE id = :id FOR SHARE"
_HOLD_TASK = "SELECT id FROM tasks WHERE id = :id FOR NO KEY UPDATE"


@dataclass(frozen=True, slots=True)
class _Guarded:
    """Rows that are read, changed in memory and written back whole, by their key."""

    table: str
    key: str
    may_be_absent: bool

    @property
    def again(self) -> str:
        return f"SELECT * FROM {self.table} WHERE {self.key} = :key FOR NO KEY UPDATE"  # noqa: S608 - names of ours


_STANDINGS = _Guarded("standings", "provider", may_be_absent=True)
_BREAKERS = _Guarded("breakers", "destination_id", may_be_absent=True)
_DESTINATIONS = _Guarded("destinations", "id", may_be_absent=False)
_READ = {
    QUERIES["select_standing"]: _STANDINGS,
    QUERIES["select_breaker"]: _BREAKERS,
    QUERIES["select_destination"]: _DESTINATIONS,
    QUERIES["select_hidden_destination"]: _DESTINATIONS,
}
_WRITTEN = {
    QUERIES["upsert_standing"]: _STANDINGS,
    QUERIES["upsert_breaker"]: _BREAKERS,
    QUERIES["delete_breaker"]: _BREAKERS,
    QUERIES["update_destination"]: _DESTINATIONS,
}


class Raced(Exception):
    """What this transaction decided on was changed by another replica meanwhile: it is undone, and run again."""


def _alive(row: Row) -> Alive:
    words = {name: Word(**word) for name, word in json_text.read_own(row["words"]).items()}
    return Alive(id=row["id"], began_at=row["began_at"], seen_at=row["seen_at"], words=words)


class WritingStore(KeptVerbs, PostgresStore):
    """One for the life of a connection; `begin` and `before_commit` frame each transaction.

    What it remembers, it remembers for one transaction: other replicas write as well.
    """

    translated = staticmethod(writing)

    def __init__(
        self,
        connection: "psycopg.Connection[Row]",
        process: str,
        share: Callable[[], Share],
        handing: HandOff,
        judged: Callable[[psycopg.Error], Exception],
    ) -> None:
        super().__init__(connection, process, share, judged)
        self._handing = handing
        self._last_seq: int | None = None
        self._forgot_at: Ms = 0
        self.begin()

    def on(self, connection: "psycopg.Connection[Row]") -> bool:
        """Whether this is its connection."""
        return self._connection is connection

    def begin(self) -> None:
        """Forget the transaction before."""
        self.forget()
        self._first_seq = self._next_seq = 0
        self._new_events: list[Mapping[str, Any]] = []
        self._new_deliveries: list[dict[str, Any]] = []
        self._new_attempts: list[Mapping[str, Any]] = []
        self._delivered: list[Mapping[str, Any]] = []
        self._held_deliveries: set[str] = set()
        self._offered: set[str] = set()
        self._seen: dict[tuple[str, str], Row | None] = {}

    def before_commit(self) -> None:
        self._put_in()

    def beat(self, words: Mapping[str, Word]) -> Heard:
        """Say that this process is alive, and hear which part is its: one after the other, that all hear of all."""
        now = self._among_replicas()
        told = {name: asdict(word) for name, word in words.items()}
        self.changed(OURS["beat"], {"now": now, "gone": now - GONE_AFTER, "words": json_text.write(told)})
        self.changed(OURS["forget_replicas"], {"before": now - 6 * GONE_AFTER})
        if now - self._forgot_at > HOUR:
            self._forgot_at = now
            self.changed(OURS["forget_commits"], {"before": now - 24 * HOUR})
        rows = self.execute(OURS["select_replicas"], {})
        return heard_by(self._process, [_alive(row) for row in rows], now)

    def rest(self) -> None:
        """Say that this process does nothing for a while; what it told of providers stays known."""
        self.changed(OURS["rest"], {"gone": self._among_replicas() - GONE_AFTER})

    def _among_replicas(self) -> Ms:
        """Nobody else says anything until this transaction is over; the time."""
        self._alone("replicas", "")
        [row] = self.execute(OURS["database_time"], {})
        return int(row["now"])

    def prune_events(self, before: Ms, *, after: str, limit: int) -> Bite:
        return super().prune_events(before, after=after, limit=limit) if self._first("retention") else _NOTHING

    def prune_tasks(self, before: Ms, *, after: str, limit: int) -> Bite:
        return super().prune_tasks(before, after=after, limit=limit) if self._first("retention") else _NOTHING

    def _first(self, what: str) -> bool:
        """Whether nobody else is at it, now and until this transaction is over."""
        [row] = self.execute(_FIRST, {"key": what})
        return bool(row["first"])

    # Events and deliveries, held back

    def next_seq(self) -> int:
        """The place that an event will have if no other replica commits before; `_put_in` gives it the real one."""
        if self._next_seq == 0:
            self._first_seq = self._next_seq = self._seq_so_far() + 1
        self._next_seq += 1
        return self._next_seq - 1

    def _seq_so_far(self) -> int:
        if self._last_seq is None:
            [row] = self.run("select_seq")
            self._last_seq = int(row["value"])
        return self._last_seq

    def execute(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        self._look(sql, values)
        rows = super().execute(sql, values)
        self._remember(sql, values, rows)
        return rows

    def changed(self, sql: str, values: Mapping[str, Any]) -> int:
        if sql == _INSERT_EVENT:
            self._new_events.append(values)
            return 1
        if sql == _INSERT_DELIVERY:
            self._new_deliveries.append(dict(values))
            self._held_deliveries.add(values["id"])
            return 1
        if sql == _INSERT_ATTEMPT:
            self._new_attempts.append(values)
            return 1
        if sql == _SETTLE_DELIVERED:
            if values["id"] in self._held_deliveries:
                self._put_in()
            self._delivered.append(values)
            self._held_deliveries.add(values["id"])
            return 1
        self._look(sql, values)
        self._guard(sql, values)
        self.hear(sql)
        return super().changed(sql, values)

    def _look(self, sql: str, values: Mapping[str, Any]) -> None:
        """A statement is about to run: what it may look at must not be held back."""
        holds = self._new_events or self._new_deliveries or self._new_attempts
        if not holds or not _looks_at_held_back(sql):
            return
        if sql not in OF_ONE_DELIVERY or values["id"] in self._held_deliveries:
            self._put_in()

    def _put_in(self) -> None:
        """Write what was held back."""
        attempts, delivered = self._new_attempts, self._delivered
        self._new_attempts, self._delivered = [], []
        if attempts:
            super().changed(_INSERT_ATTEMPT, dict(each_value(attempts)))
        if delivered:
            super().changed(_SETTLE_DELIVERED, dict(each_value(delivered)))
        self._put_in_events()
        self._held_deliveries = set()

    def _put_in_events(self) -> None:
        """Give events their places, and write them with their deliveries."""
        events, deliveries = self._new_events, self._new_deliveries
        self._new_events, self._new_deliveries = [], []
        placed, shift = range(self._first_seq, self._next_seq), 0
        self._next_seq = 0
        if placed:
            [row] = super().execute(OURS["next_seq"], {"count": len(placed)})
            self._last_seq = int(row["value"])
            shift = self._last_seq - placed[-1]
        if events:
            moved = {each["id"]: each["seq"] + shift for each in events if each["seq"] in placed}
            rows = [{**each, "seq": moved.get(each["id"], each["seq"])} for each in events]
            super().changed(_INSERT_EVENT, dict(each_value(rows)))
            for each in deliveries:
                each["event_seq"] = moved.get(each["event_id"], each["event_seq"])
        if deliveries:
            self._cancel_what_nobody_wants(deliveries)
            super().changed(_INSERT_DELIVERY, dict(each_value(deliveries)))

    def _cancel_what_nobody_wants(self, deliveries: Sequence[dict[str, Any]]) -> None:
        """A destination that was deleted since this transaction read it is owed nothing; it stays until we are done."""
        ours = {each["destination_id"] for each in deliveries} & self._offered
        if not ours:
            return
        rows = super().execute(_HOLD_DESTINATIONS, {"ids": sorted(ours)})
        gone = ours - {row["id"] for row in rows}
        for each in deliveries:
            if each["destination_id"] in gone:
                each.update(state="canceled", due_at=None, owner=None)

    # What is read, decided on, and written back

    def enabled_destinations(self, tenant: str) -> Sequence[Destination]:
        found = super().enabled_destinations(tenant)
        self._offered.update(each.id for each in found)
        return found

    def hidden_destination(self, destination_id: str) -> Destination | None:
        found = super().hidden_destination(destination_id)
        if found is not None:
            self._offered.add(found.id)
        return found

    def hand_off(self, destination: Destination, now: Ms) -> Lease | None:
        """Not where what goes out tells the event's place: that is known once it is written."""
        return None if destination.format in _TELLS_SEQ else super().hand_off(destination, now)

    def replace_tenant_secret(self, tenant: str, sealed: str) -> str | None:
        self._alone("tenant_secrets", tenant)
        return super().replace_tenant_secret(tenant, sealed)

    def waits_for(self, destination_id: str, task_id: str) -> bool:
        """Asked where something is owed to an ordered destination: it stays so until that is written."""
        rows = super().execute(_HOLD_ORDER, {"id": destination_id})
        if any(row["ordered"] == 0 for row in rows):
            raise Raced(f"{destination_id} is not ordered any more")
        return super().waits_for(destination_id, task_id)

    def advance_line(self, destination_id: str, task_id: str, now: Ms) -> None:
        """Whoever owes something more of this task holds its row: it is there, or comes when this is over."""
        super().execute(_HOLD_TASK, {"id": task_id})
        super().advance_line(destination_id, task_id, now)

    def fall_in(self, delivery: Delivery, due_at: Ms) -> None:
        super().execute(_HOLD_TASK, {"id": delivery.task_id})
        super().fall_in(delivery, due_at)

    def _remember(self, sql: str, values: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """What was read first in this transaction is what it decides on."""
        guarded = _READ.get(sql)
        if guarded is not None and (rows or guarded.may_be_absent):
            self._seen.setdefault((guarded.table, values[guarded.key]), rows[0] if rows else None)

    def _guard(self, sql: str, values: Mapping[str, Any]) -> None:
        """What is written over is what was read, or this is run again: whole rows go back, and others write as well."""
        guarded = _WRITTEN.get(sql)
        if guarded is None or (place := (guarded.table, values[guarded.key])) not in self._seen:
            return
        before = self._seen.pop(place)  # from now on it is ours until the end of the transaction
        self._alone(*place)
        now = super().execute(guarded.again, {"key": place[1]})
        if (now[0] if now else None) != before:
            raise Raced(f"{place[1]} of {place[0]} was changed meanwhile")

    def _alone(self, table: str, key: str) -> None:
        """Let nobody else in here with the same key before this transaction is over, be there a row or not."""
        super().execute(_ALONE, {"key": f"{table} {key}"})

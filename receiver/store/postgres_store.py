"""The verbs on one PostgreSQL connection, inside whatever transaction it has open."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from receiver.copying import replace
from receiver.domain import Destination, Ms
from receiver.store.postgres_sql import OURS, reading
from receiver.store.records import Queue
from receiver.store.shares import Share
from receiver.store.statements import Row
from receiver.store.verbs import SharedVerbs


class PostgresStore(SharedVerbs):
    """The verbs of a transaction that reads. `process` names this process among those that share the database."""

    translated: Callable[[str], str] = staticmethod(reading)

    def __init__(
        self,
        connection: "psycopg.Connection[Row]",
        process: str,
        share: Callable[[], Share],
        judged: Callable[[psycopg.Error], Exception],
    ) -> None:
        self._connection = connection
        self._process = process
        self._share = share
        self._judged = judged

    def execute(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        cursor = self._run(sql, values)
        return cursor.fetchall() if cursor.description else []

    def changed(self, sql: str, values: Mapping[str, Any]) -> int:
        return self._run(sql, values).rowcount

    def _run(self, sql: str, values: Mapping[str, Any]) -> "psycopg.Cursor[Row]":
        # Every statement is one of ours: only its values come from outside.
        text = self.translated(sql)
        try:
            return self._connection.execute(text, {**values, "process": self._process})
        except psycopg.Error as error:
            raise self._judged(error) from error

    def queues(self) -> Sequence[Queue]:
        """What waits, with the part of each destination's limits that is this replica's; none where it has no part."""
        share = self._share()
        found = [
            replace(
                each,
                max_in_flight=share.whole(each.max_in_flight),
                rate_per_second=share.rate(each.rate_per_second),
            )
            for each in super().queues()
        ]
        return [each for each in found if each.max_in_flight > 0]

    def deliverable(self, destination_id: str, now: Ms) -> Destination | None:
        found = super().deliverable(destination_id, now)
        if found is None:
            return None
        share = self._share()
        return replace(
            found,
            max_in_flight=share.whole(found.max_in_flight),
            rate_per_second=share.rate(found.rate_per_second),
        )

    def lapse_leases(self, now: Ms) -> None:
        """Those of this process: others' lapse by their time."""
        self.count("lapse_timers", now=now)
        self.count("lapse_deliveries", now=now)

    def release_leases(self, now: Ms) -> None:
        """Those of this process: others go on."""
        self.count("release_polls", now=now)
        self.count("release_deliveries", now=now)
        self.changed(OURS["forget_replica"], {})

    def schema_version(self) -> int:
        row = self.one("select_schema_version")
        return int(row["version"] or 0) if row else 0

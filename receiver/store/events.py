"""Verbs about events."""

from collections.abc import Sequence

from receiver import json_text
from receiver.domain import Event, Ms
from receiver.ids import first_id
from receiver.store.records import Found, Page, Recorded, Span
from receiver.store.searches import Condition, Searches
from receiver.store.statements import Row, Where

# All others have an index of their own. SQLite, and so this, says of it what the migration says.
COMMON_TYPES = ("task.queued", "task.submitted", "task.running", "task.progress", "task.succeeded")
_RARE = " AND ".join(f"type <> '{each}'" for each in COMMON_TYPES)


class EventVerbs(Searches):
    def next_seq(self) -> int:
        [row] = self.run("next_seq")
        return int(row["value"])

    def skip_seqs(self, count: int) -> int:
        [row] = self.run("skip_seqs", count=count)
        return int(row["value"])

    def record_event(self, event: Event, body: str) -> None:
        self.count(
            "insert_event",
            seq=event.seq,
            id=event.id,
            tenant=event.task.tenant,
            task_id=event.task.id,
            provider=event.task.provider,
            type=event.type.value,
            at=event.at,
            body=body,
        )

    def record_operator_event(
        self, *, seq: int, id: str, tenant: str, provider: str, type: str, at: Ms, body: str
    ) -> None:
        self.count(
            "insert_event",
            seq=seq,
            id=id,
            tenant=tenant,
            task_id="",
            provider=provider,
            type=type,
            at=at,
            body=body,
        )

    def event(self, event_id: str, tenant: str) -> Recorded | None:
        where = Where()
        where.add("id = ?", event_id)
        where.add("tenant = ?", tenant)
        rows = self.page("SELECT * FROM events", where, order="seq", limit=1)
        return _recorded(rows[0]) if rows else None

    def newest_seq(self, tenant: str) -> int:
        [row] = self.run("select_newest_seq", tenant=tenant)
        return int(row["seq"] or 0)

    def last_seq(self) -> int:
        [counted], [kept] = self.run("select_seq"), self.run("select_last_seq")
        return max(int(counted["value"]), int(kept["seq"] or 0))

    def events_after(self, seq: int, *, limit: int) -> Sequence[Recorded]:
        return [_recorded(row) for row in self.run("select_events_after", seq=seq, limit=limit)]

    def list_events(self, page: Page, *, after: int | None, newest_first: bool) -> Found[Recorded]:
        filters = page.where or {}
        task_id, types = filters.get("task_id"), filters.get("type")
        start: Condition = ("seq < ?" if newest_first else "seq > ?", after)
        of_types: Condition = ("type IN (SELECT value FROM json_each(?))", types and json_text.write(list(types)))
        if task_id is not None:
            # A task has a handful: not looked for among all that its tenant ever had.
            pieces = [[("task_id = ?", task_id), start]]
            rest = [("tenant || '' = ?", page.tenant), of_types]
        elif types and not set(types).intersection(COMMON_TYPES):
            pieces = [[("tenant = ?", page.tenant), ("type = ?", each), (_RARE,), start] for each in types]
            rest = []
        else:
            pieces, rest = [[("tenant = ?", page.tenant), start]], [of_types]
        return self.search(
            "SELECT * FROM events",
            pieces,
            [*rest, ("provider = ?", filters.get("provider"))],
            key="seq",
            newest_first=newest_first,
            limit=page.limit,
            item=_recorded,
        )

    def span_of_events(self, tenant: str, *, since: Ms, until: Ms) -> Span | None:
        ends = {"first_id": first_id("evt", since), "end_id": first_id("evt", until)}
        [row] = self.run("select_span", tenant=tenant, **ends)
        return None if row["first"] is None else Span(**ends, first=row["first"], last=row["last"])

    def events_between(self, tenant: str, span: Span, *, after: int, limit: int) -> Sequence[Recorded]:
        ends = {"first_id": span.first_id, "end_id": span.end_id, "last": span.last}
        rows = self.run("select_events_between", tenant=tenant, **ends, after=after, limit=limit)
        return [_recorded(row) for row in rows]


def _recorded(row: Row) -> Recorded:
    return Recorded(
        seq=row["seq"],
        id=row["id"],
        type=row["type"],
        task_id=row["task_id"],
        body=row["body"],
        tenant=row["tenant"],
        provider=row["provider"],
    )

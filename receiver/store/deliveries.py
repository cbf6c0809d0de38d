"""Verbs about deliveries: what is owed, claimed, tried."""

from collections.abc import Mapping, Sequence
from typing import Any

from receiver import json_text
from receiver.domain import Attempt, Delivery, DeliveryState, Destination, Ms
from receiver.store.records import Lease, Page, Parcel, Queue
from receiver.store.rows import attempt_of, attempt_row, delivery_of, delivery_row, leased_of
from receiver.store.statements import QUERIES, Row, Statements, Where

# Statements about the one delivery whose id they name.
OF_ONE_DELIVERY = frozenset(QUERIES[name] for name in ("settle_delivery", "release_delivery", "set_delivery"))


class DeliveryVerbs(Statements):
    def record_delivery(self, delivery: Delivery, seq: int) -> None:
        self.count("insert_delivery", **delivery_row(delivery, seq))

    def hand_off(self, destination: Destination, now: Ms) -> Lease | None:
        return None

    def delivery(self, delivery_id: str, tenant: str) -> Delivery | None:
        row = self.one("select_delivery", id=delivery_id)
        return delivery_of(row) if row and row["tenant"] == tenant else None

    def list_deliveries(self, page: Page) -> Sequence[Delivery]:
        filters: Mapping[str, Any] = {**(page.where or {}), "tenant": page.tenant}
        # A task, or an event, has a handful: not looked for among all that a tenant, or a destination, ever had.
        if filters.get("task_id") is not None or filters.get("event_id") is not None:
            aside = ("tenant", "state", "destination_id")
            return [delivery_of(row) for row in self._deliveries(page, filters, aside=aside)]
        # Each state is a piece of an index, in the order of ids.
        states = DeliveryState if filters.get("state") is None else (filters["state"],)
        if filters.get("destination_id") is not None:
            filters = {**filters, "tenant": None}  # another tenant's would be gone through to its end
        rows = [row for each in states for row in self._deliveries(page, {**filters, "state": each})]
        rows = [row for row in rows if row["tenant"] == page.tenant]
        rows.sort(key=lambda row: str(row["id"]), reverse=True)
        return [delivery_of(row) for row in rows[: page.limit]]

    def _deliveries(self, page: Page, filters: Mapping[str, Any], *, aside: Sequence[str] = ()) -> Sequence[Row]:
        """One piece of a list, newest first; columns that stand `aside` are no way to find it."""
        where = Where()
        where.add("id < ?", page.cursor)
        for column in ("tenant", "state", "destination_id", "task_id", "event_id"):
            where.add(f"{column} || '' = ?" if column in aside else f"{column} = ?", filters.get(column))
        return self.page("SELECT * FROM deliveries", where, order="id DESC", limit=page.limit)

    def attempts(self, delivery_id: str) -> Sequence[Attempt]:
        return [attempt_of(row) for row in self.run("select_attempts", delivery_id=delivery_id)]

    def delivery_states(self, destination_id: str, event_ids: Sequence[str]) -> Mapping[str, set[DeliveryState]]:
        states: dict[str, set[DeliveryState]] = {}
        ids = json_text.write(list(event_ids))
        for row in self.run("select_delivery_states", destination_id=destination_id, event_ids=ids):
            states.setdefault(row["event_id"], set()).add(DeliveryState(row["state"]))
        return states

    def queues(self) -> Sequence[Queue]:
        return self.owed()

    def owed(self) -> Sequence[Queue]:
        return [_queue(row) for row in self.run("select_queues") if row["next_due_at"] is not None]

    def claim_deliveries(
        self, destination_id: str, *, owner: str, now: Ms, until: Ms, limit: int, freshest: int = 0
    ) -> Sequence[Parcel]:
        of = {"destination_id": destination_id, "now": now}
        rows = list(self.run("select_due_deliveries", **of, limit=limit - freshest))
        if freshest and len(rows) == limit - freshest:
            known = {row["id"] for row in rows}
            newest = self.run("select_freshest_deliveries", **of, limit=freshest)
            rows += [row for row in newest if row["id"] not in known]
        return self._leased(rows, owner, until)

    def claim_probe(
        self, destination_id: str, *, owner: str, now: Ms, until: Ms, freshest: bool = False
    ) -> Parcel | None:
        of = {"destination_id": destination_id, "now": now}
        row = self.one("select_freshest_deliveries", **of, limit=1) if freshest else None
        row = row or self.one("select_first_delivery", **of)
        [parcel] = self._leased([row], owner, until) if row else [None]
        return parcel

    def next_due_delivery(self, destination_id: str) -> Ms | None:
        row = self.one("select_next_due_delivery", destination_id=destination_id)
        return row["due_at"] if row else None

    def _leased(self, rows: Sequence[Row], owner: str, until: Ms) -> list[Parcel]:
        if rows:
            self.count("lease_deliveries", owner=owner, until=until, ids=json_text.write([row["id"] for row in rows]))
        return [_parcel(row, owner, until) for row in rows]

    def unended_attempts(self, delivery: Delivery) -> int:
        [row] = self.run("select_last_attempt", delivery_id=delivery.id)
        return delivery.attempts - 1 - int(row["number"] or 0)

    def record_success(self, delivery_id: str, attempt: Attempt) -> None:
        self.count("insert_attempt", delivery_id=delivery_id, **attempt_row(attempt))
        self.count("settle_delivered", id=delivery_id)

    def settle_delivery(
        self,
        delivery_id: str,
        attempt: Attempt,
        *,
        owner: str,
        state: DeliveryState,
        tries: int,
        due_at: Ms | None,
    ) -> bool:
        self.count("insert_attempt", delivery_id=delivery_id, **attempt_row(attempt))
        following = {"state": state.value, "tries": tries, "due_at": due_at}
        return self.count("settle_delivery", id=delivery_id, owner=owner, **following) == 1

    def release_delivery(self, delivery_id: str, *, owner: str, now: Ms) -> None:
        self.count("release_delivery", id=delivery_id, owner=owner, now=now)

    def set_delivery(self, delivery_id: str, *, state: DeliveryState, tries: int, due_at: Ms | None) -> None:
        self.count("set_delivery", id=delivery_id, state=state.value, tries=tries, due_at=due_at)

    def waits_for(self, destination_id: str, task_id: str) -> bool:
        return self.one("select_waiting_delivery", destination_id=destination_id, task_id=task_id) is not None

    def advance_line(self, destination_id: str, task_id: str, now: Ms) -> None:
        self.count("advance_line", destination_id=destination_id, task_id=task_id, now=now)

    def fall_in(self, delivery: Delivery, due_at: Ms) -> None:
        if self.count("fall_in", id=delivery.id):
            self.advance_line(delivery.destination_id, delivery.task_id, due_at)

    def form_lines(self, destination_id: str, *, before: str, limit: int) -> str | None:
        rows = self.run("select_latest_pending", destination_id=destination_id, before=before, limit=limit)
        return self._bite("form_lines", rows, limit)

    def dissolve_lines(self, destination_id: str, now: Ms, *, before: str, limit: int) -> str | None:
        rows = self.run("select_latest_waiting", destination_id=destination_id, before=before, limit=limit)
        return self._bite("dissolve_lines", rows, limit, now=now)

    def cancel_owed(self, destination_id: str, *, before: str, limit: int) -> str | None:
        rows = self.run("select_latest_pending", destination_id=destination_id, before=before, limit=limit)
        return self._bite("cancel_some_deliveries", rows, limit)

    def _bite(self, name: str, rows: Sequence[Row], limit: int, **values: Any) -> str | None:
        """Do this to these rows; the id of the last of them, None where there are no more behind it."""
        if rows:
            self.count(name, ids=json_text.write([row["id"] for row in rows]), **values)
        return str(rows[-1]["id"]) if len(rows) == limit else None


def _parcel(row: Row, owner: str, until: Ms) -> Parcel:
    leased = leased_of(row, owner=owner, due_at=until, attempts=row["attempts"] + 1)
    was_due_at, seq, lapsed = row["due_at"], row["event_seq"], row["owner"] is not None
    asked = None if row["input"] is None else json_text.Unread(row["input"])
    return Parcel(delivery=leased, seq=seq, body=row["body"], input=asked, was_due_at=was_due_at, lapsed=lapsed)


def _queue(row: Row) -> Queue:
    return Queue(
        destination_id=row["id"],
        tenant=row["tenant"],
        type=row["type"],
        max_in_flight=row["max_in_flight"],
        rate_per_second=row["rate_per_second"],
        next_due_at=row["next_due_at"],
        failures=row["failures"],
        probe_at=row["probe_at"],
    )

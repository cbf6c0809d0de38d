"""Verbs about destinations, and what is owed to them."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from receiver.domain import Attempt, Delivery, DeliveryState, Destination, Ms
from receiver.store.protocol import Owed, Page, Parcel
from receiver.store.rows import (
    attempt_of,
    delivery_of,
    delivery_row,
    destination_of,
    destination_row,
    signed_for_by_its_tenant,
)
from receiver.store.statements import Row, Statements, Where


class DeliveryVerbs(Statements):
    def record_destination(self, destination: Destination) -> None:
        self.count("insert_destination", **destination_row(destination))

    def record_hidden_destination(self, destination: Destination) -> None:
        self.count("insert_hidden_destination", **destination_row(destination))

    def hidden_destination(self, destination_id: str) -> Destination | None:
        row = self.one("select_hidden_destination", id=destination_id)
        return destination_of(row) if row else None

    def destination(self, destination_id: str, tenant: str) -> Destination | None:
        row = self.one("select_destination", id=destination_id)
        return destination_of(row) if row and row["tenant"] == tenant else None

    def log_named(self, name: str, tenant: str) -> Destination | None:
        row = self.one("select_log", target=name, tenant=tenant)
        return destination_of(row) if row else None

    def list_destinations(self, page: Page) -> Sequence[Destination]:
        where = Where()
        where.add("tenant = ?", page.tenant)
        where.add("id < ?", page.cursor)
        where.clauses.append("hidden = 0")
        rows = self.page("SELECT * FROM destinations", where, order="id DESC", limit=page.limit)
        return [destination_of(row) for row in rows]

    def enabled_destinations(self, tenant: str) -> Sequence[Destination]:
        return [destination_of(row) for row in self.run("select_enabled_destinations", tenant=tenant)]

    def delete_destination(self, destination_id: str) -> None:
        self.count("delete_destination", id=destination_id)
        self.count("cancel_deliveries", destination_id=destination_id)

    def record_delivery(self, delivery: Delivery, seq: int) -> None:
        self.count("insert_delivery", **delivery_row(delivery, seq))

    def delivery(self, delivery_id: str, tenant: str) -> Delivery | None:
        row = self.one("select_delivery", id=delivery_id)
        return delivery_of(row) if row and row["tenant"] == tenant else None

    def list_deliveries(self, page: Page) -> Sequence[Delivery]:
        where = Where()
        where.add("tenant = ?", page.tenant)
        where.add("id < ?", page.cursor)
        for column in ("state", "destination_id", "task_id", "event_id"):
            where.add(f"{column} = ?", (page.where or {}).get(column))
        rows = self.page("SELECT * FROM deliveries", where, order="id DESC", limit=page.limit)
        return [delivery_of(row) for row in rows]

    def attempts(self, delivery_id: str) -> Sequence[Attempt]:
        return [attempt_of(row) for row in self.run("select_attempts", delivery_id=delivery_id)]

    def owed_destinations(self) -> Sequence[Owed]:
        rows = self.run("select_owed_destinations")
        return [Owed(destination=signed_for_by_its_tenant(row), next_due_at=row["next_due_at"]) for row in rows]

    def claim_deliveries(self, destination_id: str, *, owner: str, now: Ms, until: Ms, limit: int) -> Sequence[Parcel]:
        rows = self.run("select_due_deliveries", destination_id=destination_id, now=now, limit=limit)
        for row in rows:
            self.count("lease_delivery", owner=owner, until=until, id=row["id"])
        return [_parcel(row, owner, until) for row in rows]

    def settle_delivery(
        self, delivery_id: str, attempt: Attempt, *, owner: str, state: DeliveryState, due_at: Ms | None
    ) -> bool:
        self.count("insert_attempt", delivery_id=delivery_id, **asdict(attempt))
        return self.count("settle_delivery", id=delivery_id, owner=owner, state=state.value, due_at=due_at) == 1

    def release_delivery(self, delivery_id: str, *, owner: str, now: Ms) -> None:
        self.count("release_delivery", id=delivery_id, owner=owner, now=now)


def _parcel(row: Row, owner: str, until: Ms) -> Parcel:
    leased = replace(delivery_of(row), owner=owner, due_at=until, attempts=row["attempts"] + 1)
    return Parcel(delivery=leased, seq=row["event_seq"], body=row["body"], input=row["input"])

"""Verbs about destinations: where tenants want events, and how each fares."""

from collections.abc import Collection, Mapping, Sequence

from receiver import json_text
from receiver.breaker_policy import Breaker
from receiver.copying import replace
from receiver.domain import Destination, Ms
from receiver.sealing import tenant_row
from receiver.store.records import Page
from receiver.store.rows import breaker_of, breaker_row, destination_of, destination_row, retired_of
from receiver.store.statements import Statements, Where


class DestinationVerbs(Statements):
    def record_destination(self, destination: Destination) -> None:
        self.count("insert_destination", **destination_row(destination))

    def record_hidden_destination(self, destination: Destination) -> None:
        self.count("insert_hidden_destination", **destination_row(destination))
        if self.count("enable_again", id=destination.id):
            self.count("delete_breaker", destination_id=destination.id)

    def record_hook(self, hook: Destination) -> str:
        self.count("upsert_hook", **destination_row(hook))  # from here on it is held, and nobody deletes it
        [row] = self.run("select_hook", tenant=hook.tenant, target=hook.target, hook=hook.hook)
        self.count("delete_breaker", destination_id=row["id"])
        return str(row["id"])

    def list_hooks(self, page: Page) -> Sequence[Destination]:
        where = Where()
        where.add("tenant = ?", page.tenant)
        where.add("id < ?", page.cursor)
        where.clauses.append("hook IS NOT NULL")
        where.add("target = ?", (page.where or {}).get("target"))
        where.add("hook = ?", (page.where or {}).get("hook"))
        rows = self.page("SELECT * FROM destinations", where, order="id DESC", limit=page.limit)
        return [destination_of(row) for row in rows]

    def gone_hooks(self) -> Sequence[str]:
        return [str(row["id"]) for row in self.run("select_gone_hooks")]

    def delete_gone_hook(self, destination_id: str) -> None:
        if self.count("delete_gone_hook", id=destination_id):
            self.delete_destination(destination_id)

    def hidden_destination(self, destination_id: str) -> Destination | None:
        row = self.one("select_hidden_destination", id=destination_id)
        return destination_of(row) if row else None

    def destination(self, destination_id: str, tenant: str) -> Destination | None:
        row = self.one("select_destination", id=destination_id)
        return destination_of(row) if row and row["tenant"] == tenant else None

    def log_named(self, name: str, tenant: str) -> Destination | None:
        row = self.one("select_log", target=name, tenant=tenant)
        return destination_of(row) if row else None

    def ordered_destinations(self) -> Sequence[str]:
        return [str(row["id"]) for row in self.run("select_ordered")]

    def logs_with_an_end(self) -> Sequence[Destination]:
        return [destination_of(row) for row in self.run("select_logs_with_an_end")]

    def list_destinations(self, page: Page) -> Sequence[Destination]:
        where = Where()
        where.add("tenant = ?", page.tenant)
        where.add("id < ?", page.cursor)
        where.clauses.append("hidden = 0")
        rows = self.page("SELECT * FROM destinations", where, order="id DESC", limit=page.limit)
        return [destination_of(row) for row in rows]

    def enabled_destinations(self, tenant: str) -> Sequence[Destination]:
        return [destination_of(row) for row in self.run("select_enabled_destinations", tenant=tenant)]

    def deliverable(self, destination_id: str, now: Ms) -> Destination | None:
        row = self.one("select_deliverable", id=destination_id)
        if row is None:
            return None
        kept = destination_of(row)
        owner = tenant_row(kept.tenant) if kept.hidden else kept.id
        secret = (row["tenant_secret"] or "") if kept.hidden else kept.sealed_secret
        retired = self.run("select_retired_secrets_of", owner=owner, now=now)
        return replace(kept, sealed_secret=secret, retired=tuple(retired_of(each) for each in retired))

    def save_destination(self, destination: Destination) -> None:
        self.count("update_destination", **destination_row(destination))

    def delete_destination(self, destination_id: str) -> None:
        self.count("delete_destination", id=destination_id)
        self.count("cancel_deliveries", destination_id=destination_id)
        self.count("delete_breaker", destination_id=destination_id)
        self.count("delete_retired_secrets_of", owner=destination_id)

    def breaker(self, destination_id: str) -> Breaker:
        row = self.one("select_breaker", destination_id=destination_id)
        return breaker_of(row) if row else Breaker(destination_id=destination_id)

    def held(self, destination_ids: Collection[str], now: Ms) -> Mapping[str, Ms | None]:
        rows = self.run("select_held", ids=json_text.write(list(destination_ids)))
        return {row["id"]: max(row["probe_at"], now) if row["enabled"] else None for row in rows}

    def save_breaker(self, breaker: Breaker) -> None:
        if breaker == Breaker(destination_id=breaker.destination_id):
            self.count("delete_breaker", destination_id=breaker.destination_id)
        else:
            self.count("upsert_breaker", **breaker_row(breaker))

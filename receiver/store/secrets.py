"""Verbs about secrets, all of them sealed: a tenant's own, those that were rotated out, and whatever else is sealed."""

from collections.abc import Sequence

from receiver.domain import Ms, RetiredSecret
from receiver.store.records import Sealed
from receiver.store.rows import retired_of
from receiver.store.statements import Statements


class SecretVerbs(Statements):
    def tenant_secret(self, tenant: str) -> str | None:
        row = self.one("select_tenant_secret", tenant=tenant)
        return row["sealed_secret"] if row else None

    def keep_tenant_secret(self, tenant: str, sealed: str) -> str:
        self.count("insert_tenant_secret", tenant=tenant, sealed_secret=sealed)
        [row] = self.run("select_tenant_secret", tenant=tenant)
        return str(row["sealed_secret"])

    def replace_tenant_secret(self, tenant: str, sealed: str) -> str | None:
        before = self.tenant_secret(tenant)
        self.count("upsert_tenant_secret", tenant=tenant, sealed_secret=sealed)
        return before

    def retire_secret(self, owner: str, sealed: str, *, now: Ms, until: Ms) -> None:
        self.prune_retired_secrets(now)
        if until > now:
            self.count("insert_retired_secret", owner=owner, sealed_secret=sealed, until=until)

    def forget_retired_secret(self, owner: str, sealed: str) -> None:
        self.count("delete_retired_secret", owner=owner, sealed_secret=sealed)

    def prune_retired_secrets(self, now: Ms) -> None:
        self.count("delete_retired_secrets", now=now)

    def retired_secrets(self, owner: str, now: Ms) -> Sequence[RetiredSecret]:
        rows = self.run("select_retired_secrets_of", owner=owner, now=now)
        return [retired_of(row) for row in rows]

    def sealed_secrets(self) -> Sequence[Sealed]:
        return [Sealed(**row) for row in self.run("select_sealed_secrets")]

    def reseal(self, old: Sealed, text: str) -> bool:
        return self.count(f"reseal_{old.place}", row=old.row, old=old.text, text=text) == 1

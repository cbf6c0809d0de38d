"""Verbs about a tenant's own secret, which signs for its tasks' webhooks."""

from receiver.domain import Ms
from receiver.store.statements import Statements


class SecretVerbs(Statements):
    def tenant_secret(self, tenant: str) -> str | None:
        row = self.one("select_tenant_secret", tenant=tenant)
        return row["sealed_secret"] if row else None

    def keep_tenant_secret(self, tenant: str, sealed: str) -> str:
        self.count("insert_tenant_secret", tenant=tenant, sealed_secret=sealed)
        [row] = self.run("select_tenant_secret", tenant=tenant)
        return str(row["sealed_secret"])

    def rotate_tenant_secret(self, tenant: str, sealed: str, *, until: Ms) -> None:
        self.count("rotate_tenant_secret", tenant=tenant, sealed_secret=sealed, retired_until=until)

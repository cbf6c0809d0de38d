"""Verbs about idempotency keys."""

from dataclasses import asdict

from receiver.store.records import KeptKey
from receiver.store.statements import Statements


class KeyVerbs(Statements):
    def keep_key(self, kept: KeptKey) -> bool:
        return self.count("insert_key", **asdict(kept)) == 1

    def kept_key(self, key: str, tenant: str) -> KeptKey | None:
        row = self.one("select_key", tenant=tenant, key=key)
        return KeptKey(**row) if row else None

    def answer_key(self, key: str, tenant: str, status: int) -> None:
        self.count("answer_key", tenant=tenant, key=key, status=status)

"""Verbs about what is kept no longer."""

from collections.abc import Sequence

from receiver import json_text
from receiver.domain import Ms
from receiver.ids import first_id
from receiver.store.records import Bite
from receiver.store.statements import Row, Statements

_OF_EVENTS = ("attempts", "deliveries", "events")
_OF_TASKS = ("inputs", "inbox", "notes", "tallies", "idempotency_keys", "tasks")
_OF_WEBHOOKS = ("destinations", "breakers")


class RetentionVerbs(Statements):
    def prune_events(self, before: Ms, *, after: str, limit: int) -> Bite:
        rows = self.run("select_old_events", after=after, end_id=first_id("evt", before), limit=limit)
        gone = [row for row in rows if not row["owed"]]
        for tenant in sorted({row["tenant"] for row in gone}):
            self.count("raise_pruned", tenant=tenant, seq=max(row["seq"] for row in gone if row["tenant"] == tenant))
        return Bite(rows=self._prune(_OF_EVENTS, [row["id"] for row in gone]), last=_last(rows, limit))

    def prune_tasks(self, before: Ms, *, after: str, limit: int) -> Bite:
        until = {"end_id": first_id("task", before), "before": before}
        rows = self.run("select_old_tasks", after=after, **until, limit=limit)
        gone = [row for row in rows if not row["kept"]]
        deleted = self._prune(_OF_TASKS, [row["id"] for row in gone])
        webhooks = {row["webhook_id"] for row in gone if row["webhook_id"] is not None}
        return Bite(rows=deleted | self._prune(_OF_WEBHOOKS, sorted(webhooks)), last=_last(rows, limit))

    def pruned_seq(self, tenant: str) -> int:
        row = self.one("select_pruned", tenant=tenant)
        return int(row["seq"]) if row else 0

    def _prune(self, tables: Sequence[str], ids: Sequence[str]) -> dict[str, int]:
        if not ids:
            return {}
        return {table: self.count(f"prune_{table}", ids=json_text.write(list(ids))) for table in tables}


def _last(rows: Sequence[Row], limit: int) -> str | None:
    return str(rows[-1]["id"]) if len(rows) == limit else None

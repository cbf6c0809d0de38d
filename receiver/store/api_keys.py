"""Verbs about API keys, and about whose an object is."""

from collections.abc import Sequence
from typing import Any

from receiver.api_keys import ApiKey, Scope
from receiver.domain import Ms
from receiver.store.records import Page
from receiver.store.statements import Row, Statements, Where

_OWNED = {
    "task": "tasks",
    "evt": "events",
    "dst": "destinations",
    "dlv": "deliveries",
    "key": "api_keys",
}


class ApiKeyVerbs(Statements):
    def record_api_key(self, key: ApiKey, digest: str) -> None:
        self.count("insert_api_key", **_key_row(key), digest=digest)

    def api_key_of(self, digest: str) -> ApiKey | None:
        row = self.one("select_api_key_by_digest", digest=digest)
        return _key_of(row) if row else None

    def api_key(self, key_id: str, tenant: str) -> ApiKey | None:
        row = self.one("select_api_key", id=key_id)
        return _key_of(row) if row and row["tenant"] == tenant else None

    def list_api_keys(self, page: Page) -> Sequence[ApiKey]:
        where = Where()
        where.add("tenant = ?", page.tenant)
        where.add("id < ?", page.cursor)
        rows = self.page("SELECT * FROM api_keys", where, order="id DESC", limit=page.limit)
        return [_key_of(row) for row in rows]

    def delete_api_key(self, key_id: str) -> bool:
        return self.count("delete_api_key", id=key_id) == 1

    def note_use(self, key_id: str, now: Ms) -> None:
        self.count("note_use", id=key_id, now=now)

    def tenant_spelt_otherwise(self, tenant: str) -> str | None:
        row = self.one("select_tenant_spelt_otherwise", tenant=tenant)
        return str(row["tenant"]) if row else None

    def owner_of(self, object_id: str) -> str | None:
        table = _OWNED.get(object_id.partition("_")[0])
        if table is None:
            return None
        rows = self.execute(f"SELECT tenant FROM {table} WHERE id = :id", {"id": object_id})  # noqa: S608 - ours
        return str(rows[0]["tenant"]) if rows else None


def _key_row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "label": key.label,
        "scopes": " ".join(key.scopes),
        "hint": key.hint,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
    }


def _key_of(row: Row) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant=row["tenant"],
        label=row["label"],
        scopes=tuple(Scope(word) for word in row["scopes"].split()),
        hint=row["hint"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )

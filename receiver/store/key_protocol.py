"""What every store can do about tenants: their API keys, whose an object is, what their tasks cost."""

from collections.abc import Sequence
from typing import Protocol

from receiver.api_keys import ApiKey
from receiver.domain import Ms
from receiver.store.records import Page, Part


class KeyStore(Protocol):
    """Verbs of a `Store`."""

    def record_api_key(self, key: ApiKey, digest: str) -> None: ...

    def api_key_of(self, digest: str) -> ApiKey | None:
        """The key with this digest."""

    def api_key(self, key_id: str, tenant: str) -> ApiKey | None: ...

    def list_api_keys(self, page: Page) -> Sequence[ApiKey]: ...

    def delete_api_key(self, key_id: str) -> bool:
        """Forget a key; False where there is none."""

    def note_use(self, key_id: str, now: Ms) -> None:
        """A key was used at this time, or later."""

    def tenant_spelt_otherwise(self, tenant: str) -> str | None:
        """A tenant with keys whose name is this one but for capitals."""

    def owner_of(self, object_id: str) -> str | None:
        """The tenant whose task, event, destination, delivery or API key has this id; None where there is none."""

    def add_up(self, tenant: str, *, since: str, before: str, limit: int, metadata: Sequence[str]) -> Part | None:
        """A tenant's tasks from the id `since` on and before another, the newest so many, counted by all that their
        cost depends on and by their values of these keys; None where there are none.
        """

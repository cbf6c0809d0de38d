"""What every store can do about REST hooks: destinations that are there once for each URL and event."""

from collections.abc import Sequence
from typing import Protocol

from receiver.domain import Destination
from receiver.store.records import Page


class HookStore(Protocol):
    """Verbs of a `Store`; everything else that is done to a hook is done to it as a destination."""

    def record_hook(self, hook: Destination) -> str:
        """Keep a REST hook, or find the one with its URL and event, enabled and as if it had never failed; its id."""

    def list_hooks(self, page: Page) -> Sequence[Destination]:
        """Filters: target, hook (the event that was asked for)."""

    def gone_hooks(self) -> Sequence[str]:
        """Those, of whatever tenant, whose targets answered 410, and that are still there."""

    def delete_gone_hook(self, destination_id: str) -> None:
        """Forget it, as `delete_destination` does, unless somebody has subscribed again."""

"""The providers this process serves, each with its adapter."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.base import Adapter
from receiver.domain import Provider
from receiver.signing import CallbackTokens


@dataclass(frozen=True, slots=True)
class Served:
    """One configured account, and the translator for its wire."""

    provider: Provider
    adapter: Adapter


Providers = Mapping[str, Served]


@dataclass(frozen=True, slots=True)
class CallbackUrls:
    """The addresses that providers call back: one per task, its token the proof that we asked."""

    public_url: str | None
    tokens: CallbackTokens

    def expected(self, served: Served) -> bool:
        """Whether a task of this provider gets a callback."""
        return self.public_url is not None and served.adapter.profile.takes_callback

    def of(self, served: Served, task_id: str) -> str | None:
        """The URL to hand over with a task; None where the provider, or nobody, can call us."""
        if not self.expected(served):
            return None
        token = self.tokens.issue(served.provider.name, task_id)
        return f"{self.public_url}/callbacks/{served.provider.name}/{token}"

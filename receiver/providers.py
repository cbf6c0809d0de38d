"""The providers this process serves, each with its adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.base import Accepted, Adapter, PollAnswer, SubmitAnswer
from receiver.domain import Callback, Failure, Ms, Provider, Reply, Task, Update
from receiver.signing import CallbackTokens, redact


@dataclass(frozen=True, slots=True)
class Served:
    """One configured account, and the translator for its wire.

    What is read here has our key and callback tokens cut out wherever the provider's own text echoes them.
    """

    provider: Provider
    adapter: Adapter

    def read_submit(self, reply: Reply, task: Task, now: Ms) -> SubmitAnswer:
        """What the answer to a submit means."""
        answer = self.adapter.read_submit(reply, media=task.media, now=now)
        if isinstance(answer, Accepted):
            return replace(answer, update=self._clean_update(answer.update))
        return replace(answer, failure=self._clean_failure(answer.failure))

    def read_poll(self, reply: Reply, task: Task, now: Ms) -> PollAnswer:
        """What the answer to a poll means."""
        answer = self.adapter.read_poll(reply, media=task.media, now=now)
        if isinstance(answer, Update):
            return self._clean_update(answer)
        return replace(answer, failure=self._clean_failure(answer.failure))

    def read_callback(self, callback: Callback, task: Task, now: Ms) -> Sequence[Update]:
        """The updates in a callback; raises `Malformed`."""
        updates = self.adapter.read_callback(callback, media=task.media, now=now)
        return [self._clean_update(update) for update in updates]

    def _clean_update(self, update: Update) -> Update:
        error = self._clean_failure(update.error) if update.error else None
        return replace(update, error=error, provider_status=self._clean(update.provider_status))

    def _clean_failure(self, failure: Failure) -> Failure:
        return replace(failure, message=self._clean(failure.message) or "", code=self._clean(failure.code))

    def _clean(self, text: str | None) -> str | None:
        if text is None:
            return None
        return redact(text.replace(self.provider.api_key, "[key]").encode()).decode()


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

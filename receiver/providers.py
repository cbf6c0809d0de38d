"""The providers this process serves, each with its adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapters.base import Accepted, Adapter, Ambiguous, PollAnswer, PollFailed, SubmitAnswer
from receiver.copying import replace
from receiver.counts import ProviderCounts
from receiver.domain import Failure, FailureKind, Kind, Ms, Output, Provider, Task, Trust, Update
from receiver.errors import ConfigurationError, Malformed, NotVerified
from receiver.signing import CallbackTokens, may_hold_token, redact
from receiver.telemetry import log
from receiver.wire import Call, Callback, NoReply, Reply

# A provider's answer may echo the whole input, which may fill a request of ours.
PROVIDER_CAP = 4 * 1024 * 1024
# What is asked about where the question is only whether a provider answers us.
NO_TASK = "taskweir-probe-00000000"


@dataclass(frozen=True, slots=True)
class Served:
    """One configured account, and the translator for its wire.

    What is read here has our key and callback tokens cut out wherever the provider's own text echoes them. `counts` is
    what this process did there.
    """

    provider: Provider
    adapter: Adapter
    counts: ProviderCounts = field(default_factory=ProviderCounts, compare=False)

    def submit(self, task: Task, callback_url: str | None) -> Call | NoReply:
        """The request that hands a task over; nothing that could be sent where the adapter fails at it."""
        try:
            return self.adapter.submit(self.provider, task.model, task.input, callback_url)
        except Exception as error:  # noqa: BLE001 - an adapter is a guest: what was never sent is not in doubt
            return NoReply(sent=False, reason=_broken(error).message)

    def poll(self, provider_task_id: str) -> Call | NoReply:
        """The request that asks how a task stands; nothing that could be sent where the adapter fails at it."""
        try:
            return self.adapter.poll(self.provider, provider_task_id)
        except Exception as error:  # noqa: BLE001 - an adapter is a guest: its fault is a failed poll
            return NoReply(sent=False, reason=_broken(error).message)

    def read_submit(self, reply: Reply, task: Task, now: Ms) -> SubmitAnswer:
        """What the answer to a submit means."""
        try:
            answer = self.adapter.read_submit(reply, media=task.media, now=now)
        except Exception as error:  # noqa: BLE001 - an adapter is a guest: what it raises must not lose a paid task
            return Ambiguous(failure=_broken(error))
        if isinstance(answer, Accepted):
            clean = self._clean_update(answer.update)
            return answer if clean is answer.update else replace(answer, update=clean)
        return replace(answer, failure=self._clean_failure(answer.failure))

    def read_poll(self, reply: Reply, media: Kind, now: Ms) -> PollAnswer:
        """What the answer to a poll means; `media` is what the task asked for."""
        try:
            answer = self.adapter.read_poll(reply, media=media, now=now)
        except Exception as error:  # noqa: BLE001 - an adapter is a guest: its fault is a failed poll
            return PollFailed(failure=_broken(error))
        if isinstance(answer, Update):
            return self._clean_update(answer)
        return replace(answer, failure=self._clean_failure(answer.failure))

    def count_poll(self, answer: PollAnswer) -> None:
        """A poll's answer was recorded."""
        if isinstance(answer, PollFailed):
            self.counts.polled(answer.failure.kind, unknown=False)
        else:
            self.counts.polled(None, unknown=_unknown(answer))

    def read_callback(self, callback: Callback, task: Task, now: Ms) -> Sequence[Update]:
        """The updates in a callback; raises `Malformed`."""
        try:
            updates = self.adapter.read_callback(callback, media=task.media, now=now)
        except Malformed:
            raise
        except Exception as error:
            raise Malformed(_broken(error).message) from error
        return [self._clean_update(update) for update in updates]

    def vouches(self, callback: Callback, now: Ms) -> bool:
        """Whether the provider's signature over a callback verifies; never where that is not what is trusted."""
        if self.provider.trust is not Trust.SIGNATURE:
            return False
        try:
            self.adapter.verify_callback(callback, self.provider.callback_secret or "", now=now)
        except NotVerified:
            return False
        return True

    def _clean_update(self, update: Update) -> Update:
        error = self._clean_failure(update.error) if update.error else None
        outputs = tuple([self._clean_output(output) for output in update.outputs])
        status, task_id = self._clean(update.provider_status), self._clean(update.provider_task_id)
        if (error, status, task_id) == (None, update.provider_status, update.provider_task_id) and all(
            clean is told for clean, told in zip(outputs, update.outputs, strict=True)
        ):
            return update
        return replace(update, error=error, outputs=outputs, provider_status=status, provider_task_id=task_id)

    def _clean_output(self, output: Output) -> Output:
        url = self._clean(output.url) or ""
        return output if url == output.url else replace(output, url=url)

    def _clean_failure(self, failure: Failure) -> Failure:
        return replace(
            failure,
            message=self._clean(failure.message) or "",
            code=self._clean(failure.code),
            request_id=self._clean(failure.request_id),
        )

    def clean_body(self, raw: bytes) -> bytes:
        """A provider's own text as it may be kept."""
        return redact(raw.replace(self.provider.api_key.encode(), b"[key]"))

    def _clean(self, text: str | None) -> str | None:
        if text is None or not (self.provider.api_key in text or may_hold_token(text)):
            return text
        return self.clean_body(text.encode()).decode()


def _unknown(update: Update) -> bool:
    return update.status is None and update.provider_status is not None


def _broken(error: Exception) -> Failure:
    log.error("adapter.failed", error=repr(error), exc_info=error)
    return Failure(kind=FailureKind.UNKNOWN, message=f"an error of the adapter: {type(error).__name__}")


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


def serve_providers(accounts: Mapping[str, Provider], adapters: Mapping[str, Adapter]) -> Providers:
    """The configured providers with their adapters; raises `ConfigurationError`."""
    for provider in accounts.values():
        if provider.trust is not Trust.SIGNATURE:
            continue
        if not adapters[provider.adapter].profile.signs_callbacks:
            raise ConfigurationError(
                f"{provider.name}: trust is signature, but this provider does not sign its callbacks' bodies",
                hint="Use poll (the default) or token.",
            )
        if provider.callback_secret is None:
            raise ConfigurationError(
                f"{provider.name}: trust is signature, but the secret that the provider signs with is missing",
                hint=_place_of_secret(provider),
            )
    return {name: Served(provider, adapters[provider.adapter]) for name, provider in accounts.items()}


def _place_of_secret(provider: Provider) -> str:
    """Accounts of TASKWEIR_PROVIDERS have no variables of their own, not even under an adapter's name."""
    listed = f"`callback_secret` of {provider.name} in TASKWEIR_PROVIDERS"
    if provider.name != provider.adapter:
        return f"Set {listed}."
    return f"Set TASKWEIR_{provider.name.upper()}_CALLBACK_SECRET, or {listed} if it is listed there."

"""What an adapter is: pure translation between a provider's wire and our words.

An adapter builds requests and reads answers. It never opens a socket, reads a clock, logs or keeps state; the engine
owns all of that, and passes `now` where an answer speaks of time. Bodies decide before HTTP status: two of the first
four providers report errors inside HTTP 200.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from adapters.drop_in import DropIn
from receiver.domain import Failure, FailureKind, Kind, Ms, Pace, Provider, Update
from receiver.errors import Fault, Malformed, NotVerified
from receiver.wire import Call, Callback, Reply

Input = Mapping[str, Any]

# In the provider's own envelope these say no to the request itself, whatever the text beside them.
REFUSING_STATUSES = frozenset({400, 401, 402, 403, 404, 422})
_RETRY_AFTER_CAP_S = 24 * 3600
_NOT_THEIRS = "with no answer of the provider's own in it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a provider is like, as data.

    `pace` is its own advice on polling, youngest first. `deadline_s` is how long a task may take before we stop
    waiting. `grace_s` is how long "not found" may follow a submit before it is believed. `ack` is the body it wants
    after a callback; `signs_callbacks` says that `verify_callback` can prove who sent one.
    """

    base_url: str
    pace: tuple[Pace, ...]
    deadline_s: int
    takes_callback: bool = False
    signs_callbacks: bool = False
    grace_s: int = 120
    ack: bytes = b'{"ok":true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider took the task, or already finished it (then `update.status` is final)."""

    update: Update


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The provider said no, in its own envelope: nothing was created, and asking again would not help."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCreated:
    """The provider said that it created nothing, and asking again later may help.

    `full` is true where it said that too many tasks of ours are with it: one of them must end first.
    """

    failure: Failure
    retry_after_s: float | None = None
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """An answer from which nobody can tell whether a task was created: never sent again by itself."""

    failure: Failure


SubmitAnswer = Accepted | Refused | NotCreated | Ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class PollFailed:
    """A poll that says nothing about the task. A failure of kind `not_found` counts only after `Profile.grace_s`."""

    failure: Failure
    retry_after_s: float | None = None


PollAnswer = Update | PollFailed


class Adapter(ABC):
    """One kind of provider. Subclass it, set `profile`, fill in the five abstract methods; see adapters/README.md."""

    profile: Profile

    @abstractmethod
    def check_shape(self, model: str, input: Input) -> Iterable[Fault]:
        """Faults that no version of the provider could accept; `path` starts with `model` or `input`."""

    def check(self, model: str, input: Input) -> Iterable[Fault]:
        """What the provider's documents say it refuses, with its own code and message; only for models they name."""
        return ()

    @abstractmethod
    def submit(self, provider: Provider, model: str, input: Input, callback_url: str | None) -> Call:
        """The request that creates the task; `callback_url` is None where the provider takes none.

        `input` is the task's own, remembered and written again: nothing in it may be changed.
        """

    @abstractmethod
    def read_submit(self, reply: Reply, *, media: Kind, now: Ms) -> SubmitAnswer:
        """What the answer to `submit` means."""

    @abstractmethod
    def poll(self, provider: Provider, provider_task_id: str) -> Call:
        """The request that asks how a task stands; safe to repeat."""

    @abstractmethod
    def read_poll(self, reply: Reply, *, media: Kind, now: Ms) -> PollAnswer:
        """What the answer to `poll` means."""

    def read_callback(self, callback: Callback, *, media: Kind, now: Ms) -> Sequence[Update]:
        """The updates in a callback, none to many; raises `Malformed`, and nothing else, on anything odd."""
        raise Malformed("this provider sends no callbacks")

    def verify_callback(self, callback: Callback, secret: str, *, now: Ms) -> None:
        """Check the provider's signature over the body with the secret it shares with us.

        Raises `NotVerified`, and nothing else, whatever bytes and headers come. Only asked where
        `Profile.signs_callbacks` is set. A body that was cut at the door's cap does not verify.
        """
        raise NotVerified("this provider does not sign its callbacks")

    def answer_challenge(self, callback: Callback) -> bytes | None:
        """The JSON body to echo at once where a provider asks whether the URL is ours; None for a callback proper.

        Nothing is recorded of a challenge. Raises nothing, whatever bytes come.
        """
        return None

    def media(self, model: str, input: Input) -> Kind:
        """What kind of result the request asks for, where its URL does not tell."""
        return Kind.VIDEO

    def deadline_seconds(self, model: str, input: Input) -> int:
        """How long such a task may take before we stop waiting for it."""
        return self.profile.deadline_s

    def drop_in(self) -> DropIn | None:
        """The provider's own doors, for callers who speak its wire to us; None where there are none.

        Load them here, not with the adapter: a start does not need them.
        """
        return None


def not_created(failure: Failure, reply: Reply, now: Ms, *, full: bool = False) -> NotCreated:
    """The provider said so: asked again later, after its `Retry-After` where it names one."""
    return NotCreated(failure=failure, retry_after_s=retry_after_seconds(reply.headers, now), full=full)


def in_doubt(failure: Failure) -> Ambiguous:
    """Whether a task was created is not known: whatever the failure is, nobody may take it for safe to retry."""
    return Ambiguous(failure=replace(failure, retryable=False))


def poll_failed(failure: Failure, reply: Reply, now: Ms) -> PollFailed:
    """Asked again on the schedule, or after its `Retry-After` where it names one."""
    return PollFailed(failure=failure, retry_after_s=retry_after_seconds(reply.headers, now))


def unexplained_submit(reply: Reply, now: Ms, *, lacks: str = _NOT_THEIRS) -> NotCreated | Ambiguous:
    """An answer to a submit without anything of the provider's own in it: only 429 says that nothing was created.

    Not even a 4xx refuses, for a gateway's page proves nothing. `lacks` ends the message "HTTP 502 …".
    """
    failure = failure_of_status(reply.status, f"HTTP {reply.status} {lacks}")
    return not_created(failure, reply, now) if reply.status == 429 else in_doubt(failure)


def unexplained_poll(reply: Reply, now: Ms, *, lacks: str = _NOT_THEIRS) -> PollFailed:
    """An answer to a poll without anything of the provider's own in it: its key or its pace may be wrong, no more.

    A gateway's own 404 does not speak of the task. `lacks` ends the message "HTTP 502 …".
    """
    failure = failure_of_status(reply.status, f"HTTP {reply.status} {lacks}")
    if failure.kind not in (FailureKind.AUTH, FailureKind.RATE_LIMITED):
        failure = replace(failure, kind=FailureKind.UNAVAILABLE, retryable=True)
    return poll_failed(failure, reply, now)


def retry_after_seconds(headers: Mapping[str, str], now: Ms) -> float | None:
    """`Retry-After` in either form (RFC 9110, 10.2.3) as seconds from now, 0 to 24 h; None where absent or odd."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(min(int(value[:10]), _RETRY_AFTER_CAP_S))
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(at - now / 1000, 0.0), float(_RETRY_AFTER_CAP_S))


def failure_of_status(status: int, message: str) -> Failure:
    """What an HTTP status alone says, where no body of the provider's own explains it."""
    kind, retryable = _STATUS_KINDS.get(
        status, (FailureKind.UNAVAILABLE, True) if status >= 500 else (FailureKind.UNKNOWN, False)
    )
    return Failure(kind=kind, code=str(status), message=message, retryable=retryable)


_STATUS_KINDS = {
    400: (FailureKind.INVALID_REQUEST, False),
    401: (FailureKind.AUTH, False),
    402: (FailureKind.QUOTA, False),
    403: (FailureKind.AUTH, False),
    404: (FailureKind.NOT_FOUND, False),
    422: (FailureKind.INVALID_REQUEST, False),
    429: (FailureKind.RATE_LIMITED, True),
}

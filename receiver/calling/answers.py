"""What the server answers: the JSON itself, with what the API promises of it as attributes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from receiver.domain import FINAL, Status

Value = TypeVar("Value")


class Answer(dict[str, Any]):
    """An object of the API: a dict with every field that the server sent, newer ones than we know among them."""


class Field(Generic[Value]):
    """A field of the same name that is always there."""

    def __set_name__(self, owner: type[Answer], name: str) -> None:
        self._name = name

    def __get__(self, answer: Answer, owner: type[Answer]) -> Value:
        value: Value = answer[self._name]
        return value


class Maybe(Generic[Value]):
    """A field of the same name that may be null, or left out."""

    def __set_name__(self, owner: type[Answer], name: str) -> None:
        self._name = name

    def __get__(self, answer: Answer, owner: type[Answer]) -> Value | None:
        value: Value | None = answer.get(self._name)
        return value


class Within(Generic[Value]):
    """An object in a field of the same name, or None."""

    def __init__(self, kind: Callable[[Mapping[str, Any]], Value]) -> None:
        self._kind = kind

    def __set_name__(self, owner: type[Answer], name: str) -> None:
        self._name = name

    def __get__(self, answer: Answer, owner: type[Answer]) -> Value | None:
        found = answer.get(self._name)
        return None if found is None else self._kind(found)


class Output(Answer):
    """One result of a task: `kind` video, image, audio, text or file; `role` main, last_frame or thumbnail."""

    kind = Field[str]()
    role = Field[str]()
    index = Field[int]()
    url = Field[str]()
    expires_at = Maybe[str]()


class Failure(Answer):
    """Why a task failed; `kind` is our word, `code` and `request_id` are the provider's own."""

    kind = Field[str]()
    code = Maybe[str]()
    message = Field[str]()
    request_id = Maybe[str]()
    retryable = Field[bool]()


class Usage(Answer):
    """What a task cost: `unit` credits, usd, tokens or seconds; `phase` reserved, charged or refunded."""

    amount = Field[float]()
    unit = Field[str]()
    phase = Field[str]()


class Waiting(Answer):
    """Why a task is not done yet; `text` is a sentence."""

    what = Field[str]()
    since = Maybe[str]()
    next_at = Maybe[str]()
    text = Field[str]()


class TaskFields(Answer):
    """A task as it stood at some moment; in an event without `input` and `waiting_for`. Times are RFC 3339 in UTC."""

    id = Field[str]()
    tenant = Field[str]()
    provider = Field[str]()
    model = Field[str]()
    status = Field[str]()
    provider_task_id = Maybe[str]()
    provider_status = Maybe[str]()
    input = Maybe[dict[str, Any]]()
    metadata = Field[dict[str, str]]()
    progress = Maybe[float]()
    callback_expected = Field[bool]()
    error = Within(Failure)
    usage = Within(Usage)
    waiting_for = Within(Waiting)
    retry_of = Maybe[str]()
    created_at = Field[str]()
    submitted_at = Maybe[str]()
    finished_at = Maybe[str]()
    deadline_at = Maybe[str]()
    watch_url = Maybe[str]()

    @property
    def outputs(self) -> Sequence[Output]:
        """All of them, in order."""
        return [Output(each) for each in self["outputs"]]

    @property
    def urls(self) -> Sequence[str]:
        """Where the main outputs are, in order."""
        return [each.url for each in self.outputs if each.role == "main"]

    @property
    def final(self) -> bool:
        """Whether it has its outcome."""
        return self.status in FINAL

    @property
    def succeeded(self) -> bool:
        """Whether that is success."""
        return self.status == Status.SUCCEEDED


class EventData(Answer):
    """What an event tells; `task` is None in those for operators, whose fields are here by their names."""

    task = Within(TaskFields)
    sequence = Maybe[int]()
    source = Maybe[str]()
    verified_by = Maybe[str]()
    late = Maybe[bool]()


class Event(Answer):
    """A recorded fact. `seq`, its place in the stream, is in lists and streams only, not in webhooks."""

    id = Field[str]()
    type = Field[str]()
    timestamp = Field[str]()
    seq = Maybe[int]()

    @property
    def data(self) -> EventData:
        return EventData(self["data"])

    @property
    def task(self) -> TaskFields | None:
        """The task at that moment; None in events for operators."""
        return self.data.task


class Destination(Answer):
    """Where events go; `secret` is there when it was just made."""

    id = Field[str]()
    type = Field[str]()
    url = Maybe[str]()
    name = Maybe[str]()
    event_types = Field[list[str]]()
    format = Maybe[str]()
    enabled = Field[bool]()
    state = Field[str]()
    disabled_reason = Maybe[str]()
    blocked_reason = Maybe[str]()
    secret = Maybe[str]()


class Attempt(Answer):
    """One try of a delivery."""

    number = Maybe[int]()
    at = Maybe[str]()
    status = Maybe[int]()
    duration_ms = Maybe[int]()
    error = Maybe[str]()
    response = Maybe[str]()


class Delivery(Answer):
    """One event owed to one destination; `attempt_log` only where it was asked for by its id."""

    id = Field[str]()
    event_id = Field[str]()
    destination_id = Field[str]()
    task_id = Maybe[str]()
    state = Field[str]()
    attempts = Field[int]()
    next_attempt_at = Maybe[str]()
    created_at = Field[str]()

    @property
    def attempt_log(self) -> Sequence[Attempt]:
        return [Attempt(each) for each in self.get("attempt_log", [])]


class ProviderStanding(Answer):
    """How a configured provider stands."""

    name = Field[str]()
    adapter = Field[str]()
    learns_by = Field[str]()
    paused = Field[bool]()
    reason = Maybe[str]()
    in_flight = Field[int]()
    waiting = Field[int]()
    last_error = Maybe[str]()


class Key(Answer):
    """An API key; `key` itself is there once, when it was made."""

    id = Field[str]()
    label = Field[str]()
    scopes = Field[list[str]]()
    tenant = Maybe[str]()
    key = Maybe[str]()
    created_at = Maybe[str]()
    last_used_at = Maybe[str]()

"""Tasks as they are answered."""

from typing import Any, Literal

from pydantic import BaseModel

from receiver.domain import FailureKind, Kind, Role, Status
from receiver.web.documents.kinds import Count, Time

HappenedKind = Literal[
    "task",
    "submit",
    "callback",
    "poll",
    "action",
    "event",
    "provider",
    "delivery",
    "attempt",
    "told_ours",
    "unkept",
    "cut",
]


class Output(BaseModel):
    """One result of a task."""

    kind: Kind
    role: Role
    index: Count
    url: str
    expires_at: Time | None


class Failure(BaseModel):
    """Why a task failed, in one vocabulary for all providers."""

    kind: FailureKind
    code: str | None
    message: str
    request_id: str | None
    retryable: bool


class Usage(BaseModel):
    """What a task cost, as far as its provider says."""

    amount: float
    unit: Literal["credits", "usd", "tokens", "seconds"]
    phase: Literal["reserved", "charged", "refunded"]


class WaitingFor(BaseModel):
    """What an open task waits for, and when we look next."""

    what: Literal["submit", "answer", "confirmation", "poll"]
    since: Time
    next_at: Time | None
    text: str


class WatchedTask(BaseModel):
    """A task as anybody may watch it: without input and metadata."""

    id: str
    tenant: str
    provider: str
    model: str
    status: Status
    provider_task_id: str | None
    provider_status: str | None
    progress: int | None
    callback_expected: bool
    outputs: list[Output]
    error: Failure | None
    usage: Usage | None
    retry_of: str | None
    created_at: Time
    submitted_at: Time | None
    finished_at: Time | None
    deadline_at: Time


class EventTask(WatchedTask):
    """The task at the moment of an event."""

    metadata: dict[str, str]


class Task(EventTask):
    """One piece of work that a caller asked for."""

    input: dict[str, Any]
    waiting_for: WaitingFor | None


class NewTask(Task):
    """A task as its submit answers it."""

    watch_url: str


class Tasks(BaseModel):
    """A page of tasks, newest first."""

    items: list[Task]
    next_cursor: str | None


class Happened(BaseModel):
    """One line of a timeline; what `data` has depends on `kind`."""

    at: Time
    kind: HappenedKind
    text: str
    data: dict[str, Any]


class Timeline(BaseModel):
    """All that happened to a task, in time order."""

    items: list[Happened]


class Counted(BaseModel):
    """How many there are."""

    count: Count

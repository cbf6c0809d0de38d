"""The nouns of Taskweir.

Times are `Ms`: whole milliseconds since 1970-01-01 UTC, by our clock. A provider's own times are data, never used
to order anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Ms = int
SECOND: Ms = 1000
MINUTE: Ms = 60 * SECOND
HOUR: Ms = 60 * MINUTE
DAY: Ms = 24 * HOUR


class Status(StrEnum):
    """Where a task stands; `final` ones never change but once, from our verdict to the provider's."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    UNCONFIRMED = "unconfirmed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.EXPIRED})


class Kind(StrEnum):
    """What an output is."""

    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"
    TEXT = "text"
    FILE = "file"


class Role(StrEnum):
    """What an output is for."""

    MAIN = "main"
    LAST_FRAME = "last_frame"
    THUMBNAIL = "thumbnail"


class FailureKind(StrEnum):
    """Why something failed, in one vocabulary for all providers."""

    AUTH = "auth"
    QUOTA = "quota"
    INVALID_REQUEST = "invalid_request"
    CONTENT_POLICY = "content_policy"
    RATE_LIMITED = "rate_limited"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"
    UPSTREAM = "upstream"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """Which mouth spoke first about a change."""

    SUBMIT = "submit"
    CALLBACK = "callback"
    POLL = "poll"
    DEADLINE = "deadline"
    CALLER = "caller"
    OPERATOR = "operator"


class Verified(StrEnum):
    """Who vouches for a change; `poll` is any authenticated answer of the provider, the one to our submit included."""

    POLL = "poll"
    SIGNATURE = "signature"
    TOKEN = "token"  # noqa: S105 - the word of the contract, not a secret


class Trust(StrEnum):
    """How much a provider's callback is believed: a doorbell, by its URL alone, or by a signature over its body."""

    POLL = "poll"
    TOKEN = "token"  # noqa: S105 - the word of the contract, not a secret
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One result; `expires_at` is set only where the provider states how long its URL lives."""

    kind: Kind
    url: str
    role: Role = Role.MAIN
    index: int = 0
    expires_at: Ms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed; `code` and `request_id` are the provider's own words."""

    kind: FailureKind
    message: str
    code: str | None = None
    request_id: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a task cost: `unit` is credits, usd, tokens or seconds; `phase` reserved, charged or refunded."""

    amount: float
    unit: str = "credits"
    phase: str = "charged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a provider says about a task, in our words, not yet recorded.

    `status` is None when the provider used a word that we do not know, or none: the task stays where it is.
    `callback_url` is our own URL, where the provider's answer echoes it.
    """

    status: Status | None
    provider_status: str | None = None
    provider_task_id: str | None = None
    progress: int | None = None
    outputs: tuple[Output, ...] = ()
    error: Failure | None = None
    usage: Usage | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of work a caller asked for.

    `ours` is true while a final status is our own verdict, which the provider's may still follow once. `emitted` has
    one bit per event type this task has given (`EventType.bit`), `sequence` counts its events, `version` its changes.
    `cancel_asked` is true once its caller canceled it in the middle of its handover.
    `webhook_id` is the hidden destination of its own webhook, which gets `webhook_events` of it (None: the final one).
    """

    id: str
    tenant: str
    provider: str
    model: str
    status: Status
    created_at: Ms
    deadline_at: Ms
    input: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    media: Kind = Kind.VIDEO
    callback_expected: bool = False
    provider_task_id: str | None = None
    provider_status: str | None = None
    progress: int | None = None
    outputs: tuple[Output, ...] = ()
    error: Failure | None = None
    usage: Usage | None = None
    retry_of: str | None = None
    webhook_id: str | None = None
    webhook_events: tuple[str, ...] | None = None
    submitted_at: Ms | None = None
    finished_at: Ms | None = None
    ours: bool = False
    cancel_asked: bool = False
    emitted: int = 0
    sequence: int = 0
    version: int = 0


class EventType(StrEnum):
    """The types of events about a task, in the order of their bits in `Task.emitted`: append, never reorder."""

    QUEUED = "task.queued"
    SUBMITTED = "task.submitted"
    RUNNING = "task.running"
    PROGRESS = "task.progress"
    UNCONFIRMED = "task.unconfirmed"
    SUCCEEDED = "task.succeeded"
    FAILED = "task.failed"
    CANCELED = "task.canceled"
    EXPIRED = "task.expired"

    @property
    def bit(self) -> int:
        return 1 << _BIT_OF[self]

    @property
    def final(self) -> bool:
        return self in FINAL_EVENTS


_BIT_OF = {kind: position for position, kind in enumerate(EventType)}
FINAL_EVENTS = frozenset({EventType.SUCCEEDED, EventType.FAILED, EventType.CANCELED, EventType.EXPIRED})


class OperatorEvent(StrEnum):
    """Events for whoever operates us; they go only to destinations that name them."""

    PROVIDER_PAUSED = "provider.paused"
    PROVIDER_RESUMED = "provider.resumed"
    DESTINATION_FAILING = "destination.failing"
    DESTINATION_RECOVERED = "destination.recovered"
    DESTINATION_DISABLED = "destination.disabled"
    DELIVERY_DEAD = "delivery.dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A recorded fact, never changed. `task` is the task at that moment; `seq` is global, `sequence` the task's own."""

    id: str
    seq: int
    type: EventType
    at: Ms
    task: Task
    sequence: int
    source: Source
    verified_by: Verified | None
    late: bool = False


class Work(StrEnum):
    """What a timer is for: handing a task over, or asking how it stands."""

    SUBMIT = "submit"
    POLL = "poll"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """When a task needs us next, and what we remember between two looks at it.

    `tries` counts submits put off, or polls failed in a row; `rings` the polls since a callback rang (None: none
    rang); `claimed` is the final status that an unverified callback claimed last, at `claimed_at`; `missing_since` when
    the provider first said that it does not know the task, `empty_since` when it first said "succeeded" without a
    result; `answered_at` when a poll was last answered.
    """

    task_id: str
    provider: str
    work: Work
    due_at: Ms
    owner: str | None = None
    tries: int = 0
    rings: int | None = None
    rung_at: Ms | None = None
    claimed: Status | None = None
    claimed_at: Ms | None = None
    missing_since: Ms | None = None
    answered_at: Ms | None = None
    empty_since: Ms | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """From this age of a task on (seconds since it was handed over), ask this often (seconds)."""

    from_s: float
    every_s: float


class Format(StrEnum):
    """How an event is written for a destination; as the callback of its provider only for callers in drop-in mode."""

    STANDARD = "standard"
    CLOUDEVENTS = "cloudevents"
    CLOUDEVENTS_BINARY = "cloudevents-binary"
    FLAT = "flat"
    PROVIDER = "provider"


class Scheme(StrEnum):
    """How a webhook is signed: with a shared secret (HMAC-SHA256), or with a private key (ed25519)."""

    V1 = "v1"
    V1A = "v1a"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredSecret:
    """A secret that was rotated out, sealed; it signs along until then."""

    sealed: str = field(repr=False)
    until: Ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a user wants events.

    `type` is webhook, sqlite, or a kind of `senders.kinds`; `target` the URL, or the log's name. A filter that is None
    lets everything through. `sealed_secret` is what it signs with, encrypted, never shown, or the URL whole, of which
    `target` leaves out who logs in; `retired` signs along; the values of `headers` are sealed, too. `ordered`: one
    delivery in flight per task, by sequence. `retention_days` is how long a log keeps its rows (None: for ever). A
    `hidden` one serves the webhook_urls of tasks; its tenant's secrets sign for it. `hook` is the event that a REST
    hook asked for, there once for each URL and event; None where it is none.
    """

    id: str
    tenant: str
    type: str
    target: str
    created_at: Ms
    event_types: tuple[str, ...]
    providers: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    metadata: Mapping[str, str] | None = None
    format: Format = Format.STANDARD
    description: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    signature: Scheme = Scheme.V1
    ordered: bool = False
    max_in_flight: int = 32
    rate_per_second: float | None = None
    retention_days: int | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    hidden: bool = False
    hook: str | None = None
    sealed_secret: str = field(default="", repr=False)
    retired: tuple[RetiredSecret, ...] = field(default=(), repr=False)


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event owed to one destination.

    `attempts` counts all that were begun; `tries` those that failed on the schedule, which a probe is outside of.
    `due_at` is None once it is no longer pending, and while it waits behind another one of its task.
    """

    id: str
    tenant: str
    event_id: str
    task_id: str
    destination_id: str
    state: DeliveryState
    created_at: Ms
    due_at: Ms | None
    attempts: int = 0
    tries: int = 0
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a delivery: an HTTP status, or `error` where none came back; `response` is its first 4 KiB."""

    number: int
    at: Ms
    duration_ms: int
    status: int | None = None
    error: str | None = None
    response: str = ""

    @property
    def succeeded(self) -> bool:
        return self.error is None and (self.status is None or 200 <= self.status < 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A configured account at a company whose API we call; `adapter` names the translator it needs."""

    name: str
    adapter: str
    base_url: str
    api_key: str = field(repr=False)
    trust: Trust = Trust.POLL
    rate: float | None = None
    callback_secret: str | None = field(default=None, repr=False)

"""What every store can do, and the seam through which the asynchronous world reaches one.

A `Store` is synchronous and lives inside one open transaction. `Storage` hands one to a function: `write` commits
before it returns, together with whatever else was waiting; `read` sees only what is committed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from receiver.domain import Attempt, Delivery, DeliveryState, Destination, Event, Ms, Task, Timer, Work
from receiver.provider_policy import Standing

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event as it is kept: `body` is its envelope, the very text that goes out in the default format."""

    seq: int
    id: str
    type: str
    task_id: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A destination with deliveries that wait, and when the first of them is due."""

    destination: Destination
    next_due_at: Ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A claimed delivery with all that its sender needs; `input` is the task's, as JSON text (None: not kept)."""

    delivery: Delivery
    seq: int
    body: str
    input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKey:
    """An Idempotency-Key that was used: for which request, which task that made, and the status code of the answer.

    `fingerprint` is the SHA-256 of the request's canonical text; `status` is None until the first answer was given.
    """

    tenant: str
    key: str
    fingerprint: str
    task_id: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One sentence about a task, of its `kind`, and the facts in it; `sequence` is that of the event before it."""

    at: Ms
    sequence: int
    kind: str
    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often something happened to a task between the note before it (`after` of them were kept) and the next."""

    after: int
    kind: str
    count: int
    first_at: Ms
    last_at: Ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A delivery with what its story needs: the event's type, and whom it is for (`target` None: deleted since)."""

    delivery: Delivery
    event_type: str
    destination_type: str | None
    target: str | None
    hidden: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chronicle:
    """What happened to a task: each sort of thing in the order in which it happened, attempts by delivery id.

    `pauses` are the operators' events about its provider while the task was open.
    """

    notes: Sequence[Note]
    tallies: Sequence[Tally]
    events: Sequence[Recorded]
    deliveries: Sequence[Brought]
    attempts: Sequence[tuple[str, Attempt]]
    pauses: Sequence[Recorded] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list: at most `limit` rows of one tenant beyond `cursor`, newest first unless said otherwise.

    `where` holds equality filters by column name; what each list allows is said there. `metadata` filters tasks.
    """

    tenant: str
    limit: int
    cursor: str | None = None
    where: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] | None = None
    created_after: Ms | None = None
    created_before: Ms | None = None


class Store(Protocol):
    """The verbs, each part of the transaction that its caller holds open."""

    # Tasks
    def record_task(self, task: Task) -> None:
        """Keep a new task with its input."""

    def task(self, task_id: str) -> Task | None: ...

    def task_of_provider(self, provider: str, provider_task_id: str) -> Task | None:
        """The task that a provider's own id is bound to."""

    def save_task(self, task: Task, *, expected_version: int) -> bool:
        """Compare-and-set; False when somebody else changed it since."""

    def resubmitted(self, task_id: str) -> bool:
        """Whether a task was resubmitted: another one names it as what it retries."""

    def list_tasks(self, page: Page) -> Sequence[Task]:
        """Filters: status, provider, model, provider_task_id, error_kind, metadata, created_after, created_before."""

    def overdue_tasks(self, now: Ms, *, limit: int) -> Sequence[Task]:
        """Queued and unconfirmed ones past their deadline, oldest first; whatever their provider."""

    def unasked_tasks(self, provider: str, *, now: Ms, given_up_by: Ms, limit: int) -> Sequence[Task]:
        """Those with the provider past their deadline of which a callback claimed something, or overdue since then."""

    # Idempotency keys
    def keep_key(self, kept: KeptKey) -> bool:
        """Keep a key with the task of its first use; False where the tenant has used it before."""

    def kept_key(self, key: str, tenant: str) -> KeptKey | None: ...

    def answer_key(self, key: str, tenant: str, status: int) -> None:
        """Remember the status code of the first answer; later ones change nothing."""

    # Timers
    def timer(self, task_id: str) -> Timer | None: ...

    def set_timer(self, timer: Timer) -> None:
        """Set or replace the task's one timer."""

    def drop_timer(self, task_id: str) -> None: ...

    def claim_timers(
        self, work: Work, provider: str, *, owner: str, now: Ms, until: Ms, limit: int, freshest: int = 0
    ) -> Sequence[Timer]:
        """Lease what is due: the oldest, and `freshest` of the newest, which no backlog shall hold up.

        The timers come back as they were before: `owner` names who let it lapse.
        """

    def hasten_submits(self, provider: str, now: Ms) -> None:
        """Make due whatever waits to be handed over."""

    def next_due_timer(self, work: Work, provider: str) -> Ms | None: ...

    def count_timers(self, work: Work, provider: str) -> int: ...

    def leased_timers(self, work: Work) -> Sequence[Timer]:
        """What is under way, or was when its process ended."""

    # Providers
    def standing(self, provider: str) -> Standing:
        """How a provider stands; as at the beginning where it was never in trouble."""

    def save_standing(self, standing: Standing) -> None: ...

    # Callbacks
    def keep_callback(self, task_id: str, *, digest: str, at: Ms, outcome: str, body: bytes, most: int) -> bool:
        """Keep a callback's body; False where this digest is kept already, or `most` distinct ones are."""

    def callbacks(self, task_id: str) -> Sequence[bytes]:
        """The bodies kept for a task, newest first."""

    # Events
    def next_seq(self) -> int:
        """The next place in the one global order."""

    def record_event(self, event: Event, body: str) -> None: ...

    def record_operator_event(
        self, *, seq: int, id: str, tenant: str, provider: str, type: str, at: Ms, body: str
    ) -> None:
        """An event that is about no task."""

    def event(self, event_id: str, tenant: str) -> Recorded | None: ...

    def list_events(self, page: Page, *, after: int | None, newest_first: bool) -> Sequence[Recorded]:
        """Filters: type (a list), task_id, provider. `after` is a seq, in the direction of reading."""

    # What is told of a task
    def note(self, task_id: str, *, at: Ms, sequence: int, kind: str, text: str, data: Mapping[str, Any]) -> None:
        """Keep one sentence about a task, and the facts in it; beyond the 500th it is only counted.

        `sequence` is that of the task's last event before this.
        """

    def tally(self, task_id: str, kind: str, *, at: Ms) -> None:
        """Count something that happened to a task again since its last note."""

    def chronicle(self, task_id: str, *, most: int) -> Chronicle:
        """All that is kept of what happened to a task, at most `most` rows of each kind but notes."""

    # Destinations
    def record_destination(self, destination: Destination) -> None: ...

    def record_hidden_destination(self, destination: Destination) -> None:
        """Keep the hidden destination of a webhook_url, unless it is kept already."""

    def hidden_destination(self, destination_id: str) -> Destination | None: ...

    def destination(self, destination_id: str, tenant: str) -> Destination | None:
        """One that a user made; hidden ones are not found, nor listed, nor among the enabled."""

    def log_named(self, name: str, tenant: str) -> Destination | None:
        """The tenant's SQLite log of that name."""

    def list_destinations(self, page: Page) -> Sequence[Destination]: ...

    def enabled_destinations(self, tenant: str) -> Sequence[Destination]: ...

    def delete_destination(self, destination_id: str) -> None:
        """Forget it, and cancel what is still owed to it."""

    # Secrets
    def tenant_secret(self, tenant: str) -> str | None:
        """What signs for a tenant's hidden destinations, sealed; None where there is none yet."""

    def keep_tenant_secret(self, tenant: str, sealed: str) -> str:
        """Keep a tenant's first secret, unless it has one already; the one that it has now."""

    def rotate_tenant_secret(self, tenant: str, sealed: str, *, until: Ms) -> None:
        """Replace a tenant's secret; the one before signs along until then."""

    # Deliveries
    def record_delivery(self, delivery: Delivery, seq: int) -> None: ...

    def delivery(self, delivery_id: str, tenant: str) -> Delivery | None: ...

    def list_deliveries(self, page: Page) -> Sequence[Delivery]:
        """Filters: state, destination_id, task_id, event_id."""

    def attempts(self, delivery_id: str) -> Sequence[Attempt]: ...

    def owed_destinations(self) -> Sequence[Owed]:
        """The enabled destinations that anything waits for."""

    def claim_deliveries(self, destination_id: str, *, owner: str, now: Ms, until: Ms, limit: int) -> Sequence[Parcel]:
        """Lease what is due to one destination, oldest first, each attempt counted."""

    def settle_delivery(
        self, delivery_id: str, attempt: Attempt, *, owner: str, state: DeliveryState, due_at: Ms | None
    ) -> bool:
        """Record an attempt and what becomes of the delivery; False where the lease was lost and it did not succeed."""

    def release_delivery(self, delivery_id: str, *, owner: str, now: Ms) -> None:
        """Give back a delivery that was claimed and never tried; the attempt does not count."""

    # The store itself
    def lapse_leases(self, now: Ms) -> None:
        """Make due whatever is leased: the only process that could hold a lease is this one, and it just began."""

    def release_leases(self, now: Ms) -> None:
        """Give back every poll and delivery that is claimed: the only process that claims is about to end."""

    def hasten_safety_polls(self, now: Ms, *, within: Ms) -> None:
        """Make every open task that expects a callback due within this time: it may have come while we were away."""

    def schema_version(self) -> int: ...


class Storage(Protocol):
    """One store as the asynchronous world sees it."""

    async def write(self, do: Callable[[Store], Result]) -> Result:
        """Run `do` in a transaction and return once that is on disk. A cancelled caller may still have committed."""

    async def read(self, do: Callable[[Store], Result]) -> Result:
        """Run `do` beside the writer, on what is committed."""

"""What every store can do, and the seam through which the asynchronous world reaches one.

A `Store` is synchronous and lives inside one open transaction. `Storage` hands one to a function: `write` commits
before it returns, together with whatever else was waiting; `read` sees only what is committed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from receiver.breaker_policy import Breaker
from receiver.counts import CommitCounts
from receiver.domain import Attempt, Delivery, DeliveryState, Destination, Event, Ms, RetiredSecret, Task, Timer, Work
from receiver.provider_policy import Standing
from receiver.store.hook_protocol import HookStore
from receiver.store.key_protocol import KeyStore
from receiver.store.read_along import ReadAlong
from receiver.store.records import (
    Bite,
    Chronicle,
    Found,
    Gauges,
    KeptKey,
    Lease,
    LeasedTimer,
    Page,
    Parcel,
    Queue,
    Recorded,
    Sealed,
    Span,
)

Result = TypeVar("Result")


class Store(HookStore, KeyStore, ReadAlong, Protocol):
    """The verbs, each part of the transaction that its caller holds open."""

    # Tasks
    def record_task(self, task: Task) -> None:
        """Keep a new task with its input."""

    def task(self, task_id: str) -> Task | None: ...

    def tasks(self, task_ids: Collection[str]) -> Mapping[str, Task]:
        """Those of these that there are, by their ids."""

    def task_of_provider(self, provider: str, provider_task_id: str) -> Task | None:
        """The task that a provider's own id is bound to."""

    def save_task(self, task: Task, *, expected_version: int) -> bool:
        """Compare-and-set; False when somebody else changed it since."""

    def resubmitted(self, task_id: str) -> bool:
        """Whether a task was resubmitted: another one names it as what it retries."""

    def list_tasks(self, page: Page) -> Found[Task]:
        """Filters: status, provider, model, provider_task_id, error_kind, metadata, created_after, created_before.

        What they let through is looked for among so many tasks at most: `to` is the id of the last of them.
        """

    def overdue_tasks(self, now: Ms, *, limit: int) -> Sequence[Task]:
        """Queued and unconfirmed ones past their deadline, oldest first; whatever their provider."""

    def next_deadline(self) -> Ms | None:
        """When the first of the tasks that `overdue_tasks` is about is past its deadline."""

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
    ) -> Sequence[LeasedTimer]:
        """Lease what is due: the oldest, and `freshest` of the newest, which no backlog shall hold up."""

    def claim_timer(self, work: Work, task_id: str, *, owner: str, now: Ms, until: Ms) -> Sequence[LeasedTimer]:
        """Lease one task's, where it is due: none, or the one."""

    def hasten_submits(self, provider: str, now: Ms) -> None:
        """Make due whatever waits to be handed over."""

    def hasten_polls(self, now: Ms, *, within: Ms) -> int:
        """Make everything that can be asked about due within this time; how many that is."""

    def submits(self, *, after: str, limit: int) -> Sequence[str]:
        """The tasks that wait to be handed over, or are being, in the order of their ids, beyond one."""

    def next_due_timer(self, work: Work, provider: str) -> Ms | None: ...

    def count_timers(self, work: Work, provider: str) -> int: ...

    def leased_timers(self, work: Work, *, mine: bool = False) -> Sequence[Timer]:
        """What is under way, or was when its process ended; `mine` leaves out what other processes have leased."""

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

    def newest_seq(self, tenant: str) -> int:
        """Where a tenant's newest event stands; 0 where none is kept."""

    def list_events(self, page: Page, *, after: int | None, newest_first: bool) -> Found[Recorded]:
        """Filters: type (a list), task_id, provider. `after` is a seq, in the direction of reading.

        What filters let through is looked for among so many events at most: `to` is the seq of the last of them.
        """

    def span_of_events(self, tenant: str, *, since: Ms, until: Ms) -> Span | None:
        """Where a tenant's events since then, and before `until`, are to be found; None where there are none."""

    def events_between(self, tenant: str, span: Span, *, after: int, limit: int) -> Sequence[Recorded]:
        """Those of a span behind this seq, in the order of their `seq`."""

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
        """Keep the hidden destination of a webhook_url; one that is kept already is enabled again if it was not."""

    def hidden_destination(self, destination_id: str) -> Destination | None: ...

    def destination(self, destination_id: str, tenant: str) -> Destination | None:
        """One that a user made; hidden ones are not found, nor listed, nor among the enabled."""

    def log_named(self, name: str, tenant: str) -> Destination | None:
        """The tenant's SQLite log of that name."""

    def ordered_destinations(self) -> Sequence[str]:
        """The ids of all that take the events of a task one at a time."""

    def logs_with_an_end(self) -> Sequence[Destination]:
        """The SQLite logs of all tenants that keep their rows for so many days only."""

    def list_destinations(self, page: Page) -> Sequence[Destination]: ...

    def enabled_destinations(self, tenant: str) -> Sequence[Destination]: ...

    def deliverable(self, destination_id: str, now: Ms) -> Destination | None:
        """A destination with the secrets that sign for it now, hidden or not; None where nothing may be delivered."""

    def save_destination(self, destination: Destination) -> None:
        """Replace what is kept of it, but for the secrets that it retired."""

    def delete_destination(self, destination_id: str) -> None:
        """Forget it, and cancel what is still owed to it."""

    def breaker(self, destination_id: str) -> Breaker: ...

    def save_breaker(self, breaker: Breaker) -> None: ...

    def held(self, destination_ids: Collection[str], now: Ms) -> Mapping[str, Ms | None]:
        """Those of them that get nothing now: when the next probe goes out, not before `now`; None of disabled ones."""

    # Secrets
    def tenant_secret(self, tenant: str) -> str | None:
        """What signs for a tenant's hidden destinations, sealed; None where there is none yet."""

    def keep_tenant_secret(self, tenant: str, sealed: str) -> str:
        """Keep a tenant's first secret, unless it has one already; the one that it has now."""

    def replace_tenant_secret(self, tenant: str, sealed: str) -> str | None:
        """Replace a tenant's secret; the one before, sealed."""

    def retire_secret(self, owner: str, sealed: str, *, now: Ms, until: Ms) -> None:
        """Let a secret of this destination, or `tenant:<name>`, sign along until then; forget those of the past."""

    def retired_secrets(self, owner: str, now: Ms) -> Sequence[RetiredSecret]:
        """Those of this destination, or `tenant:<name>`, that sign along now; those that do so longest first."""

    def forget_retired_secret(self, owner: str, sealed: str) -> None: ...

    def sealed_secrets(self) -> Sequence[Sealed]:
        """Every secret that is kept, header values included."""

    def reseal(self, old: Sealed, text: str) -> bool:
        """Put this text in the place of the old one; False where that is there no more."""

    # Deliveries
    def record_delivery(self, delivery: Delivery, seq: int) -> None: ...

    def hand_off(self, destination: Destination, now: Ms) -> Lease | None:
        """Lease what is about to be owed to a destination to the courier of this process, where it takes it at once.

        Whoever asks records the delivery with that lease, and sees to it that the courier is told after the commit.
        """

    def delivery(self, delivery_id: str, tenant: str) -> Delivery | None: ...

    def list_deliveries(self, page: Page) -> Sequence[Delivery]:
        """Filters: state, destination_id, task_id, event_id."""

    def delivery_states(self, destination_id: str, event_ids: Sequence[str]) -> Mapping[str, set[DeliveryState]]:
        """How the deliveries of these events to one destination stand, by event; those without any are missing."""

    def attempts(self, delivery_id: str) -> Sequence[Attempt]: ...

    def owed(self) -> Sequence[Queue]:
        """The same as `queues`, with the whole of what each destination takes, where others have a part of that."""

    def queues(self) -> Sequence[Queue]:
        """What waits, for each enabled destination that anything is due to by itself."""

    def claim_deliveries(
        self, destination_id: str, *, owner: str, now: Ms, until: Ms, limit: int, freshest: int = 0
    ) -> Sequence[Parcel]:
        """Lease what is due to one destination: the oldest, and `freshest` of the newest; each attempt is counted."""

    def claim_probe(
        self, destination_id: str, *, owner: str, now: Ms, until: Ms, freshest: bool = False
    ) -> Parcel | None:
        """Lease one delivery for an attempt outside the schedule: the one due first, be it in the future.

        `freshest` takes the one that became due last, where any did.
        """

    def next_due_delivery(self, destination_id: str) -> Ms | None: ...

    def unended_attempts(self, delivery: Delivery) -> int:
        """How many attempts of a claimed delivery in a row, just before this one, were never heard of again."""

    def record_success(self, delivery_id: str, attempt: Attempt) -> None:
        """Record an attempt that makes a delivery delivered: whoever holds it by then, be it dead or canceled."""

    def settle_delivery(
        self,
        delivery_id: str,
        attempt: Attempt,
        *,
        owner: str,
        state: DeliveryState,
        tries: int,
        due_at: Ms | None,
    ) -> bool:
        """Record an attempt and what becomes of the delivery; False where the lease was lost and it did not succeed.

        A success makes it delivered, dead or canceled as it may be by then.
        """

    def release_delivery(self, delivery_id: str, *, owner: str, now: Ms) -> None:
        """Give back a delivery that was claimed and never tried; the attempt does not count."""

    def set_delivery(self, delivery_id: str, *, state: DeliveryState, tries: int, due_at: Ms | None) -> None:
        """Move a delivery whatever it was; an attempt under way moves it no more, unless it succeeds."""

    def waits_for(self, destination_id: str, task_id: str) -> bool:
        """Whether anything of a task is still pending for a destination."""

    def advance_line(self, destination_id: str, task_id: str, now: Ms) -> None:
        """Make due the first of a task's deliveries to an ordered destination, where nothing of it is before that."""

    def fall_in(self, delivery: Delivery, due_at: Ms) -> None:
        """Let one that failed wait where an earlier one of its task is pending; if all wait, the first is due then."""

    # Each looks at `limit` of a destination's pending ones, the latest first, from where the bite before ended, or from
    # `BEHIND_ALL` on; the id that it ended at, None where it was the last.
    def form_lines(self, destination_id: str, *, before: str, limit: int) -> str | None:
        """Let what is pending, and not under way, wait behind the first one of its task."""

    def dissolve_lines(self, destination_id: str, now: Ms, *, before: str, limit: int) -> str | None:
        """Make due whatever waits behind another one."""

    def cancel_owed(self, destination_id: str, *, before: str, limit: int) -> str | None: ...

    # Retention
    def prune_retired_secrets(self, now: Ms) -> None:
        """Delete the secrets that sign along no longer, whoever they are of."""

    # Each looks at `limit` rows beyond the id `after`, where the bite before ended
    def prune_events(self, before: Ms, *, after: str, limit: int) -> Bite:
        """Delete events of an earlier time with their deliveries, but for those that are still owed to anybody."""

    def prune_tasks(self, before: Ms, *, after: str, limit: int) -> Bite:
        """Delete what ended at an earlier time with all that belongs to it, unless it has a timer or events."""

    def pruned_seq(self, tenant: str) -> int:
        """The highest seq of a tenant's events that were deleted, 0 where none was: earlier ones may yet be owed."""

    # The store itself
    def lapse_leases(self, now: Ms) -> None:
        """Make due whatever this process has leased; on SQLite nobody else can have."""

    def release_leases(self, now: Ms) -> None:
        """Give back every poll and delivery that this process has claimed, for it is about to end."""

    def hasten_safety_polls(self, now: Ms, *, since: Ms, within: Ms, after: str, limit: int) -> str | None:
        """Make open tasks that expect a callback due within this time: it may have come while we were away.

        One bite, of so many timers behind the task `after`; the id of the last of them, None where it was the last
        bite. What was asked about since the start, or is newer than it, stays as it is.
        """

    def skip_seqs(self, count: int) -> int:
        """Leave out so many places among the events; the last one left out."""

    def gauges(self, providers: Collection[str], kinds: Collection[str], *, most: int) -> Gauges:
        """How much there is to do, of these providers and kinds of destination; nothing is counted beyond `most`."""

    def half_moved(self) -> bool:
        """Whether a move into it was begun and is not over."""

    def schema_version(self) -> int: ...


class Storage(Protocol):
    """One store as the asynchronous world sees it; `commits` tells what its writer did."""

    commits: CommitCounts

    async def write(
        self, do: Callable[[Store], Result], *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Result:
        """Run `do` in a transaction and return once that is on disk. A cancelled caller may still have committed.

        What is `brief` touches a few rows, for it may hold up the event loop. What `ends` work goes before what begins
        some, so that no more of it piles up under way than must. What `can_wait` comes along with the next one, or
        goes by itself after a quarter of a second.
        """

    async def read(self, do: Callable[[Store], Result], *, brief: bool = False) -> Result:
        """Run `do` beside the writer, on what is committed; what is `brief` looks at a few rows."""

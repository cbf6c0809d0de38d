"""What goes into a store and comes out of it beside the nouns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from receiver.domain import Attempt, Delivery, DeliveryState, Destination, Ms, Timer, Work

BEHIND_ALL = "\uffff"  # an id that none comes after
BITE = 2000  # deliveries that are changed in one transaction: 10 to 50 ms of the writer's time

Item = TypeVar("Item")


class Found(list[Item]):
    """Items of a list. `to` is where looking for more of them was broken off: there may be more behind it.

    None where the page is full, or nothing is left to look through.
    """

    to: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event as it is kept: `body` is its envelope, the very text that goes out in the default format."""

    seq: int
    id: str
    type: str
    task_id: str
    body: str
    tenant: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The events of a time, which their ids tell: the first and the last `seq` among them. Others may lie between."""

    first_id: str
    end_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits for one enabled destination: when the first of it is due, how much it may be sent, how it fares.

    `failures` counts those in a row; `probe_at` is set while the queue is held.
    """

    destination_id: str
    tenant: str
    type: str
    max_in_flight: int
    rate_per_second: float | None
    next_due_at: Ms
    failures: int
    probe_at: Ms | None

    @property
    def ready_at(self) -> Ms:
        """When there is something to do about it: of a held queue, the probe."""
        return self.next_due_at if self.probe_at is None else self.probe_at


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedTimer:
    """A claimed timer; `was_due_at` is when it was due before the claim."""

    timer: Timer
    was_due_at: Ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A claimed delivery with all that its sender needs; `input` is the task's (None: not kept).

    `was_due_at` is when it was due before the claim. It `lapsed` where another claim was never heard of again.
    """

    delivery: Delivery
    seq: int
    body: str
    input: Mapping[str, Any] | None
    was_due_at: Ms
    lapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds a delivery until when, and the destination as it is delivered to."""

    owner: str
    until: Ms
    destination: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A parcel that was recorded as leased to the courier of this process, which is to be told after the commit."""

    destination: Destination
    parcel: Parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class Bite:
    """What one bite of retention deleted, rows by table, and the id that it ended at; None where it was the last."""

    rows: Mapping[str, int]
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A secret as it is kept: sealed for `row`. It stands in a `place` that only the store knows the meaning of.

    Where the place is `headers`, the text is a JSON object of names and sealed values.
    """

    place: str
    row: str
    text: str


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
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chronicle:
    """What happened to a task: each sort of thing in the order in which it happened, attempts by delivery id.

    `pauses` are the operator events about its provider's pauses between the task's beginning and its end.
    """

    notes: Sequence[Note]
    tallies: Sequence[Tally]
    events: Sequence[Recorded]
    deliveries: Sequence[Brought]
    attempts: Sequence[tuple[str, Attempt]]
    pauses: Sequence[Recorded] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """How many tasks agree in all of this, and the sum of what they cost; `metadata` are the values asked for."""

    provider: str
    model: str
    status: str
    unit: str | None
    phase: str | None
    metadata: tuple[str | None, ...]
    tasks: int
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """So many tasks of a tenant's history, the oldest of which is `first`, counted."""

    first: str
    count: int
    rows: Sequence[Tallied]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """How much there is to do: tasks by (provider, work), in doubt by provider, deliveries by (kind, state).

    `oldest` is when the oldest that a kind of destination is owed was recorded; `destinations` are by (kind, state),
    `paused` the providers that are; `seq` is that of the newest event. Kinds and providers without any may be missing.
    """

    tasks: Mapping[tuple[str, Work], int]
    doubts: Mapping[str, int]
    deliveries: Mapping[tuple[str, DeliveryState], int]
    oldest: Mapping[str, Ms]
    destinations: Mapping[tuple[str, str], int]
    paused: Collection[str]
    seq: int


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

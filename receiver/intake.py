"""One throat: an update, whoever spoke, becomes one transaction.

Everything that happens to a task after it is recorded goes through `take`: the task's compare-and-set, its events
with their sequence, and one delivery per matching destination, all in the transaction that the caller holds open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from receiver import delivery_policy, formats, json_text, policy
from receiver.copying import replace
from receiver.domain import (
    Delivery,
    DeliveryState,
    Destination,
    Event,
    EventType,
    Ms,
    Source,
    Task,
    Timer,
    Update,
    Verified,
)
from receiver.ids import new_id
from receiver.provider_policy import Standing
from receiver.store.protocol import Store
from receiver.store.records import Handed, Lease, Parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When a task is looked at next, and how its provider stands."""

    timer: Timer
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of an update: the task after it, how many deliveries wait because of it, and which are handed off.

    `refused` is true where the update names a provider's id that is bound to another task. The `outlook` is that of the
    same transaction, where that looked.
    """

    task: Task
    events: tuple[Event, ...] = ()
    owed: int = 0
    handed: tuple[Handed, ...] = ()
    refused: bool = False
    outlook: Outlook | None = None

    def then(self, later: "Taken") -> "Taken":
        """Both, as one."""
        if not self.events:
            return later
        handed = self.handed + later.handed
        return replace(later, events=self.events + later.events, owed=self.owed + later.owed, handed=handed)


def take(
    store: Store,
    task: Task,
    update: Update,
    *,
    source: Source,
    verified_by: Verified | None,
    now: Ms,
    ours: bool = False,
) -> Taken:
    """Record what an update changes; `task` was read in this same transaction.

    `ours` marks a verdict that is not the provider's, which the provider's may still follow. A provider's id that is
    bound to another task is refused: the update is not recorded.
    """
    if _bound_elsewhere(store, task, update):
        return Taken(task=task, refused=True)
    change = policy.next_task(task, update, source=source, now=now, ours=ours)
    if change is None:
        return Taken(task=task)
    destinations = destinations_of(store, task) if change.events else ()
    after, types = change.task, change.events
    if EventType.PROGRESS in types and not _asked_for(destinations, after):
        after, types = replace(after, sequence=task.sequence), ()
    if not store.save_task(after, expected_version=task.version):
        raise RuntimeError(f"{task.id} changed inside its own transaction")
    taken = Taken(task=after)
    for number, kind in enumerate(types, start=task.sequence + 1):
        event = Event(
            id=new_id("evt", now),
            seq=store.next_seq(),
            type=kind,
            at=now,
            task=after,
            sequence=number,
            source=source,
            verified_by=verified_by,
            late=change.late,
        )
        taken = taken.then(_recorded(store, event, destinations))
    return taken


def take_ours(store: Store, task: Task, verdict: Update, now: Ms) -> Taken:
    """Record our own verdict, at a deadline."""
    return take(store, task, verdict, source=Source.DEADLINE, verified_by=None, now=now, ours=True)


def _bound_elsewhere(store: Store, task: Task, update: Update) -> bool:
    if update.provider_task_id in (None, task.provider_task_id):
        return False
    other = store.task_of_provider(task.provider, update.provider_task_id)
    return other is not None and other.id != task.id


def destinations_of(store: Store, task: Task) -> Sequence[Destination]:
    """The tenant's enabled ones, and the task's own webhook, which gets what this very task asked for."""
    destinations = store.enabled_destinations(task.tenant)
    own = store.hidden_destination(task.webhook_id) if task.webhook_id else None
    if own is None or not own.enabled:
        return destinations
    wanted = task.webhook_events or delivery_policy.OWN_EVENT_TYPES
    return [*destinations, replace(own, event_types=wanted)]


def _asked_for(destinations: Iterable[Destination], task: Task) -> bool:
    return any(delivery_policy.wants(destination, EventType.PROGRESS, task) for destination in destinations)


def _recorded(store: Store, event: Event, destinations: Iterable[Destination]) -> Taken:
    """An event, and one delivery of it for each destination that wants it: handed off where somebody takes it."""
    body = json_text.write(formats.envelope(event))
    store.record_event(event, body)
    owed, handed = 0, []
    for destination in destinations:
        if not delivery_policy.wants(destination, event.type, event.task):
            continue
        lease = store.hand_off(destination, event.at) if delivery_policy.may_go_at_once(destination) else None
        if lease is None:
            owe(store, destination, event_id=event.id, seq=event.seq, task_id=event.task.id, now=event.at)
            owed += 1
        else:
            handed.append(_hand_off(store, event, body, lease))
    return Taken(task=event.task, events=(event,), owed=owed, handed=tuple(handed))


def _hand_off(store: Store, event: Event, body: str, lease: Lease) -> Handed:
    """Record a delivery whose first attempt counts as begun."""
    delivery = Delivery(
        id=new_id("dlv", event.at),
        tenant=lease.destination.tenant,
        event_id=event.id,
        task_id=event.task.id,
        destination_id=lease.destination.id,
        state=DeliveryState.PENDING,
        created_at=event.at,
        due_at=lease.until,
        attempts=1,
        owner=lease.owner,
    )
    store.record_delivery(delivery, event.seq)
    parcel = Parcel(delivery=delivery, seq=event.seq, body=body, input=event.task.input, was_due_at=event.at)
    return Handed(destination=lease.destination, parcel=parcel)


def owe(store: Store, destination: Destination, *, event_id: str, seq: int, task_id: str, now: Ms) -> Delivery:
    """Record that an event is owed to a destination: now, or behind what an ordered one is owed of the same task."""
    behind = destination.ordered and task_id != "" and store.waits_for(destination.id, task_id)
    delivery = Delivery(
        id=new_id("dlv", now),
        tenant=destination.tenant,
        event_id=event_id,
        task_id=task_id,
        destination_id=destination.id,
        state=DeliveryState.PENDING,
        created_at=now,
        due_at=None if behind else now,
    )
    store.record_delivery(delivery, seq)
    return delivery

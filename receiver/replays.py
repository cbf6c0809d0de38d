"""New deliveries of past events: of one to whoever wants it, of many to one destination, page after page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from receiver import json_text
from receiver.action_policy import Refusal
from receiver.delivery_actions import why_not_sent
from receiver.delivery_policy import wants, wants_operator_event, wants_type
from receiver.domain import Delivery, DeliveryState, Destination, EventType, Ms, OperatorEvent, Task
from receiver.intake import destinations_of, owe
from receiver.store.protocol import Storage, Store
from receiver.store.records import Recorded, Span

PAGE = 100
_STANDS = {DeliveryState.PENDING, DeliveryState.DELIVERED}


class Only(StrEnum):
    """Which events are meant: what never reached the destination and is not on its way, what died, or all."""

    MISSING = "missing"
    DEAD = "dead"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Which events a destination shall get again: recorded since then, before `until`, and of these types (None: any).

    Its own filters hold as well, as they are when their page's turn comes.
    """

    tenant: str
    destination_id: str
    since: Ms
    until: Ms
    event_types: Sequence[str] | None = None
    only: Only = Only.MISSING


@dataclass(frozen=True, slots=True)
class Replays:
    """Works through errands; `announce` is called after every commit that owes something."""

    storage: Storage
    announce: Callable[[], None]

    async def count(self, errand: Errand) -> int:
        """How many deliveries an errand would make now; nothing is done."""
        return await self._work(errand, None)

    async def run(self, errand: Errand, now: Ms) -> int:
        """How many deliveries an errand made; it ends early where the destination is disabled or deleted meanwhile.

        Made again after it broke off, one for what is missing, or dead, goes on where it was.
        """
        return await self._work(errand, now)

    async def _work(self, errand: Errand, now: Ms | None) -> int:
        span = await self.storage.read(
            lambda store: store.span_of_events(errand.tenant, since=errand.since, until=errand.until)
        )
        if span is None:
            return 0
        count, after = 0, span.first - 1
        while True:
            events, wanted = await self.storage.read(partial(_page, errand, span, after))
            if now is None:
                count += len(wanted)
            elif wanted:
                made = await self.storage.write(partial(_owe_all, errand, wanted, now))
                if made is None:
                    return count
                self.announce()
                count += made
            if len(events) < PAGE:
                return count
            after = events[-1].seq


def _page(errand: Errand, span: Span, after: int, store: Store) -> tuple[Sequence[Recorded], list[Recorded]]:
    """A page of events behind this seq, and those of them that the errand means; who was first is owed first."""
    events = store.events_between(errand.tenant, span, after=after, limit=PAGE)
    destination = store.destination(errand.destination_id, errand.tenant)
    return events, _meant(store, errand, destination, events) if destination is not None else []


def _owe_all(errand: Errand, events: Sequence[Recorded], now: Ms, store: Store) -> int | None:
    """One transaction: how many deliveries were made; None where there is nobody any more to make them for."""
    destination = store.destination(errand.destination_id, errand.tenant)
    if destination is None or not destination.enabled:
        return None
    kept = [event for event in events if store.event(event.id, errand.tenant)]  # retention may have been here
    meant = _meant(store, errand, destination, kept)
    for event in meant:
        _owe(store, destination, event, now)
    return len(meant)


def _meant(store: Store, errand: Errand, destination: Destination, events: Sequence[Recorded]) -> list[Recorded]:
    states = store.delivery_states(destination.id, [event.id for event in events])
    asked = [
        event
        for event in events
        if means(errand.only, states.get(event.id, set())) and _is_of(errand.event_types, event)
    ]
    tasks = {task_id: store.task(task_id) for task_id in {event.task_id for event in asked}}
    return [event for event in asked if _wants(destination, event, tasks[event.task_id])]


def means(only: Only, states: set[DeliveryState]) -> bool:
    """Whether an event is meant whose deliveries to the destination stand like this."""
    if only is Only.ALL:
        return True
    return not states & _STANDS and (only is Only.MISSING or DeliveryState.DEAD in states)


def _is_of(event_types: Sequence[str] | None, event: Recorded) -> bool:
    if event_types is None or event.type in event_types:
        return True
    return event.type in list(EventType) and wants_type(event_types, EventType(event.type))


def _wants(destination: Destination, event: Recorded, task: Task | None) -> bool:
    """Whether a destination wants an event that was recorded of this task, or of none."""
    if not event.task_id:
        return wants_operator_event(destination, OperatorEvent(event.type), _about(event))
    return task is not None and wants(destination, EventType(event.type), task)


def _about(event: Recorded) -> str:
    """The destination, or the provider, that an operators' event is about."""
    data = json_text.read_own(event.body)["data"]
    return str(data.get("destination_id") or data.get("provider") or "")


def _owe(store: Store, destination: Destination, event: Recorded, now: Ms) -> Delivery:
    return owe(store, destination, event_id=event.id, seq=event.seq, task_id=event.task_id, now=now)


def replay(store: Store, event: Recorded, tenant: str, *, now: Ms) -> list[Delivery]:
    """Deliver an event again to all that want it now, the webhook of its own task among them."""
    task = store.task(event.task_id)
    candidates = store.enabled_destinations(tenant) if task is None else destinations_of(store, task)
    return [_owe(store, each, event, now) for each in candidates if _wants(each, event, task)]


def replay_to(store: Store, event: Recorded, destination: Destination, *, now: Ms) -> list[Delivery] | Refusal:
    """Deliver an event again to this destination, whatever its filters; never one that is about itself."""
    if not event.task_id and _about(event) == destination.id:
        return Refusal(reason=f"{event.id} is about {destination.id} itself, which is never told of it")
    return why_not_sent(destination) or [_owe(store, destination, event, now)]

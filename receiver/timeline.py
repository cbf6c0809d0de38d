"""Makes one story of all that is kept of a task: notes, counts, events, deliveries, attempts, in time order."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any
from urllib.parse import urlsplit

from receiver import formats, json_text
from receiver.copying import replace
from receiver.delivery_policy import LOST, attempt_log, tried_next_at
from receiver.domain import Attempt, DeliveryState, Ms, OperatorEvent, Source, Task, Verified
from receiver.provider_policy import PAUSED_WORDS, Pause
from receiver.spans import span
from receiver.store.records import Brought, Chronicle, Recorded, Tally
from receiver.story import REFRESH, again_in

_COUNTED = {
    "poll": ("poll", "polls", "told nothing new"),
    "poll_progress": ("poll", "polls", "told of progress only"),
    "poll_failed": ("further poll", "further polls", "failed"),
    "callback_again": ("further callback", "further callbacks", "came, repeated or beyond those that are kept"),
    REFRESH: ("refresh was", "refreshes were", "asked for by its caller"),
    "unkept": ("further thing", "further things", "happened, beyond those that are told one by one"),
}
_WHY = {
    (Source.SUBMIT, Verified.POLL): "the answer of {provider} to the submit said so",
    (Source.CALLBACK, Verified.POLL): "a callback said so, and a poll confirmed it",
    (Source.CALLBACK, Verified.TOKEN): "a callback said so, and nobody but its URL vouches for it",
    (Source.CALLBACK, Verified.SIGNATURE): "a callback said so, and its signature vouches for it",
    (Source.POLL, Verified.POLL): "a poll said so",
    (Source.DEADLINE, None): "its time was over",
    (Source.CALLER, None): "its caller said so",
    (Source.OPERATOR, None): "an operator said so",
}
_LAST = (inf, 9, 0)
_WHY_OF_TYPE = {
    "task.queued": "handing it over is put off",
    "task.unconfirmed": "nobody knows whether {provider} took it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owed:
    """A delivery, its destination in words, whether that gets nothing now, and when it is tried next."""

    brought: Brought
    whom: str
    held: bool
    next_at: Ms | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a timeline.

    `place` puts those of one millisecond in order: the events before it, its rank among what follows that event, and
    its number among its like.
    """

    at: Ms
    kind: str
    text: str
    data: dict[str, Any]
    place: tuple[float, int, int]


def timeline(
    task: Task, chronicle: Chronicle, *, most: int, now: Ms, held: Mapping[str, Ms | None] | None = None
) -> list[Item]:
    """Everything that happened to a task; `most` is how many rows of each kind the chronicle may have.

    `held` is when each destination that gets nothing now is probed next; None where it is disabled or blocked.
    """
    if len(chronicle.attempts) < most:
        chronicle = replace(chronicle, attempts=_with_lost(chronicle, now))
    items = sorted(_items(task, chronicle, held or {}), key=lambda item: (item.at, item.place))
    rows = (chronicle.events, chronicle.deliveries, chronicle.attempts, chronicle.pauses)
    if max(len(each) for each in rows) < most:
        return items
    text = f"Only {most} events, deliveries and attempts each are told here: the lists have the others."
    return [*items, Item(at=items[-1].at, kind="cut", text=text, data={"most": most}, place=_LAST)]


def _with_lost(chronicle: Chronicle, now: Ms) -> list[tuple[str, Attempt]]:
    """Every attempt by its delivery's id, those that nothing was heard of again among them."""
    kept: defaultdict[str, list[Attempt]] = defaultdict(list)
    for delivery_id, attempt in chronicle.attempts:
        kept[delivery_id].append(attempt)
    owed = [each.delivery for each in chronicle.deliveries]
    found = [(each.id, attempt) for each in owed for attempt in attempt_log(each, kept[each.id], now)]
    return sorted(found, key=lambda pair: (pair[1].at, pair[1].number))


def _items(task: Task, chronicle: Chronicle, held: Mapping[str, Ms | None]) -> Iterator[Item]:
    yield _asked_for(task)
    for number, note in enumerate(chronicle.notes):
        place = (note.sequence, 0, 2 * number + 1)
        yield Item(at=note.at, kind=note.kind, text=note.text, data=dict(note.data), place=place)
    for tally in chronicle.tallies:
        following = chronicle.notes[tally.after : tally.after + 1]
        yield _counted(tally, following[0].sequence if following else inf)
    events = {event.id: _recorded(event, task.provider) for event in chronicle.events}
    yield from events.values()
    for event in chronicle.pauses:
        yield _paused_or_resumed(event, task.provider)
    whom = _whom(chronicle.deliveries)
    owed = {
        each.delivery.id: _Owed(
            brought=each,
            whom=whom[each.delivery.destination_id],
            held=each.delivery.destination_id in held,
            next_at=tried_next_at(each.delivery, held),
        )
        for each in chronicle.deliveries
    }
    for number, each in enumerate(owed.values()):
        event_id = each.brought.delivery.event_id
        before = events[event_id].place[0] if event_id in events else inf
        yield _owed(each, (before, 2, number))
    for number, (delivery_id, attempt) in enumerate(chronicle.attempts):
        if delivery_id in owed:
            yield _attempted(owed[delivery_id], attempt, number)


def _asked_for(task: Task) -> Item:
    follows = (
        f"{task.provider} is to call back, and is asked as well" if task.callback_expected else "it is asked about"
    )
    again = f", a resubmit of {task.retry_of}" if task.retry_of else ""
    within = span(task.deadline_at - task.created_at)
    text = f"{task.model or 'A task'} was asked for at {task.provider}{again}, to be done within {within}; {follows}."
    data = {"provider": task.provider, "model": task.model, "retry_of": task.retry_of}
    return Item(
        at=task.created_at,
        kind="task",
        text=text,
        data=data | {"deadline_at": formats.timestamp(task.deadline_at)},
        place=(-1, 0, 0),
    )


def _counted(tally: Tally, sequence: float) -> Item:
    one, many, what = _COUNTED[tally.kind]
    last_at = formats.timestamp(tally.last_at)
    text = f"{tally.count} {many} {what}, the last at {last_at}." if tally.count > 1 else f"1 {one} {what}."
    data = {"count": tally.count, "first_at": formats.timestamp(tally.first_at), "last_at": last_at}
    kind = tally.kind.partition("_")[0]
    return Item(at=tally.last_at, kind=kind, text=text, data=data, place=(sequence, 0, 2 * tally.after))


def _recorded(event: Recorded, provider: str) -> Item:
    envelope = json_text.read_own(event.body)
    told = {name: envelope["data"][name] for name in ("sequence", "source", "verified_by", "late")}
    proof = Verified(told["verified_by"]) if told["verified_by"] else None
    why = _WHY_OF_TYPE.get(event.type) or _WHY.get((Source(told["source"]), proof), f"by {told['source']}")
    late = "; late, after a verdict of our own" if told["late"] else ""
    return Item(
        at=formats.time_of(envelope["timestamp"]),
        kind="event",
        text=f"{event.type} is recorded as event {told['sequence']}: {why.format(provider=provider)}{late}.",
        data={"id": event.id, "type": event.type, **told},
        place=(told["sequence"] - 1, 1, 0),
    )


def _paused_or_resumed(event: Recorded, provider: str) -> Item:
    """In one millisecond a pause follows what caused it, and its end comes before what that lets begin.

    What was last heard of the provider stays with its operators: it may be about somebody else's task.
    """
    envelope = json_text.read_own(event.body)
    at, told = formats.time_of(envelope["timestamp"]), {name: envelope["data"][name] for name in ("reason", "since")}
    reason = Pause(told["reason"])
    if event.type == OperatorEvent.PROVIDER_PAUSED:
        waits = "polls go on, nothing is handed over" if reason is Pause.OPERATOR else "nothing is sent but a probe"
        text, order = f"{provider} {PAUSED_WORDS[reason]}: {waits}.", inf
    else:
        lasted = span(at - formats.time_of(told["since"]))
        text, order = f"The pause of {provider} is over, after {lasted}.", -1.0
    data = {"id": event.id, "type": event.type, **told}
    return Item(at=at, kind="provider", text=text, data=data, place=(order, 0, event.seq))


def _owed(owed: _Owed, place: tuple[float, int, int]) -> Item:
    brought, delivery = owed.brought, owed.brought.delivery
    canceled = ", but that is canceled" if delivery.state is DeliveryState.CANCELED else ""
    data = {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "destination_id": delivery.destination_id,
        "destination": _name(brought),
        "description": brought.description,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "next_attempt_at": _time(owed.next_at),
    }
    text = f"{brought.event_type} is owed to {owed.whom}{canceled}."
    return Item(at=delivery.created_at, kind="delivery", text=text, data=data, place=place)


def _attempted(owed: _Owed, attempt: Attempt, number: int) -> Item:
    brought, delivery = owed.brought, owed.brought.delivery
    last = attempt.number == delivery.attempts
    data = {
        "delivery_id": delivery.id,
        "destination_id": delivery.destination_id,
        "destination": _name(brought),
        "number": attempt.number,
        "status": attempt.status,
        "error": attempt.error,
        "duration_ms": attempt.duration_ms,
        "next_attempt_at": _time(owed.next_at) if last else None,
    }
    became = _became(attempt) + (_follows(owed, attempt) if last else "")
    text = f"Attempt {attempt.number} to bring {brought.event_type} to {owed.whom} {became}."
    return Item(at=attempt.at, kind="attempt", text=text, data=data, place=(inf, 3, number))


def _became(attempt: Attempt) -> str:
    took = f"after {span(attempt.duration_ms)}"
    if attempt.succeeded:
        return f"arrived {took}"
    if attempt.error == LOST:
        return f"was {LOST}"
    if attempt.error is not None:
        return f"failed {took} ({attempt.error.rstrip('. ')})"
    return f"failed {took} (HTTP {attempt.status})"


def _follows(owed: _Owed, attempt: Attempt) -> str:
    """What comes after the last attempt so far."""
    delivery = owed.brought.delivery
    if delivery.state is DeliveryState.DEAD:
        return ": it was the last, the delivery is dead"
    if delivery.state is not DeliveryState.PENDING or delivery.due_at is None:
        return ""
    if owed.next_at is None:
        return ", and waits, for its destination is disabled or blocked"
    again = f", {again_in('tried', owed.next_at, attempt.at)}"
    return f"{again} at the earliest, for its destination fails" if owed.held else again


def _time(at: Ms | None) -> str | None:
    return None if at is None else formats.timestamp(at)


def _name(brought: Brought) -> str | None:
    """A destination by its host only: the path and the query of a webhook may hold a secret."""
    if brought.target is None or brought.destination_type == "sqlite":
        return brought.target
    return urlsplit(brought.target).netloc.rpartition("@")[2]


def _whom(deliveries: Sequence[Brought]) -> dict[str, str]:
    """Each destination in words, no two in the same: where they would be, by what its owner says of it, or by id."""
    of = {each.delivery.destination_id: each for each in deliveries}
    told = {name: (_words(each), f"{_words(each)} ({each.description or name})") for name, each in of.items()}
    how_often = Counter(words for both in told.values() for words in both)
    return {
        name: next((words for words in both if how_often[words] == 1), f"{both[0]} ({name})")
        for name, both in told.items()
    }


def _words(brought: Brought) -> str:
    name = _name(brought)
    if name is None:
        return "a destination that is deleted since"
    if brought.destination_type == "sqlite":
        return f"the SQLite log {name}"
    if brought.destination_type != "webhook":
        return f"the {brought.destination_type} destination at {name}"
    return f"its own webhook at {name}" if brought.hidden else f"the webhook at {name}"

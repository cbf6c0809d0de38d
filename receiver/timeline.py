"""Makes one story of all that is kept of a task: notes, counts, events, deliveries, attempts, in time order."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any
from urllib.parse import urlsplit

from receiver import formats
from receiver.delivery_policy import LOST, attempt_log
from receiver.domain import Attempt, Delivery, DeliveryState, Ms, OperatorEvent, Source, Task, Verified
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


def timeline(task: Task, chronicle: Chronicle, *, most: int, now: Ms) -> list[Item]:
    """Everything that happened to a task; `most` is how many rows of each kind the chronicle may have."""
    attempts = chronicle.attempts if len(chronicle.attempts) >= most else _with_lost(chronicle, now)
    items = sorted(_items(task, chronicle, attempts), key=lambda item: (item.at, item.place))
    rows = (chronicle.events, chronicle.deliveries, chronicle.attempts, chronicle.pauses)
    if max(len(each) for each in rows) < most:
        return items
    text = f"Only {most} events, deliveries and attempts each are told here: the lists have the others."
    return [*items, Item(at=items[-1].at, kind="cut", text=text, data={"most": most}, place=_LAST)]


def _with_lost(chronicle: Chronicle, now: Ms) -> list[tuple[str, Attempt]]:
    """Every attempt by its delivery's id, those that nothing was heard of again among them, as far as all were read."""
    kept: defaultdict[str, list[Attempt]] = defaultdict(list)
    for delivery_id, attempt in chronicle.attempts:
        kept[delivery_id].append(attempt)
    owed = [each.delivery for each in chronicle.deliveries]
    found = [(each.id, attempt) for each in owed for attempt in attempt_log(each, kept[each.id], now)]
    return sorted(found, key=lambda pair: (pair[1].at, pair[1].number))


def _items(task: Task, chronicle: Chronicle, attempts: Sequence[tuple[str, Attempt]]) -> Iterator[Item]:
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
    brought = {each.delivery.id: each for each in chronicle.deliveries}
    for number, each in enumerate(chronicle.deliveries):
        before = events[each.delivery.event_id].place[0] if each.delivery.event_id in events else inf
        yield _owed(each, (before, 2, number))
    for number, (delivery_id, attempt) in enumerate(attempts):
        if delivery_id in brought:
            yield _attempted(brought[delivery_id], attempt, number)


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
    envelope = json.loads(event.body)
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
    envelope = json.loads(event.body)
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


def _owed(brought: Brought, place: tuple[float, int, int]) -> Item:
    delivery = brought.delivery
    canceled = ", but that is canceled" if delivery.state is DeliveryState.CANCELED else ""
    data = {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "destination_id": delivery.destination_id,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "next_attempt_at": _next(delivery),
    }
    text = f"{brought.event_type} is owed to {_whom(brought)}{canceled}."
    return Item(at=delivery.created_at, kind="delivery", text=text, data=data, place=place)


def _attempted(brought: Brought, attempt: Attempt, number: int) -> Item:
    delivery = brought.delivery
    last = attempt.number == delivery.attempts
    took = f"after {span(attempt.duration_ms)}"
    if attempt.succeeded:
        became = f"arrived {took}"
    elif attempt.error == LOST:
        became = f"was {LOST}"
    elif attempt.error is not None:
        became = f"failed {took} ({attempt.error.rstrip('. ')})"
    else:
        became = f"failed {took} (HTTP {attempt.status})"
    if last and delivery.state is DeliveryState.DEAD:
        became += ": it was the last, the delivery is dead"
    elif last and delivery.state is DeliveryState.PENDING and delivery.due_at is not None:
        became += f", {again_in('tried', delivery.due_at, attempt.at)}"
    data = {
        "delivery_id": delivery.id,
        "destination_id": delivery.destination_id,
        "number": attempt.number,
        "status": attempt.status,
        "error": attempt.error,
        "duration_ms": attempt.duration_ms,
        "next_attempt_at": _next(delivery) if last else None,
    }
    text = f"Attempt {attempt.number} to bring {brought.event_type} to {_whom(brought)} {became}."
    return Item(at=attempt.at, kind="attempt", text=text, data=data, place=(inf, 3, number))


def _next(delivery: Delivery) -> str | None:
    pending = delivery.state is DeliveryState.PENDING and delivery.due_at is not None
    return formats.timestamp(delivery.due_at) if pending and delivery.due_at else None


def _whom(brought: Brought) -> str:
    """The destination by its host only: the path and the query of a webhook may hold a secret."""
    if brought.target is None:
        return "a destination that is deleted since"
    if brought.destination_type != "webhook":
        return f"the SQLite log {brought.target}"
    host = urlsplit(brought.target).netloc
    return f"its own webhook at {host}" if brought.hidden else f"the webhook at {host}"

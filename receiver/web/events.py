"""The door for events: read them from a cursor, or one; deliver one again."""

import re
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from receiver.delivery_actions import destination_named
from receiver.delivery_policy import GROUPS, named_types
from receiver.domain import Destination, EventType, OperatorEvent
from receiver.errors import Fault, Gone, Invalid, Unknown
from receiver.replays import replay, replay_to
from receiver.store.protocol import Store
from receiver.store.records import Found, Page, Recorded
from receiver.web.answers import json_answer, text_answer
from receiver.web.bodies import read_optional
from receiver.web.deliveries import shown
from receiver.web.doors import Caller, allowed, check_query, doors_of, query_filters, query_limit

_LAST_SEQ = 2**62
_CURSOR = re.compile(r"([0-9]{1,19})(?::([0-9]{1,19}))?")


class EventReplayIn(BaseModel):
    """To whom an event shall be delivered again; None: to all that want it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    destination_id: str | None = None


async def list_events(request: Request, caller: Caller) -> Response:
    """`GET /v1/events?after=<seq>`: ascending from the cursor; `order=desc` newest first."""
    check_query(request, "after", "order", "type", "task_id", "provider", several=("type",))
    doors, limit = doors_of(request), query_limit(request)
    read = _backward if _order(request) == "desc" else _forward
    after = _place(request)
    where = query_filters(request, "task_id", "provider")
    page = Page(tenant=caller.tenant, limit=limit + 1, where=where | {"type": _types(request)})
    rows, end = await doors.storage.read(lambda store: read(store, page, after))
    shown = rows[:limit]
    items = ",".join(_item(row) for row in shown)
    last = shown[-1].seq if len(rows) > limit else rows.to
    more, cursor = ("false", end) if last is None else ("true", replace(end, seq=last))
    return text_answer(f'{{"items":[{items}],"next_cursor":"{cursor}","has_more":{more}}}')


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a reader stands: behind the event `seq`, aware of what was deleted up to `pruned`.

    Of these only what is still owed is there to be read, so that none of it is missed by going on.
    """

    seq: int
    pruned: int = 0

    def __str__(self) -> str:
        return f"{self.seq}:{self.pruned}" if self.seq < self.pruned else f"{self.seq}"


def _forward(store: Store, page: Page, after: _Place) -> tuple[Found[Recorded], _Place]:
    """What comes after a place, and where a reader of it stands after the last: at the newest event of all, whatever
    its filter let through, so that one who reads on never falls behind what is kept.

    Raises `Gone` where he has missed something that was deleted; who begins with the oldest has not.
    """
    pruned = store.pruned_seq(page.tenant)
    if after.seq and pruned > max(after.seq, after.pruned):
        raise Gone(
            f"events after {after.seq} were deleted, up to {pruned}: read on with after=0, which begins with the "
            "oldest that is kept, and from there with `next_cursor`"
        )
    newest = store.newest_seq(page.tenant)  # asked first: what comes in between is not passed over
    rows = store.list_events(page, after=after.seq, newest_first=False)
    return rows, _Place(max(after.seq, newest, pruned, *(row.seq for row in rows[-1:])), pruned)


def _backward(store: Store, page: Page, before: _Place) -> tuple[Found[Recorded], _Place]:
    """What comes before a seq (0: all), newest first, and the last of it."""
    rows = store.list_events(page, after=before.seq or None, newest_first=True)
    return rows, _Place(rows[-1].seq if rows else before.seq)


async def get_event(request: Request, caller: Caller) -> Response:
    """`GET /v1/events/{id}`."""
    event_id = request.path_params["id"]
    return text_answer(_item(await doors_of(request).storage.read(lambda store: _owned(store, event_id, caller))))


async def replay_event(request: Request, caller: Caller) -> Response:
    """`POST /v1/events/{id}/replay`: 202 and the new deliveries, to whoever wants it now, or to `destination_id`."""
    doors, event_id = doors_of(request), request.path_params["id"]
    await doors.storage.read(lambda store: _owned(store, event_id, caller))
    asked = await read_optional(request, EventReplayIn)
    await doors.storage.read(lambda store: _target(store, asked, caller))
    now = doors.clock.now()

    def do(store: Store) -> list[dict[str, Any]]:
        event, target = _owned(store, event_id, caller), _target(store, asked, caller)
        if target is None:
            return shown(store, replay(store, event, caller.tenant, now=now), doors)
        return shown(store, allowed(replay_to(store, event, target, now=now)), doors)

    made = await doors.storage.write(do)
    doors.wake_courier()
    return json_answer({"count": len(made), "deliveries": made}, 202)


def _owned(store: Store, event_id: str, caller: Caller) -> Recorded:
    row = store.event(event_id, caller.tenant)
    if row is None:
        raise Unknown(f"no event {event_id!r}")
    return row


def _target(store: Store, asked: EventReplayIn, caller: Caller) -> Destination | None:
    """The destination that is asked for; None where all are meant."""
    if asked.destination_id is None:
        return None
    found = destination_named(store, asked.destination_id, caller.tenant)
    if found is None:
        raise Unknown(f"no destination {asked.destination_id!r}")
    return found


def _item(row: Recorded) -> str:
    """The envelope with its `seq`: the very text that was signed, opened at its first brace."""
    return f'{{"seq":{row.seq},{row.body[1:]}'


def _place(request: Request) -> _Place:
    """`?after=`: a seq, or the `next_cursor` of a page; raises `Invalid`."""
    text = request.query_params.get("after") or "0"
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) > _LAST_SEQ:
        message = f"must be a whole number from 0 to {_LAST_SEQ}, or the `next_cursor` of an earlier page"
        raise Invalid([Fault(path="after", message=message)])
    return _Place(int(found[1]), int(found[2] or 0))


def _order(request: Request) -> str:
    order = request.query_params.get("order", "asc")
    if order not in ("asc", "desc"):
        raise Invalid([Fault(path="order", message="must be asc or desc")])
    return order


def _types(request: Request) -> list[str] | None:
    asked = [word for text in request.query_params.getlist("type") for word in text.split(",") if word]
    for word in asked:
        if word not in {*EventType, *OperatorEvent, *GROUPS}:
            raise Invalid([Fault(path="type", message=f"no event type {word!r}")])
    if not asked and "type" in request.query_params:
        raise Invalid([Fault(path="type", message="names no event type: give one, or leave it out")])
    return [kind.value for kind in named_types(asked)] if asked else None

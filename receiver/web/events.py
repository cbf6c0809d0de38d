"""The door for events: read them from a cursor, or one; deliver one again."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from receiver.copying import replace
from receiver.delivery_actions import destination_named
from receiver.delivery_policy import GROUPS, named_types
from receiver.domain import Destination, EventType, OperatorEvent
from receiver.errors import Fault, Invalid, Unknown
from receiver.places import LAST_SEQ, Place, forward, place_in
from receiver.replays import replay, replay_to
from receiver.store.protocol import Store
from receiver.store.records import Found, Page, Recorded
from receiver.web.answers import json_answer, text_answer
from receiver.web.bodies import read_optional
from receiver.web.deliveries import shown
from receiver.web.doors import Caller, allowed, check_query, doors_of, query_filters, query_limit


class EventReplayIn(BaseModel):
    """To whom an event shall be delivered again; None: to all that want it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    destination_id: str | None = None


async def list_events(request: Request, caller: Caller) -> Response:
    """`GET /v1/events?after=<seq>`: ascending from the cursor; `order=desc` newest first."""
    check_query(request, "after", "order", "type", "task_id", "provider", several=("type",))
    doors, limit = doors_of(request), query_limit(request)
    read = _backward if _order(request) == "desc" else forward
    after = place_of(request.query_params.get("after") or "0", "after")
    where = query_filters(request, "task_id", "provider")
    page = Page(tenant=caller.tenant, limit=limit + 1, where=where | {"type": types_asked(request)})
    rows, end = await doors.storage.read(lambda store: read(store, page, after))
    shown = rows[:limit]
    items = ",".join(item(row) for row in shown)
    last = shown[-1].seq if len(rows) > limit else rows.to
    more, cursor = ("false", end) if last is None else ("true", replace(end, seq=last))
    return text_answer(f'{{"items":[{items}],"next_cursor":"{cursor}","has_more":{more}}}')


def _backward(store: Store, page: Page, before: Place) -> tuple[Found[Recorded], Place]:
    """What comes before a seq (0: all), newest first, and the last of it."""
    rows = store.list_events(page, after=before.seq or None, newest_first=True)
    return rows, Place(rows[-1].seq if rows else before.seq)


async def get_event(request: Request, caller: Caller) -> Response:
    """`GET /v1/events/{id}`."""
    event_id = request.path_params["id"]
    return text_answer(item(await doors_of(request).storage.read(lambda store: _owned(store, event_id, caller))))


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


def item(row: Recorded) -> str:
    """The envelope with its `seq`: the very text that was signed, opened at its first brace."""
    return f'{{"seq":{row.seq},{row.body[1:]}'


def place_of(text: str, named: str) -> Place:
    """The place that a caller names: a seq, or the `next_cursor` of a page; raises `Invalid`."""
    place = place_in(text)
    if place is None:
        message = f"must be a whole number from 0 to {LAST_SEQ}, or the `next_cursor` of an earlier page"
        raise Invalid([Fault(path=named, message=message)])
    return place


def _order(request: Request) -> str:
    order = request.query_params.get("order", "asc")
    if order not in ("asc", "desc"):
        raise Invalid([Fault(path="order", message="must be asc or desc")])
    return order


def types_asked(request: Request) -> list[str] | None:
    """The event types that a reader asks for, groups spelt out; None: all. Raises `Invalid`."""
    asked = [word for text in request.query_params.getlist("type") for word in text.split(",") if word]
    for word in asked:
        if word not in {*EventType, *OperatorEvent, *GROUPS}:
            raise Invalid([Fault(path="type", message=f"no event type {word!r}")])
    if not asked and "type" in request.query_params:
        raise Invalid([Fault(path="type", message="names no event type: give one, or leave it out")])
    return [kind.value for kind in named_types(asked)] if asked else None

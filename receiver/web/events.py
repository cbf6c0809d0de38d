"""The door for events: read them from a cursor, or one; deliver one again."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from receiver.delivery_actions import destination_named
from receiver.delivery_policy import GROUPS, wants_type
from receiver.domain import Destination, EventType, OperatorEvent
from receiver.errors import Fault, Gone, Invalid, Unknown
from receiver.replays import replay, replay_to
from receiver.store.protocol import Store
from receiver.store.records import Page, Recorded
from receiver.web.answers import json_answer, text_answer
from receiver.web.deliveries import shown
from receiver.web.doors import (
    Caller,
    allowed,
    check_query,
    doors_of,
    query_filters,
    query_integer,
    query_limit,
    read_optional,
)

_LAST_SEQ = 2**62


class ReplayIn(BaseModel):
    """To whom an event shall be delivered again; None: to all that want it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    destination_id: str | None = None


async def list_events(request: Request, caller: Caller) -> Response:
    """`GET /v1/events?after=<seq>`: ascending from the cursor; `order=desc` newest first."""
    check_query(request, "after", "order", "type", "task_id", "provider", several=("type",))
    doors, limit = doors_of(request), query_limit(request)
    read = _backward if _order(request) == "desc" else _forward
    after = query_integer(request, "after", 0, least=0, most=_LAST_SEQ)
    where = query_filters(request, "task_id", "provider")
    page = Page(tenant=caller.tenant, limit=limit + 1, where=where | {"type": _types(request)})
    rows, end = await doors.storage.read(lambda store: read(store, page, after))
    shown = rows[:limit]
    items = ",".join(_item(row) for row in shown)
    more, cursor = ("true", shown[-1].seq) if len(rows) > limit else ("false", end)
    return text_answer(f'{{"items":[{items}],"next_cursor":"{cursor}","has_more":{more}}}')


def _forward(store: Store, page: Page, after: int) -> tuple[Sequence[Recorded], int]:
    """What comes after a seq, and where a reader of it stands after the last: at the newest event of all, whatever its
    filter let through, so that one who reads on never falls behind what is kept.

    Raises `Gone` where he has missed something that was deleted; who begins with the oldest has not.
    """
    if after and store.cut_off(page.tenant, after):
        raise Gone(
            f"events up to {after} are kept no longer, nor are some of those after it: "
            "read on with after=0, which begins with the oldest that is kept"
        )
    newest = store.newest_seq(page.tenant)  # asked first: what comes in between is not passed over
    rows = store.list_events(page, after=after, newest_first=False)
    return rows, max(after, newest, *(row.seq for row in rows[-1:]))


def _backward(store: Store, page: Page, before: int) -> tuple[Sequence[Recorded], int]:
    """What comes before a seq (0: all), newest first, and the last of it."""
    rows = store.list_events(page, after=before or None, newest_first=True)
    return rows, rows[-1].seq if rows else before


async def get_event(request: Request, caller: Caller) -> Response:
    """`GET /v1/events/{id}`."""
    event_id = request.path_params["id"]
    return text_answer(_item(await doors_of(request).storage.read(lambda store: _owned(store, event_id, caller))))


async def replay_event(request: Request, caller: Caller) -> Response:
    """`POST /v1/events/{id}/replay`: 202 and the new deliveries, to whoever wants it now, or to `destination_id`."""
    doors, event_id = doors_of(request), request.path_params["id"]
    await doors.storage.read(lambda store: _owned(store, event_id, caller))
    asked = await read_optional(request, ReplayIn)
    await doors.storage.read(lambda store: _target(store, asked, caller))
    now = doors.clock.now()

    def do(store: Store) -> list[dict[str, Any]]:
        event, target = _owned(store, event_id, caller), _target(store, asked, caller)
        if target is None:
            return shown(store, replay(store, event, caller.tenant, now=now), now)
        return shown(store, allowed(replay_to(store, event, target, now=now)), now)

    made = await doors.storage.write(do)
    doors.wake_courier()
    return json_answer({"count": len(made), "deliveries": made}, 202)


def _owned(store: Store, event_id: str, caller: Caller) -> Recorded:
    row = store.event(event_id, caller.tenant)
    if row is None:
        raise Unknown(f"no event {event_id!r}")
    return row


def _target(store: Store, asked: ReplayIn, caller: Caller) -> Destination | None:
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
    named = [kind.value for kind in OperatorEvent if kind in asked]
    return [*named, *(kind.value for kind in EventType if wants_type(asked, kind))] if asked else None

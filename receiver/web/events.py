"""The door for events: read them from a cursor, or one."""

from starlette.requests import Request
from starlette.responses import Response

from receiver.delivery_policy import GROUPS, wants_type
from receiver.domain import EventType, OperatorEvent
from receiver.errors import Fault, Invalid, Unknown
from receiver.store.protocol import Page, Recorded
from receiver.web.answers import text_answer
from receiver.web.doors import Caller, check_query, doors_of, query_filters, query_integer, query_limit

_LAST_SEQ = 2**62


async def list_events(request: Request, caller: Caller) -> Response:
    """`GET /v1/events?after=<seq>`: ascending from the cursor; `order=desc` newest first."""
    check_query(request, "after", "order", "type", "task_id", "provider", several=("type",))
    doors, limit = doors_of(request), query_limit(request)
    newest_first = _order(request) == "desc"
    after = query_integer(request, "after", 0, least=0, most=_LAST_SEQ)
    where = query_filters(request, "task_id", "provider")
    page = Page(tenant=caller.tenant, limit=limit + 1, where=where | {"type": _types(request)})
    start = after if after or not newest_first else None
    rows = await doors.storage.read(lambda store: store.list_events(page, after=start, newest_first=newest_first))
    shown = rows[:limit]
    cursor = shown[-1].seq if shown else after
    items = ",".join(_item(row) for row in shown)
    more = "true" if len(rows) > limit else "false"
    return text_answer(f'{{"items":[{items}],"next_cursor":"{cursor}","has_more":{more}}}')


async def get_event(request: Request, caller: Caller) -> Response:
    """`GET /v1/events/{id}`."""
    event_id = request.path_params["id"]
    row = await doors_of(request).storage.read(lambda store: store.event(event_id, caller.tenant))
    if row is None:
        raise Unknown(f"no event {event_id!r}")
    return text_answer(_item(row))


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

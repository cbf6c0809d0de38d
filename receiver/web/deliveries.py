"""The door for deliveries: what is owed, what was tried."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver import formats
from receiver.domain import Attempt, Delivery, DeliveryState
from receiver.errors import Unknown
from receiver.store.protocol import Page, Store
from receiver.web.answers import json_answer, page_answer
from receiver.web.doors import Caller, check_query, doors_of, query_cursor, query_filters, query_limit, query_word


async def list_deliveries(request: Request, caller: Caller) -> Response:
    """`GET /v1/deliveries`."""
    filters = ("state", "destination_id", "task_id", "event_id")
    check_query(request, "cursor", *filters)
    limit, where = query_limit(request), query_filters(request, *filters)
    query_word(request, "state", DeliveryState)
    page = Page(tenant=caller.tenant, limit=limit + 1, cursor=query_cursor(request, "dlv"), where=where)
    rows = await doors_of(request).storage.read(lambda store: store.list_deliveries(page))
    return page_answer([_fields(row) for row in rows], limit, [row.id for row in rows])


async def get_delivery(request: Request, caller: Caller) -> Response:
    """`GET /v1/deliveries/{id}`, with its attempts."""
    delivery_id = request.path_params["id"]

    def look(store: Store) -> dict[str, Any]:
        delivery = store.delivery(delivery_id, caller.tenant)
        if delivery is None:
            raise Unknown(f"no delivery {delivery_id!r}")
        return _fields(delivery) | {"attempt_log": [_attempt(each) for each in store.attempts(delivery_id)]}

    return json_answer(await doors_of(request).storage.read(look))


def _fields(delivery: Delivery) -> dict[str, Any]:
    pending = delivery.state is DeliveryState.PENDING and delivery.due_at is not None
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "destination_id": delivery.destination_id,
        "task_id": delivery.task_id or None,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "next_attempt_at": formats.timestamp(delivery.due_at) if pending and delivery.due_at else None,
        "created_at": formats.timestamp(delivery.created_at),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": formats.timestamp(attempt.at),
        "status": attempt.status,
        "duration_ms": attempt.duration_ms,
        "error": attempt.error,
        "response": attempt.response,
    }

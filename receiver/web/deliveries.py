"""The door for deliveries: what is owed, what was tried, once more or no longer."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from receiver import formats
from receiver.action_policy import Refusal
from receiver.delivery_actions import cancel, retry
from receiver.delivery_policy import attempt_log, tried_next_at
from receiver.domain import Attempt, Delivery, DeliveryState, Ms
from receiver.errors import Unknown
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.web.answers import json_answer, page_answer
from receiver.web.bodies import NothingIn, read_optional
from receiver.web.doors import (
    Caller,
    Doors,
    allowed,
    check_query,
    doors_of,
    query_cursor,
    query_filters,
    query_limit,
    query_word,
)
from receiver.web.holding import held, why_blocked


class Act(Protocol):
    """Something that a caller does to a delivery; None where it was done."""

    def __call__(self, store: Store, delivery: Delivery, *, now: Ms) -> Refusal | None: ...


async def list_deliveries(request: Request, caller: Caller) -> Response:
    """`GET /v1/deliveries`."""
    filters = ("state", "destination_id", "task_id", "event_id")
    check_query(request, "cursor", *filters)
    limit, where = query_limit(request), query_filters(request, *filters)
    query_word(request, "state", DeliveryState)
    page = Page(tenant=caller.tenant, limit=limit + 1, cursor=query_cursor(request, "dlv"), where=where)
    doors = doors_of(request)
    items = await doors.storage.read(lambda store: shown(store, store.list_deliveries(page), doors))
    return page_answer(items, limit, [item["id"] for item in items])


async def get_delivery(request: Request, caller: Caller) -> Response:
    """`GET /v1/deliveries/{id}`, with its attempts."""
    delivery_id = request.path_params["id"]
    doors = doors_of(request)
    return json_answer(await doors.storage.read(lambda store: _shown(store, delivery_id, caller, doors)))


async def retry_delivery(request: Request, caller: Caller) -> Response:
    """`POST /v1/deliveries/{id}/retry`: due now; one that is dead or canceled begins its schedule anew."""
    return await _act(request, caller, retry)


async def cancel_delivery(request: Request, caller: Caller) -> Response:
    """`POST /v1/deliveries/{id}/cancel`: it is not tried again."""
    return await _act(request, caller, cancel)


async def _act(request: Request, caller: Caller, act: Act) -> Response:
    doors, delivery_id = doors_of(request), request.path_params["id"]
    await doors.storage.read(lambda store: _owned(store, delivery_id, caller))
    await read_optional(request, NothingIn)
    now = doors.clock.now()

    def do(store: Store) -> dict[str, Any]:
        allowed(act(store, _owned(store, delivery_id, caller), now=now))
        return _shown(store, delivery_id, caller, doors)

    fields = await doors.storage.write(do)
    doors.wake_courier()
    return json_answer(fields)


def _owned(store: Store, delivery_id: str, caller: Caller) -> Delivery:
    delivery = store.delivery(delivery_id, caller.tenant)
    if delivery is None:
        raise Unknown(f"no delivery {delivery_id!r}")
    return delivery


def _shown(store: Store, delivery_id: str, caller: Caller, doors: Doors) -> dict[str, Any]:
    delivery, now = _owned(store, delivery_id, caller), doors.clock.now()
    [fields] = shown(store, [delivery], doors)
    log = attempt_log(delivery, store.attempts(delivery_id), now)
    blocked = why_blocked(store, delivery.destination_id, doors) if delivery.state is DeliveryState.PENDING else None
    return fields | {"blocked_reason": blocked, "attempt_log": [attempt_fields(each) for each in log]}


def shown(store: Store, deliveries: Sequence[Delivery], doors: Doors) -> list[dict[str, Any]]:
    """Deliveries as items of the list."""
    waits = held(store, deliveries, doors)
    return [_fields(each, waits) for each in deliveries]


def _fields(delivery: Delivery, waits: Mapping[str, Ms | None]) -> dict[str, Any]:
    next_at = tried_next_at(delivery, waits)
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "destination_id": delivery.destination_id,
        "task_id": delivery.task_id or None,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "next_attempt_at": None if next_at is None else formats.timestamp(next_at),
        "created_at": formats.timestamp(delivery.created_at),
    }


def attempt_fields(attempt: Attempt) -> dict[str, Any]:
    """An attempt as an item of `attempt_log`."""
    return {
        "number": attempt.number,
        "at": formats.timestamp(attempt.at),
        "status": attempt.status,
        "duration_ms": attempt.duration_ms,
        "error": attempt.error,
        "response": attempt.response,
    }

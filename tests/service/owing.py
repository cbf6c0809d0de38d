"""Events by the hundred without a provider, and the courier alone, until it has nothing left to do now."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from receiver import breaker, intake
from receiver.breaker_policy import Breaker
from receiver.delivery import DeliveryLimits
from receiver.domain import Destination, Source, Status, Update, Verified
from receiver.store.protocol import Store
from receiver.store.records import Page
from tests.make import a_task
from tests.service.consumer import Gated
from tests.service.world import LIMITS, World

OPERATORS = ["destination.failing", "destination.recovered", "destination.disabled", "delivery.dead"]
# For endpoints that hang until they are told: on a busy machine that may be for longer than production waits.
PATIENT = replace(LIMITS, delivery=DeliveryLimits(deadline_s=300, lease_s=600))
TRUSTED_AFTER = 32
STEPS = (Status.RUNNING, Status.SUCCEEDED)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop come round until this holds."""
    while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0)


async def happen(
    world: World,
    count: int,
    *,
    first: int = 1,
    statuses: Sequence[Status] = (Status.SUCCEEDED,),
    tenant: str = "default",
) -> list[str]:
    """So many tasks go through these statuses: one event each, step after step; the tasks' ids."""
    now = world.clock.now()

    def record(store: Store) -> list[str]:
        tasks = [
            a_task(id=f"task_{number:06}", provider_task_id=f"p{number:06}", tenant=tenant, created_at=now)
            for number in range(first, first + count)
        ]
        for task in tasks:
            store.record_task(task)
        for status in statuses:
            tasks = [_take(store, task, status, now) for task in tasks]
        return [task.id for task in tasks]

    return await world.service.storage.write(record)


async def go_on(world: World, task_id: str, *statuses: Status) -> None:
    """One task goes on to these statuses."""

    def record(store: Store) -> None:
        task = store.task(task_id)
        for status in statuses:
            assert task is not None
            task = _take(store, task, status, world.clock.now())

    await world.service.storage.write(record)


def _take(store: Store, task: Any, status: Status, now: int) -> Any:
    update = Update(status=status, provider_task_id=task.provider_task_id)
    return intake.take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=now).task


async def quiet(world: World, seconds: float = 0, *, most: int = 2000) -> float:
    """Let time pass, then bring what is due until nothing more is; how long the courier would sleep then."""
    world.clock.advance(seconds)
    for _ in range(most):
        await world.service.replicas.kept.say({})  # it may take longer than a process keeps its part unheard
        courier = world.service.courier
        courier.wake.clear()
        pause_s = await courier.run_once()
        if pause_s > 0 and courier.crew.total == 0 and not courier.wake.is_set():  # what ended meanwhile makes room
            return pause_s
        await courier.crew.drain()
    raise AssertionError(f"still busy after {most} rounds")


async def trusted(world: World, *consumers: Gated, tenants: Sequence[str] = ("default",)) -> None:
    """Each has answered so many events well that it is no longer tried with a few."""
    for number, tenant in enumerate(tenants):
        await happen(world, TRUSTED_AFTER, first=900_000 + 1000 * number, tenant=tenant)
    while await world.service.courier.run_once() == 0 or world.service.courier.crew.total:
        for consumer in consumers:
            consumer.answer(204)
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # what each takes from now on is offered in the turn after
    for consumer in consumers:
        consumer.ids.clear()
        consumer.gates.clear()


async def kept(world: World, destination_id: str) -> Destination:
    """A destination of the default tenant as the store has it, a hidden one too."""

    def read(store: Store) -> Destination | None:
        return store.destination(destination_id, "default") or store.hidden_destination(destination_id)

    found = await world.service.storage.read(read)
    assert found is not None
    return found


async def change(world: World, destination_id: str, **fields: Any) -> None:
    """Change a destination as a PATCH does."""
    destination = replace(await kept(world, destination_id), **fields)
    await world.service.storage.write(lambda store: store.save_destination(destination))


async def enable(world: World, destination_id: str) -> None:
    destination = await kept(world, destination_id)
    await world.service.storage.write(lambda store: breaker.enable(store, destination))


async def disable(world: World, destination_id: str) -> None:
    destination, now = await kept(world, destination_id), world.clock.now()
    await world.service.storage.write(lambda store: breaker.disable(store, destination, breaker.CALLER, now))


async def due_at(world: World, delivery_id: str) -> int | None:
    """When a delivery is due by its schedule, whatever holds its queue."""
    found = await world.service.storage.read(lambda store: store.delivery(delivery_id, "default"))
    assert found is not None
    return found.due_at


async def breaker_of(world: World, destination_id: str) -> Breaker:
    return await world.service.storage.read(lambda store: store.breaker(destination_id))


async def told(world: World) -> list[tuple[str, dict[str, Any]]]:
    """The operators' events about destinations so far: type and data."""
    page = Page(tenant="default", limit=200, where={"type": OPERATORS})
    found = await world.service.storage.read(lambda store: store.list_events(page, after=0, newest_first=False))
    return [(event.type, json.loads(event.body)["data"]) for event in found]


async def kinds(world: World) -> list[str]:
    return [kind for kind, _ in await told(world)]


async def attempt_log(world: World, delivery_id: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await world.api.get(f"/v1/deliveries/{delivery_id}")).json()["attempt_log"]
    return entries


async def rows_of(world: World, sql: str, **values: Any) -> list[dict[str, Any]]:
    """What a statement finds in the store."""

    def read(store: Store) -> list[dict[str, Any]]:
        return list(store.execute(sql, values))  # type: ignore[attr-defined]

    return await world.service.storage.read(read)

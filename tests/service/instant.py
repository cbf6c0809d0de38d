"""A provider that finishes every task inside its answer, for tests of what comes after that."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from receiver.store.protocol import Store
from tests.make import a_delivery, a_destination
from tests.service.world import World, a_world, scripted

OTHER = {"destinations": "dst_" + "0" * 26, "deliveries": "dlv_" + "0" * 26, "events": "evt_" + "0" * 26}


@asynccontextmanager
async def a_quick_world(directory: Path, **fields: Any) -> AsyncIterator[World]:
    """A world whose `reve2img` has a result for every task at once."""
    done = {"status": "SUCCESS", "consumed_credits": 12, "response": {"resultUrls": ["https://x/1.png"]}}
    answers = [(200, {"code": 200, "message": "success", "data": done | {"task_id": f"r{n}"}}) for n in range(2000)]
    async with scripted(*answers) as reve, a_world(directory, base_urls={"reve2img": reve.base_url}, **fields) as world:
        yield world


async def finish(world: World, **fields: Any) -> str:
    """See a task through; its id."""
    task_id: str = (await world.submit("reve2img", "reve-2.0", **fields))["id"]
    return task_id


async def last_event(world: World) -> dict[str, Any]:
    event: dict[str, Any] = (await world.api.get("/v1/events?order=desc&limit=1")).json()["items"][0]
    return event


async def post(world: World, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    """What a call gives that must be answered like this."""
    answer = await world.api.post(path, json=body) if body is not None else await world.api.post(path)
    assert answer.status_code == status, answer.text
    value: dict[str, Any] = answer.json()
    return value


async def add_other_tenant(world: World) -> None:
    """Somebody else's destination, event and delivery, put straight into the store."""

    def fill(store: Store) -> None:
        store.record_destination(a_destination(id=OTHER["destinations"], tenant="other", sealed_secret="x"))
        seq, at = store.next_seq(), world.clock.now()
        store.record_operator_event(
            seq=seq, id=OTHER["events"], tenant="other", provider="", type="provider.paused", at=at, body='{"data":{}}'
        )
        delivery = a_delivery(
            id=OTHER["deliveries"], tenant="other", destination_id=OTHER["destinations"], event_id=OTHER["events"]
        )
        store.record_delivery(delivery, seq)

    await world.service.storage.write(fill)

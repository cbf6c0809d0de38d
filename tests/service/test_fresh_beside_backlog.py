"""On the machine's own clock: what is new for one webhook arrives within a second, whatever others are owed."""

import asyncio
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from receiver import intake
from receiver.clock import SystemClock
from receiver.domain import Source, Status, Update, Verified
from receiver.ids import new_id
from receiver.sealing import Seal
from receiver.store.protocol import Store
from receiver.store.sqlite import SqliteStorage
from tests.make import DAY, a_destination, a_task
from tests.processes import a_process, environment
from tests.service.consumer import Consumer, a_consumer
from tests.service.world import API_KEY, free_port, scripted

pytestmark = pytest.mark.anyio

OWED, PER_TRANSACTION = 20_000, 2_000
STEPS = (Status.RUNNING, Status.FAILED)
FRESH, EVERY_S = 30, 0.1
WITHIN_S = 1.0
SECRET_KEY = "s" * 32
NOBODY = "http://127.0.0.1:9"


async def owe(directory: Path, *dead: str) -> None:
    """20,000 events that the first of these webhooks is owed, the other half of them, in a store of no server yet."""
    storage, now, seal = SqliteStorage(directory / "taskweir.db"), SystemClock().now(), Seal([SECRET_KEY])
    await storage.open(now=now, migrate=True)

    def destinations(store: Store) -> None:
        for url, wanted in zip(dead, ("task.*", "task.failed"), strict=True):
            name = new_id("dst", now)
            sealed = seal.seal("whsec_" + "c2VjcmV0" * 4, row=name)
            store.record_destination(
                a_destination(id=name, target=url, created_at=now, event_types=(wanted,), sealed_secret=sealed)
            )

    def events(store: Store, first: int) -> None:
        for number in range(first, first + PER_TRANSACTION // len(STEPS)):
            task = a_task(id=f"task_{number:026}", provider_task_id=f"p{number}", created_at=now, deadline_at=now + DAY)
            store.record_task(task)
            for status in STEPS:
                update = Update(status=status, provider_task_id=task.provider_task_id)
                taken = intake.take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=now)
                task = taken.task

    await storage.write(destinations)
    for first in range(0, OWED, PER_TRANSACTION):
        await storage.write(lambda store, first=first: events(store, first))
    await storage.close()


async def arrival(consumer: Consumer, task_id: str) -> float:
    """When the event of this task came, within a few seconds."""
    for _ in range(5000):
        if any(event["data"]["task"]["id"] == task_id for event in consumer.events):
            return time.monotonic()
        await asyncio.sleep(0.002)
    raise AssertionError(f"nothing came of {task_id}")


async def test_a_fresh_event_beside_twenty_thousand_owed(tmp_path: Path) -> None:
    """30 tasks, from their submit to the verified webhook, the worst of them: one refuses connections, one hangs."""
    port, refusing = free_port(), socket.socket()
    with refusing:
        refusing.bind(("127.0.0.1", 0))  # taken, and never listened on
        done = {"status": "SUCCESS", "response": {"resultUrls": ["https://x/1.png"]}}
        replies = [(200, {"code": 200, "message": "success", "data": {**done, "task_id": f"r{n}"}}) for n in range(99)]
        async with scripted(*replies) as reve, a_consumer("hang") as hanging, a_consumer() as healthy:
            await owe(tmp_path, hanging.url, f"http://127.0.0.1:{refusing.getsockname()[1]}/hook")
            env = environment(tmp_path, port, NOBODY) | {"TASKWEIR_REVE2IMG_BASE_URL": reve.base_url}
            url = f"http://127.0.0.1:{port}"
            with a_process("serve", env=env, log=tmp_path / "server.log", ready=f"{url}/health/ready"):
                headers = {"authorization": f"Bearer {API_KEY}"}
                async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, verify=False) as api:
                    took = await fresh(api, healthy)
    assert len(took) == FRESH
    assert max(took) < WITHIN_S, sorted(took)
    assert still_owed(tmp_path) >= OWED + OWED // len(STEPS)
    assert len(hanging.ids) > 0


def still_owed(directory: Path) -> int:
    """How many deliveries are pending, in the store that the server has left."""
    with closing(sqlite3.connect(directory / "taskweir.db")) as database:
        [(count,)] = database.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'")
    return int(count)


async def fresh(api: httpx.AsyncClient, healthy: Consumer) -> list[float]:
    """How long each of some tasks took, from just before its submit to its event's arrival."""
    body = {"url": healthy.url, "event_types": ["task.succeeded"], "type": "webhook"}
    made = (await api.post("/v1/destinations", json=body)).json()
    took = []
    for number in range(FRESH):
        began = time.monotonic()
        asked = {"provider": "reve2img", "model": "reve-2.0", "input": {"prompt": f"a red panda, number {number}"}}
        task = (await api.post("/v1/tasks", json=asked)).json()
        took.append(await arrival(healthy, task["id"]) - began)
        await asyncio.sleep(EVERY_S)
    healthy.verify(made["secret"])
    return took

"""The operator's cap on requests per second, whoever asks for them at once."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Timer, Work
from receiver.store.protocol import Store
from tests.make import DAY, NOW, a_task
from tests.raw_servers import RawServer, raw_server
from tests.service.world import APIKLEY_MODEL, World, a_world, created, held_writes, record

pytestmark = pytest.mark.anyio

CAP = 4
DUE, CALLERS = 60, 10


@dataclass
class Ledger:
    """A healthy Apikley that counts its requests by method."""

    began: list[str] = field(default_factory=list)

    async def answer(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await server.read(reader)
            self.began.append(head.split(b" ", 1)[0].decode())
            number = len(self.began)
            asked = head.split(b"taskId=", 1)[-1].split(b" ", 1)[0].decode()
            _, body = created(f"new{number}") if self.began[-1] == "POST" else record("generating", asked)
            raw = json.dumps(body).encode()
            writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n%s" % (len(raw), raw))
            await writer.drain()


async def ask(world: World) -> Any:
    """Submit without waiting for the handover."""
    body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
    made = await world.api.post("/v1/tasks", json=body, headers={"prefer": "respond-async"})
    assert made.status_code in (201, 202), made.text


def many_due(store: Store) -> None:
    for number in range(DUE):
        task = a_task(id=f"task_{number:03}", provider_task_id=f"p{number}", deadline_at=NOW + DAY)
        store.record_task(task)
        store.set_timer(Timer(task_id=task.id, provider="apikley", work=Work.POLL, due_at=NOW))


async def everybody_at_once(world: World, *, callers_first: bool) -> None:
    """Callers and both loops ask what is allowed before any of them could have committed."""
    service = world.service
    async with held_writes(world) as waiting:
        asking = [asyncio.ensure_future(ask(world)) for _ in range(CALLERS)]
        if callers_first:
            await waiting(CALLERS)
        asking += [asyncio.ensure_future(worker.run_once()) for worker in (service.submitter, service.poller)]
        await waiting(CALLERS)
    await asyncio.gather(*asking)
    for worker in (service.submitter, service.poller):
        await worker.run_once()
        await worker.crew.drain()


async def test_callers_and_loops_share_the_cap(tmp_path: Path) -> None:
    """Submits and polls together: in any stretch of time the cap, and the one second's worth that was in hand."""
    ledger, counts = Ledger(), []
    async with (
        raw_server(ledger.answer) as apikley,
        a_world(
            tmp_path,
            base_urls={"apikley": apikley.url("").rstrip("/")},
            TASKWEIR_PUBLIC_URL="",
            TASKWEIR_APIKLEY_RATE=str(CAP),
        ) as world,
    ):
        await world.service.storage.write(many_due)
        for second in range(6):
            await everybody_at_once(world, callers_first=bool(second % 2))
            counts.append(len(ledger.began))
            world.clock.advance(1)
    assert counts == [CAP * second for second in range(1, 7)]
    assert ledger.began.count("GET") >= CAP
    assert ledger.began.count("POST") >= CAP

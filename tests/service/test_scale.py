"""Many tasks and long troubles, in simulated time: nothing fails, nothing is paid twice, the budget holds."""

import gc
import json
import os
import resource
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Call, NoReply, Reply, Timer, Work
from receiver.outbound import Audience, Outbound
from receiver.poller import PollLimits
from receiver.store.protocol import Store
from tests.make import DAY, NOW, SECOND, a_task
from tests.service.world import LIMITS, World, a_world, created, record

pytestmark = pytest.mark.anyio

# CI takes a fifth; `make faults` the whole.
MANY = int(os.environ.get("TASKWEIR_TEST_TASKS", "20000"))
WIDE = replace(LIMITS, poll=PollLimits(deadline_s=1.0, batch=500, in_flight=500))


class Simulated(Outbound):
    """A provider at the port where requests leave, for a hundred thousand tasks would wait for sockets, not for us."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: Counter[str] = Counter()

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def send(self, call: Call, *, deadline_s: float, cap: int = 0, kind: Audience) -> Reply | NoReply:
        self.calls[call.method] += 1
        said = self.answer(call)
        if said is None:
            return NoReply(sent=True, reason="no answer")
        status, body, *headers = said
        return Reply(status=status, headers=headers[0] if headers else {}, body=json.dumps(body).encode())


def in_flight(count: int, deadline_at: int) -> Iterator[Any]:
    for number in range(count):
        yield (
            a_task(id=f"task_{number:06}", provider_task_id=f"p{number}", deadline_at=deadline_at),
            Timer(task_id=f"task_{number:06}", provider="apikley", work=Work.POLL, due_at=NOW + number % 60 * SECOND),
        )


async def fill(world: World, count: int, deadline_at: int) -> None:
    def record_all(store: Store) -> None:
        for task, timer in in_flight(count, deadline_at):
            store.record_task(task)
            store.set_timer(timer)

    await world.service.storage.write(record_all)


def id_in(call: Call) -> str:
    return call.url.rpartition("taskId=")[2]


def memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def statuses(world: World) -> Counter[str]:
    def count(store: Store) -> Counter[str]:
        rows = store.execute("SELECT status, count(*) AS n FROM tasks GROUP BY status", {})  # type: ignore[attr-defined]
        return Counter({row["status"]: row["n"] for row in rows})

    return await world.service.storage.read(count)


async def test_many_tasks_and_ten_minutes_of_429(tmp_path: Path) -> None:
    """Requests stay inside the budget, no task fails, memory stays flat, the backlog drains."""
    refusing = True

    def answer(call: Call) -> Any:
        if refusing:
            return 429, {"code": 429, "msg": "slow"}, {"retry-after": "5"}
        return record("success", id_in(call))

    outbound = Simulated(answer)
    async with a_world(tmp_path, limits=WIDE, outbound=outbound, TASKWEIR_PUBLIC_URL="") as world:
        await fill(world, MANY, NOW + DAY)
        await world.turn(1)
        gc.collect()
        before = memory_mib()
        for _ in range(600):
            await world.turn(1)
        asked = outbound.calls["GET"]
        # One burst of what was under way when the first refusal came, then one small step per Retry-After.
        assert asked <= WIDE.poll.in_flight + 600 / 5 * 60
        assert await statuses(world) == {"submitted": MANY}
        refusing = False
        await world.until(lambda: outbound.calls["GET"] - asked >= MANY, step_s=5, most=2000)
        await world.turn(1)
        assert await statuses(world) == {"succeeded": MANY}
        assert memory_mib() - before < 100


async def test_six_hours_down_with_5000_in_flight_and_5000_asked_for(tmp_path: Path) -> None:
    """At most ten doubtful submits, no false expiry, everything ends, paused once and resumed once."""
    down, number = True, 0

    def answer(call: Call) -> Any:
        nonlocal number
        if down:
            return None
        if call.method == "POST":
            number += 1
            return created(f"new{number}")
        return record("success", id_in(call))

    outbound = Simulated(answer)
    async with a_world(tmp_path, limits=WIDE, outbound=outbound, TASKWEIR_PUBLIC_URL="") as world:
        await fill(world, 5000, NOW + 3600 * SECOND)
        for hour in range(6):
            for _ in range(5000 // 6 + 1):
                await world.submit(deadline_seconds=30 * 86_400)
            for _ in range(60):
                await world.turn(60)
            assert set(await statuses(world)) <= {"submitted", "queued", "unconfirmed"}, hour
        doubtful = (await statuses(world))["unconfirmed"]
        assert doubtful == outbound.calls["POST"] <= 10
        down = False

        async def all_ended() -> bool:
            return set(await statuses(world)) <= {"succeeded", "unconfirmed"}

        await world.until(all_ended, step_s=30, most=2000)
        assert (await statuses(world))["unconfirmed"] == doubtful
        assert (await statuses(world))["succeeded"] == 5000 + 6 * (5000 // 6 + 1) - doubtful
        told = await world.api.get("/v1/events", params={"type": "provider.paused,provider.resumed"})
        assert [item["type"] for item in told.json()["items"]] == ["provider.paused", "provider.resumed"]

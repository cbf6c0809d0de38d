"""Many tasks and long troubles, in simulated time: nothing fails, nothing is paid twice, the budget holds."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Status, Timer, Work
from receiver.outbound import Audience, Outbound
from receiver.poller import PollLimits
from receiver.store.protocol import Store
from receiver.telemetry import configure_logs
from receiver.wire import Call, NoReply, Reply
from tests.make import DAY, MINUTE, NOW, SECOND, a_task
from tests.service.measuring import ASKED_FOR, Report, memory_mib
from tests.service.world import LIMITS, World, a_world, created, record

pytestmark = pytest.mark.anyio

# CI takes a fifth; `make faults` the whole.
MANY = int(ASKED_FOR or 20_000)
HOURLY, AT_ONCE = 840, 60  # what is asked for while a provider is down, and how much of it at the API's door
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


async def ask_for(world: World, hour: int, count: int) -> None:
    """More that wait for their handover, as the API's door records them."""
    now = world.clock.now()

    def record_all(store: Store) -> None:
        for number in range(count):
            name = f"task_{hour}{number:06}"
            store.record_task(a_task(id=name, status=Status.QUEUED, created_at=now, deadline_at=now + 30 * DAY))
            store.set_timer(Timer(task_id=name, provider="apikley", work=Work.SUBMIT, due_at=now))

    await world.service.storage.write(record_all)


def id_in(call: Call) -> str:
    return call.url.rpartition("taskId=")[2]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    report = Report("many tasks and long troubles, in simulated time")
    yield report
    report.show()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """A line per poll that fails would be what takes the time and the memory."""
    configure_logs(fmt="json", level="error")


def simulated_minutes(world: World) -> float:
    return (world.clock.now() - NOW) / MINUTE


async def statuses(world: World) -> Counter[str]:
    def count(store: Store) -> Counter[str]:
        rows = store.execute("SELECT status, count(*) AS n FROM tasks GROUP BY status", {})  # type: ignore[attr-defined]
        return Counter({row["status"]: row["n"] for row in rows})

    return await world.service.storage.read(count)


async def test_many_tasks_and_ten_minutes_of_429(tmp_path: Path, report: Report) -> None:
    """Requests stay inside the budget, no task fails, memory stays flat, the backlog drains."""
    refusing = True

    def answer(call: Call) -> Any:
        if refusing:
            return 429, {"code": 429, "msg": "slow"}, {"retry-after": "5"}
        return record("success", id_in(call))

    outbound = Simulated(answer)
    # One burst of what was under way when the first refusal came, half of it and so on, then one per Retry-After.
    allowed = 2 * WIDE.poll.in_flight + 600 // 5
    async with a_world(tmp_path, limits=WIDE, outbound=outbound, TASKWEIR_PUBLIC_URL="") as world:
        await fill(world, MANY, NOW + DAY)
        await world.turn(1)
        gc.collect()
        before = memory_mib()
        with report.progress("seconds of 429", 600) as shows:
            for second in range(600):
                await world.turn(1)
                shows(second + 1)
        asked = outbound.calls["GET"]
        refusing = False
        refused = await statuses(world)
        with report.progress("tasks drained", MANY) as shows:

            def drained() -> bool:
                shows(outbound.calls["GET"] - asked)
                return outbound.calls["GET"] - asked >= MANY

            await world.until(drained, step_s=5, most=2000)
        await world.turn(1)
        ended, grown = await statuses(world), memory_mib() - before
        report.section(f"{MANY:,} tasks in flight, ten minutes of 429")
        report.add("polls while it refused", asked, f"{allowed:,}")
        report.add("tasks ended meanwhile", MANY - refused["submitted"], "0")
        report.add("polls after that", outbound.calls["GET"] - asked)
        report.add("tasks succeeded then", ended["succeeded"], f"{MANY:,}")
        report.add("minutes simulated", simulated_minutes(world))
        report.add("peak memory, MiB", memory_mib())
        report.add("  grown since it began, MiB", grown, "100")
    assert asked <= allowed
    assert refused == {"submitted": MANY}
    assert ended == {"succeeded": MANY}
    assert grown < 100


async def test_six_hours_down_with_5000_in_flight_and_5000_asked_for(tmp_path: Path, report: Report) -> None:
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
        with report.progress("minutes down", 6 * 60) as shows:
            for hour in range(6):
                await asyncio.gather(*(world.submit(deadline_seconds=30 * 86_400) for _ in range(AT_ONCE)))
                await ask_for(world, hour, HOURLY - AT_ONCE)
                for minute in range(60):
                    await world.turn(60)
                    shows(hour * 60 + minute + 1)
                assert set(await statuses(world)) <= {"submitted", "queued", "unconfirmed"}, hour
        doubtful, polls = (await statuses(world))["unconfirmed"], outbound.calls["GET"]
        assert doubtful == outbound.calls["POST"] <= 10
        down = False
        total = 5000 + 6 * HOURLY
        with report.progress("tasks drained", total - doubtful) as shows:

            async def all_ended() -> bool:
                standing = await statuses(world)
                shows(standing["succeeded"])
                return set(standing) <= {"succeeded", "unconfirmed"}

            await world.until(all_ended, step_s=30, most=2000)
        ended = await statuses(world)
        told = await world.api.get("/v1/events", params={"type": "provider.paused,provider.resumed"})
        report.section("six hours down, 5,000 in flight, 5,000 asked for")
        report.add("submits in doubt", doubtful, "10")
        report.add("polls while it was down", polls)
        report.add("tasks succeeded then", ended["succeeded"], f"{total - doubtful:,}")
        report.add("minutes simulated", simulated_minutes(world))
        report.add("peak memory, MiB", memory_mib())
        assert ended == {"unconfirmed": doubtful, "succeeded": total - doubtful}
        assert [item["type"] for item in told.json()["items"]] == ["provider.paused", "provider.resumed"]

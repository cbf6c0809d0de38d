"""What is asked about after a start: every open task whose callback may have come while nobody was there."""

from pathlib import Path

import pytest

from receiver.domain import Ms
from receiver.ids import first_id
from receiver.poller import MOST_HASTENED
from receiver.store.protocol import Store
from tests.make import DAY, MINUTE, NOW, a_task, a_timer
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

COUNT = MOST_HASTENED + 3
NOBODY = "http://127.0.0.1:9"


def record(store: Store) -> None:
    """More of them than are made due at once, and no sooner by themselves than tomorrow."""
    for number in range(COUNT):
        task_id = first_id("task", NOW + number)
        store.record_task(a_task(id=task_id, provider_task_id=f"p{number}", callback_expected=True, created_at=NOW))
        store.set_timer(a_timer(task_id=task_id, due_at=NOW + 7 * DAY))


async def due_within_a_minute(world: World, now: Ms) -> int:
    def count(store: Store) -> int:
        timers = [store.timer(first_id("task", NOW + number)) for number in range(COUNT)]
        return sum(timer is not None and timer.due_at <= now + MINUTE for timer in timers)

    return await world.service.storage.read(count)


async def test_all_of_them_are_due_within_a_minute_bite_by_bite(tmp_path: Path) -> None:
    """Only the first before the process is ready: a million of them would hold it up for seconds."""
    async with a_world(tmp_path, base_url=NOBODY) as before:
        clock = before.clock
        await before.service.poller.run_once()  # for who was away before there was any task
        await before.service.storage.write(record)
    async with a_world(tmp_path, base_url=NOBODY, clock=clock) as world:
        poller, now = world.service.poller, clock.now()
        assert await due_within_a_minute(world, now) == MOST_HASTENED
        assert await poller.run_once() > 0
        assert await due_within_a_minute(world, now) == COUNT

"""What every store must do about tasks whose time is over."""

import pytest

from receiver.domain import Status, Task, Timer
from receiver.store.protocol import Storage, Store
from tests.make import DAY, NOW, a_task, a_timer

pytestmark = pytest.mark.anyio

OVER = {"deadline_at": NOW}


async def keep(storage: Storage, tasks: list[Task], *timers: Timer) -> None:
    def record(store: Store) -> None:
        for task in tasks:
            store.record_task(task)
        for timer in timers:
            store.set_timer(timer)

    await storage.write(record)


async def test_what_nobody_has_is_found_once_its_time_is_over(storage: Storage) -> None:
    """Of every provider, the longest overdue first; not what is with its provider, being handed over or final."""
    found = [
        a_task(id="task_late", status=Status.QUEUED, deadline_at=NOW - 1),
        a_task(id="task_later", status=Status.UNCONFIRMED, provider="reapi", **OVER),
    ]
    others = [
        a_task(id="task_early", status=Status.QUEUED, deadline_at=NOW + 1),
        a_task(id="task_named", status=Status.UNCONFIRMED, provider_task_id="p7", **OVER),
        a_task(id="task_there", provider_task_id="p8", **OVER),
        a_task(id="task_leaving", status=Status.SUBMITTING, **OVER),
        a_task(id="task_ended", status=Status.EXPIRED, provider_task_id="p9", finished_at=NOW, **OVER),
    ]
    await keep(storage, [*reversed(found), *others])
    assert await storage.read(lambda store: store.overdue_tasks(NOW, limit=9)) == found
    assert await storage.read(lambda store: store.overdue_tasks(NOW, limit=1)) == found[:1]


async def test_what_a_callback_claimed_or_is_given_up_is_found_of_one_provider(storage: Storage) -> None:
    """Past its deadline, while it is with the provider."""
    fields = {
        "task_claimed": {"provider_task_id": "p1", **OVER},
        "task_silent": {"provider_task_id": "p2", **OVER},
        "task_given_up": {"provider_task_id": "p3", "deadline_at": NOW - DAY, "status": Status.RUNNING},
        "task_early": {"provider_task_id": "p4", "deadline_at": NOW + 1},
        "task_other": {"provider_task_id": "p5", "provider": "reapi", **OVER},
        "task_ended": {"provider_task_id": "p6", "status": Status.EXPIRED, "finished_at": NOW, **OVER},
    }
    claimed = {"task_claimed", "task_early", "task_other", "task_ended"}
    tasks = [a_task(id=name, **values) for name, values in fields.items()]
    timers = [a_timer(task_id=name, claimed=Status.SUCCEEDED if name in claimed else None) for name in fields]
    await keep(storage, tasks, *timers)
    found = await storage.read(lambda store: store.unasked_tasks("apikley", now=NOW, given_up_by=NOW - DAY, limit=9))
    assert [task.id for task in found] == ["task_given_up", "task_claimed"]

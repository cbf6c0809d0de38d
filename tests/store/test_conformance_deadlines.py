"""What every store must do about tasks whose time is over."""

import asyncio
from dataclasses import replace

import pytest

from receiver.domain import Ms, Status, Task, Timer, Work
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


async def test_the_next_deadline_is_the_first_of_what_nobody_has(storage: Storage) -> None:
    """None where nothing waits; not that of what is with its provider, being handed over or final."""
    assert await storage.read(lambda store: store.next_deadline()) is None
    others = [
        a_task(id="task_named", status=Status.UNCONFIRMED, provider_task_id="p7", **OVER),
        a_task(id="task_there", provider_task_id="p8", **OVER),
        a_task(id="task_leaving", status=Status.SUBMITTING, **OVER),
        a_task(id="task_ended", status=Status.EXPIRED, provider_task_id="p9", finished_at=NOW, **OVER),
    ]
    await keep(storage, others)
    assert await storage.read(lambda store: store.next_deadline()) is None
    await keep(storage, [a_task(id="task_late", status=Status.QUEUED, deadline_at=NOW + 5)])
    assert await storage.read(lambda store: store.next_deadline()) == NOW + 5
    await keep(storage, [a_task(id="task_early", status=Status.UNCONFIRMED, deadline_at=NOW - 1)])
    assert await storage.read(lambda store: store.next_deadline()) == NOW - 1


async def test_one_timer_is_claimed_once_and_only_where_it_is_due(storage: Storage) -> None:
    """It comes back leased, with the time it was due at; what is leased, not due, other work or nobody's is none."""
    tasks = [a_task(id=name, provider_task_id=name) for name in ("task_due", "task_later", "task_submit")]
    timers = [
        a_timer(task_id="task_due", owner="own_gone", tries=2),
        a_timer(task_id="task_later", due_at=NOW + 1),
        a_timer(task_id="task_submit", work=Work.SUBMIT),
    ]
    await keep(storage, tasks, *timers)

    async def claim(task_id: str, owner: str) -> list[tuple[str, Ms]]:
        lease = {"owner": owner, "now": NOW, "until": NOW + 9}
        claimed = await storage.write(lambda store: store.claim_timer(Work.POLL, task_id, **lease))
        return [(each.timer.owner or "", each.was_due_at) for each in claimed]

    assert [await claim(name, "own_1") for name in ("task_later", "task_submit", "task_none")] == [[], [], []]
    assert await asyncio.gather(claim("task_due", "own_1"), claim("task_due", "own_2")) == [
        [("own_1", timers[0].due_at)],
        [],
    ]
    leased = await storage.read(lambda store: store.timer("task_due"))
    assert leased == replace(timers[0], owner="own_1", due_at=NOW + 9)

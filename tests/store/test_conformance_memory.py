"""What the connection that writes remembers is what is on disk, whatever was done in whatever order."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from receiver.domain import Status, Task, Timer, Work
from receiver.store.protocol import Storage, Store
from tests.make import DAY, MINUTE, NOW, SECOND, a_task, a_timer

pytestmark = pytest.mark.anyio

IDS = [f"task_00{number}" for number in range(8)]  # as old as can be: nothing is pruned before its time
STEPS = 400
LONG = {"prompt": "a red panda " * 1000}

Known = dict[str, tuple[Task | None, Timer | None]]
Step = Callable[[Store], object]


class _Undone(Exception):
    """Ends a transaction in the middle."""


def all_of(store: Store) -> Known:
    return {each: (store.task(each), store.timer(each)) for each in IDS}


def recorded(number: int) -> Task:
    task = a_task(id=IDS[number], provider_task_id=f"p{number}", callback_expected=number % 2 == 0)
    return replace(task, input=LONG) if number == 0 else task


def saved(store: Store, task_id: str, chance: random.Random) -> None:
    """The task changed as everybody does it: over the version that was read, or over one that is none any more."""
    task = store.task(task_id)
    if task is None:
        return
    status = chance.choice([Status.SUBMITTED, Status.RUNNING, Status.SUCCEEDED])
    ended = NOW if status.final else None
    after = replace(task, status=status, finished_at=ended, progress=chance.randrange(100), version=task.version + 1)
    stale = chance.random() < 0.2
    assert store.save_task(after, expected_version=task.version - stale) is not stale


def a_step(chance: random.Random) -> Step:
    """Something that changes tasks or timers, by chance; one in six of them is undone behind it."""
    one, now = chance.choice(IDS), NOW + chance.randrange(5 * MINUTE)
    until = now + chance.randrange(MINUTE)
    work = chance.choice(list(Work))
    timer = a_timer(task_id=one, work=work, due_at=now, owner=chance.choice([None, "own_before"]), tries=now % 7)
    steps: list[Step] = [
        lambda store: saved(store, one, chance),
        lambda store: store.set_timer(timer),
        lambda store: store.drop_timer(one),
        lambda store: store.claim_timers(work, "apikley", owner="own_1", now=now, until=until, limit=3, freshest=1),
        lambda store: store.claim_timer(work, one, owner="own_2", now=now, until=until),
        lambda store: store.tasks(chance.sample(IDS, 3)),
        lambda store: store.hasten_submits("apikley", now),
        lambda store: store.hasten_polls(now, within=SECOND),
        lambda store: store.hasten_safety_polls(now, since=now, within=SECOND, after="", limit=100),
        lambda store: store.lapse_leases(now),
        lambda store: store.release_leases(now),
        lambda store: store.prune_tasks(NOW + DAY, after="", limit=8) if chance.random() < 0.2 else None,
    ]
    step = chance.choice(steps)
    if chance.random() < 5 / 6:
        return step

    def undone(store: Store) -> None:
        step(store)
        raise _Undone

    return undone


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_remembered_is_what_is_kept(storage: Storage, seed: int) -> None:
    """After every one of hundreds of changes, and of transactions undone, both ways of asking tell the same."""
    chance = random.Random(seed)

    def begin(store: Store) -> None:
        for number in range(len(IDS)):
            store.record_task(recorded(number))
            store.set_timer(a_timer(task_id=IDS[number]))

    await storage.write(begin)
    for number in range(STEPS):
        step = a_step(chance)
        with suppress(_Undone):
            await storage.write(step, brief=number % 2 == 0)
        assert await storage.write(all_of, brief=True) == await storage.read(all_of), number


async def test_more_tasks_than_are_remembered(storage: Storage) -> None:
    """Thousands of them: what is asked again is as it was written last."""
    many = [replace(recorded(1), id=f"task_{number:05}", provider_task_id=f"p{number}") for number in range(3000)]

    def record(store: Store) -> None:
        for task in many:
            store.record_task(task)
            store.set_timer(a_timer(task_id=task.id))

    await storage.write(record)
    await storage.write(lambda store: [(store.task(each.id), store.timer(each.id)) for each in many])
    first, last = many[0].id, many[-1].id
    for changed in (first, last):
        await storage.write(lambda store, changed=changed: saved(store, changed, random.Random(1)))
    remembered = await storage.write(lambda store: [store.task(each) for each in (first, last)])
    assert remembered == await storage.read(lambda store: [store.task(each) for each in (first, last)])
    assert all(task is not None and task.version > many[0].version for task in remembered)

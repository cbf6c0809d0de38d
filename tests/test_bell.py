"""Whoever watches a task hears of every commit from then on, and leaves nothing behind."""

import asyncio
from contextlib import suppress

import pytest

from receiver.bell import Bell, Watch
from receiver.intake import Taken
from tests.make import a_task

pytestmark = pytest.mark.anyio

FIRST, SECOND, OTHER = (
    Taken(task=task) for task in (a_task(version=1), a_task(version=2), a_task(id="task_2", version=9))
)


def ring(bell: Bell, *committed: Taken) -> None:
    for taken in committed:
        bell.ring(taken)


async def wait(watch: Watch, within_s: float = 5.0) -> Taken | None:
    return await watch.wait(within_s)


async def test_what_was_committed_before_anybody_waits_is_heard() -> None:
    """By who followed before: at once, the newest version, once."""
    bell = Bell()
    with bell.watch() as watch:
        ring(bell, FIRST)
        assert watch.heard() is None
        watch.follow(FIRST.task.id)
        ring(bell, SECOND, FIRST, OTHER)
        assert await wait(watch) == SECOND
        assert await wait(watch, 0.01) is None
        assert watch.heard() == SECOND


async def test_what_was_found_wakes_nobody_and_is_not_forgotten() -> None:
    """Nor does it put an older version in the place of a newer one."""
    bell = Bell()
    with bell.watch(FIRST.task.id) as watch:
        watch.learn(SECOND)
        ring(bell, FIRST)
        assert watch.heard() == SECOND
        watch.learn(FIRST)
        assert await wait(watch, 0.01) is None
        assert watch.heard() == SECOND


async def test_who_waits_is_woken() -> None:
    bell = Bell()
    with bell.watch(FIRST.task.id) as watch:
        waiting = asyncio.create_task(wait(watch))
        await asyncio.sleep(0)
        ring(bell, FIRST)
        assert await waiting == FIRST


async def test_one_task_at_a_time() -> None:
    """Who turns to another task forgets what was heard of the one before."""
    bell = Bell()
    with bell.watch(FIRST.task.id) as watch:
        ring(bell, FIRST)
        watch.follow(OTHER.task.id)
        ring(bell, SECOND)
        assert watch.heard() is None
        ring(bell, OTHER)
        assert await wait(watch) == OTHER


async def test_nothing_is_left_behind() -> None:
    """However it ended, and of two who watch the same the other goes on."""
    bell = Bell()
    with bell.watch(FIRST.task.id) as other:
        with suppress(ValueError), bell.watch() as watch:
            watch.follow(SECOND.task.id)
            watch.follow(OTHER.task.id)
            watch.follow(FIRST.task.id)
            raise ValueError("gone")
        ring(bell, FIRST, OTHER)
        assert (watch.heard(), other.heard()) == (None, FIRST)
    assert not bell._waiting

"""What is answered of a task: as soon as it can be known, and nothing that is not so."""

import asyncio
import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from receiver.bell import Bell
from receiver.budget import Budget
from receiver.clock import Clock
from receiver.domain import Ms, Status, Task
from receiver.intake import Taken
from receiver.provider_policy import Standing
from receiver.web.holders import Holders
from receiver.web.showing import ended, handed_over, heard_until
from tests.make import NOW, a_task, a_timer


class Elsewhere:
    """A store that another process writes to: nobody rings here."""

    def __init__(self, task: Task) -> None:
        self.now = task

    async def read(self, do: Any, *, brief: bool) -> Any:
        return do(SimpleNamespace(task=lambda _: self.now))


@pytest.mark.anyio
@pytest.mark.parametrize("works", [False, True], ids=["web", "all"])
async def test_an_end_that_was_seen_once_is_not_waited_for_again(*, works: bool) -> None:
    """Another process hands a task over, and the provider refuses it: one look tells who waits for both."""
    queued = a_task(status=Status.QUEUED, version=1)
    bell, elsewhere = Bell(), Elsewhere(queued)
    role, health, caller = (
        SimpleNamespace(works=works),
        SimpleNamespace(draining=False),
        SimpleNamespace(tenant="default"),
    )
    doors: Any = SimpleNamespace(bell=bell, storage=elsewhere, health=health, role=role)
    who: Any = caller
    with bell.watch(queued.id) as watch:
        bell.ring(Taken(task=queued))
        elsewhere.now = replace(queued, status=Status.FAILED, version=2)
        assert await heard_until(doors, watch, who, handed_over, within_s=20) == Taken(task=elsewhere.now)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await heard_until(doors, watch, who, ended, within_s=20) == Taken(task=elsewhere.now)
        assert loop.time() - began < 0.2  # without a look, of which each comes 0.25 or 1 s after the one before


def test_time_that_passes_while_the_store_is_read_uses_up_no_rate() -> None:
    """A provider with a rate of which nothing is used: nothing holds a task back that is due."""

    class Passing(Clock):
        ticks = itertools.count(NOW)

        def now(self) -> Ms:
            return next(self.ticks)

    budget, clock = Budget(cap=5.0), Passing()
    doors: Any = SimpleNamespace(
        clock=clock, providers={"apikley"}, room=lambda name, now: budget.room(now, under_way=0)
    )
    store: Any = SimpleNamespace(standing=lambda name: Standing(provider=name))
    holders = Holders(doors)
    clock.now()
    assert holders.held(store, a_task(status=Status.RUNNING), a_timer(due_at=NOW - 5)) is None

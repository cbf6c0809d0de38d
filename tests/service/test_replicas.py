"""What a process does with what the others say: its part of a cap, and what a provider asked any of them to wait."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from receiver.budget import Budget
from receiver.domain import Ms
from receiver.replicas import Replicas
from receiver.storages import Kept
from receiver.store.shares import NONE, Heard, Share
from receiver.store.sqlite import SqliteStorage
from tests.make import MINUTE, NOW, StoppedClock

pytestmark = pytest.mark.anyio


async def test_caps_and_waits_are_everybodys(tmp_path: Path) -> None:
    """Nothing is asked without a part; with one, its part of the cap, and nothing before another's `Retry-After`."""
    clock, budgets = StoppedClock(), {"capped": Budget(cap=4.0), "free": Budget()}
    told: list[Mapping[str, Ms]] = []
    says = Heard(share=NONE, alone=False, holds={})

    async def beat(holds: Mapping[str, Ms]) -> Heard:
        told.append(holds)
        return says

    kept = Kept(storage=SqliteStorage(tmp_path / "t.db"), clock=clock, beat=beat)
    looked: list[int] = []
    replicas = Replicas(kept, clock, budgets, {"capped": 4.0, "free": None}, [lambda: looked.append(1)])
    await replicas.run_once()
    assert (budgets["capped"].allows(clock.now(), 9), budgets["free"].allows(clock.now(), 9)) == (0, 9)
    says = Heard(share=Share(1, 4), alone=False, holds={"free": NOW + MINUTE, "elsewhere": NOW + MINUTE})
    await replicas.run_once()
    assert (budgets["capped"].cap, budgets["free"].cap, replicas.alone) == (1.0, None, False)
    assert budgets["free"].allows(clock.now(), 9) == 0
    budgets["free"].hold(clock.now(), 90)
    await replicas.run_once()
    assert told[:2] == [{}, {}]
    assert told[2]["free"] == NOW + 90_000
    clock.advance(91)
    assert budgets["free"].allows(clock.now(), 9) == 9
    assert len(looked) == 3


async def test_who_has_no_part_because_others_work_holds_nothing_back(tmp_path: Path) -> None:
    """A cap is the workers' to keep; a provider's `Retry-After` is known here, too."""
    clock, budgets = StoppedClock(), {"capped": Budget(cap=4.0), "free": Budget()}

    async def beat(holds: Mapping[str, Ms]) -> Heard:
        return Heard(share=NONE, alone=False, holds={"free": NOW + MINUTE})

    kept = Kept(storage=SqliteStorage(tmp_path / "t.db"), clock=clock, beat=beat)
    await Replicas(kept, clock, budgets, {"capped": 4.0, "free": None}, [], works=False).run_once()
    assert [budgets[name].spent(clock.now()) for name in ("capped", "free")] == [False, True]

"""What a process does with what the others say: its part of a cap, and what a provider said to any of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from receiver.budget import Budget
from receiver.replicas import Replicas
from receiver.storages import Kept
from receiver.store.shares import NONE, Alive, Heard, Share, Word, heard_by
from receiver.store.sqlite import SqliteStorage
from tests.make import MINUTE, NOW, StoppedClock

pytestmark = pytest.mark.anyio


async def test_caps_and_waits_are_everybodys(tmp_path: Path) -> None:
    """Nothing is asked without a part; with one, its part of the cap, and nothing before another's `Retry-After`."""
    clock, budgets = StoppedClock(), {"capped": Budget(cap=4.0), "free": Budget()}
    told: list[Mapping[str, Word]] = []
    says = Heard(share=NONE, words={})

    async def beat(words: Mapping[str, Word]) -> Heard:
        told.append(words)
        return says

    kept = Kept(storage=SqliteStorage(tmp_path / "t.db"), clock=clock, beat=beat)
    looked: list[int] = []
    replicas = Replicas(kept, clock, budgets, {"capped": 4.0, "free": None}, [lambda: looked.append(1)])
    await replicas.run_once()
    assert (budgets["capped"].allows(clock.now(), 9), budgets["free"].allows(clock.now(), 9)) == (0, 9)
    held = Word(wait_until=NOW + MINUTE)
    says = Heard(share=Share(1, 4), words={"free": held, "elsewhere": held})
    await replicas.run_once()
    assert (budgets["capped"].cap, budgets["free"].cap, replicas.alone) == (1.0, None, False)
    assert budgets["free"].allows(clock.now(), 9) == 0
    budgets["free"].hold(clock.now(), 90)
    await replicas.run_once()
    assert told[:2] == [{}, {}]
    assert told[2]["free"].wait_until == NOW + 90_000
    clock.advance(91)
    assert budgets["free"].allows(clock.now(), 9) == 9
    assert len(looked) == 3


async def test_what_one_is_refused_narrows_them_all(tmp_path: Path) -> None:
    """A 429 at one halves what each sends, once: what all of them hear and tell again is the same refusal."""
    clock, said = StoppedClock(), dict[int, Mapping[str, Word]]()
    budgets = [Budget() for _ in range(3)]

    def process(number: int) -> Replicas:
        async def beat(words: Mapping[str, Word]) -> Heard:
            said[number] = words
            everybody = [Alive(id=f"{n}", began_at=n, seen_at=NOW, words=each) for n, each in said.items()]
            return Heard(share=Share(number, 3), words=heard_by(f"{number}", everybody, NOW).words)

        kept = Kept(storage=SqliteStorage(tmp_path / "t.db"), clock=clock, beat=beat)
        return Replicas(kept, clock, {"apikley": budgets[number]}, {"apikley": None}, [])

    async def all_beat() -> None:
        for each in processes:
            await each.run_once()

    processes = [process(number) for number in range(3)]
    await all_beat()
    for budget in budgets:
        budget.spend(80, clock.now())
    clock.advance(1)
    budgets[1].narrow(clock.now())
    clock.advance(0.9)
    budgets[2].narrow(clock.now())  # its own refusal by what it had sent before it heard of the other one
    for _ in range(4):
        await all_beat()
        clock.advance(1)
    assert [budget.rate for budget in budgets] == [4.0, 4.0, 4.0]
    budgets[0].narrow(clock.now())
    for _ in range(4):
        await all_beat()
        clock.advance(1)
    assert [budget.rate for budget in budgets] == [2.0, 2.0, 2.0]

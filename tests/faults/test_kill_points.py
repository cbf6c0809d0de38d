"""kill -9 at every named point, and at random under load: nothing lost, nothing invented, nothing doubled."""

import random
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from tests.faults.failpoints import POINTS
from tests.faults.harness import a_rig

TASKS = 10
RANDOM_KILLS = 30


def test_kill_at_every_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The server kills itself at each point under way, over one database; then everything is accounted for."""
    with a_rig(tmp_path) as rig:
        for number, point in enumerate(POINTS):
            assert rig.die_at(f"{point}:{1 + number % 3}", tasks=TASKS), (
                f"{point} was never reached; see failpoints.WRITES"
            )
        account = rig.settle()
    with capsys.disabled():
        Console(stderr=True).print(
            f"\nkilled at {len(rig.kills)} points: {account.tasks} tasks, {account.creates} creates"
        )
    assert account.faults == ()
    assert rig.kills == Counter(POINTS)
    assert account.creates >= len(POINTS)


def test_kill_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty kills at any moment of a server that is being asked for more."""
    chance = random.Random(2026)
    with a_rig(tmp_path) as rig:
        for _ in range(RANDOM_KILLS):
            rig.die_at_random(chance, tasks=2 * TASKS)
        account = rig.settle()
    with capsys.disabled():
        Console(stderr=True).print(
            f"\n{rig.kills.total()} random kills: {account.tasks} tasks, {account.creates} creates"
        )
    assert account.faults == ()
    assert rig.kills == {"random": RANDOM_KILLS}
    assert account.creates > 0

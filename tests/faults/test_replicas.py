"""Three servers on one PostgreSQL, in good days and bad: nothing lost, nothing doubled, nothing paid twice."""

import os
import random
from concurrent.futures import wait
from pathlib import Path

import pytest

from receiver.roles import ServerRole
from tests.faults.replicas import a_cluster

TIMES = int(os.environ.get("TASKWEIR_TEST_TIMES", "1"))  # of each, with `make faults` many more


def test_each_thing_is_done_by_one_of_them(tmp_path: Path) -> None:
    """Nothing goes wrong: each task is submitted once, each event delivered once, whoever took what."""
    chance = random.Random(2026)
    with a_cluster(tmp_path, [ServerRole.ALL] * 2) as cluster:
        wait(cluster.load(chance, 60))
        account = cluster.settle()
        repeated = cluster.inbox.came - len(cluster.inbox.bodies)
    assert account.faults == ()
    assert (account.tasks, account.creates, account.doubtful) == (60, 60, 0)
    assert repeated == 0


@pytest.mark.parametrize("what", ["kill", "pause", "terminate", "database"])
def test_one_after_the_other_goes_wrong(tmp_path: Path, what: str) -> None:
    """Servers killed, paused past their leases, told to stop, and the database's own server stopped at once."""
    chance = random.Random(2026)
    with a_cluster(tmp_path, [ServerRole.ALL] * 3) as cluster:
        for _ in range(TIMES):
            cluster.suffer(what, chance, tasks=15)
        account = cluster.settle()
        repeated = cluster.inbox.came - len(cluster.inbox.bodies)
    assert account.faults == ()
    assert cluster.done[what] == TIMES
    assert account.creates > 0
    assert repeated <= 45 * TIMES  # each event of a task that was under way, once more

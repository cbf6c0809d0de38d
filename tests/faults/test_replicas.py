"""Three servers on one PostgreSQL, in good days and bad: nothing lost, nothing doubled, nothing paid twice."""

import random
from concurrent.futures import wait
from pathlib import Path

import pytest

from receiver.roles import ServerRole
from tests.faults.clusters import TASKS, suffer
from tests.faults.repeats import Fault, repeats_of
from tests.faults.replicas import a_cluster

TIMES = 10  # of each; `make faults` has many more


def test_a_repeat_without_a_fault_is_seen() -> None:
    """The oracle can fail: too many repeats for what went wrong, and long before or after; failed tries excuse some."""
    kill = Fault("kill", began=10, ended=11)
    came = {
        "twice": [9.5, 12.0],
        "thrice": [9.5, 12.0, 13.0],
        "before": [5.0, 9.0],
        "after": [14.0, 15.0],
        "once": [9.0],
    }
    repeats = repeats_of(came, [kill], {})
    assert repeats.count == 5
    assert [each.split()[0] for each in repeats.unexplained] == ["thrice", "before", "after"]
    assert repeats_of(came, [kill], {"thrice": 1, "before": 1, "after": 2}).unexplained == ()
    assert repeats_of({"twice": [9.5, 12.0]}, [Fault("pause", began=10)], {}).unexplained == ()


def test_each_thing_is_done_by_one_of_them(tmp_path: Path) -> None:
    """Nothing goes wrong: each task is submitted once, each event delivered once, whoever took what."""
    chance = random.Random(2026)
    with a_cluster(tmp_path, [ServerRole.ALL] * 2) as cluster:
        wait(cluster.load(chance, 60))
        account = cluster.settle()
        repeats = cluster.repeats()
    assert account.faults == ()
    assert (account.tasks, account.creates, account.doubtful) == (60, 60, 0)
    assert repeats.unexplained == ()


@pytest.mark.parametrize("what", ["kill", "pause", "terminate", "database"])
def test_one_after_the_other_goes_wrong(what: str) -> None:
    """Servers killed, paused past their leases, told to stop, and the database's own server stopped at once.

    Nothing is lost, nothing ends twice, and what comes again was in flight as something went wrong, once for each.
    """
    suffered = suffer(what, TIMES, random.Random(2026))
    assert suffered.account.faults == ()
    assert suffered.repeats.unexplained == ()
    assert suffered.done == {what: TIMES}
    assert suffered.account.creates > TIMES * TASKS / 2

"""Which delivery is to blame where processes die: the one that dies with them when it is tried alone."""

import pytest

from receiver.suspicion import FIRST_PAUSE_S, GIVEN_UP_AFTER, SUSPECT_AFTER, Verdict, judge, pause_s


@pytest.mark.parametrize("just_lost", [True, False])
@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("lost", range(14))
def test_what_is_done_with_one_that_was_lost(lost: int, just_lost: bool, free: bool) -> None:
    """Three times like any other; up to ten alone, after a wait, while no other suspect is; then no more."""
    if lost < 3:
        expected = Verdict.TRY
    elif lost >= 10:
        expected = Verdict.DEAD
    else:
        expected = Verdict.ALONE if free and not just_lost else Verdict.OFF
    assert judge(lost, just_lost=just_lost, free=free) is expected


def test_a_suspect_waits_twice_as_long_after_each_loss() -> None:
    """From half a minute to half an hour: whatever else kills the process has ended by then, or been looked at."""
    lost = range(SUSPECT_AFTER, GIVEN_UP_AFTER)
    assert [pause_s(each, just_lost=True, spread=0.5) for each in lost] == [30, 60, 120, 240, 480, 960, 1920]
    assert pause_s(3, just_lost=True, spread=0.0) == FIRST_PAUSE_S / 2
    assert pause_s(3, just_lost=True, spread=1.0) == FIRST_PAUSE_S * 1.5


def test_one_that_only_waits_for_its_turn_is_looked_at_again_soon() -> None:
    """However often it was lost."""
    assert {pause_s(each, just_lost=False, spread=0.5) for each in (3, 9)} == {5.0}


def test_of_four_hundred_that_died_together_one_is_to_blame() -> None:
    """Each crash after the third counts against the one suspect that was tried; the innocent arrive meanwhile."""
    lost, dead, crashes = dict.fromkeys(range(400), 3), [], 3
    while lost:
        name = min(lost, key=lambda each: (lost[each], each))
        if judge(lost[name], just_lost=False, free=True) is Verdict.DEAD:
            dead.append(name)
            del lost[name]
        elif name == 123:  # whoever tries it dies
            lost[name] += 1
            crashes += 1
        else:
            del lost[name]
    assert (dead, crashes) == ([123], 10)

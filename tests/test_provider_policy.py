"""When a provider is paused, probed and resumed."""

from dataclasses import replace

import pytest

from receiver.provider_policy import (
    PROBE_PAUSES_S,
    Pause,
    Standing,
    after_no_connection,
    after_poll,
    after_submit,
    holding,
    may_submit,
    paused,
    probe_due,
    probing,
    resumed,
)
from tests.make import NOW, SECOND

WELL = Standing(provider="apikley")
DOWN = paused(WELL, Pause.UNREACHABLE, NOW, "timeout")


def test_five_doubtful_submits_in_a_row_pause_it() -> None:
    """Not four, and an answered one in between begins the row anew."""
    standing = WELL
    for _ in range(4):
        standing = after_submit(standing, answered=False, now=NOW)
    assert standing.paused is None
    assert after_submit(standing, answered=True, now=NOW) == WELL
    standing = after_submit(standing, answered=False, now=NOW, error="timeout")
    assert (standing.paused, standing.since, standing.error) == (Pause.UNREACHABLE, NOW, "timeout")
    assert standing.probe_at == NOW + 60 * SECOND


def test_five_failed_polls_in_a_row_pause_it() -> None:
    """Whatever the submits say; an answered poll begins the row anew."""
    standing = WELL
    for _ in range(4):
        standing = after_poll(standing, answered=False, submits_wait=False, now=NOW)
    assert after_poll(standing, answered=True, submits_wait=False, now=NOW) == WELL
    standing = after_submit(standing, answered=True, now=NOW)
    assert after_poll(standing, answered=False, submits_wait=False, now=NOW).paused is Pause.UNREACHABLE


def test_what_fails_while_it_is_paused_is_no_news() -> None:
    """Requests that were under way when it went down."""
    assert after_poll(DOWN, answered=False, submits_wait=True, now=NOW).paused is Pause.UNREACHABLE
    assert after_submit(DOWN, answered=False, now=NOW).probe_at == DOWN.probe_at


def test_probes_come_after_one_to_fifteen_minutes() -> None:
    """Doubling."""
    standing, gaps = DOWN, []
    now = NOW
    for _ in range(7):
        assert not probe_due(standing, (standing.probe_at or 0) - 1)
        assert probe_due(standing, standing.probe_at or 0)
        gaps.append(((standing.probe_at or 0) - now) / SECOND)
        now = standing.probe_at or 0
        standing = probing(standing, now)
    assert gaps == [*PROBE_PAUSES_S, 900, 900]


def test_an_answered_probe_resumes_it_where_no_submit_waits() -> None:
    """There is nothing that could go wrong."""
    assert after_poll(DOWN, answered=True, submits_wait=False, now=NOW) == WELL


def test_one_submit_follows_an_answered_probe() -> None:
    """Answered: resumed. Doubtful: paused on, until the next probe."""
    probed = after_poll(DOWN, answered=True, submits_wait=True, now=NOW)
    assert (probed.paused, may_submit(probed), may_submit(DOWN)) == (Pause.UNREACHABLE, 1, 0)
    assert after_submit(probed, answered=True, now=NOW) == WELL
    again = after_submit(probed, answered=False, now=NOW)
    assert (again.paused, may_submit(again)) == (Pause.UNREACHABLE, 0)
    assert (again.probe_at or 0) > NOW


def test_a_submit_answered_without_a_probe_resumes_nothing() -> None:
    """It began before the pause."""
    assert after_submit(DOWN, answered=True, now=NOW).paused is Pause.UNREACHABLE


def test_the_operators_pause_is_his() -> None:
    """It holds submits and no polls, is not probed, and neither ours replaces it nor an answer ends it."""
    held = paused(WELL, Pause.OPERATOR, NOW)
    assert (held.holds_polls, may_submit(held), probe_due(held, NOW * 2)) == (False, 0, False)
    assert paused(held, Pause.AUTH, NOW) == held
    assert after_poll(held, answered=True, submits_wait=False, now=NOW).paused is Pause.OPERATOR
    assert paused(DOWN, Pause.OPERATOR, NOW + 1).paused is Pause.OPERATOR
    assert resumed(held) == WELL
    for _ in range(9):
        held = after_poll(held, answered=False, submits_wait=False, now=NOW)
    assert held.paused is Pause.OPERATOR


@pytest.mark.parametrize("reason", [Pause.UNREACHABLE, Pause.AUTH])
def test_pausing_twice_is_pausing_once(reason: Pause) -> None:
    """Since the first time."""
    once = paused(WELL, reason, NOW)
    assert paused(once, reason, NOW + SECOND) == once
    assert once.holds_polls
    assert may_submit(WELL) is None
    assert replace(WELL, probed=True).paused is None


def test_no_connection_for_the_one_submit_after_a_probe_waits_for_the_next() -> None:
    """Of any other submit it says nothing: polls will tell."""
    probed = after_poll(DOWN, answered=True, submits_wait=True, now=NOW)
    after = after_no_connection(probed, NOW)
    assert (after.paused, may_submit(after)) == (Pause.UNREACHABLE, 0)
    assert (after.probe_at or 0) > NOW
    for standing in (WELL, DOWN, paused(WELL, Pause.OPERATOR, NOW)):
        assert after_no_connection(standing, NOW) == standing


def test_what_a_pause_holds_back_is_told() -> None:
    """An operator's holds submits only."""
    assert (holding(WELL, polls=True), holding(WELL, polls=False)) == (None, None)
    assert holding(DOWN, polls=True) == holding(DOWN, polls=False) == "apikley is paused, for it cannot be reached"
    refused = paused(WELL, Pause.AUTH, NOW)
    assert holding(refused, polls=True) == "apikley is paused, for it refuses our key"
    held = paused(WELL, Pause.OPERATOR, NOW)
    assert (holding(held, polls=True), holding(held, polls=False)) == (None, "apikley is paused by an operator")

"""When to look at a task again, by table."""

from dataclasses import replace

import pytest

from receiver import timing
from receiver.domain import Pace, Status, Work
from tests.make import DAY, HOUR, MINUTE, NOW, SECOND, a_task, a_timer

S = Status
PACE = (Pace(0, 5), Pace(300, 30), Pace(3600, 180))


def test_a_doorbell_makes_the_next_poll_due_now() -> None:
    """Whoever holds the lease."""
    rung = timing.rung(a_timer(due_at=NOW + HOUR, owner="own_1"), NOW, None)
    assert (rung.due_at, rung.owner, rung.rings, rung.rung_at, rung.claimed) == (NOW, None, 0, NOW, None)


def test_what_a_ring_claims_is_remembered() -> None:
    """With its time, until another one claims an end; whatever was answered or rang in between."""
    claim = timing.rung(a_timer(), NOW, S.SUCCEEDED)
    assert (claim.claimed, claim.claimed_at) == (S.SUCCEEDED, NOW)
    for claimed in (None, S.RUNNING):
        again = timing.rung(replace(claim, answered_at=NOW + SECOND), NOW + MINUTE, claimed)
        assert (again.rung_at, again.claimed, again.claimed_at) == (NOW + MINUTE, S.SUCCEEDED, NOW)
    other = timing.rung(claim, NOW + MINUTE, S.FAILED)
    assert (other.claimed, other.claimed_at) == (S.FAILED, NOW + MINUTE)
    assert timing.rung(a_timer(), NOW, S.RUNNING).claimed is None


def test_a_doorbell_during_the_handover_is_remembered() -> None:
    """The lease of the submit stays; the first poll follows at once when it ends."""
    timer = a_timer(work=Work.SUBMIT, due_at=NOW + MINUTE, owner="own_1")
    rung = timing.rung(timer, NOW, S.SUCCEEDED)
    assert (rung.due_at, rung.owner, rung.rings) == (NOW + MINUTE, "own_1", 0)
    assert timing.first_poll_at(a_task(), PACE, rings=rung.rings, now=NOW, spread=0.5) == NOW


def test_the_first_poll() -> None:
    """60 to 90 s after the handover where a callback is expected, else at the provider's pace, +-20 %."""
    expecting = a_task(callback_expected=True)
    for spread, seconds in ((0, 60), (1, 90)):
        assert timing.first_poll_at(expecting, PACE, rings=None, now=NOW, spread=spread) == NOW + seconds * SECOND
    brief = replace(expecting, deadline_at=NOW + 20 * SECOND)
    assert timing.first_poll_at(brief, PACE, rings=None, now=NOW, spread=1) == NOW + 20 * SECOND
    assert timing.first_poll_at(brief, PACE, rings=None, now=NOW + 30 * SECOND, spread=1) == NOW + 31 * SECOND
    for spread, seconds in ((0, 4), (0.5, 5), (1, 6)):
        assert timing.first_poll_at(a_task(), PACE, rings=None, now=NOW, spread=spread) == NOW + seconds * SECOND


@pytest.mark.parametrize(("age", "every_s"), [(0, 5), (299, 5), (300, 30), (3600, 180), (9999, 180)])
def test_polls_follow_the_providers_pace_by_age(age: int, every_s: float) -> None:
    """The advice of the provider's own pages is data."""
    now = NOW + age * SECOND
    task = a_task(deadline_at=NOW + DAY)
    assert timing.next_poll_at(task, a_timer(), PACE, now=now, spread=0.5) == now + every_s * SECOND


def test_after_a_ring_polls_come_close_and_then_on_the_schedule() -> None:
    """1, 2, 4, 8, 15, 30 s."""
    task = a_task(callback_expected=True)
    gaps = [
        (timing.next_poll_at(task, a_timer(rings=rings), PACE, now=NOW, spread=0.5) - NOW) / SECOND
        for rings in range(8)
    ]
    assert gaps == [1, 2, 4, 8, 15, 30, 5, 5]


def test_safety_polls_back_off_to_ten_minutes() -> None:
    """Where a callback is expected and none came."""
    task = a_task(callback_expected=True, deadline_at=NOW + DAY)
    gaps = []
    for age_s in (60, 300, 1200, 7200):
        now = NOW + age_s * SECOND
        gaps.append((timing.next_poll_at(task, a_timer(), PACE, now=now, spread=0.5) - now) / SECOND)
    assert gaps == [60, 150, 600, 600]


def test_safety_polls_do_not_back_off_where_callbacks_are_lost() -> None:
    """They follow the provider's pace, as where none is expected; after a ring they come as after any ring."""
    task, now = a_task(callback_expected=True, deadline_at=NOW + DAY), NOW + 1200 * SECOND
    for timer, gap_s in ((a_timer(), 30), (a_timer(rings=1), 2)):
        at = timing.next_poll_at(task, timer, PACE, now=now, spread=0.5, callbacks_arrive=False)
        assert at == now + gap_s * SECOND


def test_one_poll_falls_on_the_deadline() -> None:
    """Only an answered poll expires a task, so one is asked right then; never sooner than in a second."""
    task = a_task(deadline_at=NOW + 3 * SECOND)
    assert timing.next_poll_at(task, a_timer(), PACE, now=NOW, spread=0.5) == NOW + 3 * SECOND
    late = NOW + 5 * SECOND
    assert timing.next_poll_at(task, a_timer(), PACE, now=late, spread=0.5) == late + SECOND
    empty = a_timer(empty_since=NOW)
    assert timing.next_poll_at(task, empty, PACE, now=NOW, spread=0.5) == NOW + 3 * SECOND
    assert timing.next_poll_at(task, empty, PACE, now=late, spread=0.5) == timing.next_poll_at(
        replace(task, deadline_at=NOW + DAY), empty, PACE, now=late, spread=0.5
    )


def test_after_our_verdict_the_provider_is_asked_for_a_day() -> None:
    """Every 30 s for 10 min, then every 10 min; then no more."""
    task = a_task(status=S.EXPIRED, ours=True, finished_at=NOW)
    for age, pause in ((0, 30 * SECOND), (11 * MINUTE, 10 * MINUTE), (23 * HOUR, 10 * MINUTE)):
        assert timing.next_poll_at(task, a_timer(), PACE, now=NOW + age, spread=0.5) == NOW + age + pause
    assert timing.watches_late(task, NOW + DAY - 1)
    assert not timing.watches_late(task, NOW + DAY)
    assert not timing.watches_late(replace(task, ours=False), NOW)
    assert not timing.watches_late(replace(task, provider_task_id=None), NOW)
    assert timing.watches_late(replace(task, finished_at=None), NOW)


def test_failed_polls_back_off_and_obey_retry_after() -> None:
    """Doubling from the provider's pace up to 5 min; never before `Retry-After`."""
    gaps = [
        (timing.after_failed_poll(a_timer(tries=tries), PACE, retry_after_s=None, now=NOW, spread=0.5) - NOW) / SECOND
        for tries in (0, 1, 2, 6, 99)
    ]
    assert gaps == [5, 10, 20, 300, 300]
    assert timing.after_failed_poll(a_timer(), PACE, retry_after_s=77, now=NOW, spread=0.5) == NOW + 77 * SECOND


def test_submits_put_off_back_off_and_obey_retry_after() -> None:
    """From a second to five minutes."""
    gaps = [
        (timing.next_submit_at(tries, retry_after_s=None, now=NOW, spread=0.5) - NOW) / SECOND for tries in (0, 1, 99)
    ]
    assert gaps == [1, 2, 300]
    assert timing.next_submit_at(0, retry_after_s=9, now=NOW, spread=0.5) == NOW + 9 * SECOND


def test_a_loop_sleeps_until_the_first_thing_is_due() -> None:
    """A minute at most; not at all where something is overdue."""
    assert timing.seconds_until([], NOW) == 60
    assert timing.seconds_until([None, NOW + 2 * SECOND, NOW + 9 * SECOND], NOW) == 2
    assert timing.seconds_until([NOW - HOUR], NOW) == 0
    assert timing.seconds_until([NOW + HOUR], NOW) == 60

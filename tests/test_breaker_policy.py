"""When a destination's queue is held, probed, opened again and given up."""

from dataclasses import replace

import pytest

from receiver.breaker_policy import (
    GIVEN_UP_AFTER,
    Breaker,
    after_failure,
    after_success,
    given_up,
    probe_due,
    probing,
    put_off,
)
from receiver.domain import Ms
from tests.make import HOUR, MINUTE, NOW, SECOND

WELL = Breaker(destination_id="dst_1")


def failed(*deliveries: str, breaker: Breaker = WELL, at: Ms = NOW) -> Breaker:
    """After one failure of each of these deliveries, a second after each other."""
    for number, delivery_id in enumerate(deliveries):
        breaker = after_failure(breaker, delivery_id, at + number * SECOND, f"of {delivery_id}")
    return breaker


@pytest.mark.parametrize(
    ("deliveries", "is_open"),
    [
        ("abcd", False),
        ("abcde", True),
        ("aabbc", True),
        ("abcaa", True),
        ("aaaaa", False),
        ("ababababab", False),
        ("aaaaaaab", False),
        ("aaaaaaabc", True),
    ],
)
def test_five_failures_in_a_row_over_three_deliveries_open_it(deliveries: str, is_open: bool) -> None:
    """One delivery that nobody could deliver holds up no other."""
    assert failed(*deliveries).open is is_open


def test_it_says_since_when_and_over_what() -> None:
    """From the failure that opened it on, the first probe comes after a minute."""
    assert failed("a", "b", "a", "c", "d") == Breaker(
        destination_id="dst_1",
        failures=5,
        failing=("a", "b", "c"),
        failing_since=NOW,
        reason="of d",
        opened_at=NOW + 4 * SECOND,
        probe_at=NOW + 4 * SECOND + MINUTE,
    )


def test_a_success_makes_all_well() -> None:
    """Before it opens as well as after; the row begins anew."""
    assert after_success(failed("a", "b", "c", "d")) == WELL
    assert after_success(failed("a", "b", "c", "d", "e")) == WELL
    assert not failed("e", breaker=after_success(failed("a", "b", "c", "d"))).open


def test_further_failures_neither_open_it_anew_nor_move_its_probe() -> None:
    """What was under way when it opened may still fail."""
    held = failed("a", "b", "c", "d", "e")
    assert failed("f", breaker=held, at=NOW + HOUR) == replace(held, failures=6, reason="of f")


def test_probes_come_after_1_2_4_8_and_then_every_15_minutes() -> None:
    """Each counted from the beginning of the one before."""
    breaker = failed("a", "b", "c", "d", "e")
    pauses, now = [], NOW + 4 * SECOND
    for _ in range(7):
        assert breaker.probe_at is not None
        assert not probe_due(breaker, breaker.probe_at - 1)
        assert probe_due(breaker, breaker.probe_at)
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker = failed("a", breaker=probing(breaker, now), at=now)
    assert pauses == [minutes * MINUTE for minutes in (1, 2, 4, 8, 15, 15, 15)]
    assert breaker.open


def test_its_consumer_may_ask_for_a_longer_pause_not_for_a_shorter_one() -> None:
    """Nothing is put off where no queue is held."""
    held = failed("a", "b", "c", "d", "e", at=NOW - 4 * SECOND)
    assert put_off(held, 59, NOW) == held
    assert put_off(held, 3600, NOW) == replace(held, probe_at=NOW + HOUR)
    shaky = failed("a", "b", "c", "d")
    assert put_off(shaky, 3600, NOW) == shaky


def test_a_queue_that_is_not_held_is_not_probed() -> None:
    """Nothing to find out."""
    assert not probe_due(WELL, NOW)
    assert not probe_due(failed("a", "b", "c", "d"), NOW + HOUR)


def test_it_is_given_up_after_120_hours_of_failures_only() -> None:
    """From the first failure in a row on, whether its breaker opened or not; a success begins anew."""
    assert GIVEN_UP_AFTER == 120 * HOUR
    for breaker in (failed("a"), failed("a", "b", "c", "d", "e")):
        assert not given_up(breaker, NOW + 120 * HOUR - 1)
        assert given_up(breaker, NOW + 120 * HOUR)
        assert not given_up(after_success(breaker), NOW + 120 * HOUR)
        again = failed("f", breaker=after_success(breaker), at=NOW + HOUR)
        assert not given_up(again, NOW + 120 * HOUR)

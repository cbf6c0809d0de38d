"""What a process learns of its destinations: who is slow, and how much a rate leaves."""

from receiver.delivery_policy import HOOK_RATE
from receiver.fair_shares import Manner
from receiver.paces import AT_FIRST, AT_MOST, MOST_REMEMBERED, Paces
from tests.make import NOW


def test_nothing_is_known_until_something_ended() -> None:
    """Or has been running for too long."""
    paces = Paces()
    assert paces.manner("d", NOW) is Manner.NEW
    paces.began("d", NOW)
    assert paces.manner("d", NOW + 1000) is Manner.NEW
    assert paces.manner("d", NOW + 1001) is Manner.SLOW


def test_the_last_one_that_ended_counts() -> None:
    """Slow is over a second."""
    paces = Paces()
    for took, manner in ((1000, Manner.QUICK), (1001, Manner.SLOW), (5, Manner.QUICK)):
        paces.began("d", NOW)
        paces.ended("d", NOW, NOW + took)
        assert paces.manner("d", NOW + took) is manner


def test_the_oldest_under_way_counts() -> None:
    """However many quick ones ended since."""
    paces = Paces()
    paces.began("d", NOW)
    for at in range(NOW + 500, NOW + 2000, 100):
        paces.began("d", at)
        paces.ended("d", at, at + 50)
        assert paces.manner("d", at + 50) is (Manner.QUICK if at + 50 - NOW <= 1000 else Manner.SLOW)
    paces.ended("d", NOW, NOW + 1900)
    assert paces.manner("d", NOW + 2000) is Manner.SLOW


def test_few_at_first_and_more_with_every_success() -> None:
    """A failure halves what was learnt, and never below the first few; there is an end of it, too."""
    paces = Paces()
    assert paces.at_once("d") == AT_FIRST == 5
    shown = []
    for well in [*[True] * 7, False, True, False, False, False]:
        paces.heard("d", well=well)
        shown.append(paces.at_once("d"))
    assert shown == [6, 7, 8, 9, 10, 11, 12, 6, 7, 5, 5, 5]
    for _ in range(2 * AT_MOST):
        paces.heard("d", well=True)
    assert paces.at_once("d") == AT_MOST
    assert paces.at_once("another") == AT_FIRST


def test_whose_last_attempt_failed() -> None:
    """Until the next one that ends well."""
    paces = Paces()
    assert not paces.failed("dst_1")
    paces.heard("dst_1", well=False)
    assert paces.failed("dst_1")
    paces.heard("dst_1", well=True)
    assert not paces.failed("dst_1")


def test_a_rate_leaves_one_second_s_worth_at_most() -> None:
    """Then one at a time; a change of the rate counts at once."""
    paces = Paces()
    assert paces.allows("d", 2.0, NOW, 100) == 2
    paces.spend("d", 2.0, NOW, 2)
    assert paces.allows("d", 2.0, NOW, 100) == 0
    at = paces.next_at("d", 2.0, NOW)
    assert NOW < at <= NOW + 510
    assert paces.allows("d", 2.0, at, 100) == 1
    paces.spend("d", 2.0, at, 1)
    assert paces.next_at("d", 100.0, at) <= at + 11
    assert paces.allows("d", None, at, 100) == 100
    assert paces.next_at("d", None, at) == at


def test_a_rate_below_one_still_lets_one_out() -> None:
    """Every ten seconds, for one tenth."""
    paces = Paces()
    for number in range(3):
        at = NOW + number * 10_001
        assert paces.allows("d", 0.1, at, 100) == 1
        paces.spend("d", 0.1, at, 1)
        assert paces.next_at("d", 0.1, at) <= at + 10_001


def test_a_hook_is_sent_less_than_zapier_refuses() -> None:
    """However much is owed: at most 30 in any second, and 10,000 in any five minutes, the first burst included."""
    paces, sent = Paces(), []
    at = NOW
    while at < NOW + 330_000:
        count = paces.allows("d", HOOK_RATE, at, 1000)
        paces.spend("d", HOOK_RATE, at, count)
        sent += [at] * count
        at += 20
    assert len(sent) > 13 * 330
    assert all(later - first >= 1000 for first, later in zip(sent, sent[30:], strict=False))
    # The first five minutes hold the burst as well: no others hold more.
    assert sum(each < NOW + 300_000 for each in sent) <= 10_000


def test_what_is_remembered_has_an_end() -> None:
    """Destinations come and go; those with something under way are never forgotten."""
    paces = Paces()
    paces.began("busy", NOW)
    for number in range(2 * MOST_REMEMBERED):
        paces.began(f"d{number}", NOW)
        paces.ended(f"d{number}", NOW, NOW + 1)
    assert len(paces._known) <= MOST_REMEMBERED
    assert paces.manner("busy", NOW + 5000) is Manner.SLOW

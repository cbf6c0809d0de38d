"""How much a provider is asked for: everything, until it says otherwise."""

import inspect

import pytest

from receiver.budget import FIRST_WINDOW, SLOWEST_RATE, WIDEST_WINDOW, Budget
from receiver.domain import Work
from receiver.outbound import Outbound
from tests.make import HOUR, MINUTE, NOW, SECOND


def drained(budget: Budget, *, from_: int, seconds: int, wanted: int = 10_000) -> int:
    """How many requests begin in so many seconds, where always more are wanted."""
    begun = 0
    for tick in range(0, seconds * SECOND, 50):
        now = from_ + tick
        count = budget.allows(now, wanted)
        budget.spend(count, now)
        begun += count
    return begun


def test_no_rate_is_assumed() -> None:
    """A provider that never complained gets all there is, at once."""
    budget = Budget()
    assert budget.allows(NOW, 5000) == 5000
    budget.spend(5000, NOW)
    assert (budget.allows(NOW, 5000), budget.next_at(NOW), budget.rate) == (5000, NOW, None)


def test_the_operators_cap_is_kept() -> None:
    """Requests per second, without saving up a burst over a quiet time."""
    assert 19 <= drained(Budget(cap=2), from_=NOW, seconds=10) <= 21
    budget = Budget(cap=0.5)
    budget.spend(budget.allows(NOW, 9), NOW)
    assert budget.next_at(NOW) == NOW + 2 * SECOND + 1
    assert budget.allows(NOW + MINUTE, 9) == 1


def test_what_is_about_to_begin_is_nobody_elses() -> None:
    """Between the question and the first byte others ask; what is held and never begins is given back."""
    budget = Budget(cap=5)
    with budget.holding(budget.allows(NOW, 3)), budget.promising(budget.allows(NOW, 1)):
        assert (budget.allows(NOW, 9), budget.spent(NOW)) == (1, False)
        with budget.promising(1):
            assert (budget.allows(NOW, 9), budget.spent(NOW)) == (0, False)
            assert NOW < budget.next_at(NOW) < NOW + SECOND // 5
            with budget.promising(3):
                assert budget.spent(NOW)
                assert budget.next_at(NOW) == NOW + SECOND // 5 + 1
        budget.spend(2, NOW)
    assert budget.allows(NOW, 9) == 3


def test_a_hold_that_raises_is_given_back() -> None:
    """The store may be out of service for a moment."""
    budget = Budget(cap=5)
    for hold in (budget.holding, budget.promising):
        with pytest.raises(OSError, match="disk"), hold(5):
            raise OSError("disk")
    assert budget.allows(NOW, 9) == 5


def test_a_debt_allows_nothing() -> None:
    """Less than nothing would be no limit at all, to a store."""
    budget = Budget(cap=2)
    budget.spend(9, NOW)
    assert budget.next_at(NOW) == NOW + 4 * SECOND + 1
    assert budget.allows(NOW, 5) == budget.allows(NOW + SECOND, 5) == 0


def test_a_slow_commit_saves_up_no_burst() -> None:
    """What begins late is spent when it begins: nobody else's request goes out beside it."""
    budget = Budget(cap=5)
    with budget.holding(budget.allows(NOW, 99)):
        late = NOW + 3 * SECOND
        assert budget.allows(late, 99) == 0
        budget.spend(5, late)
    assert budget.allows(late, 99) == 0
    assert budget.allows(late + SECOND, 99) == 5


def test_a_refusal_halves_what_was_sent() -> None:
    """A hundred a second becomes fifty; a second burst of refusals within the second is the same one."""
    budget = Budget()
    for second in range(10):
        budget.spend(100, NOW + second * SECOND)
    now = NOW + 9 * SECOND
    budget.narrow(now)
    budget.narrow(now + 10)
    assert budget.rate == 50
    budget.narrow(now + 2 * SECOND)
    assert budget.rate == 25


def test_it_never_falls_silent() -> None:
    """One request in five seconds is the least."""
    budget = Budget()
    for second in range(100):
        budget.narrow(NOW + second * 2 * SECOND)
    assert budget.rate == SLOWEST_RATE


def test_a_clock_that_is_put_back_stops_nothing() -> None:
    """An hour back, the operator's cap is what it was, at most a second later."""
    budget = Budget(cap=2)
    budget.spend(budget.allows(NOW, 9), NOW)
    now = NOW - HOUR
    assert budget.allows(now, 9) >= 0
    assert budget.allows(now + SECOND, 9) >= 1


def test_retry_after_is_obeyed() -> None:
    """Nothing before it."""
    budget = Budget()
    budget.narrow(NOW, 30)
    assert budget.allows(NOW + 29 * SECOND, 9) == 0
    assert budget.next_at(NOW) == NOW + 30 * SECOND
    assert budget.allows(NOW + 35 * SECOND, 9) > 0


def test_answers_widen_it_again() -> None:
    """Little by little, and all of it after two minutes without a refusal; the operator's cap stays."""
    budget = Budget(cap=10)
    budget.widen(NOW)
    budget.spend(100, NOW)
    budget.narrow(NOW)
    assert budget.rate == 5
    budget.widen(NOW + SECOND)
    assert 5 < (budget.rate or 0) < 6
    for _ in range(100):
        budget.widen(NOW + 2 * SECOND)
    assert budget.rate == 10
    budget.widen(NOW + 2 * MINUTE)
    assert budget.rate == 10
    assert budget._rate is None


def answered(budget: Budget, at: int = NOW, *, under_way: int = WIDEST_WINDOW, took: float = 0.05) -> None:
    budget.submit_answered(at, under_way=under_way, took=took)


def test_few_submits_are_under_way_at_first() -> None:
    """One more for each answered one, one after a lost one, few again after a quiet minute."""
    budget = Budget()
    assert budget.window(NOW) == FIRST_WINDOW
    for _ in range(2 * WIDEST_WINDOW):
        answered(budget)
    assert budget.window(NOW) == WIDEST_WINDOW
    assert budget.window(NOW + MINUTE) == FIRST_WINDOW
    budget.submit_lost()
    assert budget.window(NOW) == 1
    answered(budget)
    assert budget.window(NOW) == 2


def test_no_more_may_be_under_way_than_are_needed() -> None:
    """Else a provider that was quick with a thousand, one by one, and then hangs, would get hundreds at once."""
    budget = Budget()
    for _ in range(1000):
        answered(budget, under_way=4)
    assert budget.window(NOW) == 9


def test_slow_answers_widen_slowly_and_those_that_all_but_miss_their_limit_narrow() -> None:
    """One more for a whole window of them; one less for each: beyond the limit each would be a task in doubt."""
    budget = Budget()
    for _ in range(45):
        answered(budget)
    assert budget.window(NOW) == 50
    for _ in range(49):
        answered(budget, took=0.5)
    assert budget.window(NOW) == 50
    for _ in range(10):
        answered(budget, took=0.5)
    assert budget.window(NOW) == 51
    for _ in range(11):
        answered(budget, took=0.7)
    assert budget.window(NOW) == 40
    for _ in range(100):
        answered(budget, took=0.9)
    assert budget.window(NOW) == 1


def test_there_are_connections_for_all_that_may_be_under_way() -> None:
    """A submit that waits for one spends its answer's time."""
    per_host = inspect.signature(Outbound).parameters["limit_per_host"].default
    assert per_host > WIDEST_WINDOW


def test_a_full_provider_gets_no_submit_until_one_of_ours_ends() -> None:
    """Or a minute is over; what was learnt of its window stays."""
    budget = Budget()
    answered(budget)
    budget.fill_up(NOW)
    assert (budget.full(NOW), budget.window(NOW)) == (True, 0)
    budget.free_up()
    assert budget.window(NOW) == 1
    budget.submits_began(1, NOW)
    assert budget.window(NOW) == 0
    assert budget.window(NOW + MINUTE - 1) == 0
    assert budget.window(NOW + MINUTE) == FIRST_WINDOW


def test_submits_and_polls_take_turns() -> None:
    """Where both want more than there is, each gets half of it; one alone gets all."""
    budget, began = Budget(cap=4), {Work.SUBMIT: 0, Work.POLL: 0}

    def want(work: Work, now: int) -> None:
        count = budget.allows(now, 99, work)
        budget.spend(count, now, work)
        began[work] += count

    for tick in range(400):
        for work in (Work.SUBMIT, Work.POLL):
            want(work, NOW + tick * 100)
    assert abs(began[Work.SUBMIT] - began[Work.POLL]) <= 8
    assert 159 <= sum(began.values()) <= 164
    for tick in range(400, 800):
        want(Work.SUBMIT, NOW + tick * 100)
    assert sum(began.values()) >= 310

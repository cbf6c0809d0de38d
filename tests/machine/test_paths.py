"""Rare paths through the machine, walked on purpose: each has caught a fault, some of them put in on purpose."""

from collections.abc import Callable

import pytest

from receiver.telemetry import configure_logs
from tests.machine.test_machine import Machine, Order


def order(answer: str = "accept", *, fate: str = "success", steps: int = 0, deadline: int | None = None) -> Order:
    return Order(plan=[answer], fate=fate, steps=steps, deadline=deadline, twice=False)


def a_status_does_not_go_back(machine: Machine) -> None:
    machine.first_submit(order())
    words = [("true", "begins", 0), ("regress", "nothing", 61), ("regress", "nothing", 61)]
    machine.provider_stammers(0, words, stays=False, releases=False)


def an_overtaken_answer_does_not_move_the_end(machine: Machine) -> None:
    machine.first_submit(order())
    words = [("held", "ends", 0), ("true", "changes its mind", 61), ("true", "nothing", 61)]
    machine.provider_stammers(0, words, stays=False, releases=True)


def another_word_breaks_a_run_of_not_found(machine: Machine) -> None:
    machine.first_submit(order(steps=9))
    words = [("missing", "nothing", 61), ("500", "nothing", 61), ("missing", "nothing", 61), ("missing", "nothing", 61)]
    machine.provider_stammers(0, words, stays=False, releases=False)


def an_answer_about_another_task_says_nothing(machine: Machine) -> None:
    machine.first_submit(order())
    machine.submit(order(steps=5))
    machine.provider_stammers(1, [("another's", "nothing", 61)] * 3, stays=False, releases=False)


def a_callback_cannot_steal_a_result(machine: Machine) -> None:
    """Neither task was confirmed; a callback on the second's URL names the first's id, and polls of it are answered."""
    machine.first_submit(order("accept, answer lost"))
    machine.submit(order("dropped"))
    machine.provider_works(0, "ends")
    machine.callback(1, "another's", 0)
    machine.time_goes_on(6)


def a_callback_cannot_steal_a_result_at_the_deadline(machine: Machine) -> None:
    """As above, and the claim is still there when the deadline comes: polls were answered, so it counts for nothing."""
    machine.first_submit(order("accept, answer lost"))
    machine.submit(order("dropped", deadline=60))
    machine.provider_works(0, "ends")
    machine.callback(1, "another's", 0)
    for _ in range(8):
        machine.time_passes(20)


def a_claim_that_a_poll_contradicted_is_not_taken_in_an_outage(machine: Machine) -> None:
    machine.first_submit(order(steps=9, deadline=60))
    machine.callback(0, "success", 0)
    machine.time_goes_on(2)
    machine.weather_changes("unreachable")
    machine.time_passes(130)
    machine.time_goes_on(3)


def a_claim_that_a_poll_contradicted_does_not_come_back_with_the_next_ring(machine: Machine) -> None:
    machine.first_submit(order(steps=9, deadline=60))
    machine.callback(0, "success", 0)
    machine.time_goes_on(2)
    machine.weather_changes("unreachable")
    machine.time_passes(10)
    machine.callback(0, "waiting", 0)
    machine.time_passes(130)
    machine.time_goes_on(3)


def a_claim_that_a_poll_contradicted_spoke_first_all_the_same(machine: Machine) -> None:
    """Another ring that claims nothing comes in between; the event has the claim's source."""
    machine.first_submit(order(steps=9))
    machine.callback(0, "success", 0)
    machine.time_goes_on(2)
    machine.callback(0, "waiting", 0)
    machine.time_goes_on(2)
    machine.provider_works(0, "ends")
    machine.time_goes_on(3)


def a_claim_is_taken_where_nobody_answers_until_the_deadline(machine: Machine) -> None:
    machine.first_submit(order(deadline=60))
    machine.weather_changes("unreachable")
    machine.callback(0, "success", 0)
    machine.time_passes(130)
    machine.time_goes_on(3)


def what_is_in_flight_at_a_crash_is_not_sent_again(machine: Machine) -> None:
    machine.first_submit(order("never arrives, held"))
    machine.process_ends(killed=True)
    machine.time_goes_on(3)


def a_probe_of_no_task_tells_nobody_our_key(machine: Machine) -> None:
    """Five doubtful submits pause the provider; it answers the probe with words that hold our key."""
    machine.first_submit(order("gateway page"))
    for _ in range(4):
        machine.submit(order("gateway page"))
    machine.weather_changes("key refused")
    for _ in range(3):
        machine.time_passes(130)
    machine.weather_changes("fine")
    machine.time_goes_on(6)


PATHS = [
    a_status_does_not_go_back,
    an_overtaken_answer_does_not_move_the_end,
    another_word_breaks_a_run_of_not_found,
    an_answer_about_another_task_says_nothing,
    a_callback_cannot_steal_a_result,
    a_callback_cannot_steal_a_result_at_the_deadline,
    a_claim_that_a_poll_contradicted_is_not_taken_in_an_outage,
    a_claim_that_a_poll_contradicted_does_not_come_back_with_the_next_ring,
    a_claim_that_a_poll_contradicted_spoke_first_all_the_same,
    a_claim_is_taken_where_nobody_answers_until_the_deadline,
    what_is_in_flight_at_a_crash_is_not_sent_again,
    a_probe_of_no_task_tells_nobody_our_key,
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path(path: Callable[[Machine], None]) -> None:
    """Whatever the path, the invariants hold along it and after everything has settled."""
    configure_logs(fmt="json", level="critical")
    machine = Machine()
    try:
        path(machine)
        machine._look()
    except BaseException:
        machine.healthy = False
        raise
    finally:
        machine.teardown()

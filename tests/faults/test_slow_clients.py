"""The measure of what slow clients cost good ones, in small: nobody is refused."""

import math

import uvloop

from tests.faults.slow_clients import measure


def test_good_clients_beside_two_hundred_slow_ones() -> None:
    """Every request is answered 200, and the slow ones are there meanwhile."""
    found = uvloop.run(measure(slow=200, seconds=3, per_second=25))
    assert [len(each.times) for each in found.values()] == [75, 75]
    assert [each.refused for each in found.values()] == [[], []]
    assert all(0 < time < math.inf for each in found.values() for time in each.times)
    assert found["beside 200"].open > 150

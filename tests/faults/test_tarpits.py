"""The measure of what tarpits cost a healthy endpoint, in small: it measures something."""

import math

import uvloop

from tests.faults.tarpits import measure
from tests.tarpits import TARPITS


def test_each_kind_of_tarpit_beside_a_healthy_one() -> None:
    """Every event reaches the healthy one in every phase, while the others take their time."""
    found = uvloop.run(measure(tarpits=len(TARPITS), seconds=1, per_second=20))
    assert {name: len(times) for name, times in found.items()} == {
        "calm": 20,
        "beside them, at once": 20,
        "beside them, later": 20,
    }
    assert all(0 < time < math.inf for times in found.values() for time in times)

"""Which past events a replay means."""

import pytest

from receiver.domain import DeliveryState
from receiver.replays import Only, means

PENDING, DELIVERED, DEAD, CANCELED = DeliveryState


@pytest.mark.parametrize(
    ("states", "missing", "dead"),
    [
        (set(), True, False),
        ({CANCELED}, True, False),
        ({DEAD}, True, True),
        ({DEAD, CANCELED}, True, True),
        ({PENDING}, False, False),
        ({DELIVERED}, False, False),
        ({DEAD, PENDING}, False, False),
        ({DEAD, DELIVERED}, False, False),
        ({CANCELED, DELIVERED}, False, False),
    ],
)
def test_what_is_meant(states: set[DeliveryState], missing: bool, dead: bool) -> None:
    """Missing is what never came and is not on its way; dead is what died of that; all is all."""
    assert (means(Only.MISSING, states), means(Only.DEAD, states), means(Only.ALL, states)) == (missing, dead, True)

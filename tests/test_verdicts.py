"""What our own verdicts say about money."""

import pytest

from receiver import verdicts
from receiver.domain import FailureKind, Status, Task
from tests.make import MINUTE, NOW, a_task


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            a_task(status=Status.QUEUED, deadline_at=NOW + 90_000),
            "never handed over to apikley within its deadline of 90 s: nothing was spent",
        ),
        (
            a_task(status=Status.UNCONFIRMED, deadline_at=NOW + 24 * 60 * MINUTE),
            (
                "never confirmed within its deadline of 24 h: apikley may have made it, and taken its price; "
                "ask them before it is submitted once more"
            ),
        ),
        (
            a_task(deadline_at=NOW + 15 * MINUTE),
            "not finished within its deadline of 15 min; apikley may finish it all the same, at its price",
        ),
    ],
)
def test_expired_says_what_was_spent(task: Task, said: str) -> None:
    """Nothing, nobody knows, or what the provider takes for it; its deadline as people say it."""
    verdict = verdicts.expired(task)
    assert verdict.status is Status.EXPIRED
    assert verdict.error is not None
    assert (verdict.error.kind, verdict.error.message) == (FailureKind.TIMEOUT, said)

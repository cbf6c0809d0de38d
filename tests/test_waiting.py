"""Why a task is not done, in one sentence."""

import pytest

from receiver.domain import Status, Task, Timer, Work
from receiver.waiting import waiting_for
from tests.make import MINUTE, NOW, SECOND, a_task, a_timer

IN_18_S = a_timer(due_at=NOW + 18 * SECOND)
S = Status


@pytest.mark.parametrize(
    ("task", "timer", "what", "text"),
    [
        (
            a_task(provider_status="waiting", callback_expected=True, submitted_at=NOW - 42 * SECOND),
            IN_18_S,
            "poll",
            "apikley says waiting for 42 s; callback expected; next poll in 18 s",
        ),
        (
            a_task(status=S.RUNNING, submitted_at=NOW - MINUTE),
            a_timer(due_at=NOW + SECOND, tries=3),
            "poll",
            "apikley says running; it took the task 60 s ago; 3 polls failed in a row; next poll in 1 s",
        ),
        (
            a_task(submitted_at=NOW - MINUTE),
            a_timer(due_at=NOW + SECOND, tries=1),
            "poll",
            "apikley says submitted for 60 s; the last poll failed; next poll in 1 s",
        ),
        (a_task(), a_timer(owner="own"), "poll", "apikley says submitted for 0 s; being polled now"),
        (a_task(), None, "poll", "apikley says submitted for 0 s; next poll not planned"),
        (
            a_task(status=S.QUEUED),
            a_timer(work=Work.SUBMIT, due_at=NOW + 5 * SECOND),
            "submit",
            "not handed over to apikley yet; next try in 5 s",
        ),
        (a_task(status=S.SUBMITTING), a_timer(owner="own"), "answer", "being handed over to apikley"),
        (
            a_task(status=S.SUBMITTING, cancel_asked=True),
            a_timer(owner="own"),
            "answer",
            "being handed over to apikley; canceled once that is answered",
        ),
        (
            a_task(status=S.UNCONFIRMED, callback_expected=True, deadline_at=NOW + 18 * SECOND),
            a_timer(due_at=NOW, rings=0),
            "confirmation",
            "sent to apikley, its answer was never learnt; a callback would confirm it; given up in 18 s",
        ),
        (
            a_task(status=S.UNCONFIRMED, deadline_at=NOW + 18 * SECOND),
            IN_18_S,
            "confirmation",
            "sent to apikley, its answer was never learnt; apikley sends no callbacks; given up in 18 s",
        ),
    ],
)
def test_the_sentence(task: Task, timer: Timer | None, what: str, text: str) -> None:
    """It names who is waited for, for how long, and what happens next."""
    waiting = waiting_for(task, timer, NOW)
    assert waiting is not None
    assert (waiting.what, waiting.text) == (what, text)


HELD = "apikley is paused by an operator"


@pytest.mark.parametrize(
    ("task", "timer", "text", "planned"),
    [
        (a_task(), IN_18_S, f"apikley says submitted for 0 s; not polled: {HELD}", False),
        (a_task(), a_timer(owner="own"), "apikley says submitted for 0 s; being polled now", False),
        (a_task(status=S.QUEUED), IN_18_S, f"not handed over to apikley yet: {HELD}", False),
        (a_task(status=S.SUBMITTING), a_timer(owner="own"), "being handed over to apikley", False),
        (
            a_task(status=S.UNCONFIRMED, deadline_at=NOW + 18 * SECOND),
            IN_18_S,
            "sent to apikley, its answer was never learnt; apikley sends no callbacks; given up in 18 s",
            True,
        ),
    ],
)
def test_what_is_held_back_is_not_told_as_planned(task: Task, timer: Timer, text: str, planned: bool) -> None:
    """Nothing is next where its provider is not talked to, but the end of a task that nobody can be asked about."""
    waiting = waiting_for(task, timer, NOW, held=HELD)
    assert waiting is not None
    assert (waiting.text, waiting.next_at is not None) == (text, planned)


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED, S.CANCELED, S.EXPIRED])
def test_a_final_task_waits_for_nothing(status: Status) -> None:
    """Null, as the contract says."""
    assert waiting_for(a_task(status=status), None, NOW) is None

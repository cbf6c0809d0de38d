"""Why a task is not done, in one sentence."""

import pytest

from receiver.domain import Failure, FailureKind, Status, Task, Timer, Work
from receiver.waiting import Held, waiting_for
from tests.make import HOUR, MINUTE, NOW, SECOND, a_task, a_timer

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
            a_task(status=S.RUNNING, provider_status="pending", submitted_at=NOW - MINUTE),
            a_timer(due_at=NOW + SECOND, tries=3),
            "poll",
            "apikley says pending; it took the task 60 s ago; 3 polls failed in a row; next poll in 1 s",
        ),
        (
            a_task(submitted_at=NOW - MINUTE),
            a_timer(due_at=NOW + SECOND, tries=1),
            "poll",
            "handed over to apikley 60 s ago; the last poll failed; next poll in 1 s",
        ),
        (a_task(), a_timer(owner="own"), "poll", "handed over to apikley 0 s ago; being polled now"),
        (
            a_task(provider_status="waiting", submitted_at=NOW - 97 * HOUR),
            a_timer(due_at=NOW + 3 * MINUTE),
            "poll",
            "apikley says waiting for 97 h; next poll in 3 min",
        ),
        (a_task(), a_timer(due_at=NOW - MINUTE), "poll", "handed over to apikley 0 s ago; next poll now"),
        (a_task(), None, "poll", "handed over to apikley 0 s ago; next poll not planned"),
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
FOR_8_S = Held(why="apikley asked us to wait", until=NOW + 8 * SECOND)


@pytest.mark.parametrize(
    ("task", "timer", "text", "planned"),
    [
        (a_task(), IN_18_S, f"handed over to apikley 0 s ago; not polled: {HELD}", False),
        (a_task(), a_timer(owner="own"), "handed over to apikley 0 s ago; being polled now", False),
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
    waiting = waiting_for(task, timer, NOW, held=Held(why=HELD))
    assert waiting is not None
    assert (waiting.text, waiting.next_at is not None) == (text, planned)


@pytest.mark.parametrize(
    ("task", "due_in_s", "text", "next_in_s"),
    [
        (
            a_task(status=S.QUEUED, error=Failure(kind=FailureKind.RATE_LIMITED, message="too fast")),
            1,
            "not handed over to apikley yet (too fast): apikley asked us to wait; next try in 8 s",
            8,
        ),
        (a_task(status=S.QUEUED), 30, "not handed over to apikley yet; next try in 30 s", 30),
        (a_task(), -5, "handed over to apikley 0 s ago; not polled: apikley asked us to wait; next poll in 8 s", 8),
        (a_task(), 8, "handed over to apikley 0 s ago; next poll in 8 s", 8),
    ],
)
def test_what_holds_for_a_while_puts_the_next_time_off(task: Task, due_in_s: int, text: str, next_in_s: int) -> None:
    """And is told only where it is longer than the task's own pause."""
    waiting = waiting_for(task, a_timer(due_at=NOW + due_in_s * SECOND), NOW, held=FOR_8_S)
    assert waiting is not None
    assert (waiting.text, waiting.next_at) == (text, NOW + next_in_s * SECOND)


@pytest.mark.parametrize(
    "task", [a_task(), a_task(status=S.QUEUED), a_task(status=S.UNCONFIRMED, deadline_at=NOW - MINUTE)]
)
def test_the_next_time_is_never_in_the_past(task: Task) -> None:
    """What was due a minute ago, or is held until a time that is over, is due now."""
    for held in (None, Held(why="x", until=NOW - SECOND)):
        waiting = waiting_for(task, a_timer(due_at=NOW - MINUTE), NOW, held=held)
        assert waiting is not None
        assert waiting.next_at == NOW


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED, S.CANCELED, S.EXPIRED])
def test_a_final_task_waits_for_nothing(status: Status) -> None:
    """Null, as the contract says."""
    assert waiting_for(a_task(status=status), None, NOW) is None

"""What a caller may do to a task, by its state, and what that makes of it."""

from dataclasses import replace

import pytest

from receiver import action_policy
from receiver.action_policy import Action
from receiver.domain import EventType, Failure, FailureKind, Kind, Status, Task, Work
from tests.make import DAY, HOUR, MINUTE, NOW, SECOND, a_task, a_timer

S, A = Status, Action
OPEN = {S.QUEUED, S.SUBMITTING, S.SUBMITTED, S.RUNNING, S.UNCONFIRMED}
FINAL = {S.SUCCEEDED, S.FAILED, S.CANCELED, S.EXPIRED}


@pytest.mark.parametrize(
    ("action", "fitting"),
    [
        (A.CANCEL, OPEN),
        (A.REFRESH, OPEN - {S.UNCONFIRMED}),
        (A.RESOLVE, {S.UNCONFIRMED}),
        (A.RESUBMIT, FINAL | {S.UNCONFIRMED}),
    ],
)
def test_each_action_fits_certain_states(action: Action, fitting: set[Status]) -> None:
    """Every other one refuses it, and says how the task stands."""
    refused = {status: action_policy.refusal(action, a_task(status=status)) for status in Status}
    assert {status for status, reason in refused.items() if reason is None} == fitting
    for status, refusal in refused.items():
        assert refusal is None or (status is S.UNCONFIRMED and action is A.REFRESH) or status in refusal.reason


@pytest.mark.parametrize("status", sorted(FINAL))
def test_our_own_verdict_may_be_asked_about(status: Status) -> None:
    """The provider's may still follow; unless it never told its id, then nobody can be asked."""
    assert action_policy.refusal(A.REFRESH, a_task(status=status, ours=True)) is None
    unknown = a_task(status=status, ours=True, provider_task_id=None)
    refused = action_policy.refusal(A.REFRESH, unknown)
    assert refused is not None
    assert "cannot be asked" in refused.reason


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (S.QUEUED, "before apikley took it"),
        (S.SUBMITTING, "before apikley took it"),
        (S.UNCONFIRMED, "while nobody knew whether apikley took it"),
        (S.SUBMITTED, "apikley may finish it all the same"),
        (S.RUNNING, "apikley may finish it all the same"),
    ],
)
def test_a_cancel_says_what_it_can_and_cannot_have_stopped(status: Status, words: str) -> None:
    """In one sentence, of kind `canceled`."""
    update = action_policy.canceled(a_task(status=status))
    assert update.status is S.CANCELED
    assert update.error is not None
    assert (update.error.kind, update.error.retryable) == (FailureKind.CANCELED, False)
    assert words in update.error.message


def test_a_resolution_that_comes_too_late_is_told_the_way_out() -> None:
    """To adopt what the provider has, of a task that we ended in doubt; of no other that would help."""
    doubted = EventType.UNCONFIRMED.bit
    ended = a_task(status=S.EXPIRED, ours=True, provider_task_id=None, emitted=doubted)
    refused = action_policy.refusal(Action.RESOLVE, ended)
    assert refused is not None
    assert refused.reason == (
        "task_1 is expired; only an unconfirmed task can be resolved. Where apikley has it after all, "
        "POST /v1/tasks/adopt with its id there follows it as a new task"
    )
    for other in (
        replace(ended, provider_task_id="p1"),
        replace(ended, emitted=0),
        replace(ended, ours=False),
        a_task(emitted=doubted),
        a_task(status=S.QUEUED),
    ):
        refused = action_policy.refusal(Action.RESOLVE, other)
        assert refused is not None
        assert "adopt" not in refused.reason
    refused = action_policy.refusal(Action.CANCEL, ended)
    assert refused is not None
    assert "adopt" not in refused.reason


def test_what_was_resubmitted_is_not_to_be_retried_once_more() -> None:
    """What was only declared failed is."""
    declared, replaced = action_policy.declared_failed().error, action_policy.replaced_by("task_2").error
    assert declared is not None
    assert replaced is not None
    assert (declared.kind, declared.retryable) == (FailureKind.UNKNOWN, True)
    assert (replaced.kind, replaced.retryable) == (FailureKind.UNKNOWN, False)
    assert "task_2" in replaced.message


def test_a_resubmission_has_the_same_content_and_nothing_else() -> None:
    """Same provider, model, input, metadata, webhook and time to live, counted from its turn; no trace of the end."""
    original = a_task(
        status=S.FAILED,
        ours=True,
        cancel_asked=True,
        media=Kind.IMAGE,
        created_at=NOW - DAY,
        deadline_at=NOW - DAY + HOUR,
        finished_at=NOW,
        error=Failure(kind=FailureKind.UNKNOWN, message="x"),
        retry_of="task_0",
        webhook_id="dst_1",
        webhook_events=("task.failed",),
        emitted=7,
        sequence=3,
        version=9,
        progress=50,
        provider_status="fail",
    )
    new = action_policy.resubmission(original, id="task_2", callback_expected=True, now=NOW, due_at=NOW + MINUTE)
    assert new == Task(
        id="task_2",
        tenant=original.tenant,
        provider=original.provider,
        model=original.model,
        status=S.QUEUED,
        created_at=NOW,
        deadline_at=NOW + MINUTE + HOUR,
        input=original.input,
        metadata=original.metadata,
        media=Kind.IMAGE,
        callback_expected=True,
        retry_of=original.id,
        webhook_id="dst_1",
        webhook_events=("task.failed",),
    )


def test_a_refreshed_task_is_due_at_once() -> None:
    """Its next poll or submit moves forward, never back; what is under way goes on as it is."""
    task = a_task()
    assert action_policy.asked_now(task, a_timer(due_at=NOW + HOUR, rings=2), NOW) == a_timer(due_at=NOW, rings=2)
    assert action_policy.asked_now(task, a_timer(due_at=NOW), NOW + HOUR) == a_timer(due_at=NOW)
    leased = a_timer(due_at=NOW + MINUTE, owner="own")
    assert action_policy.asked_now(task, leased, NOW) == leased
    assert action_policy.asked_now(task, None, NOW) == a_timer(due_at=NOW)
    queued = action_policy.asked_now(a_task(status=S.QUEUED), None, NOW)
    assert (queued.work, queued.due_at) == (Work.SUBMIT, NOW)


def test_a_task_that_we_ended_is_watched_where_it_can_be_asked_about() -> None:
    """As planned, else at once; never one without the provider's id."""
    planned = a_timer(due_at=NOW + MINUTE)
    assert action_policy.watched(a_task(), planned, NOW) == planned
    assert action_policy.watched(a_task(), None, NOW) == a_timer(due_at=NOW)
    assert action_policy.watched(a_task(), a_timer(work=Work.SUBMIT, owner="own", tries=3), NOW) == a_timer(due_at=NOW)
    assert action_policy.watched(a_task(provider_task_id=None), planned, NOW) is None


def test_many_are_paced() -> None:
    """So many per second, the first at once; all at once where no rate is asked for."""
    assert [action_policy.paced(number, 4, NOW) - NOW for number in range(3)] == [0, SECOND // 4, SECOND // 2]
    assert action_policy.paced(1, 0.5, NOW) - NOW == 2 * SECOND
    assert action_policy.paced(1000, None, NOW) == NOW


def test_a_filter_is_compared_again_by_what_can_change() -> None:
    """Status, kind of error and the provider's id; the rest cannot have changed since the page was read."""
    failed = a_task(status=S.FAILED, error=Failure(kind=FailureKind.QUOTA, message="x"))
    for where in ({}, {"status": "failed"}, {"error_kind": "quota"}, {"provider_task_id": "p1"}, {"model": "other"}):
        assert action_policy.still_matches(failed, where)
    for where in ({"status": "expired"}, {"error_kind": "auth"}, {"provider_task_id": "p2"}):
        assert not action_policy.still_matches(failed, where)
    assert not action_policy.still_matches(a_task(), {"error_kind": "auth"})


def test_a_bulk_resubmission_pays_for_nothing_twice() -> None:
    """Not for what was resubmitted already, and for a success only where it is named."""
    failed, done = a_task(status=S.FAILED), a_task(status=S.SUCCEEDED)
    assert action_policy.worth_again(failed, {}, resubmitted=False)
    assert not action_policy.worth_again(failed, {}, resubmitted=True)
    assert not action_policy.worth_again(done, {"provider": "apikley"}, resubmitted=False)
    assert action_policy.worth_again(done, {"status": "succeeded"}, resubmitted=False)
    assert not action_policy.worth_again(done, {"status": "succeeded"}, resubmitted=True)


def test_a_bulk_resubmission_leaves_out_retries() -> None:
    """Whatever the filter names: the same call made again would pay for its own retries."""
    for status in (S.FAILED, S.EXPIRED, S.SUCCEEDED, S.UNCONFIRMED):
        retry = a_task(status=status, retry_of="task_0")
        assert not action_policy.worth_again(retry, {"status": status.value}, resubmitted=False)

"""Decisions about a task, by table."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import policy, verdicts
from receiver.domain import EventType, Failure, FailureKind, Kind, Output, Source, Status, Task, Update, Usage, Verified
from tests.make import DAY, HOUR, MINUTE, NOW, SECOND, a_task, a_timer

S = Status
OPEN = [S.QUEUED, S.SUBMITTING, S.SUBMITTED, S.RUNNING, S.UNCONFIRMED]
FINAL = [S.SUCCEEDED, S.FAILED, S.CANCELED, S.EXPIRED]
VIDEO = (Output(kind=Kind.VIDEO, url="https://x/1.mp4"),)


def said(status: Status | None, source: Source = Source.POLL, *, task: Task, **fields: object) -> policy.Change | None:
    update = Update(status=status, **fields)  # type: ignore[arg-type]
    return policy.next_task(task, update, source=source, now=NOW + SECOND)


@pytest.mark.parametrize(
    ("before", "update", "after", "events"),
    [
        (S.SUBMITTING, S.SUBMITTED, S.SUBMITTED, ["task.submitted"]),
        (S.SUBMITTING, S.RUNNING, S.SUBMITTED, ["task.submitted"]),
        (S.SUBMITTING, S.SUCCEEDED, S.SUCCEEDED, ["task.succeeded"]),
        (S.SUBMITTING, S.FAILED, S.FAILED, ["task.failed"]),
        (S.SUBMITTING, S.QUEUED, S.QUEUED, ["task.queued"]),
        (S.SUBMITTING, S.UNCONFIRMED, S.UNCONFIRMED, ["task.unconfirmed"]),
        (S.UNCONFIRMED, S.SUBMITTED, S.SUBMITTED, ["task.submitted"]),
        (S.UNCONFIRMED, S.RUNNING, S.SUBMITTED, ["task.submitted"]),
        (S.UNCONFIRMED, S.FAILED, S.FAILED, ["task.failed"]),
        (S.QUEUED, S.EXPIRED, S.EXPIRED, ["task.expired"]),
        (S.SUBMITTED, S.RUNNING, S.RUNNING, ["task.running"]),
        (S.SUBMITTED, S.SUCCEEDED, S.SUCCEEDED, ["task.succeeded"]),
        (S.SUBMITTED, S.EXPIRED, S.EXPIRED, ["task.expired"]),
        (S.RUNNING, S.CANCELED, S.CANCELED, ["task.canceled"]),
        (S.RUNNING, S.FAILED, S.FAILED, ["task.failed"]),
    ],
)
def test_a_task_moves_forward(before: Status, update: Status, after: Status, events: list[str]) -> None:
    """States that were skipped are not invented; each change gives its event."""
    change = said(update, task=a_task(status=before))
    assert change is not None
    assert (change.task.status, list(change.events), change.late) == (after, events, False)
    assert change.task.version == 1


@pytest.mark.parametrize(
    ("before", "update"),
    [
        (S.SUBMITTED, S.SUBMITTED),
        (S.RUNNING, S.SUBMITTED),
        (S.RUNNING, S.RUNNING),
        (S.SUBMITTED, S.QUEUED),
        (S.SUBMITTED, S.UNCONFIRMED),
    ],
)
def test_a_word_that_leads_back_changes_nothing(before: Status, update: Status) -> None:
    """Providers stammer; the status does not."""
    assert said(update, task=a_task(status=before)) is None


@pytest.mark.parametrize("status", OPEN)
def test_a_word_that_nobody_knows_is_never_final(status: Status) -> None:
    """The task stays where it is; the word is kept."""
    change = said(None, task=a_task(status=status), provider_status="tomorrow")
    assert change is not None
    assert (change.task.status, change.task.provider_status, change.events) == (status, "tomorrow", ())


@pytest.mark.parametrize("before", FINAL)
@pytest.mark.parametrize("update", [*FINAL, S.RUNNING, None])
def test_the_providers_verdict_never_moves(before: Status, update: Status | None) -> None:
    """Whatever it says afterwards."""
    assert said(update, task=a_task(status=before, ours=False), provider_status="x") is None


@pytest.mark.parametrize("before", [S.FAILED, S.CANCELED, S.EXPIRED])
@pytest.mark.parametrize("update", [S.SUCCEEDED, S.FAILED, S.CANCELED, S.EXPIRED])
def test_our_verdict_may_be_followed_once_by_the_providers(before: Status, update: Status) -> None:
    """Marked late; one of the same type updates the task and gives no event; after that nothing moves."""
    task = a_task(status=before, ours=True, emitted=EventType(f"task.{before}").bit, finished_at=NOW)
    change = said(update, task=task, outputs=VIDEO, usage=Usage(amount=3))
    assert change is not None
    assert change.task.status is update
    assert change.task.outputs == VIDEO
    assert change.late
    assert change.events == (() if update is before else (EventType(f"task.{update}"),))
    assert change.task.finished_at == NOW
    assert said(S.SUCCEEDED, task=change.task) is None


def test_a_second_verdict_of_ours_changes_nothing() -> None:
    """A deadline after a cancel is no news."""
    task = a_task(status=S.CANCELED, ours=True)
    assert policy.next_task(task, verdicts.expired(task), source=Source.DEADLINE, now=NOW, ours=True) is None


def test_a_running_word_after_our_verdict_only_binds_the_id() -> None:
    """So that the provider can still be asked; it is no event."""
    task = a_task(status=S.CANCELED, ours=True, provider_task_id=None)
    change = said(S.RUNNING, task=task, provider_task_id="p9")
    assert change is not None
    assert (change.task.status, change.task.provider_task_id, change.events) == (S.CANCELED, "p9", ())
    assert said(S.RUNNING, task=change.task, provider_task_id="p9") is None


def test_an_event_type_is_given_once() -> None:
    """Back in the queue a second time: the status moves, the event was given."""
    task = a_task(status=S.SUBMITTING, emitted=EventType.QUEUED.bit)
    change = said(S.QUEUED, Source.SUBMIT, task=task)
    assert change is not None
    assert (change.task.status, change.events) == (S.QUEUED, ())


def test_an_unlearnt_answer_about_a_task_that_a_callback_named_is_no_doubt() -> None:
    """The callback bound the provider's id before the submit broke: the task is known to exist."""
    task = replace(a_task(status=S.SUBMITTING), provider_task_id="p1")
    change = said(S.UNCONFIRMED, Source.SUBMIT, task=task)
    assert change is not None
    assert change.task.status is S.SUBMITTED


def test_progress_that_grows_is_an_event_and_other_is_not() -> None:
    """A step back, or the same again, is kept at most."""
    grown = said(None, task=a_task(status=S.RUNNING, progress=10), progress=40)
    assert grown is not None
    assert grown.events == (EventType.PROGRESS,)
    back = said(None, task=a_task(status=S.RUNNING, progress=40), progress=10)
    assert back is not None
    assert back.events == ()


def test_times_and_results_are_set_where_they_belong() -> None:
    """Handed over when the provider first speaks; finished when it is final; a refusal was never handed over."""
    accepted = said(S.SUBMITTED, Source.SUBMIT, task=a_task(status=S.SUBMITTING), provider_task_id="p7")
    assert accepted is not None
    assert (accepted.task.submitted_at, accepted.task.provider_task_id) == (NOW + SECOND, "p7")
    error = Failure(kind=FailureKind.QUOTA, message="no")
    refused = said(S.FAILED, Source.SUBMIT, task=a_task(status=S.SUBMITTING), error=error)
    assert refused is not None
    assert (refused.task.submitted_at, refused.task.finished_at, refused.task.error) == (None, NOW + SECOND, error)
    done = said(S.SUCCEEDED, task=a_task(), outputs=VIDEO, usage=Usage(amount=3), provider_status="success")
    assert done is not None
    assert (done.task.outputs, done.task.usage, done.task.submitted_at) == (VIDEO, Usage(amount=3), NOW)


def test_the_reason_for_doubt_is_shown_until_it_is_gone() -> None:
    """`error` says why a task is unconfirmed, and is empty again once it is confirmed."""
    error = Failure(kind=FailureKind.UNKNOWN, message="cut")
    doubt = said(S.UNCONFIRMED, Source.SUBMIT, task=a_task(status=S.SUBMITTING), error=error)
    assert doubt is not None
    assert doubt.task.error == error
    confirmed = said(S.SUBMITTED, Source.CALLBACK, task=doubt.task, provider_task_id="p1")
    assert confirmed is not None
    assert confirmed.task.error is None


UPDATES = st.builds(
    Update,
    status=st.sampled_from([None, *Status]),
    provider_status=st.sampled_from([None, "a", "b"]),
    provider_task_id=st.sampled_from([None, "p1", "p2"]),
    progress=st.none() | st.integers(0, 100),
)


@given(st.lists(st.tuples(UPDATES, st.sampled_from(Source), st.booleans()), max_size=12))
def test_whatever_is_said_in_whatever_order(updates: list[tuple[Update, Source, bool]]) -> None:
    """At most one final event, but for one late; no type twice; a final task never opens; only a submit moves an id."""
    task, events, late = a_task(status=S.SUBMITTING), [], 0
    for update, source, ours in updates:
        change = policy.next_task(task, update, source=source, now=NOW, ours=ours)
        if change is None:
            continue
        assert change.task.version == task.version + 1
        assert not task.status.final or change.task.status.final
        told = source is Source.SUBMIT and update.provider_task_id == change.task.provider_task_id
        assert told or task.provider_task_id in (None, change.task.provider_task_id)
        events += [each for each in change.events if each is not EventType.PROGRESS]
        late += change.late and bool(change.events)
        task = change.task
    finals = [each for each in events if each.final]
    assert len(events) == len(set(events))
    assert late <= 1
    assert len(finals) <= 1 + late


def test_who_spoke_first() -> None:
    """A poll that confirms what a callback claimed has the callback's source; a contradiction is the poll's own."""
    done = Update(status=S.SUCCEEDED)
    for claimed, source in ((S.SUCCEEDED, Source.CALLBACK), (S.FAILED, Source.POLL), (None, Source.POLL)):
        assert policy.source_and_proof(a_timer(rings=0, claimed=claimed), done) == (source, Verified.POLL)
    assert policy.source_and_proof(a_timer(), Update(status=None)) == (Source.POLL, Verified.POLL)


def test_deadlines() -> None:
    """Ours at or after the deadline, of an open task; a week of unanswered polls later it is over all the same."""
    task = a_task(deadline_at=NOW)
    assert policy.due_for_expiry(task, NOW)
    assert not policy.due_for_expiry(task, NOW - 1)
    assert not policy.due_for_expiry(replace(task, status=S.FAILED), NOW)
    assert not policy.given_up(task, NOW + 7 * DAY - 1)
    assert policy.given_up(task, NOW + 7 * DAY)


def test_not_found_is_believed_after_its_grace() -> None:
    """Right after a submit the provider may not see its own task yet."""
    assert not policy.believes_missing(a_timer(), NOW, 60)
    assert not policy.believes_missing(a_timer(missing_since=NOW - 59 * SECOND), NOW, 60)
    assert policy.believes_missing(a_timer(missing_since=NOW - 60 * SECOND), NOW, 60)


def test_an_unverified_claim_counts_only_where_nobody_could_be_asked() -> None:
    """At the deadline, when no poll was answered since it came: a later ring that claims nothing does not renew it."""
    task = a_task(deadline_at=NOW)
    rung = a_timer(claimed=S.SUCCEEDED, claimed_at=NOW - HOUR, rings=3, rung_at=NOW - SECOND)
    assert policy.may_take_callback(task, rung, NOW)
    assert policy.may_take_callback(task, replace(rung, answered_at=NOW - 2 * HOUR), NOW)
    assert not policy.may_take_callback(task, replace(rung, answered_at=NOW - MINUTE), NOW)
    assert not policy.may_take_callback(task, rung, NOW - 1)
    assert not policy.may_take_callback(task, replace(rung, claimed=None), NOW)
    assert not policy.may_take_callback(task, a_timer(claimed=S.SUCCEEDED), NOW)

"""Decisions about a task, by table."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import policy
from receiver.domain import (
    EventType,
    Failure,
    FailureKind,
    Kind,
    Output,
    Pace,
    Source,
    Status,
    Task,
    Update,
    Usage,
    Verified,
    Work,
)
from tests.make import DAY, HOUR, MINUTE, NOW, SECOND, a_task, a_timer

S = Status
OPEN = [S.QUEUED, S.SUBMITTING, S.SUBMITTED, S.RUNNING, S.UNCONFIRMED]
FINAL = [S.SUCCEEDED, S.FAILED, S.CANCELED, S.EXPIRED]
PACE = (Pace(0, 5), Pace(300, 30), Pace(3600, 180))
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
    assert policy.next_task(task, policy.expired(task), source=Source.DEADLINE, now=NOW, ours=True) is None


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


def test_a_doorbell_makes_the_next_poll_due_now() -> None:
    """Whoever holds the lease; a claim of a final state is remembered, another one is not."""
    timer = a_timer(due_at=NOW + HOUR, owner="own_1")
    rung = policy.rung(timer, NOW, S.SUCCEEDED)
    assert (rung.due_at, rung.owner, rung.rings, rung.rung_at, rung.claimed) == (NOW, None, 0, NOW, S.SUCCEEDED)
    assert policy.rung(rung, NOW, S.RUNNING).claimed is S.SUCCEEDED
    assert policy.rung(timer, NOW, None).claimed is None


def test_a_doorbell_during_the_handover_is_remembered() -> None:
    """The lease of the submit stays; the first poll follows at once when it ends."""
    timer = a_timer(work=Work.SUBMIT, due_at=NOW + MINUTE, owner="own_1")
    rung = policy.rung(timer, NOW, S.SUCCEEDED)
    assert (rung.due_at, rung.owner, rung.rings) == (NOW + MINUTE, "own_1", 0)
    assert policy.first_poll_at(a_task(), PACE, rings=rung.rings, now=NOW, spread=0.5) == NOW


def test_the_first_poll() -> None:
    """60 to 90 s after the handover where a callback is expected, else at the provider's pace, +-20 %."""
    expecting = a_task(callback_expected=True)
    for spread, seconds in ((0, 60), (1, 90)):
        assert policy.first_poll_at(expecting, PACE, rings=None, now=NOW, spread=spread) == NOW + seconds * SECOND
    brief = replace(expecting, deadline_at=NOW + 20 * SECOND)
    assert policy.first_poll_at(brief, PACE, rings=None, now=NOW, spread=1) == NOW + 20 * SECOND
    assert policy.first_poll_at(brief, PACE, rings=None, now=NOW + 30 * SECOND, spread=1) == NOW + 31 * SECOND
    for spread, seconds in ((0, 4), (0.5, 5), (1, 6)):
        assert policy.first_poll_at(a_task(), PACE, rings=None, now=NOW, spread=spread) == NOW + seconds * SECOND


@pytest.mark.parametrize(("age", "every_s"), [(0, 5), (299, 5), (300, 30), (3600, 180), (9999, 180)])
def test_polls_follow_the_providers_pace_by_age(age: int, every_s: float) -> None:
    """The advice of the provider's own pages is data."""
    now = NOW + age * SECOND
    task = a_task(deadline_at=NOW + DAY)
    assert policy.next_poll_at(task, a_timer(), PACE, now=now, spread=0.5) == now + every_s * SECOND


def test_after_a_ring_polls_come_close_and_then_on_the_schedule() -> None:
    """1, 2, 4, 8, 15, 30 s."""
    task = a_task(callback_expected=True)
    gaps = [
        (policy.next_poll_at(task, a_timer(rings=rings), PACE, now=NOW, spread=0.5) - NOW) / SECOND
        for rings in range(8)
    ]
    assert gaps == [1, 2, 4, 8, 15, 30, 5, 5]


def test_safety_polls_back_off_to_ten_minutes() -> None:
    """Where a callback is expected and none came."""
    task = a_task(callback_expected=True, deadline_at=NOW + DAY)
    gaps = []
    for age_s in (60, 300, 1200, 7200):
        now = NOW + age_s * SECOND
        gaps.append((policy.next_poll_at(task, a_timer(), PACE, now=now, spread=0.5) - now) / SECOND)
    assert gaps == [60, 150, 600, 600]


def test_one_poll_falls_on_the_deadline() -> None:
    """Only an answered poll expires a task, so one is asked right then; never sooner than in a second."""
    task = a_task(deadline_at=NOW + 3 * SECOND)
    assert policy.next_poll_at(task, a_timer(), PACE, now=NOW, spread=0.5) == NOW + 3 * SECOND
    late = NOW + 5 * SECOND
    assert policy.next_poll_at(task, a_timer(), PACE, now=late, spread=0.5) == late + SECOND
    empty = a_timer(empty_since=NOW)
    assert policy.next_poll_at(task, empty, PACE, now=NOW, spread=0.5) == NOW + 3 * SECOND
    assert policy.next_poll_at(task, empty, PACE, now=late, spread=0.5) == policy.next_poll_at(
        replace(task, deadline_at=NOW + DAY), empty, PACE, now=late, spread=0.5
    )


def test_after_our_verdict_the_provider_is_asked_for_a_day() -> None:
    """Every 30 s for 10 min, then every 10 min; then no more."""
    task = a_task(status=S.EXPIRED, ours=True, finished_at=NOW)
    for age, pause in ((0, 30 * SECOND), (11 * MINUTE, 10 * MINUTE), (23 * HOUR, 10 * MINUTE)):
        assert policy.next_poll_at(task, a_timer(), PACE, now=NOW + age, spread=0.5) == NOW + age + pause
    assert policy.watches_late(task, NOW + DAY - 1)
    assert not policy.watches_late(task, NOW + DAY)
    assert not policy.watches_late(replace(task, ours=False), NOW)
    assert not policy.watches_late(replace(task, provider_task_id=None), NOW)
    assert policy.watches_late(replace(task, finished_at=None), NOW)


def test_failed_polls_back_off_and_obey_retry_after() -> None:
    """Doubling from the provider's pace up to 5 min; never before `Retry-After`."""
    gaps = [
        (policy.after_failed_poll(a_timer(tries=tries), PACE, retry_after_s=None, now=NOW, spread=0.5) - NOW) / SECOND
        for tries in (0, 1, 2, 6, 99)
    ]
    assert gaps == [5, 10, 20, 300, 300]
    assert policy.after_failed_poll(a_timer(), PACE, retry_after_s=77, now=NOW, spread=0.5) == NOW + 77 * SECOND


def test_submits_put_off_back_off_and_obey_retry_after() -> None:
    """From a second to five minutes."""
    gaps = [
        (policy.next_submit_at(tries, retry_after_s=None, now=NOW, spread=0.5) - NOW) / SECOND for tries in (0, 1, 99)
    ]
    assert gaps == [1, 2, 300]
    assert policy.next_submit_at(0, retry_after_s=9, now=NOW, spread=0.5) == NOW + 9 * SECOND


def test_deadlines() -> None:
    """Ours at or after the deadline, of an open task; a week of unanswered polls later it is over all the same."""
    task = a_task(deadline_at=NOW)
    assert policy.due_for_expiry(task, NOW)
    assert not policy.due_for_expiry(task, NOW - 1)
    assert not policy.due_for_expiry(replace(task, status=S.FAILED), NOW)
    assert not policy.given_up(task, NOW + 7 * DAY - 1)
    assert policy.given_up(task, NOW + 7 * DAY)
    verdict = policy.expired(a_task(deadline_at=NOW + HOUR))
    assert verdict.error is not None
    assert "3600 s" in verdict.error.message


def test_not_found_is_believed_after_its_grace() -> None:
    """Right after a submit the provider may not see its own task yet."""
    assert not policy.believes_missing(a_timer(), NOW, 60)
    assert not policy.believes_missing(a_timer(missing_since=NOW - 59 * SECOND), NOW, 60)
    assert policy.believes_missing(a_timer(missing_since=NOW - 60 * SECOND), NOW, 60)


def test_an_unverified_claim_counts_only_where_nobody_could_be_asked() -> None:
    """At the deadline, when no poll was answered since the callback rang."""
    task = a_task(deadline_at=NOW)
    rung = a_timer(claimed=S.SUCCEEDED, rings=3, rung_at=NOW - HOUR)
    assert policy.may_take_callback(task, rung, NOW)
    assert policy.may_take_callback(task, replace(rung, answered_at=NOW - 2 * HOUR), NOW)
    assert not policy.may_take_callback(task, replace(rung, answered_at=NOW - MINUTE), NOW)
    assert not policy.may_take_callback(task, rung, NOW - 1)
    assert not policy.may_take_callback(task, replace(rung, claimed=None), NOW)
    assert not policy.may_take_callback(task, a_timer(claimed=S.SUCCEEDED), NOW)


def test_a_loop_sleeps_until_the_first_thing_is_due() -> None:
    """A minute at most; not at all where something is overdue."""
    assert policy.seconds_until([], NOW) == 60
    assert policy.seconds_until([None, NOW + 2 * SECOND, NOW + 9 * SECOND], NOW) == 2
    assert policy.seconds_until([NOW - HOUR], NOW) == 0
    assert policy.seconds_until([NOW + HOUR], NOW) == 60

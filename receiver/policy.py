"""Every decision about a task, pure: its next status, when to ask about it, when to give up.

Chance comes in as `spread`, a number from 0 to 1; time as `now`. What becomes of a delivery is decided in
`receiver.delivery_policy`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver.domain import (
    EventType,
    Failure,
    FailureKind,
    Ms,
    Pace,
    Source,
    Status,
    Task,
    Timer,
    Update,
    Verified,
    Work,
)

SECOND: Ms = 1000
MINUTE: Ms = 60 * SECOND
HOUR: Ms = 60 * MINUTE
DAY: Ms = 24 * HOUR

RING_PAUSES_S = (1, 2, 4, 8, 15, 30)
FIRST_SAFETY_POLL_S = (60, 90)
SLOWEST_SAFETY_POLL_S = 600
FAILED_POLL_CAP_S = 300
SUBMIT_PAUSES_S = (1, 2, 5, 10, 30, 60, 120, 300)
RESULT_PATIENCE = 10 * MINUTE
UNASKED_PATIENCE = 7 * DAY
LATE_PAUSES = ((10 * MINUTE, 30 * SECOND), (DAY, 10 * MINUTE))

_ORDER = {
    Status.QUEUED: 0,
    Status.SUBMITTING: 1,
    Status.UNCONFIRMED: 2,
    Status.SUBMITTED: 3,
    Status.RUNNING: 4,
    Status.SUCCEEDED: 5,
    Status.FAILED: 5,
    Status.CANCELED: 5,
    Status.EXPIRED: 5,
}
_EVENT_OF = {
    Status.QUEUED: EventType.QUEUED,
    Status.UNCONFIRMED: EventType.UNCONFIRMED,
    Status.SUBMITTED: EventType.SUBMITTED,
    Status.RUNNING: EventType.RUNNING,
    Status.SUCCEEDED: EventType.SUCCEEDED,
    Status.FAILED: EventType.FAILED,
    Status.CANCELED: EventType.CANCELED,
    Status.EXPIRED: EventType.EXPIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an update makes of a task: the task after it, and the types of the events to record, in order."""

    task: Task
    events: tuple[EventType, ...] = ()
    late: bool = False


def next_task(task: Task, update: Update, *, source: Source, now: Ms, ours: bool = False) -> Change | None:
    """The one place where a status changes; None where the update changes nothing.

    The provider's verdict never moves. Ours may be followed once by the provider's own, marked late; one of the same
    type then updates the task and gives no event. A word that we do not know, and one that leads back, leave the
    status where it is.
    """
    if task.status.final:
        return None if ours else _late_verdict(task, update)
    status = _reached(task, update, source)
    moved = status is not task.status or (status is Status.QUEUED and update.status is Status.QUEUED)
    after = replace(
        task,
        status=status,
        provider_task_id=_bound_id(task, update, source),
        provider_status=update.provider_status or task.provider_status,
        progress=task.progress if update.progress is None else update.progress,
        usage=update.usage or task.usage,
        submitted_at=now if _handed_over(task, status, source) else task.submitted_at,
        error=_reason(task, update, status, moved=moved),
    )
    if status.final:
        after = replace(
            after,
            outputs=update.outputs,
            error=update.error,
            finished_at=now,
            ours=ours,
        )
    events = _events(task, after, moved=moved)
    return _marked(after, events) if after != task or events else None


def _bound_id(task: Task, update: Update, source: Source) -> str | None:
    """The provider's id of a task: what its authenticated answer to our submit says, before what a callback said."""
    told = update.provider_task_id if source is Source.SUBMIT else None
    return told or task.provider_task_id or update.provider_task_id


def _reason(task: Task, update: Update, status: Status, *, moved: bool) -> Failure | None:
    """Why a task is in doubt or put off; kept while it is, and empty again once it moves on."""
    if status not in (Status.UNCONFIRMED, Status.QUEUED):
        return None
    return update.error if moved else task.error


def _reached(task: Task, update: Update, source: Source) -> Status:
    """The status an update leads to: forward only."""
    said = update.status
    if said is None:
        return task.status
    if source is Source.SUBMIT and task.provider_task_id and update.provider_task_id is None:
        # A callback has named the task already: it exists, whatever the answer says. Never handed over again, and
        # polled for the truth.
        return Status.SUBMITTED
    if task.status in (Status.SUBMITTING, Status.UNCONFIRMED) and said is Status.RUNNING:
        # The answer that takes a task is its submission, whatever word it uses: every provider's consumers see
        # task.submitted first.
        return Status.SUBMITTED
    if task.status is Status.SUBMITTING and said is Status.QUEUED:
        return Status.QUEUED
    return said if _ORDER[said] > _ORDER[task.status] else task.status


def _handed_over(task: Task, status: Status, source: Source) -> bool:
    provider_spoke = source in (Source.SUBMIT, Source.CALLBACK, Source.POLL)
    refused = status is Status.FAILED and source is Source.SUBMIT and task.provider_task_id is None
    return task.submitted_at is None and provider_spoke and _ORDER[status] >= _ORDER[Status.SUBMITTED] and not refused


def _events(before: Task, after: Task, *, moved: bool) -> tuple[EventType, ...]:
    if moved and after.status in _EVENT_OF:
        event = _EVENT_OF[after.status]
        return () if before.emitted & event.bit else (event,)
    grown = after.progress is not None and after.progress > (before.progress or 0)
    return (EventType.PROGRESS,) if grown and not moved else ()


def _marked(task: Task, events: tuple[EventType, ...], *, late: bool = False) -> Change:
    emitted = task.emitted
    for event in events:
        emitted |= event.bit
    return Change(task=replace(task, emitted=emitted, version=task.version + 1), events=events, late=late)


def _late_verdict(task: Task, update: Update) -> Change | None:
    if not task.ours:
        return None
    bound = replace(task, provider_task_id=task.provider_task_id or update.provider_task_id)
    if update.status is None or not update.status.final:
        return _marked(bound, ()) if bound != task else None
    after = replace(
        bound,
        status=update.status,
        provider_status=update.provider_status or task.provider_status,
        outputs=update.outputs,
        error=update.error,
        usage=update.usage or task.usage,
        ours=False,
    )
    event = _EVENT_OF[update.status]
    return _marked(after, () if task.emitted & event.bit else (event,), late=True)


def source_and_proof(timer: Timer, update: Update) -> tuple[Source, Verified]:
    """Who spoke first about what a poll says: the callback, where it claimed the same outcome; else the poll."""
    confirmed = timer.claimed is not None and timer.claimed is update.status
    return (Source.CALLBACK if confirmed else Source.POLL), Verified.POLL


def due_for_expiry(task: Task, now: Ms) -> bool:
    """Whether a poll answered "not finished" just now ends the task: only at or after its deadline."""
    return now >= task.deadline_at and not task.status.final


def empty(update: Update) -> bool:
    """Whether the provider says "succeeded", and gives no result."""
    return update.status is Status.SUCCEEDED and not update.outputs


def without_result(update: Update, since: Ms, now: Ms) -> Update:
    """What an empty success comes to: nothing yet for ten minutes, then a success that says that it is empty."""
    if now - since < RESULT_PATIENCE:
        return replace(update, status=None)
    why = "the provider says that it succeeded, and gave no result in ten minutes"
    return replace(update, error=Failure(kind=FailureKind.UPSTREAM, message=why))


def expired(task: Task) -> Update:
    """Our verdict where a task's time is over."""
    limit_s = round((task.deadline_at - task.created_at) / SECOND)
    return Update(
        status=Status.EXPIRED,
        error=Failure(kind=FailureKind.TIMEOUT, message=f"not finished within its deadline of {limit_s} s"),
    )


def vanished(task: Task, failure: Failure) -> Update:
    """Our verdict where the provider no longer knows a task."""
    return Update(status=Status.FAILED, provider_status=task.provider_status, error=failure)


def given_up(task: Task, now: Ms) -> bool:
    """Whether a poll that failed is the last one: the provider was asked in vain for a week past the deadline."""
    return now >= task.deadline_at + UNASKED_PATIENCE


def believes_missing(timer: Timer, now: Ms, grace_s: float) -> bool:
    """Whether "not found" has been said for long enough to be believed."""
    return timer.missing_since is not None and now - timer.missing_since >= grace_s * SECOND


def may_take_callback(task: Task, timer: Timer, now: Ms) -> bool:
    """Whether an unverified callback's claim stands in for polls: none was answered since it rang, by the deadline."""
    unanswered = timer.rung_at is not None and (timer.answered_at or 0) < timer.rung_at
    return timer.claimed is not None and unanswered and now >= task.deadline_at


def rung(timer: Timer, now: Ms, claimed: Status | None) -> Timer:
    """A callback rang: ask now, and a few times more while no final state is found."""
    # What an earlier ring claimed was answered by a poll since: it does not come back with this one.
    stale = timer.answered_at is not None and timer.answered_at >= (timer.rung_at or 0)
    claim = claimed if claimed is not None and claimed.final else None if stale else timer.claimed
    remembered = replace(timer, rings=0, rung_at=now, claimed=claim)
    if timer.work is Work.SUBMIT:
        return remembered  # still being handed over: the first poll follows at once when it is
    return replace(remembered, due_at=now, owner=None)


def first_poll_at(task: Task, pace: Sequence[Pace], *, rings: int | None, now: Ms, spread: float) -> Ms:
    """When to ask first: at once after a callback, late where one is expected, else at the provider's own pace."""
    if rings is not None:
        return now
    low, high = FIRST_SAFETY_POLL_S
    safety = round((low + (high - low) * spread) * SECOND)
    at = now + (safety if task.callback_expected else _jittered(pace[0].every_s, spread))
    return max(min(at, task.deadline_at), now + SECOND)


def next_poll_at(task: Task, timer: Timer, pace: Sequence[Pace], *, now: Ms, spread: float) -> Ms:
    """When to ask again after an answered poll found no final state (or, for our own verdict, no later one)."""
    if timer.rings is not None and timer.rings < len(RING_PAUSES_S):
        return now + RING_PAUSES_S[timer.rings] * SECOND
    if task.status.final:
        return now + next((pause for until, pause in LATE_PAUSES if now < _ended(task) + until), DAY)
    age_s = max(now - (task.submitted_at or task.created_at), 0) / SECOND
    every_s = next((step.every_s for step in reversed(pace) if age_s >= step.from_s), pace[0].every_s)
    if task.callback_expected and timer.rings is None:
        every_s = min(max(every_s, FIRST_SAFETY_POLL_S[0], age_s / 2), SLOWEST_SAFETY_POLL_S)
    at = now + _jittered(every_s, spread)
    for_result = timer.empty_since is not None and now >= task.deadline_at
    return at if for_result else max(min(at, task.deadline_at), now + SECOND)


def after_failed_poll(timer: Timer, pace: Sequence[Pace], *, retry_after_s: float | None, now: Ms, spread: float) -> Ms:
    """When to ask again after a poll that said nothing about the task: doubling, never before `Retry-After`."""
    pause_s = min(pace[0].every_s * 2 ** min(timer.tries, 10), FAILED_POLL_CAP_S)
    return now + max(_jittered(pause_s, spread), round((retry_after_s or 0) * SECOND))


def watches_late(task: Task, now: Ms) -> bool:
    """Whether a finished task is still asked about: our own verdict, for a day, where the provider can be asked."""
    return task.ours and task.provider_task_id is not None and now < _ended(task) + DAY


def still_rings(task: Task, timer: Timer) -> bool:
    """Whether a callback after our own verdict has polls to come."""
    return task.ours and timer.rings is not None and timer.rings < len(RING_PAUSES_S)


def _ended(task: Task) -> Ms:
    return task.finished_at if task.finished_at is not None else task.deadline_at


def begun(task: Task) -> Task:
    """A queued task whose handover begins."""
    return replace(task, status=Status.SUBMITTING, error=None, version=task.version + 1)


def exists(task: Task) -> bool:
    """Whether the provider is known to have a task that is still to be handed over: it is never handed over again."""
    return task.status in (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED) and task.provider_task_id is not None


def about_another(task: Task, update: Update) -> bool:
    """Whether an update names another task than this one."""
    known, named = task.provider_task_id, update.provider_task_id
    return known is not None and named is not None and named != known


def next_submit_at(tries: int, *, retry_after_s: float | None, now: Ms, spread: float) -> Ms:
    """When to hand a task over again that the provider is known not to have created."""
    pause_s = SUBMIT_PAUSES_S[min(tries, len(SUBMIT_PAUSES_S) - 1)]
    return now + max(_jittered(pause_s, spread), round((retry_after_s or 0) * SECOND))


def seconds_until(due: Sequence[Ms | None], now: Ms) -> float:
    """How long a loop may sleep before the first of these; a minute at most, for clocks jump."""
    first = min((at for at in due if at is not None), default=now + MINUTE)
    return min(max(first - now, 0), MINUTE) / SECOND


def _jittered(seconds: float, spread: float) -> Ms:
    """The pause, +-20 %."""
    return round(seconds * (0.8 + 0.4 * spread) * SECOND)

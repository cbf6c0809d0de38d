"""Every decision about a task, pure: what an update makes of it, when its deadline is one, when to give up.

Time comes in as `now`. When to ask about it is decided in `receiver.timing`, what becomes of a delivery in
`receiver.delivery_policy`.
"""

from dataclasses import dataclass
from typing import Any

from receiver.copying import replace
from receiver.domain import (
    DAY,
    MINUTE,
    SECOND,
    EventType,
    Failure,
    FailureKind,
    Ms,
    Source,
    Status,
    Task,
    Timer,
    Update,
    Verified,
)

RESULT_PATIENCE = 10 * MINUTE
UNASKED_PATIENCE = 7 * DAY

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
    after: dict[str, Any] = {
        "status": status,
        "provider_task_id": _bound_id(task, update, source),
        "provider_status": update.provider_status or task.provider_status,
        "progress": task.progress if update.progress is None else update.progress,
        "usage": update.usage or task.usage,
        "submitted_at": now if _handed_over(task, status, source) else task.submitted_at,
        "error": _reason(task, update, status, moved=moved),
    }
    if status.final:
        after |= {"outputs": update.outputs, "error": update.error, "finished_at": now, "ours": ours}
    return _changed(task, after, _events(task, status, update.progress, moved=moved))


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


def _events(before: Task, status: Status, progress: int | None, *, moved: bool) -> tuple[EventType, ...]:
    if moved and status in _EVENT_OF:
        event = _EVENT_OF[status]
        return () if before.emitted & event.bit else (event,)
    grown = progress is not None and progress > (before.progress or 0)
    return (EventType.PROGRESS,) if grown and not moved else ()


def _changed(
    before: Task, after: dict[str, Any], events: tuple[EventType, ...], *, late: bool = False
) -> Change | None:
    """The task with the fields in `after`, and its counts; None where that is no change."""
    if not events and after == {name: getattr(before, name) for name in after}:
        return None
    emitted = before.emitted
    for event in events:
        emitted |= event.bit
    after |= {"emitted": emitted, "sequence": before.sequence + len(events), "version": before.version + 1}
    return Change(task=replace(before, **after), events=events, late=late)


def _late_verdict(task: Task, update: Update) -> Change | None:
    if not task.ours:
        return None
    after: dict[str, Any] = {"provider_task_id": task.provider_task_id or update.provider_task_id}
    if update.status is None or not update.status.final:
        return _changed(task, after, ())
    after |= {
        "status": update.status,
        "provider_status": update.provider_status or task.provider_status,
        "outputs": update.outputs,
        "error": update.error,
        "usage": update.usage or task.usage,
        "ours": False,
    }
    event = _EVENT_OF[update.status]
    return _changed(task, after, () if task.emitted & event.bit else (event,), late=True)


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


def given_up(task: Task, now: Ms) -> bool:
    """Whether a poll that failed is the last one: the provider was asked in vain for a week past the deadline."""
    return now >= task.deadline_at + UNASKED_PATIENCE


def believes_missing(timer: Timer, now: Ms, grace_s: float) -> bool:
    """Whether "not found" has been said for long enough to be believed."""
    return timer.missing_since is not None and now - timer.missing_since >= grace_s * SECOND


def may_take_callback(task: Task, timer: Timer, now: Ms) -> bool:
    """Whether an unverified callback's claim stands in for polls: none was answered since it came, by the deadline."""
    unanswered = timer.claimed_at is not None and (timer.answered_at or 0) < timer.claimed_at
    return timer.claimed is not None and unanswered and now >= task.deadline_at


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

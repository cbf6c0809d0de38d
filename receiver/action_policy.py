"""Every decision about what a caller does to a task that is there, pure: whether its state allows it, what it makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from receiver.copying import replace
from receiver.domain import EventType, Failure, FailureKind, Ms, Status, Task, Timer, Update, Work


class Action(StrEnum):
    """What a caller may do to a task that is there."""

    CANCEL = "cancel"
    REFRESH = "refresh"
    RESOLVE = "resolve"
    RESUBMIT = "resubmit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an action does not fit the task as it stands; nothing was done."""

    reason: str


def refusal(action: Action, task: Task) -> Refusal | None:
    """Why a task in this state cannot have this done to it; None where it can."""
    match action:
        case Action.CANCEL:
            fits = not task.status.final
        case Action.REFRESH:
            return _why_not_refreshed(task)
        case Action.RESOLVE:
            fits = task.status is Status.UNCONFIRMED
        case Action.RESUBMIT:
            fits = task.status.final or task.status is Status.UNCONFIRMED
    if fits:
        return None
    way_out = _way_out(task) if action is Action.RESOLVE else ""
    return Refusal(reason=f"{task.id} is {task.status}; {_TAKES[action]}{way_out}")


_TAKES = {
    Action.CANCEL: "only a task that is not final can be canceled",
    Action.RESOLVE: "only an unconfirmed task can be resolved",
    Action.RESUBMIT: "only a final or an unconfirmed task can be resubmitted",
}


def _way_out(task: Task) -> str:
    """For who found out too late that the provider has a task that ended in doubt."""
    in_doubt = task.status.final and task.ours and task.provider_task_id is None
    if not in_doubt or not task.emitted & EventType.UNCONFIRMED.bit:
        return ""
    return f". Where {task.provider} has it after all, POST /v1/tasks/adopt with its id there follows it as a new task"


def _why_not_refreshed(task: Task) -> Refusal | None:
    if task.status.final and not task.ours:
        return Refusal(reason=f"{task.id} is {task.status}, as {task.provider} says: that does not change any more")
    if task.provider_task_id is None and task.status not in (Status.QUEUED, Status.SUBMITTING):
        return Refusal(reason=f"{task.provider} never told its id of {task.id}: it cannot be asked about it")
    return None


def canceled(task: Task) -> Update:
    """Our verdict where the caller cancels; no provider so far can be told, so that its own may follow."""
    if task.status in (Status.QUEUED, Status.SUBMITTING):
        what = f"before {task.provider} took it"
    elif task.status is Status.UNCONFIRMED:
        what = f"while nobody knew whether {task.provider} took it"
    else:
        what = f"here; {task.provider} may finish it all the same"
    return Update(
        status=Status.CANCELED,
        error=Failure(kind=FailureKind.CANCELED, message=f"canceled by its caller {what}"),
    )


def declared_failed() -> Update:
    """Our verdict where the caller says that an unconfirmed task never came to anything."""
    why = "never confirmed; its caller declared it failed"
    return Update(status=Status.FAILED, error=Failure(kind=FailureKind.UNKNOWN, message=why, retryable=True))


def replaced_by(task_id: str) -> Update:
    """Our verdict on an unconfirmed task that was resubmitted: not retryable, for that was done."""
    why = f"never confirmed; its caller resubmitted it as {task_id}"
    return Update(status=Status.FAILED, error=Failure(kind=FailureKind.UNKNOWN, message=why))


def resubmission(original: Task, *, id: str, callback_expected: bool, now: Ms, due_at: Ms) -> Task:
    """A new task with the same content, and as much time from its turn on as the original had."""
    return Task(
        id=id,
        tenant=original.tenant,
        provider=original.provider,
        model=original.model,
        status=Status.QUEUED,
        created_at=now,
        deadline_at=due_at + original.deadline_at - original.created_at,
        input=original.input,
        metadata=original.metadata,
        media=original.media,
        callback_expected=callback_expected,
        retry_of=original.id,
        webhook_id=original.webhook_id,
        webhook_events=original.webhook_events,
    )


def asked_now(task: Task, timer: Timer | None, at: Ms) -> Timer:
    """When a refreshed task is looked at: at `at`, but for what is under way already, which goes on as it is."""
    work = Work.SUBMIT if task.status in (Status.QUEUED, Status.SUBMITTING) else Work.POLL
    timer = timer or Timer(task_id=task.id, provider=task.provider, work=work, due_at=at)
    return replace(timer, due_at=min(timer.due_at, at)) if timer.owner is None else timer


def watched(task: Task, timer: Timer | None, now: Ms) -> Timer | None:
    """When a task that we ended is asked about: as planned, else now; None where nobody can be asked."""
    if task.provider_task_id is None:
        return None
    return timer if timer is not None and timer.work is Work.POLL else bound_now(task, timer, now)


def bound_now(task: Task, timer: Timer | None, now: Ms) -> Timer:
    """A task that just got its provider's id is asked about at once."""
    timer = timer or Timer(task_id=task.id, provider=task.provider, work=Work.POLL, due_at=now)
    return replace(timer, work=Work.POLL, due_at=now, owner=None, tries=0)


def paced(number: int, rate: float | None, now: Ms) -> Ms:
    """When the `number`-th of many is due, at so many per second; all of them now where no rate is asked for."""
    return now if rate is None else now + round(number / rate * 1000)


def still_matches(task: Task, where: Mapping[str, Any]) -> bool:
    """Whether a task that a filter found a moment ago still is what was asked for; only what can change is compared."""
    kind = task.error.kind if task.error else None
    now_so = {"status": task.status, "error_kind": kind, "provider_task_id": task.provider_task_id}
    return all(name not in where or where[name] == value for name, value in now_so.items())


def worth_again(task: Task, where: Mapping[str, Any], *, resubmitted: bool) -> bool:
    """Whether many tasks' resubmission means this one: each costs money.

    A success is repeated only where the filter names that status; nothing is that was resubmitted already, nor what is
    itself a retry: a call that broke off can be made again, and never retries what an earlier one made.
    """
    if resubmitted or task.retry_of is not None:
        return False
    return task.status is not Status.SUCCEEDED or where.get("status") == Status.SUCCEEDED

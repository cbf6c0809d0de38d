"""Our own verdicts on a task that nobody else ended, each saying what was spent on it as far as we know."""

from receiver.domain import Failure, FailureKind, Status, Task, Update
from receiver.spans import rough_span


def expired(task: Task) -> Update:
    """A task's time is over."""
    within = rough_span(task.deadline_at - task.created_at)
    if task.status is Status.QUEUED:
        why = f"never handed over to {task.provider} within its deadline of {within}: nothing was spent"
    elif task.provider_task_id is None:
        why = (
            f"never confirmed within its deadline of {within}: {task.provider} may have made it, and taken its price; "
            "ask them before it is submitted once more"
        )
    else:
        why = f"not finished within its deadline of {within}; {task.provider} may finish it all the same, at its price"
    return Update(status=Status.EXPIRED, error=Failure(kind=FailureKind.TIMEOUT, message=why))


def vanished(task: Task, failure: Failure) -> Update:
    """The provider no longer knows the task."""
    return Update(status=Status.FAILED, provider_status=task.provider_status, error=failure)

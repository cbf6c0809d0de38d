"""Says in one sentence why a task is not done."""

from dataclasses import dataclass

from receiver.domain import Ms, Status, Task, Timer, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a task waits for, since when, and when we look next (None: nothing is planned)."""

    what: str
    since: Ms
    next_at: Ms | None
    text: str


def waiting_for(task: Task, timer: Timer | None, now: Ms) -> Waiting | None:
    """What an open task waits for; None for a final one."""
    if task.status.final:
        return None
    since = task.submitted_at or task.created_at
    next_at = timer.due_at if timer is not None and timer.owner is None else None
    match task.status:
        case Status.QUEUED:
            why = f" ({task.error.message})" if task.error else ""
            what, text = "submit", f"not handed over to {task.provider} yet{why}; {_next('next try', next_at, now)}"
        case Status.SUBMITTING:
            then = "; canceled once that is answered" if task.cancel_asked else ""
            what, text = "answer", f"being handed over to {task.provider}{then}"
        case Status.UNCONFIRMED:
            what, text = "confirmation", _unconfirmed(task, next_at, now)
        case _:
            what, text = "poll", _with_provider(task, timer, since, next_at, now)
    return Waiting(what=what, since=since, next_at=next_at, text=text)


def _unconfirmed(task: Task, next_at: Ms | None, now: Ms) -> str:
    hope = "a callback would confirm it" if task.callback_expected else f"{task.provider} sends no callbacks"
    return f"sent to {task.provider}, its answer was never learnt; {hope}; {_next('given up', next_at, now)}"


def _with_provider(task: Task, timer: Timer | None, since: Ms, next_at: Ms | None, now: Ms) -> str:
    word = task.provider_status or task.status.value
    parts = [f"{task.provider} says {word} for {_seconds(now - since)} s"]
    if task.callback_expected and (timer is None or timer.rings is None):
        parts.append("callback expected")
    if timer is not None and timer.tries:
        parts.append(f"{timer.tries} polls failed in a row")
    asking = timer is not None and timer.owner is not None and timer.work is Work.POLL
    parts.append("being polled now" if asking else _next("next poll", next_at, now))
    return "; ".join(parts)


def _next(what: str, at: Ms | None, now: Ms) -> str:
    return f"{what} in {_seconds(at - now)} s" if at is not None else f"{what} not planned"


def _seconds(span: Ms) -> int:
    return max(round(span / 1000), 0)

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


def waiting_for(task: Task, timer: Timer | None, now: Ms, *, held: str | None = None) -> Waiting | None:
    """What an open task waits for; None for a final one.

    `held` says why its next try, or its next poll, is not made when it is due.
    """
    if task.status.final:
        return None
    since = task.submitted_at or task.created_at
    next_at = timer.due_at if timer is not None and timer.owner is None else None
    next_at = None if held else next_at
    match task.status:
        case Status.QUEUED:
            what, text = "submit", f"not handed over to {task.provider} yet{_put_off(task, next_at, held, now)}"
        case Status.SUBMITTING:
            then = "; canceled once that is answered" if task.cancel_asked else ""
            what, text = "answer", f"being handed over to {task.provider}{then}"
        case Status.UNCONFIRMED:
            what, text, next_at = "confirmation", _unconfirmed(task, now), task.deadline_at
        case _:
            what, text = "poll", _with_provider(task, timer, since, next_at, held, now)
    return Waiting(what=what, since=since, next_at=next_at, text=text)


def _put_off(task: Task, next_at: Ms | None, held: str | None, now: Ms) -> str:
    if held:
        return f": {held}"
    why = f" ({task.error.message})" if task.error else ""
    return f"{why}; {_next('next try', next_at, now)}"


def _unconfirmed(task: Task, now: Ms) -> str:
    hope = "a callback would confirm it" if task.callback_expected else f"{task.provider} sends no callbacks"
    return f"sent to {task.provider}, its answer was never learnt; {hope}; {_next('given up', task.deadline_at, now)}"


def _with_provider(task: Task, timer: Timer | None, since: Ms, next_at: Ms | None, held: str | None, now: Ms) -> str:
    says, age_s = f"{task.provider} says {task.provider_status or task.status.value}", _seconds(now - since)
    # A running task waited there first, nobody knows how long.
    parts = [f"{says} for {age_s} s" if task.status is Status.SUBMITTED else f"{says}; it took the task {age_s} s ago"]
    if task.callback_expected and (timer is None or timer.rings is None):
        parts.append("callback expected")
    if timer is not None and timer.tries:
        parts.append(f"{timer.tries} polls failed in a row" if timer.tries > 1 else "the last poll failed")
    if timer is not None and timer.owner is not None and timer.work is Work.POLL:
        parts.append("being polled now")
    else:
        parts.append(f"not polled: {held}" if held else _next("next poll", next_at, now))
    return "; ".join(parts)


def _next(what: str, at: Ms | None, now: Ms) -> str:
    return f"{what} in {_seconds(at - now)} s" if at is not None else f"{what} not planned"


def _seconds(span: Ms) -> int:
    return max(round(span / 1000), 0)

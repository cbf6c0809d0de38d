"""Says in one sentence why a task is not done."""

from dataclasses import dataclass

from receiver.domain import Ms, Status, Task, Timer, Work
from receiver.spans import rough_span


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a task waits for, since when, and when we look next (None: nothing is planned)."""

    what: str
    since: Ms
    next_at: Ms | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Why a task's provider is not talked to about it when that is due, and until when (None: nobody can say)."""

    why: str
    until: Ms | None = None


def waiting_for(task: Task, timer: Timer | None, now: Ms, *, held: Held | None = None) -> Waiting | None:
    """What an open task waits for; None for a final one.

    What holds it back only until a time before its next try, or its next poll, is not what it waits for.
    """
    if task.status.final:
        return None
    since = task.submitted_at or task.created_at
    due_at = timer.due_at if timer is not None and timer.owner is None else None
    if held and held.until is not None and due_at is not None and held.until <= due_at:
        held = None
    next_at = _next_at(due_at, None if task.status is Status.UNCONFIRMED else held, now)
    match task.status:
        case Status.QUEUED:
            what, text = "submit", f"not handed over to {task.provider} yet{_put_off(task, next_at, held, now)}"
        case Status.SUBMITTING:
            then = "; canceled once that is answered" if task.cancel_asked else ""
            what, text = "answer", f"being handed over to {task.provider}{then}"
        case Status.UNCONFIRMED:
            what, text, next_at = "confirmation", _unconfirmed(task, now), max(task.deadline_at, now)
        case _:
            what, text = "poll", _with_provider(task, timer, since, next_at, held, now)
    return Waiting(what=what, since=since, next_at=next_at, text=text)


def _next_at(due_at: Ms | None, held: Held | None, now: Ms) -> Ms | None:
    """Never in the past: what is due since a while is looked at as soon as it is its turn."""
    if due_at is None or (held and held.until is None):
        return None
    return max(due_at, now, held.until or now if held else now)


def _put_off(task: Task, next_at: Ms | None, held: Held | None, now: Ms) -> str:
    # What it was put off for once says nothing where nobody can say when it goes on.
    said = f" ({task.error.message})" if task.error and not (held and held.until is None) else ""
    because = f": {held.why}" if held else ""
    return f"{said}{because}{_then('next try', next_at, now, held)}"


def _unconfirmed(task: Task, now: Ms) -> str:
    hope = "a callback would confirm it" if task.callback_expected else f"{task.provider} sends no callbacks"
    return f"sent to {task.provider}, its answer was never learnt; {hope}{_then('given up', task.deadline_at, now)}"


def _with_provider(task: Task, timer: Timer | None, since: Ms, next_at: Ms | None, held: Held | None, now: Ms) -> str:
    parts = [_says(task, rough_span(now - since))]
    if task.callback_expected and (timer is None or timer.rings is None):
        parts.append("callback expected")
    if timer is not None and timer.tries:
        parts.append(f"{timer.tries} polls failed in a row" if timer.tries > 1 else "the last poll failed")
    if timer is not None and timer.owner is not None and timer.work is Work.POLL:
        return "; ".join([*parts, "being polled now"])
    if held:
        parts.append(f"not polled: {held.why}")
    return "; ".join(parts) + _then("next poll", next_at, now, held)


def _says(task: Task, age: str) -> str:
    if task.provider_status is None:
        return f"handed over to {task.provider} {age} ago"
    says = f"{task.provider} says {task.provider_status}"
    # A running task waited there first, nobody knows how long.
    return f"{says} for {age}" if task.status is Status.SUBMITTED else f"{says}; it took the task {age} ago"


def _then(what: str, at: Ms | None, now: Ms, held: Held | None = None) -> str:
    if at is None:
        return "" if held else f"; {what} not planned"
    return f"; {what} in {rough_span(at - now)}" if at - now >= 500 else f"; {what} now"

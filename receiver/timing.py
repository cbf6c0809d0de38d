"""When to look at a task again, pure: the next poll, the next try to hand it over.

Chance comes in as `spread`, a number from 0 to 1; time as `now`.
"""

from collections.abc import Sequence

from receiver.copying import replace
from receiver.domain import DAY, MINUTE, SECOND, Ms, Pace, Status, Task, Timer, Work

RING_PAUSES_S = (1, 2, 4, 8, 15, 30)
FIRST_SAFETY_POLL_S = (60, 90)
SLOWEST_SAFETY_POLL_S = 600
FAILED_POLL_CAP_S = 300
SUBMIT_PAUSES_S = (1, 2, 5, 10, 30, 60, 120, 300)
LATE_PAUSES = ((10 * MINUTE, 30 * SECOND), (DAY, 10 * MINUTE))


def rung(timer: Timer, now: Ms, claimed: Status | None) -> Timer:
    """A callback rang: ask now, and a few times more while no final state is found.

    The end that it claims is remembered as the one that was claimed last; one that claims none leaves that as it is.
    """
    remembered = replace(timer, rings=0, rung_at=now)
    if claimed is not None and claimed.final:
        remembered = replace(remembered, claimed=claimed, claimed_at=now)
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


def next_poll_at(
    task: Task, timer: Timer, pace: Sequence[Pace], *, now: Ms, spread: float, callbacks_arrive: bool = True
) -> Ms:
    """When to ask again after an answered poll found no final state (or, for our own verdict, no later one).

    Where a callback is expected, and the provider's callbacks prove to arrive, polls only make sure: they back off.
    """
    if timer.rings is not None and timer.rings < len(RING_PAUSES_S):
        return now + RING_PAUSES_S[timer.rings] * SECOND
    if task.status.final:
        return now + next((pause for until, pause in LATE_PAUSES if now < _ended(task) + until), DAY)
    age_s = max(now - (task.submitted_at or task.created_at), 0) / SECOND
    every_s = next((step.every_s for step in reversed(pace) if age_s >= step.from_s), pace[0].every_s)
    if task.callback_expected and timer.rings is None and callbacks_arrive:
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


def next_submit_at(tries: int, *, retry_after_s: float | None, now: Ms, spread: float) -> Ms:
    """When to hand a task over again that the provider is known not to have created."""
    pause_s = SUBMIT_PAUSES_S[min(tries, len(SUBMIT_PAUSES_S) - 1)]
    return now + max(_jittered(pause_s, spread), round((retry_after_s or 0) * SECOND))


def seconds_until(due: Sequence[Ms | None], now: Ms) -> float:
    """How long a loop may sleep before the first of these; a minute at most, for clocks jump."""
    first = min((at for at in due if at is not None), default=now + MINUTE)
    return min(max(first - now, 0), MINUTE) / SECOND


def _ended(task: Task) -> Ms:
    return task.finished_at if task.finished_at is not None else task.deadline_at


def _jittered(seconds: float, spread: float) -> Ms:
    """The pause, +-20 %."""
    return round(seconds * (0.8 + 0.4 * spread) * SECOND)

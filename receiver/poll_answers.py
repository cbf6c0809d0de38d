"""What the answer to a poll does to its task, in one transaction, and when to ask again."""

import random

from adapters.base import PollAnswer, PollFailed
from receiver import policy, story, timing, verdicts
from receiver.copying import replace
from receiver.domain import FailureKind, Ms, Source, Task, Timer, Update, Verified
from receiver.intake import Taken, take, take_ours
from receiver.providers import Served
from receiver.store.protocol import Store
from receiver.unasked import take_unasked

_NO_WORD = frozenset({FailureKind.UNAVAILABLE, FailureKind.RATE_LIMITED, FailureKind.AUTH})


def settle(
    store: Store,
    served: Served,
    timer: Timer,
    answer: PollAnswer,
    *,
    about: str,
    asked_at: Ms,
    now: Ms,
    callbacks_arrive: bool,
) -> Taken | None:
    """Record an answer, whoever holds the lease by now; set the next timer only while the lease is this one.

    An answer `about` an id that is not the task's any more tells nothing of it: who learnt the other one set a timer.
    """
    task, current = store.task(timer.task_id), store.timer(timer.task_id)
    if task is None or task.provider_task_id != about:
        return None
    leased = current is not None and current.owner == timer.owner
    timer = current or timer
    if isinstance(answer, Update):
        taken, following = _answered(
            store, served, task, timer, answer, asked_at=asked_at, now=now, callbacks_arrive=callbacks_arrive
        )
    else:
        taken, following = _unanswered(store, served, task, timer, answer, now)
    if taken.task.status.final and not (
        timing.watches_late(taken.task, now) or timing.still_rings(taken.task, following)
    ):
        store.drop_timer(task.id)
    elif leased:
        store.set_timer(following)
    line = story.polled(answer, task, taken.task, timer, next_at=following.due_at, now=now)
    story.tell(store, task, line, now)
    return taken


def _answered(
    store: Store,
    served: Served,
    task: Task,
    timer: Timer,
    update: Update,
    *,
    asked_at: Ms,
    now: Ms,
    callbacks_arrive: bool,
) -> tuple[Taken, Timer]:
    empty_since = (timer.empty_since or now) if policy.empty(update) else None
    if empty_since is not None:
        update = policy.without_result(update, empty_since, now)
    source, proof = policy.source_and_proof(timer, update)
    taken = take(store, task, update, source=source, verified_by=proof, now=now)
    if policy.due_for_expiry(taken.task, asked_at) and empty_since is None:
        taken = take_ours(store, taken.task, verdicts.expired(task), now)
    if empty_since != timer.empty_since:
        timer = replace(timer, empty_since=empty_since)
    due_at = timing.next_poll_at(
        taken.task,
        timer,
        served.adapter.profile.pace,
        now=now,
        spread=random.random(),  # noqa: S311 - jitter
        callbacks_arrive=callbacks_arrive,
    )
    rings = None if timer.rings is None else timer.rings + 1
    return taken, replace(timer, due_at=due_at, owner=None, tries=0, rings=rings, missing_since=None, answered_at=now)


def _unanswered(
    store: Store, served: Served, task: Task, timer: Timer, answer: PollFailed, now: Ms
) -> tuple[Taken, Timer]:
    missing = answer.failure.kind is FailureKind.NOT_FOUND
    # A claim that its provider was heard about, if only to say that it is another task's, is no longer the only word.
    heard = answer.failure.kind not in _NO_WORD
    timer = replace(
        timer,
        missing_since=(timer.missing_since or now) if missing else None,
        answered_at=now if heard else timer.answered_at,
    )
    profile = served.adapter.profile
    if missing and policy.believes_missing(timer, now, profile.grace_s) and not task.status.final:
        gone = verdicts.vanished(task, answer.failure)
        taken = take(store, task, gone, source=Source.POLL, verified_by=Verified.POLL, now=now, ours=True)
    else:
        taken = take_unasked(store, served, task, timer, now)
    due_at = timing.after_failed_poll(
        timer,
        profile.pace,
        retry_after_s=answer.retry_after_s,
        now=now,
        spread=random.random(),  # noqa: S311 - jitter
    )
    return taken, replace(timer, due_at=due_at, owner=None, tries=timer.tries + 1)

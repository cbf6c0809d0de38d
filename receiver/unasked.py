"""What becomes of a task while nobody can be asked about it: what its callbacks said, or the end of its time."""

from collections.abc import Iterator
from dataclasses import replace

from receiver import policy, story
from receiver.domain import Callback, Ms, Source, Status, Task, Timer, Update, Verified
from receiver.errors import Malformed
from receiver.intake import Taken, take, take_ours
from receiver.providers import Served
from receiver.store.protocol import Store

_UNHANDED = frozenset({Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED})


def existence(task: Task, update: Update) -> Update:
    """What a callback proves that nobody but its URL vouches for: at most that the task exists, under this id."""
    named = update.provider_task_id
    return Update(status=Status.SUBMITTED if task.status in _UNHANDED and named else None, provider_task_id=named)


def wait_for_id(store: Store, served: Served, task: Task, timer: Timer, now: Ms) -> list[Taken]:
    """A task whose id was never told waits for a callback, until its deadline.

    One may have come that could not be read then, for its provider was not configured.
    """
    for update in _told(store, served, task, now):
        taken = take(store, task, existence(task, update), source=Source.CALLBACK, verified_by=Verified.TOKEN, now=now)
        if taken.task.provider_task_id is not None:
            store.set_timer(replace(timer, due_at=now, owner=None))
            text = f"A callback that was kept unread names {taken.task.provider_task_id}: {task.provider} is asked."
            story.tell(store, task, story.Line(kind="callback", text=text), now)
            return [taken]
    if policy.due_for_expiry(task, now):
        store.drop_timer(task.id)
        return [take_ours(store, task, policy.expired(task), now)]
    store.set_timer(replace(timer, due_at=task.deadline_at, owner=None))
    return []


def take_claim(store: Store, served: Served, task: Task, now: Ms) -> Taken:
    """What the newest readable callback claimed, where nobody else could be asked until the deadline."""
    for update in _told(store, served, task, now):
        final = update.status is not None and update.status.final
        if final and not policy.about_another(task, update):
            return take(store, task, update, source=Source.CALLBACK, verified_by=Verified.TOKEN, now=now)
    return Taken(task=task)


def _told(store: Store, served: Served, task: Task, now: Ms) -> Iterator[Update]:
    """What the kept callbacks of a task say, newest first."""
    for body in store.callbacks(task.id):
        try:
            yield from served.read_callback(Callback(headers={}, body=body), task, now)
        except Malformed:
            continue

"""What becomes of a task while nobody can be asked about it: what its callbacks said, or the end of its time."""

from collections.abc import Iterator

from receiver import policy, story, verdicts
from receiver.copying import replace
from receiver.domain import Ms, Source, Status, Task, Timer, Update, Verified, Work
from receiver.errors import Malformed
from receiver.intake import Taken, take, take_ours
from receiver.providers import Providers, Served
from receiver.store.protocol import Store
from receiver.wire import Callback

_UNHANDED = frozenset({Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED})


def existence(task: Task, update: Update) -> Update:
    """What a callback proves that nobody but its URL vouches for: at most that the task exists, under this id."""
    named = update.provider_task_id
    return Update(status=Status.SUBMITTED if task.status in _UNHANDED and named else None, provider_task_id=named)


def end_overdue(store: Store, providers: Providers, now: Ms, *, limit: int) -> list[Taken]:
    """Ends what is over without anybody being asked, on time, whatever keeps its provider from being talked to."""
    ended = []
    for task in store.overdue_tasks(now, limit=limit):
        timer = store.timer(task.id) or Timer(task_id=task.id, provider=task.provider, work=Work.POLL, due_at=now)
        ended += wait_for_id(store, providers.get(task.provider), task, timer, now)
    return ended


def settle_held(store: Store, served: Served, now: Ms, *, limit: int) -> list[Taken]:
    """Settles what is past its deadline with a provider that is paused, so that it is not asked."""
    name, settled = served.provider.name, []
    for task in store.unasked_tasks(name, now=now, given_up_by=now - policy.UNASKED_PATIENCE, limit=limit):
        timer = store.timer(task.id)
        if timer is None or timer.owner is not None:
            continue  # it is the very one that is asked about, to see whether the provider is back
        taken = take_unasked(store, served, task, timer, now)
        if taken.task.status.final:
            if not taken.task.ours:
                store.drop_timer(task.id)
            story.tell(store, task, story.ended_unasked(taken.task, f"{name} is paused"), now)
            settled.append(taken)
    return settled


def take_unasked(store: Store, served: Served, task: Task, timer: Timer, now: Ms) -> Taken:
    """At its deadline a callback's claim stands in for the polls that nobody answered; a week later it is given up."""
    if policy.may_take_callback(task, timer, now):
        claimed = _take_claim(store, served, task, timer.claimed, now)
        if claimed.task.status.final:
            return claimed
    if policy.due_for_expiry(task, now) and policy.given_up(task, now):
        return take_ours(store, task, verdicts.expired(task), now)
    return Taken(task=task)


def wait_for_id(store: Store, served: Served | None, task: Task, timer: Timer, now: Ms) -> list[Taken]:
    """A task whose id was never told waits for a callback, until its deadline.

    One may have come that nobody could read, for its provider was not configured: `served` is None while it is not.
    """
    for update in _told(store, served, task, now) if served else ():
        taken = take(store, task, existence(task, update), source=Source.CALLBACK, verified_by=Verified.TOKEN, now=now)
        if taken.task.provider_task_id is not None:
            store.set_timer(replace(timer, work=Work.POLL, due_at=now, owner=None, tries=0))
            text = f"A callback that was kept unread names {taken.task.provider_task_id}: {task.provider} is asked."
            story.tell(store, task, story.Line(kind="callback", text=text), now)
            return [taken]
    if policy.due_for_expiry(task, now):
        store.drop_timer(task.id)
        return [take_ours(store, task, verdicts.expired(task), now)]
    store.set_timer(replace(timer, due_at=task.deadline_at, owner=None))
    return []


def _take_claim(store: Store, served: Served, task: Task, claimed: Status | None, now: Ms) -> Taken:
    """The newest kept callback that says what was claimed last.

    Not an older one that says something else, for polls denied that. Nor a success without its result: a provider's
    verdict never moves, and the result may still be had from a provider that comes back.
    """
    for update in _told(store, served, task, now):
        if update.status is claimed and not policy.about_another(task, update) and not policy.empty(update):
            return take(store, task, update, source=Source.CALLBACK, verified_by=Verified.TOKEN, now=now)
    return Taken(task=task)


def _told(store: Store, served: Served, task: Task, now: Ms) -> Iterator[Update]:
    """What the kept callbacks of a task say, newest first."""
    for body in store.callbacks(task.id):
        try:
            yield from served.read_callback(Callback(headers={}, body=body), task, now)
        except Malformed:
            continue

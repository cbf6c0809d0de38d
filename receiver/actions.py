"""What a caller does to a task that is there, each a part of the transaction that its caller holds open.

A refusal is a value, so that one task among many does not undo the others. What was taken is to be announced after
the commit.
"""

from receiver import action_policy, story
from receiver.action_policy import Action, Refusal
from receiver.copying import replace
from receiver.domain import Ms, Source, Status, Task, Timer, Update, Work
from receiver.ids import new_id
from receiver.intake import Taken, take
from receiver.providers import CallbackUrls, Served
from receiver.store.protocol import Store

PUT_OFF = Update(status=Status.QUEUED)


def cancel(store: Store, task: Task, *, now: Ms) -> Taken | Refusal:
    """Canceled by us; one that is being handed over only remembers that it is to be, once its answer is there."""
    if refused := action_policy.refusal(Action.CANCEL, task):
        return refused
    if task.status is Status.SUBMITTING:
        asked = replace(task, cancel_asked=True, version=task.version + 1)
        store.save_task(asked, expected_version=task.version)
        if not task.cancel_asked:
            _tell(store, task, "Its caller cancels it: that holds once the handover is answered", now, action="cancel")
        return Taken(task=asked)
    return end(store, task, action_policy.canceled(task), now=now)


def end(store: Store, task: Task, verdict: Update, *, now: Ms) -> Taken:
    """Our verdict because the caller says so. A task whose provider can be asked is watched for a late one."""
    taken = take(store, task, verdict, source=Source.CALLER, verified_by=None, now=now, ours=True)
    timer = store.timer(task.id)
    watching = action_policy.watched(taken.task, timer, now)
    if watching is None:
        store.drop_timer(task.id)
    elif watching != timer:
        store.set_timer(watching)
    return taken


def cancel_if_asked(store: Store, taken: Taken, *, now: Ms) -> Taken:
    """A handover ended of a task that its caller canceled meanwhile: unless that ended the task, we do."""
    if not taken.task.cancel_asked or taken.task.status.final:
        return taken
    verdict = action_policy.canceled(taken.task)
    last = take(store, taken.task, verdict, source=Source.CALLER, verified_by=None, now=now, ours=True)
    return taken.then(last)


def refresh(store: Store, task: Task, *, at: Ms, now: Ms) -> Taken | Refusal:
    """Its next poll, or its next try to be handed over, is due at `at` at the latest."""
    if refused := action_policy.refusal(Action.REFRESH, task):
        return refused
    store.set_timer(action_policy.asked_now(task, store.timer(task.id), at))
    story.tell(store, task, story.Line(kind=story.REFRESH), now)
    return Taken(task=task)


def bind(store: Store, task: Task, provider_task_id: str, *, now: Ms) -> Taken | Refusal:
    """An unconfirmed task gets the id that its caller found out, and is asked about at once."""
    if refused := action_policy.refusal(Action.RESOLVE, task):
        return refused
    taken = _take_found(store, task, provider_task_id, now=now)
    if taken.refused:
        return Refusal(reason=f"{provider_task_id} at {task.provider} is bound to another task")
    store.set_timer(action_policy.bound_now(task, store.timer(task.id), now))
    text = f"Its caller says that {task.provider} has it as {provider_task_id}: it is asked about"
    _tell(store, task, text, now, action="resolve", provider_task_id=provider_task_id)
    return taken


def _take_found(store: Store, task: Task, provider_task_id: str, *, now: Ms) -> Taken:
    """The caller says that the provider has this task, under that id; when it got it, only the provider knows."""
    update = Update(status=Status.SUBMITTED, provider_task_id=provider_task_id)
    found = replace(task, submitted_at=now)
    return take(store, found, update, source=Source.CALLER, verified_by=None, now=now)


def declare_failed(store: Store, task: Task, *, now: Ms) -> Taken | Refusal:
    """An unconfirmed task is over: its caller knows that it never came to anything."""
    if refused := action_policy.refusal(Action.RESOLVE, task):
        return refused
    return end(store, task, action_policy.declared_failed(), now=now)


def resubmission(
    original: Task, served: Served | None, callbacks: CallbackUrls, *, now: Ms, due_at: Ms
) -> Task | Refusal:
    """The new task that a resubmission makes, not recorded yet; an adopted one may have nothing to submit."""
    if refused := action_policy.refusal(Action.RESUBMIT, original):
        return refused
    if served is None:
        return Refusal(reason=f"{original.id} cannot be resubmitted: {original.provider} is not configured")
    fault = next(iter(served.adapter.check_shape(original.model, original.input)), None)
    if fault is not None:
        return Refusal(reason=f"{original.id} cannot be resubmitted: {fault.path}: {fault.message}")
    expected = callbacks.expected(served)
    return action_policy.resubmission(
        original, id=new_id("task", now), callback_expected=expected, now=now, due_at=due_at
    )


def replace_by(store: Store, task: Task, new_id: str, *, now: Ms) -> Taken | Refusal:
    """What becomes of a task that is resubmitted: an unconfirmed one is over, a final one stays what it is.

    The new one has its webhook, which is enabled as by any new task.
    """
    if refused := action_policy.refusal(Action.RESUBMIT, task):
        return refused
    own = store.hidden_destination(task.webhook_id) if task.webhook_id else None
    if own is not None:
        store.record_hidden_destination(own)
    _tell(store, task, f"Its caller submits it once more, as {new_id}", now, action="resubmit", task_id=new_id)
    if task.status.final:
        return Taken(task=task)
    return end(store, task, action_policy.replaced_by(new_id), now=now)


def queue(store: Store, task: Task, *, now: Ms, due_at: Ms) -> Taken:
    """Record a new task that is put off until `due_at`."""
    store.record_task(task)
    store.set_timer(Timer(task_id=task.id, provider=task.provider, work=Work.SUBMIT, due_at=due_at))
    return take(store, task, PUT_OFF, source=Source.CALLER, verified_by=None, now=now)


def adopt(store: Store, task: Task, provider_task_id: str, *, now: Ms) -> Taken:
    """Record a task that somebody else submitted, and ask about it at once; its id is known to be free."""
    store.record_task(task)
    store.set_timer(action_policy.bound_now(task, None, now))
    text = f"It was submitted elsewhere: {task.provider} has it as {provider_task_id}, says its caller"
    _tell(store, task, text, now, action="adopt", provider_task_id=provider_task_id)
    return _take_found(store, task, provider_task_id, now=now)


def _tell(store: Store, before: Task, text: str, now: Ms, **data: str) -> None:
    """For the task's timeline: what no event of it says."""
    story.tell(store, before, story.Line(kind="action", text=f"{text}.", data=data), now)

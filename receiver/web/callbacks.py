"""The providers' door: prove the URL, keep the body, ring the bell; the answer goes out after the commit."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from receiver import policy, signing, story, timing
from receiver.actions import cancel_if_asked
from receiver.copying import replace
from receiver.counts import Came
from receiver.domain import SECOND, Ms, Source, Status, Task, Timer, Trust, Update, Verified, Work
from receiver.errors import Malformed, NotVerified, Unknown
from receiver.intake import Taken, take
from receiver.providers import Served
from receiver.store.protocol import Store
from receiver.unasked import existence
from receiver.web.doors import Doors, doors_of
from receiver.wire import Callback

KEPT_BYTES = 64 * 1024
MOST_READ = 1024 * 1024
MOST_KEPT = 20
DEAF_MS = sum(timing.RING_PAUSES_S) * SECOND


class _Done(NamedTuple):
    """What a callback did to its task and timer; and, to be counted, what it was, how long it was waited for."""

    taken: Taken | None
    rang: bool
    came: Came
    lag: Ms = 0
    unknown: int = 0
    unreadable: bool = False
    task: Task | None = None


async def receive(request: Request) -> Response:
    """`POST /callbacks/{provider}/{token}`: a token that we did not sign is 404, a signed one never a 4xx."""
    doors = doors_of(request)
    name = request.path_params["provider"]
    served = doors.providers.get(name)
    try:
        task_id = doors.callbacks.tokens.read(name, request.path_params["token"])
    except NotVerified:
        if served is not None:
            served.counts.callbacks[Came.UNSIGNED] += request.method == "POST"
        raise Unknown("no such callback") from None
    if request.method != "POST":
        return Response(status_code=200)
    if served is None:
        await _keep_unread(doors, name, task_id, await _body(request))
        return Response(status_code=200)
    began = doors.clock.now()
    # Of a header that is there twice the first counts, as everywhere.
    callback = Callback(headers=dict(reversed(request.headers.items())), body=await _body(request))
    challenge = served.adapter.answer_challenge(callback)
    if challenge is not None:
        return Response(challenge, media_type="application/json")
    done = await doors.storage.write(lambda store: _record(store, doors, served, task_id, callback), brief=True)
    served.counts.called_back(done.came, lag=done.lag, unknown=done.unknown, unreadable=done.unreadable)
    if done.taken is not None:
        doors.bell.ring(done.taken)
    if done.task is not None:
        doors.traces.called_back(done.task, done.came, began, doors.clock.now())
    await doors.follow_up(task_id, done.rang)
    return Response(served.adapter.profile.ack, media_type="application/json")


async def _keep_unread(doors: Doors, provider: str, task_id: str, body: bytes) -> None:
    """A callback of a provider that is not configured now: kept, and asked about once it is again."""

    def keep(store: Store) -> None:
        now = doors.clock.now()
        task, timer = store.task(task_id), store.timer(task_id)
        if task is None or task.provider != provider:
            return
        digest = hashlib.sha256(body).hexdigest()
        outcome = f"{provider} is not configured"
        kept = store.keep_callback(
            task.id, digest=digest, at=now, outcome=outcome, body=signing.redact(body), most=MOST_KEPT
        )
        if kept and timer is not None:
            store.set_timer(timing.rung(timer, now, None))
        story.tell(store, task, story.kept_unread(task) if kept else story.Line(kind="callback_again"), now)

    await doors.storage.write(keep)


async def _body(request: Request) -> bytes:
    """The first 64 KiB; the rest is read and dropped, up to a limit, so that the sender hears our answer."""
    kept, read = b"", 0
    try:
        async for chunk in request.stream():
            read += len(chunk)
            kept += chunk[: KEPT_BYTES - len(kept)]
            if read > MOST_READ:
                break
    except ClientDisconnect:
        return kept
    return kept


def _record(store: Store, doors: Doors, served: Served, task_id: str, callback: Callback) -> _Done:
    """One transaction: the inbox, what the body may change by itself, and the timer that makes us ask."""
    now = doors.clock.now()
    task = store.task(task_id)
    if task is None or task.provider != served.provider.name:
        return _Done(None, rang=False, came=Came.FORGOTTEN)
    updates, odd = _read(served, task, callback, now)
    proof = Verified.SIGNATURE if served.vouches(callback, now) else None
    came = _keep(store, served, task, callback, odd, now)
    kept = came is not Came.REPEATED
    listens = kept or _tells_its_id(task, updates) or _heard_again(store, task, now)
    # A signed one may come after the same body without its signature: it counts, but makes nobody ask again.
    taken, heard = _take_all(store, served, task, updates if listens or proof else (), proof, now)
    if taken.task.status is not Status.SUBMITTING:
        taken = cancel_if_asked(store, taken, now=now)
    after = taken.task
    believed = [each.update for each in heard if not policy.about_another(after, each.update)]
    if after.status.final and not after.ours:
        store.drop_timer(task.id)
    rang = listens and _ring(store, after, believed, now)
    line = story.called_back(heard, after, odd=odd, proof=proof, rang=rang, kept=kept)
    story.tell(store, task, line, now)
    return _Done(
        taken if heard else None,
        rang,
        came,
        lag=now - (task.submitted_at or now),
        unknown=sum(update.status is None and update.provider_status is not None for update in updates),
        unreadable=odd is not None,
        task=after,
    )


def _keep(store: Store, served: Served, task: Task, callback: Callback, odd: str | None, now: Ms) -> Came:
    """Keep a body that is new; whether it is the task's first shows by its finding a place among one."""
    digest, body = hashlib.sha256(callback.body).hexdigest(), served.clean_body(callback.body)
    outcome = ("read" if odd is None else f"odd: {odd}")[:200]
    if store.keep_callback(task.id, digest=digest, at=now, outcome=outcome, body=body, most=1):
        return Came.FIRST
    kept = store.keep_callback(task.id, digest=digest, at=now, outcome=outcome, body=body, most=MOST_KEPT)
    return Came.FURTHER if kept else Came.REPEATED


def _take_all(
    store: Store, served: Served, task: Task, updates: Sequence[Update], proof: Verified | None, now: Ms
) -> tuple[Taken, list[story.Heard]]:
    """Each update in turn; what became of all of them together, and of each."""
    taken, heard = Taken(task=task), []
    for update in updates:
        before = taken.task
        step = Taken(task=before)
        if not policy.about_another(before, update):
            step = _take(store, served, before, update, proof, now)
        heard.append(story.Heard(update=update, before=before, after=step.task, refused=step.refused))
        taken = taken.then(step)
    return taken, heard


def _tells_its_id(task: Task, updates: Sequence[Update]) -> bool:
    """Whether a task whose id was never told may learn it: then no body comes too late, or once too often."""
    return task.provider_task_id is None and any(update.provider_task_id for update in updates)


def _heard_again(store: Store, task: Task, now: Ms) -> bool:
    """Whether a body that is not kept counts all the same: where no more are, once the polls that the last one
    caused are over, so that a flood neither makes us deaf to the end nor hammers the provider."""
    timer = store.timer(task.id)
    quiet = timer is not None and timer.rung_at is not None and now - timer.rung_at >= DEAF_MS
    return quiet and len(store.callbacks(task.id)) >= MOST_KEPT


def _read(served: Served, task: Task, callback: Callback, now: Ms) -> tuple[Sequence[Update], str | None]:
    """The updates in it, or none and what is odd about it."""
    try:
        return served.read_callback(callback, task, now), None
    except Malformed as error:
        return (), str(error)


def _take(store: Store, served: Served, task: Task, update: Update, proof: Verified | None, now: Ms) -> Taken:
    """What a callback may change: all of it where it is trusted, else only that the task exists, under this id.

    A signature says who speaks, not of which task: it vouches for an update that names the provider's id.
    """
    proof = proof if update.provider_task_id is not None else None
    if (served.provider.trust is not Trust.TOKEN and proof is None) or policy.empty(update):
        proof, update = None, existence(task, update)
    return take(store, task, update, source=Source.CALLBACK, verified_by=proof or Verified.TOKEN, now=now)


def _ring(store: Store, task: Task, updates: Sequence[Update], now: Ms) -> bool:
    """Move the task's next poll to now; True where there is one to make."""
    if task.status.final and not task.ours:
        return False
    timer = store.timer(task.id)
    if timer is None:
        if task.provider_task_id is None:
            return False
        timer = Timer(task_id=task.id, provider=task.provider, work=Work.POLL, due_at=now)
    if task.status in (Status.SUBMITTED, Status.RUNNING) and timer.work is Work.SUBMIT:
        timer = replace(timer, work=Work.POLL, tries=0)
    claimed = next((update.status for update in updates if update.status and update.status.final), None)
    store.set_timer(timing.rung(timer, now, claimed))
    return True

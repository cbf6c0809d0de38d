"""The providers' door: prove the URL, keep the body, ring the bell; the answer goes out after the commit."""

import hashlib
from collections.abc import Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from receiver import policy, signing
from receiver.domain import Callback, Source, Status, Task, Trust, Update, Verified
from receiver.errors import Malformed, NotVerified, Unknown
from receiver.intake import Taken, take
from receiver.providers import Served
from receiver.store.protocol import Store
from receiver.web.doors import Doors, doors_of

KEPT_BYTES = 64 * 1024
MOST_READ = 1024 * 1024
MOST_KEPT = 20
DEAF_MS = sum(policy.RING_PAUSES_S) * policy.SECOND


async def receive(request: Request) -> Response:
    """`POST /callbacks/{provider}/{token}`: a token that we did not sign is 404, a signed one never a 4xx."""
    doors = doors_of(request)
    name = request.path_params["provider"]
    served = doors.providers.get(name)
    try:
        task_id = doors.callbacks.tokens.read(name, request.path_params["token"])
    except NotVerified:
        raise Unknown("no such callback") from None
    if request.method != "POST" or served is None:
        return Response(status_code=200)
    raw = await _body(request)
    taken, rang = await doors.storage.write(lambda store: _record(store, doors, served, task_id, raw, request))
    if taken is not None:
        doors.bell.ring(taken)
    if rang:
        doors.wake_poller()
    return Response(served.adapter.profile.ack, media_type="application/json")


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


def _record(
    store: Store, doors: Doors, served: Served, task_id: str, raw: bytes, request: Request
) -> tuple[Taken | None, bool]:
    """One transaction: the inbox, what the body may change by itself, and the timer that makes us ask."""
    now = doors.clock.now()
    task = store.task(task_id)
    if task is None or task.provider != served.provider.name:
        return None, False
    updates, outcome = _read(served, task, raw, dict(request.headers), now)
    digest = hashlib.sha256(raw).hexdigest()
    body = signing.redact(raw)
    kept = store.keep_callback(task.id, digest=digest, at=now, outcome=outcome, body=body, most=MOST_KEPT)
    if not kept and not _heard_again(store, task, now):
        return None, False
    taken, believed = None, []
    for update in updates:
        if _about_another(task, update):
            continue
        taken = _take(store, served, task, update, now)
        task = taken.task
        believed.append(update)
    return taken, _ring(store, task, believed, now)


def _heard_again(store: Store, task: Task, now: int) -> bool:
    """Whether a body that is not kept counts all the same: where no more are, once the polls that the last one
    caused are over, so that a flood neither makes us deaf to the end nor hammers the provider."""
    timer = store.timer(task.id)
    quiet = timer is not None and timer.rung_at is not None and now - timer.rung_at >= DEAF_MS
    return quiet and len(store.callbacks(task.id)) >= MOST_KEPT


def _read(served: Served, task: Task, raw: bytes, headers: dict[str, str], now: int) -> tuple[Sequence[Update], str]:
    try:
        return served.read_callback(Callback(headers=headers, body=raw), task, now), "read"
    except Malformed as error:
        return (), f"odd: {error}"[:200]


def _about_another(task: Task, update: Update) -> bool:
    known = task.provider_task_id
    return known is not None and update.provider_task_id is not None and update.provider_task_id != known


def _take(store: Store, served: Served, task: Task, update: Update, now: int) -> Taken:
    """What a callback may change: all of it where it is trusted, else only that the task exists, under this id."""
    if served.provider.trust is not Trust.TOKEN:
        update = Update(
            status=Status.SUBMITTED if task.status is Status.UNCONFIRMED and update.provider_task_id else None,
            provider_task_id=update.provider_task_id,
        )
    return take(store, task, update, source=Source.CALLBACK, verified_by=Verified.TOKEN, now=now)


def _ring(store: Store, task: Task, updates: Sequence[Update], now: int) -> bool:
    """Move the task's next poll to now; True where there is one to make."""
    timer = store.timer(task.id)
    if task.status.final and not task.ours:
        store.drop_timer(task.id)
        return False
    if timer is None:
        return False
    claimed = next((update.status for update in updates if update.status and update.status.final), None)
    store.set_timer(policy.rung(timer, now, claimed))
    return True

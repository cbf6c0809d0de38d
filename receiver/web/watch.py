"""The door for whoever watches one task, by a token in its address: a web page needs no key to show how it goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from receiver.domain import HOUR, Ms, Task
from receiver.errors import Gone, NotVerified, TaskweirError, Unavailable, Unknown
from receiver.feed import Feed
from receiver.following import Write
from receiver.readers import Reader, Wanted
from receiver.store.protocol import Store
from receiver.store.records import Page, Recorded
from receiver.web.answers import problem_of
from receiver.web.doors import Doors, doors_of
from receiver.web.sse import EventStream, hint, later, leashed, position
from receiver.web.watched import STOP, as_it_stands, beginning, frame, progress, sequence_in

WATCHED_FOR: Ms = 24 * HOUR  # after the end
MOST_MISSED = 200  # events that are told after an absence; one task has more only where its progress is recorded
_ANY_PAGE = {"access-control-allow-origin": "*", "referrer-policy": "no-referrer"}
_MAY_COME_BACK = {
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "*",
    "access-control-max-age": "86400",
}


async def watch_task(request: Request) -> Response:
    """`GET /v1/watch/{token}`: how the task stands, then what happens to it, until it has ended.

    A browser comes back by itself after whatever ends the answer, but for a refusal and for 204: no content once the
    caller has the end. So only what no waiting will mend is refused.

    `OPTIONS` is the browser's own question before it lets a page's script, unlike `EventSource`, say what it had last.
    """
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_ANY_PAGE | _MAY_COME_BACK)
    try:
        task_id = _named(doors_of(request), request.path_params["token"])
        begun = await _look(doors_of(request), task_id, _last_told(request))
    except Unavailable:
        return EventStream(_come_back, _ANY_PAGE)
    except TaskweirError as error:
        response = problem_of(error)
        response.headers.update(_ANY_PAGE)
        return response
    if begun.ended and not begun.missed:
        return Response(status_code=204, headers=_ANY_PAGE | {"cache-control": "no-store"})
    return EventStream(partial(_tell, doors_of(request), begun), _ANY_PAGE)


def _named(doors: Doors, token: str) -> str:
    try:
        return doors.watch.read(token)
    except NotVerified:
        raise Unknown("no such task is watched here") from None


def _last_told(request: Request) -> int | None:
    """The `sequence` of the event that the caller had last; None where he had none of ours."""
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


async def _come_back(write: Write) -> None:
    await write(hint(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A task as it stands, and those of its events that the caller has not had, of which the last tells how it stands.

    `seq` is the place of its last event, 0 where there was none yet.
    """

    task: Task
    missed: Sequence[Recorded]
    last: Recorded | None
    told: int | None

    @property
    def ended(self) -> bool:
        return self.task.status.final

    @property
    def seq(self) -> int:
        return self.last.seq if self.last else 0


async def _look(doors: Doors, task_id: str, told: int | None) -> _Look:
    """How the task stands; raises `Unknown` of one that is not kept, `Gone` of one that ended long ago."""
    return await doors.storage.read(lambda store: _read(store, task_id, told, doors.clock.now()), brief=True)


def _read(store: Store, task_id: str, told: int | None, now: Ms) -> _Look:
    task = store.task(task_id)
    if task is None:
        raise Unknown("the task is not kept any more")
    if task.finished_at is not None and now > task.finished_at + WATCHED_FOR:
        raise Gone("the task ended more than 24 h ago")
    known = told if told is not None and told <= task.sequence else None
    count = 1 if known is None else min(task.sequence - known, MOST_MISSED)
    page = Page(tenant=task.tenant, limit=max(count, 1), where={"task_id": task_id})
    newest = store.list_events(page, after=None, newest_first=True)
    return _Look(task=task, missed=newest[:count][::-1], last=newest[0] if newest else None, told=known)


async def _tell(doors: Doors, begun: _Look, write: Write) -> None:
    """The stream of one watcher."""
    feed, task = doors.feed(), begun.task
    if feed.crowded:
        await write(later())
        return
    async with feed.reader(Wanted(tenant=task.tenant, frame=frame, task_id=task.id, changes=True)) as reader:
        await write(hint(None))
        with leashed(reader, doors):
            await _Watcher(doors, feed, reader, write).watch(task.id, begun.told)


class _Watcher:
    """Tells one watcher how his task stands, and what becomes of it."""

    def __init__(self, doors: Doors, feed: Feed, reader: Reader, write: Write) -> None:
        self._doors = doors
        self._feed = feed
        self._reader = reader
        self._write = write
        self._version = self._seq = 0
        self._sequence: int | None = None

    async def watch(self, task_id: str, told: int | None) -> None:
        """Until the task has ended, or he must go; `told` is the sequence of the event that he had last."""
        self._sequence = told
        ended = False
        while not (ended or self._reader.over):
            self._feed.seat(self._reader)
            look = await _look(self._doors, task_id, self._sequence)  # after that: nothing in between is missed
            await self._write(b"".join(_messages(look, self._doors.clock.now())))
            self._version, self._seq, self._sequence = look.task.version, look.seq, look.task.sequence
            ended = look.ended or await self._live()
            self._feed.unseat(self._reader)

    async def _live(self) -> bool:
        """Along with the feed; whether the task has ended."""
        reader = self._reader
        while not (reader.over or reader.missed):
            batches = await reader.heard()
            for batch in batches:
                for seq, text in batch.frames:
                    if seq > self._seq:
                        await self._write(text)
                        self._seq, self._sequence = seq, sequence_in(text)
                        if text.endswith(STOP):
                            return True
            changed, reader.changed = reader.changed, None
            if changed is not None and not reader.missed:
                await self._change(changed)
            elif not batches:
                await self._write(position(None))
        return False

    async def _change(self, task: Task) -> None:
        """Something else than an event, unless an event was told since."""
        if task.version > self._version and task.sequence >= (self._sequence or 0):
            self._version = task.version
            await self._write(progress(task, self._doors.clock.now()))


def _messages(look: _Look, now: Ms) -> list[bytes]:
    """What he has not had, the last of it with the task as it stands now."""
    if look.missed:
        return [*(frame(row) for row in look.missed[:-1]), as_it_stands(look.missed[-1], look.task)]
    return [progress(look.task, now) if look.told else beginning(look.task, now)]

"""Server-sent events: how an answer that does not end is written, and when it does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from receiver.errors import TaskweirError
from receiver.following import Write
from receiver.readers import Reader
from receiver.store.records import Recorded
from receiver.web.doors import Doors
from receiver.web.events import item
from receiver.web.limits import TAKEN

HEADERS = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no"}
LEAST_RETRY_MS = 1000  # to four times as many: those who are sent away together do not come back together

Tell = Callable[[Write], Awaitable[None]]


def frame(row: Recorded) -> bytes:
    """An event with its `seq`. JSON has no line break in it."""
    return f"id: {row.seq}\nevent: {row.type}\ndata: {item(row)}\n\n".encode()


def position(seq: int | None) -> bytes:
    """A heartbeat: a comment, and where the place is to be known, that. What has no data is no event to anybody."""
    return b":\n" if seq is None else b":\nid: %d\n\n" % seq


_streams = count()


def hint(seq: int | None, *, least_ms: int = LEAST_RETRY_MS) -> bytes:
    """What a stream begins with: after how long to come back, and the place that it begins behind, if that is news."""
    retry = b"retry: %d\n" % (least_ms + next(_streams) * 617 % (3 * least_ms))
    return retry + (b"\n" if seq is None else b"id: %d\n\n" % seq)


def later() -> bytes:
    """All that a stream says for which there is no room now."""
    return hint(None, least_ms=10 * LEAST_RETRY_MS)


@contextmanager
def leashed(reader: Reader, doors: Doors) -> Iterator[None]:
    """Send a reader away before the host would, where hosts do."""
    loop = asyncio.get_running_loop()
    end = None if doors.stream_s is None else loop.call_later(doors.stream_s, reader.end)
    try:
        yield
    finally:
        if end is not None:
            end.cancel()


class EventStream(Response):
    """An answer that `tell` writes, until it returns or nobody is there any more; it begins with the first byte."""

    def __init__(self, tell: Tell, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers=HEADERS | dict(headers or {}))
        del self.headers["content-length"]
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = scope.get("extensions", {}).get(TAKEN, {}).get("wait")
        begun = False

        async def begin() -> None:
            nonlocal begun
            if not begun:
                begun = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def write(text: bytes) -> None:
            if not begun:
                await begin()
            await send({"type": "http.response.body", "body": text, "more_body": True})
            if taken is not None:
                await taken()

        if scope["method"] != "HEAD":
            try:
                await _while_there(receive, self._tell(write))
            except TaskweirError:
                if not begun:
                    raise
                # who comes back is told what is wrong, or nothing is any more
        await begin()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _while_there(receive: Receive, telling: Awaitable[None]) -> None:
    """Do this, but no longer than somebody is there to be told."""
    teller, gone = asyncio.current_task(), False
    assert teller is not None  # noqa: S101 - whoever answers is a task

    async def listen() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        teller.cancel()

    listening = asyncio.create_task(listen())
    try:
        await telling
    except asyncio.CancelledError:
        if not gone:
            raise
        teller.uncancel()
    finally:
        listening.cancel()

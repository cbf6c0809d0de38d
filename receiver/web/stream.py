"""The door for the stream: events as they come, from where its reader stood, to as many as want them."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from receiver.errors import NotVerified, Unavailable
from receiver.following import Follower, Write
from receiver.keyring import REMEMBERED
from receiver.places import Place, check_kept
from receiver.readers import Reader, Wanted
from receiver.store.protocol import Store
from receiver.web.doors import Caller, caller_of, check_query, doors_of, query_filters
from receiver.web.events import place_of, types_asked
from receiver.web.sse import EventStream, frame, hint, leashed, position


async def stream_events(request: Request, caller: Caller) -> Response:
    """`GET /v1/events/stream?after=`: from `Last-Event-ID`, or from there, or from now on."""
    check_query(request, "after", "type", "task_id", "provider", several=("type",), pages=False)
    types, filters = types_asked(request), query_filters(request, "task_id", "provider")
    wanted = Wanted(
        tenant=caller.tenant,
        frame=frame,
        types=None if types is None else frozenset(types),
        provider=filters.get("provider"),
        task_id=filters.get("task_id"),
    )
    return EventStream(partial(_tell, request, wanted, _behind(request)))


def _behind(request: Request) -> Place | None:
    """Where the caller stands, by what he read last or asks for; None where he wants what comes from now on."""
    for text, named in (
        (request.headers.get("last-event-id"), "Last-Event-ID"),
        (request.query_params.get("after"), "after"),
    ):
        if text:
            return place_of(text, named)
    return None


async def _tell(request: Request, wanted: Wanted, behind: Place | None, write: Write) -> None:
    """The stream of one reader; raises `Gone` before its first byte."""
    doors = doors_of(request)
    feed = doors.feed()
    async with feed.reader(wanted) as reader:
        place = await doors.storage.read(lambda store: _kept(store, wanted.tenant, behind), brief=True)
        await write(hint(place.seq if behind is None else None))
        with leashed(reader, doors):
            known = _while_known(request, reader, write)
            followed = Follower(feed, doors.storage, reader, known, position)
            await followed.follow(place)


def _kept(store: Store, tenant: str, behind: Place | None) -> Place:
    """The place that a stream begins behind; raises `Gone` of one that is not kept any more."""
    if behind is None:
        return Place(store.last_seq())
    check_kept(store, tenant, behind)
    return behind


def _while_known(request: Request, reader: Reader, write: Write) -> Write:
    """The same, as long as the key is one of ours; asked about as for any request, if not for each event."""
    keyring, clock = doors_of(request).keyring, doors_of(request).clock
    revoked, looked_at = keyring.revoked, clock.now()

    async def written(text: bytes) -> None:
        nonlocal revoked, looked_at
        if keyring.revoked != revoked or not 0 <= clock.now() - looked_at < REMEMBERED:
            revoked, looked_at = keyring.revoked, clock.now()
            try:
                await caller_of(request)
            except NotVerified:
                reader.end()  # who comes back is told why
            except Unavailable:
                pass  # asked again the next time
        if not reader.over:
            await write(text)

    return written

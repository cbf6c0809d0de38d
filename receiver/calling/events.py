"""Events: read by pages, followed as they come, delivered again."""

import json
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from receiver.calling.answers import Delivery, Event
from receiver.calling.errors import MOMENTARY, NotFound, NotTaskweir, Unreachable
from receiver.calling.http import Http, given, path_of
from receiver.calling.patience import Patience, Patient

_PAGE = 200
_POLL_S = 0.5


class Events:
    """What the API does with events."""

    _http: Http

    def events(
        self,
        *,
        after: int | str | None = 0,
        follow: bool = False,
        type: str | Sequence[str] | None = None,
        task_id: str | None = None,
        provider: str | None = None,
        tenant: str | None = None,
        patience: Patient | None = None,
    ) -> Generator[Event, None, None]:
        """Events in the order of `seq`, from the one behind `after` on (0: the oldest kept; None: now) to the newest.

        With `follow` it goes on with what comes, for ever: over the stream, or page by page where the server has none.
        Where the connection breaks or the server is started anew, it goes on behind the last event: none is missed,
        none comes twice. Keep the `seq` of the last one you are done with, and give it as `after` next time. Raises
        `Gone` where retention has deleted what comes next. `patience` decides how long a server may be away; as it is,
        for ever.
        """
        filters = filters_of(type, task_id=task_id, provider=provider, tenant=tenant)
        if not follow:
            return self._paged(filters, _Place(after), Patience(0))
        return self._follow(filters, after, patience or Patience(None))

    def newest(
        self,
        count: int,
        *,
        type: str | Sequence[str] | None = None,
        task_id: str | None = None,
        provider: str | None = None,
        tenant: str | None = None,
    ) -> list[Event]:
        """The newest events, newest first, over as many pages as that takes: what is rare is looked for in pieces."""
        filters = filters_of(type, task_id=task_id, provider=provider, tenant=tenant)
        found: list[Event] = []
        before: dict[str, str] = {}
        while True:
            size = str(min(count - len(found), _PAGE))
            page = self._http.get("/v1/events", {**filters, **before, "order": "desc", "limit": size}, holds="items")
            found += map(Event, page["items"])
            if not page["has_more"] or len(found) >= count:
                return found
            before = {"after": str(page["next_cursor"])}

    def event(self, id: str) -> Event:
        """One event."""
        return Event(self._http.get(path_of("events", id)))

    def replay_event(self, id: str, *, destination_id: str | None = None) -> list[Delivery]:
        """Deliver an event again, to all that want it now, or to one destination whatever its filters."""
        body = {"destination_id": destination_id} if destination_id else {}
        made = self._http.post(path_of("events", id, "replay"), body, holds="deliveries")
        return [Delivery(each) for each in made["deliveries"]]

    def _follow(
        self, filters: Mapping[str, str], after: int | str | None, patience: Patient
    ) -> Generator[Event, None, None]:
        """One connection after the other, each from where the one before ended."""
        place, streams = _Place(after), True
        while True:
            try:
                if streams:
                    yield from self._streamed(filters, place, patience)
                    patience.missed(Unreachable(f"{self._http.server.url} has ended the stream"))
                else:
                    yield from self._paged(filters, place, patience)
                    time.sleep(_POLL_S)
            except (NotFound, NotTaskweir):
                if not streams:
                    raise
                streams = False  # an older server, or something in between that lets no stream through
            except MOMENTARY as failure:
                patience.missed(failure)

    def _streamed(self, filters: Mapping[str, str], place: "_Place", patience: Patient) -> Iterator[Event]:
        query = {**filters, **given(after=place.cursor)}
        with self._http.stream("/v1/events/stream", query) as lines:
            patience.answered()
            for cursor, data in _messages(lines):
                new = place.moves_to(cursor) if cursor else True
                if data and new:
                    yield _event_in(data, place)

    def _paged(self, filters: Mapping[str, str], place: "_Place", patience: Patient) -> Generator[Event, None, None]:
        if place.cursor is None:
            place.moves_to(str(next((each.seq for each in self.newest(1)), 0)))
        more = True
        while more:
            query: dict[str, str | int] = {**filters, "after": place.cursor or "0", "limit": _PAGE}
            page = self._http.get("/v1/events", query, holds="items")
            patience.answered()
            for item in page["items"]:
                if place.moves_to(str(item["seq"])):
                    yield Event(item)
            place.cursor, more = str(page["next_cursor"]), page["has_more"]


class _Place:
    """How far a reader is: the cursor to go on from, and the last `seq` behind it."""

    def __init__(self, after: int | str | None) -> None:
        self.cursor = None if after is None else str(after)
        self.seq = _seq_in(self.cursor or "")

    def moves_to(self, cursor: str) -> bool:
        """Whether that is further on; it is the place then, and where it is the same one, more exactly told."""
        before, seq = self.seq, _seq_in(cursor)
        if seq >= before:
            self.cursor, self.seq = cursor, seq
        return seq > before


def filters_of(types: str | Sequence[str] | None, **more: str | None) -> dict[str, str]:
    """The filters that were given."""
    named = types if isinstance(types, str) or types is None else ",".join(types)
    return {name: value for name, value in {"type": named, **more}.items() if value}


def _messages(lines: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """The id and the data of each message of Server-Sent Events; one that was cut off is none."""
    cursor, data = "", list[bytes]()
    for line in lines:
        if not line:
            yield cursor, b"\n".join(data)
            cursor, data = "", []
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id" and value.replace(b":", b"").isdigit():
            cursor = value.decode("ascii")
        elif name == b"data":
            data.append(value)


def _event_in(data: bytes, place: _Place) -> Event:
    try:
        value: Any = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotTaskweir("the stream holds what is no event")
    return Event({"seq": place.seq, **value})


def _seq_in(cursor: str) -> int:
    seq = cursor.partition(":")[0]
    return int(seq) if seq.isascii() and seq.isdigit() else 0

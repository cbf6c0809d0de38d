"""One reader's way through the events: page by page until he is where the live feed is, then along with it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from receiver.copying import replace
from receiver.errors import Gone
from receiver.feed import Feed
from receiver.places import Place, step
from receiver.readers import Reader
from receiver.store.protocol import Storage
from receiver.store.records import Page

PAGE = 50  # events, some 50 KB: what one who takes nothing keeps in memory
LONGEST_REST_S = 0.002

Write = Callable[[bytes], Awaitable[None]]


class Follower:
    """Takes one reader from a place on, and never skips or repeats an event.

    `write` returns once its bytes were taken, or are on their way; `position` writes that he stands at a place, or
    only that we are there (None).
    """

    def __init__(
        self, feed: Feed, storage: Storage, reader: Reader, write: Write, position: Callable[[int | None], bytes]
    ) -> None:
        self._feed = feed
        self._storage = storage
        self._reader = reader
        self._write = write
        self._position = position
        self._told = 0  # the place that he knows of
        wanted = reader.wanted
        where = {"task_id": wanted.task_id, "provider": wanted.provider, "type": wanted.types and sorted(wanted.types)}
        self._asked = Page(tenant=wanted.tenant, limit=PAGE, where=where)

    async def follow(self, place: Place) -> None:
        """Until he must go, or what comes next for him was deleted before he came to it: he asks, and is told."""
        self._told = place.seq
        with suppress(Gone):
            while not self._reader.over:
                place, more = await self._page(place, self._feed.at)
                if more:
                    continue
                self._feed.seat(self._reader)
                place, more = await self._page(place, self._reader.at)
                if not more:
                    place = await self._live(place)
                self._feed.unseat(self._reader)

    async def _page(self, place: Place, up_to: int) -> tuple[Place, bool]:
        """Where he stands after one page, and whether there is more on his way."""
        if place.seq >= up_to:
            return place, False
        async with self._feed.page:
            if self._reader.over:
                return place, False
            began = time.monotonic()
            found = await self._storage.read(lambda store: step(store, self._asked, place, up_to=up_to))
            await asyncio.sleep(min(time.monotonic() - began, LONGEST_REST_S))  # what is kept can wait: others go first
        if found.rows:
            await self._write(b"".join([self._reader.wanted.frame(row) for row in found.rows]))
            self._told = found.rows[-1].seq
        return found.place, found.more

    async def _live(self, place: Place) -> Place:
        """Along with the feed, until he cannot keep up; where he stands then."""
        reader = self._reader
        while not (reader.over or reader.missed):
            batches = await reader.heard()
            for batch in batches:
                if text := batch.behind(place.seq):
                    await self._write(text)
                    self._told = batch.frames[-1][0]
                place = replace(place, seq=max(place.seq, batch.last))
            if not batches and not reader.missed:
                place = replace(place, seq=max(place.seq, reader.at))
                await self._write(self._position(place.seq if place.seq > self._told else None))
                self._told = place.seq
        return place

"""Begins what is leased to us, no more of it at once than each destination may have in flight.

What is recorded is handed off by itself to destinations that answer quickly and well; everybody else's deliveries are
claimed from the store, where shares are fair and queues are held. While a destination has a backlog, half of what it
takes is for what is claimed: neither keeps the other waiting.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any

from receiver.clock import Clock
from receiver.crew import Crew
from receiver.domain import Destination, Ms
from receiver.fair_shares import Manner
from receiver.hand_off import HandOff
from receiver.paces import Paces
from receiver.store.records import Handed, Parcel

MOST_REMEMBERED = 10_000
MOST_WAITING = 256  # of one destination, in memory
LONGEST_WAIT: Ms = 250  # for their turn, at the pace of its last attempt


class Fresh:
    """Knows who is well, and says how much of them is taken; `slots` are all that may be under way at once.

    `send` tries parcels of one destination, `give_back` returns their leases untried.
    """

    def __init__(
        self,
        hand_off: HandOff,
        crew: Crew,
        paces: Paces,
        clock: Clock,
        *,
        slots: int,
        send: Callable[[Destination, Sequence[Parcel]], Coroutine[Any, Any, None]],
        give_back: Callable[[Sequence[Parcel]], Coroutine[Any, Any, None]],
    ) -> None:
        self.behind: Collection[str] = ()
        self._hand_off = hand_off
        self._crew = crew
        self._paces = paces
        self._clock = clock
        self._slots = slots
        self._send = send
        self._give_back = give_back
        self._closed = False
        self._freed: set[str] = set()
        self._well: dict[str, Destination] = {}
        self._waiting: dict[str, deque[Handed]] = {}
        self._claimed: Counter[str] = Counter()  # waiting or under way; everything else was handed off

    def close(self) -> None:
        """Begin nothing any more; what waits keeps its lease, until that is given back with all others."""
        self._closed = True
        self._waiting.clear()

    def take(self, handed: Iterable[Handed]) -> None:
        """Begin what is leased to us, handed off or claimed."""
        if self._closed:
            return
        for each in handed:
            self._waiting.setdefault(each.destination.id, deque()).append(each)
            self._count(each.destination.id, self._was_claimed(each))
        self._begin()

    def put_back(self) -> None:
        """Give back what waits for its turn."""
        for destination_id in list(self._waiting):
            self._return(destination_id)

    def heard(self, destination: Destination, *, well: bool) -> None:
        """An attempt ended; only who did well last is offered anything."""
        if not well:
            self._well.pop(destination.id, None)
            self._hand_off.offer(destination.id, 0)
        elif len(self._well) < MOST_REMEMBERED or destination.id in self._well:
            self._well[destination.id] = destination

    def freed(self, destination_id: str) -> None:
        """Something of a destination is no longer under way."""
        self._begin()
        if not self._freed:
            asyncio.get_running_loop().call_soon(self._offer_freed)  # once for all that ends in the same moment
        self._freed.add(destination_id)

    def _offer_freed(self) -> None:
        freed, self._freed = self._freed, set()
        for destination_id in freed:
            self._offer(destination_id)

    def fall_behind(self, behind: Collection[str]) -> None:
        """Whose queues hold what is due: until they are empty, what is fresh takes half."""
        before, self.behind = self.behind, behind
        for destination_id in {*before, *behind}:
            self._offer(destination_id)

    def room(self, destination_id: str, most: int) -> int:
        """How many more may be claimed for a destination that may have `most` in flight.

        For a quick one half of it at least, whatever was handed off: with others nothing waits in memory for its turn.
        """
        takes = self._takes(destination_id, most)
        half = takes // 2 - self._claimed[destination_id] if self._quick(destination_id) else 0
        return max(takes - self._held(destination_id), half, 0)

    def hungry(self, destination_id: str, most: int) -> bool:
        """Whether it is time to claim more for it: for quick ones by the batch, before they have nothing to do."""
        return not self._quick(destination_id) or self._claimed[destination_id] <= most // 2

    def wants_more(self, destination_id: str) -> bool:
        """Whether its backlog may go on, now that something of it has ended."""
        if destination_id not in self.behind:
            return False
        well = self._well.get(destination_id)
        return well is None or self.hungry(destination_id, self._most(well))

    def _takes(self, destination_id: str, most: int) -> int:
        """How many of one destination may be leased to us: a little beyond what may be in flight, to wait in memory."""
        if not self._quick(destination_id):
            return most
        return most + min(most * LONGEST_WAIT // max(self._paces.took(destination_id), 1), MOST_WAITING)

    def _held(self, destination_id: str) -> int:
        return self._crew.count(destination_id) + len(self._waiting.get(destination_id, ()))

    def _offer(self, destination_id: str) -> None:
        room, destination = 0, self._well.get(destination_id)
        if destination is not None and self._quick(destination_id):
            takes, held = self._takes(destination_id, self._most(destination)), self._held(destination_id)
            room = takes - held
            if destination_id in self.behind:
                room = min(room, takes // 2 - (held - self._claimed[destination_id]))
        busy = self._crew.total >= self._slots - self._slots // 8
        self._hand_off.offer(destination_id, 0 if busy else room)

    def _begin(self) -> None:
        for destination_id, waiting in list(self._waiting.items()):
            while waiting and self._may_begin(waiting[0].destination):
                self._crew.start(destination_id, self._try(waiting.popleft()))
            if not waiting:
                del self._waiting[destination_id]
            elif not self._quick(destination_id) or not self._most(waiting[0].destination):
                self._return(destination_id)  # nobody's end would begin it

    def _return(self, destination_id: str) -> None:
        waiting = self._waiting.pop(destination_id)
        self._count(destination_id, -sum(map(self._was_claimed, waiting)))
        self._crew.start(destination_id, self._give_back([each.parcel for each in waiting]))

    def _try(self, handed: Handed) -> Coroutine[Any, Any, None]:
        work = self._send(handed.destination, [handed.parcel])
        return self._try_claimed(handed.destination.id, work) if self._was_claimed(handed) else work

    async def _try_claimed(self, destination_id: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._count(destination_id, -1)

    def _count(self, destination_id: str, more: int) -> None:
        if more:
            self._claimed[destination_id] += more
            if not self._claimed[destination_id]:
                del self._claimed[destination_id]

    def _was_claimed(self, handed: Handed) -> bool:
        return handed.parcel.delivery.owner != self._hand_off.owner

    def _may_begin(self, destination: Destination) -> bool:
        return self._crew.count(destination.id) < self._most(destination) and self._crew.total < self._slots

    def _most(self, destination: Destination) -> int:
        return min(destination.max_in_flight, self._paces.at_once(destination.id))

    def _quick(self, destination_id: str) -> bool:
        return self._paces.manner(destination_id, self._clock.now()) is Manner.QUICK

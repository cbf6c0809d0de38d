"""What waits in memory for its turn, given back: the destination takes as much as before."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from receiver.crew import Crew
from receiver.domain import Destination
from receiver.fresh import Fresh
from receiver.hand_off import HandOff
from receiver.paces import Paces
from receiver.store.records import Handed, Parcel
from tests.make import NOW, StoppedClock, a_delivery, a_destination

pytestmark = pytest.mark.anyio

MOST = 4
DESTINATION = a_destination(max_in_flight=MOST)


class Tried:
    """A courier's hands: what was sent stays under way until `done`, what was given back is counted."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.sent = 0
        self.returned = 0
        self.crew = Crew(lambda _: None)
        paces = Paces()
        paces.began(DESTINATION.id, NOW)
        paces.ended(DESTINATION.id, NOW, NOW + 20)
        self.fresh = Fresh(
            HandOff(lease=1000, now=NOW),
            self.crew,
            paces,
            StoppedClock(),
            slots=100,
            send=self._send,
            give_back=self._give_back,
        )

    async def _send(self, _: Destination, parcels: Sequence[Parcel]) -> None:
        self.sent += len(parcels)
        await self.done.wait()

    async def _give_back(self, parcels: Sequence[Parcel]) -> None:
        self.returned += len(parcels)


def claimed(count: int, destination: Destination = DESTINATION) -> list[Handed]:
    """Parcels that a claim leased, not a hand-off."""
    return [
        Handed(
            destination=destination,
            parcel=Parcel(
                delivery=a_delivery(id=f"dlv_{n}", owner="own_claim"), seq=n, body="{}", input=None, was_due_at=NOW
            ),
        )
        for n in range(count)
    ]


async def test_what_was_put_back_no_longer_counts_as_claimed() -> None:
    """Else a process that lives on, as serverless ones do between two calls, would claim less and less."""
    hands = Tried()
    takes = hands.fresh.room(DESTINATION.id, MOST)
    hands.fresh.take(claimed(20))
    assert not hands.fresh.hungry(DESTINATION.id, MOST)

    hands.fresh.put_back()
    hands.done.set()
    await hands.crew.drain()

    assert (hands.sent, hands.returned) == (MOST, 20 - MOST)
    assert hands.fresh.hungry(DESTINATION.id, MOST)
    assert hands.fresh.room(DESTINATION.id, MOST) == takes


async def test_what_none_may_begin_of_is_given_back() -> None:
    """A process that stood still has no part of what all may have in flight: what it took then would wait for ever."""
    hands = Tried()
    takes = hands.fresh.room(DESTINATION.id, MOST)
    hands.fresh.take(claimed(20, replace(DESTINATION, max_in_flight=0)))
    await hands.crew.drain()
    assert (hands.sent, hands.returned) == (0, 20)
    assert hands.fresh.room(DESTINATION.id, MOST) == takes
    hands.done.set()
    hands.fresh.take(claimed(1))
    await hands.crew.drain()
    assert hands.sent == 1

"""Brings events to their destinations: claim what is due, hand it to the sender, record the attempt.

Deliveries are claimed per destination, never more than its sender may have in flight, so that a slow one holds up
only itself.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver import delivery_policy, timing
from receiver.clock import Clock
from receiver.crew import Crew
from receiver.domain import MINUTE, SECOND, Attempt, Destination, Ms
from receiver.ids import new_id
from receiver.senders.base import Sender, Sent
from receiver.store.protocol import Parcel, Storage, Store
from receiver.telemetry import log


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """The lease on a claimed delivery, which must outlast the longest attempt, and how many are under way in all."""

    lease_s: float = 30.0
    in_flight: int = 400


class Courier:
    """`run_once` claims what is due and starts sending; `crew` knows what is under way."""

    def __init__(
        self,
        *,
        storage: Storage,
        senders: Mapping[str, Sender],
        clock: Clock,
        limits: DeliveryLimits | None = None,
    ) -> None:
        self._storage = storage
        self._senders = senders
        self._clock = clock
        self._limits = limits or DeliveryLimits()
        self.wake = asyncio.Event()
        self.crew = Crew(self.wake.set)

    async def run_once(self) -> float:
        """Start what is due; the seconds until something is."""
        owed = await self._storage.read(lambda store: store.owed_destinations())
        now = self._clock.now()
        shares = self._shares([each.destination for each in owed if each.next_due_at <= now])
        if shares:
            for destination, parcels in await self._storage.write(lambda store: self._claim(store, shares)):
                self._start(destination, parcels)
        waiting = [each.next_due_at for each in owed if self._free(each.destination) > 0]
        return timing.seconds_until(waiting, self._clock.now()) if self._left() > 0 else MINUTE / SECOND

    def _left(self) -> int:
        return self._limits.in_flight - self.crew.total

    def _free(self, destination: Destination) -> int:
        """How many more parcels a destination takes, as far as it goes."""
        sender = self._senders[destination.type]
        under_way = self.crew.count(destination.id)
        return sender.batch * (1 - min(under_way, 1)) if sender.batch > 1 else destination.max_in_flight - under_way

    def _shares(self, ready: list[Destination]) -> list[tuple[Destination, int]]:
        """How many parcels each may be given now: what all of them have under way is bounded, and shared fairly.

        A destination that holds its share while it hangs leaves the rest to others. Who comes first is left to chance.
        """
        busy = self.crew.keys() | {destination.id for destination in ready}
        share = max(self._limits.in_flight // (len(busy) + 1), 1)
        random.shuffle(ready)
        shares, left = [], self._left()
        for destination in ready:
            most = min(self._free(destination), left)
            if self._senders[destination.type].batch == 1:
                most = min(most, share - self.crew.count(destination.id))
            if most > 0:
                shares.append((destination, most))
                left -= most if self._senders[destination.type].batch == 1 else 1
        return shares

    def _claim(
        self, store: Store, shares: Sequence[tuple[Destination, int]]
    ) -> list[tuple[Destination, Sequence[Parcel]]]:
        now = self._clock.now()
        until = now + round(self._limits.lease_s * 1000)
        return [
            (
                destination,
                store.claim_deliveries(destination.id, owner=new_id("own", now), now=now, until=until, limit=most),
            )
            for destination, most in shares
        ]

    def _start(self, destination: Destination, parcels: Sequence[Parcel]) -> None:
        step = self._senders[destination.type].batch
        for first in range(0, len(parcels), step):
            self.crew.start(destination.id, self._send(destination, parcels[first : first + step]))

    async def _send(self, destination: Destination, parcels: Sequence[Parcel]) -> None:
        longest_s = self._senders[destination.type].longest_attempt_s
        if self._clock.now() + round(longest_s * 1000) > (parcels[0].delivery.due_at or 0):
            await self._storage.write(lambda store: _release(store, parcels, self._clock.now()))
            return
        outcomes = await self._outcomes(destination, parcels)
        now = self._clock.now()
        await self._storage.write(lambda store: _settle(store, parcels, outcomes, now))
        for parcel, sent in zip(parcels, outcomes, strict=True):
            log.info(
                "delivery.attempted",
                delivery_id=parcel.delivery.id,
                event_id=parcel.delivery.event_id,
                destination_id=destination.id,
                number=sent.attempt.number,
                status=sent.attempt.status,
                error=sent.attempt.error,
                ms=sent.attempt.duration_ms,
            )

    async def _outcomes(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Sent]:
        at = self._clock.now()
        try:
            return await self._senders[destination.type].send(destination, parcels)
        except Exception as error:  # noqa: BLE001 - whatever one event does to its sender, it ends as its attempt
            log.error("sender.failed", destination_id=destination.id, error=repr(error), exc_info=error)
            failed = f"an error of ours: {type(error).__name__}"
            return [
                Sent(attempt=Attempt(number=parcel.delivery.attempts, at=at, duration_ms=0, error=failed))
                for parcel in parcels
            ]


def _release(store: Store, parcels: Sequence[Parcel], now: Ms) -> None:
    """Give back what we came too late to: its lease might end under the attempt, and somebody else begin one."""
    for parcel in parcels:
        store.release_delivery(parcel.delivery.id, owner=parcel.delivery.owner or "", now=now)


def _settle(store: Store, parcels: Sequence[Parcel], outcomes: Sequence[Sent], now: Ms) -> None:
    for parcel, sent in zip(parcels, outcomes, strict=True):
        following = delivery_policy.next_delivery(
            parcel.delivery,
            sent.attempt,
            retry_after_s=sent.retry_after_s,
            now=now,
            spread=random.random(),  # noqa: S311 - jitter
        )
        store.settle_delivery(
            parcel.delivery.id,
            sent.attempt,
            owner=parcel.delivery.owner or "",
            state=following.state,
            due_at=following.due_at,
        )

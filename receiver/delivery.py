"""Brings events to their destinations: claim what is due, hand it to the sender, record the attempt.

Deliveries are claimed per destination, never more than it may have in flight, than its rate leaves, or than its fair
share, so that a slow one holds up only itself. The queue of one that fails is held, but for a probe.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from receiver import breaker_policy, claims, outcomes, timing, turns
from receiver.blocked import Blocked
from receiver.claims import Claimed, Grant, Grants, Rules
from receiver.clock import Clock
from receiver.copying import replace
from receiver.counts import KindCounts
from receiver.crew import Crew
from receiver.domain import Attempt, Destination, Ms
from receiver.fair_shares import Manner, Wish, fair_shares
from receiver.fresh import Fresh
from receiver.hand_off import HandOff
from receiver.paces import Paces
from receiver.reporting import report
from receiver.senders.base import Sender, Sent, a_ping
from receiver.store.protocol import Storage, Store
from receiver.store.records import Handed, Parcel, Queue
from receiver.suspicion import FIRST_PAUSE_S
from receiver.telemetry import log
from receiver.traces import NO_TRACES, Traces
from receiver.turns import Did

BRIEF = 64  # deliveries claimed; more hold up the event loop
# How many destinations are claimed for in one round, and of those in one transaction.
MOST_CLAIMS, CLAIMED_AT_ONCE = 50, 8
MOST_IN_TURN, IN_TURN_AT_ONCE = 8, 2
BREATHER_S, CROWDED_BREATHER_S = 0.002, 0.008
# A round, and a commit, is a wait for everybody: those who keep us waiting share theirs, and in a crowd those who fail.
SLOW_ROUNDS_S, CROWD = 0.25, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """How long one webhook may take in all, the lease that must outlast it, and how many attempts run at once.

    `suspect_pause_s` is how long one waits at first that may have killed its process.
    """

    deadline_s: float = 15.0
    lease_s: float = 30.0
    in_flight: int = 400
    suspect_pause_s: float = FIRST_PAUSE_S


class Courier:
    """`run_once` claims what is due and starts sending; `crew` knows what is under way."""

    def __init__(
        self,
        *,
        storage: Storage,
        senders: Mapping[str, Sender],
        clock: Clock,
        limits: DeliveryLimits | None = None,
        hand_off: HandOff | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._storage, self._senders, self._clock = storage, senders, clock
        self._limits, self._paces, self._traces = limits or DeliveryLimits(), Paces(), traces
        self.blocked, self.counts = Blocked(senders), {kind: KindCounts() for kind in senders}
        self._starved = False
        self._waking: asyncio.TimerHandle | None = None
        self._suspect: str | None = None  # the delivery that is under way and may kill us
        self.wake, self.crew = asyncio.Event(), Crew(self._freed)
        self.fresh = Fresh(
            hand_off or HandOff(lease=0, now=0),
            self.crew,
            self._paces,
            clock,
            slots=self._limits.in_flight,
            send=self._send,
            give_back=self._give_back,
        )

    async def run_once(self) -> float:
        """Start what is due; the seconds until something is.

        What is due and must wait for its turn is started when something under way ends, which then wakes the loop.
        """
        queues = await self._storage.read(lambda store: store.queues())
        self.blocked.keep(each.destination_id for each in queues)
        now = self._clock.now()
        queues = [each for each in queues if not self.blocked.waits(each.destination_id, now)]
        grants = self._grants(queues, now)
        claimed = await self._begin(grants.quick, CLAIMED_AT_ONCE)
        claimed += await self._begin(grants.in_turn, IN_TURN_AT_ONCE, in_turn=True)
        next_at = {each.destination.id: each.next_at for each in claimed}
        ready_at = {each.destination_id: next_at.get(each.destination_id, each.ready_at) for each in queues}
        self.fresh.fall_behind({name for name, at in ready_at.items() if at is not None and at <= now})
        if grants.more or any(each.more for each in claimed):
            return 0.0
        begins_at = ((each, self._begins_at(each, ready_at[each.destination_id], now)) for each in queues)
        later = [at for each, at in begins_at if at is not None and at > now and self._wants(each) > 0]
        return timing.seconds_until(later, self._clock.now())

    async def begin_first(self, owed: Mapping[str, int]) -> None:
        """Begin so many of the freshest for each of these destinations, but for those that fail."""
        queues = await self._storage.read(lambda store: store.queues())
        now = self._clock.now()
        queues = [
            each
            for each in queues
            if each.destination_id in owed and not each.failures and not self.blocked.waits(each.destination_id, now)
        ]
        grants = self._grants(queues, now)
        for chosen in (grants.quick, grants.in_turn):
            most = [(grant, min(grant.most, owed[grant.destination_id])) for grant in chosen]
            await self._begin([replace(grant, most=count, freshest=count) for grant, count in most], CLAIMED_AT_ONCE)

    def put_back(self) -> None:
        """Let others begin what waits here for its turn."""
        self.fresh.put_back()

    def look_again(self) -> None:
        """A caller changed something: there may be work, for those that were blocked, too."""
        self.blocked.look_again()
        self.wake.set()

    def _freed(self, destination_id: str) -> None:
        self.fresh.freed(destination_id)
        if self._starved or self.fresh.wants_more(destination_id):
            self._wake_for(destination_id)

    def _wake_for(self, destination_id: str) -> None:
        if not self._can_wait(destination_id, self._clock.now()):
            self.wake.set()
        elif self._waking is None:
            self._waking = asyncio.get_running_loop().call_later(SLOW_ROUNDS_S, self._wake_late)

    def _wake_late(self) -> None:
        self._waking = None
        self.wake.set()

    def _can_wait(self, destination_id: str, now: Ms) -> bool:
        return self._paces.can_wait(destination_id, now, crowded=self._crowded)

    def _in_turn(self, destination_id: str) -> bool:
        return self._paces.in_turn(destination_id, self._clock.now(), crowded=self._crowded)

    @property
    def _crowded(self) -> bool:
        return self.crew.total >= CROWD

    async def ping(self, destination: Destination) -> Attempt:
        """Send one event that is not recorded, now, whatever else is owed or held; the attempt, neither counted."""
        now = self._clock.now()
        return (await self._outcomes(destination, [a_ping(destination, now)], now))[0].attempt

    def _wants(self, queue: Queue) -> int:
        """How many more pieces of work a destination takes: few while it fails, or has not shown that it bears more."""
        most = min(queue.max_in_flight, self._paces.at_once(queue.destination_id))
        if self._senders[queue.type].batch > 1 or queue.probe_at is not None:
            most = 1
        elif queue.failures > 0:
            most = min(most, breaker_policy.tried_at_once(queue.failures))
        elif queue.rate_per_second is None:
            return self.fresh.room(queue.destination_id, most) if self.fresh.hungry(queue.destination_id, most) else 0
        return max(most - self.crew.count(queue.destination_id), 0)

    def _begins_at(self, queue: Queue, ready_at: Ms | None, now: Ms) -> Ms | None:
        """When the next piece may begin, as far as the queue and its rate go."""
        if ready_at is None:
            return None
        return max(ready_at, self._paces.next_at(queue.destination_id, queue.rate_per_second, now))

    def _grants(self, queues: Sequence[Queue], now: Ms) -> Grants:
        """Who may be given how much now."""
        wishes = [self._wish(each, now) for each in queues]
        self._starved = any(wish.wants for wish in wishes)
        if not self._starved:
            return Grants()
        # Of equals, who comes first is left to chance, but for those who will not keep us.
        random.shuffle(wishes)
        wishes.sort(key=lambda wish: wish.manner is not Manner.QUICK)
        elsewhere = self.crew.total - sum(wish.under_way for wish in wishes)
        shares = fair_shares(wishes, self._limits.in_flight - elsewhere)
        self._starved = any(wish.wants > shares.get(wish.destination_id, 0) for wish in wishes)
        by_id = {queue.destination_id: queue for queue in queues}
        waiting = {name for name in shares if self._in_turn(name)}
        quick = [name for name in shares if name not in waiting][:MOST_CLAIMS]
        in_turn = [name for name in shares if name in waiting][:MOST_IN_TURN]
        return Grants(
            quick=[self._grant(by_id[name], shares[name]) for name in quick],
            in_turn=[self._grant(by_id[name], shares[name]) for name in in_turn],
            more=len(quick) + len(in_turn) < len(shares),
        )

    def _wish(self, queue: Queue, now: Ms) -> Wish:
        wants = 0
        if queue.ready_at <= now:
            wants = self._paces.allows(queue.destination_id, queue.rate_per_second, now, self._wants(queue))
        return Wish(
            destination_id=queue.destination_id,
            tenant=queue.tenant,
            manner=self._paces.manner(queue.destination_id, now),
            under_way=self.crew.count(queue.destination_id),
            wants=wants,
        )

    def _grant(self, queue: Queue, share: int) -> Grant:
        """Half of a share is for the freshest, which no backlog shall hold up; a batch is in order."""
        batch = self._senders[queue.type].batch
        if batch > 1:
            return Grant(destination_id=queue.destination_id, most=share * batch)
        return Grant(destination_id=queue.destination_id, most=share, freshest=(share + random.getrandbits(1)) // 2)

    async def _begin(self, grants: Sequence[Grant], at_once: int, *, in_turn: bool = False) -> list[Claimed]:
        """Claim what was granted, and start it, by so many destinations; in between others have their turn.

        Those `in_turn` are started one by one: what begins together ends together, and a crowd makes a wave.
        """
        begun = []
        for first in range(0, len(grants), at_once):
            if first:
                await asyncio.sleep(BREATHER_S)
            bite = grants[first : first + at_once]
            brief = sum(grant.most for grant in bite) <= BRIEF
            claimed = await self._storage.write(partial(self._claim, bite), brief=brief)
            for each in claimed:
                self._start(each)
                if in_turn:
                    await asyncio.sleep(CROWDED_BREATHER_S if self._crowded else BREATHER_S)
            begun += claimed
        return begun

    def _claim(self, grants: Sequence[Grant], store: Store) -> list[Claimed]:
        now = self._clock.now()
        claimed: list[Claimed] = []
        for grant in grants:
            free = self._suspect is None and not any(each.suspect for each in claimed)
            rules = Rules(blocked=self.blocked.holds, free=free, suspect_pause_s=self._limits.suspect_pause_s)
            found = claims.claim(store, grant, rules, now=now, until=now + round(self._limits.lease_s * 1000))
            claimed += [] if found is None else [found]
        return claimed

    def _start(self, claimed: Claimed) -> None:
        if claimed.suspect:
            self._suspect = claimed.parcels[0].delivery.id
        destination, step = claimed.destination, self._senders[claimed.destination.type].batch
        if step == 1 and destination.rate_per_second is None and not claimed.probe:
            in_turn = claims.by_turns(claimed.parcels)
            self.fresh.take(Handed(destination=destination, parcel=parcel) for parcel in in_turn)
            return
        self._paces.spend(destination.id, destination.rate_per_second, self._clock.now(), len(claimed.parcels))
        for first in range(0, len(claimed.parcels), step):
            sending = self._send(destination, claimed.parcels[first : first + step], probe=claimed.probe)
            self.crew.start(destination.id, sending)

    async def _send(self, destination: Destination, parcels: Sequence[Parcel], *, probe: bool = False) -> None:
        try:
            await self._try(destination, parcels, probe=probe)
        finally:
            self._over(parcels)

    def _over(self, parcels: Sequence[Parcel]) -> None:
        if self._suspect is not None and self._suspect in {parcel.delivery.id for parcel in parcels}:
            self._suspect = None

    async def _try(self, destination: Destination, parcels: Sequence[Parcel], *, probe: bool) -> None:
        began_at, sender = self._clock.now(), self._senders[destination.type]
        longest_s = sender.longest_attempt_s
        if began_at + round(longest_s * 1000) > (parcels[0].delivery.due_at or 0) or not turns.may_begin():
            await self._give_back(parcels)
            return
        self._paces.began(destination.id, began_at)
        try:
            sent = await turns.within(self._outcomes(destination, parcels, began_at), longest_s)
        finally:
            now = self._clock.now()
            self._paces.ended(destination.id, began_at, now)
        if sent is None:  # it never had the time that an attempt has
            await self._give_back(parcels)
            return
        turns.did(Did.DELIVERED, delivered := sum([each.attempt.succeeded for each in sent]))
        self._paces.heard(destination.id, well=(done := delivered == len(sent)))
        ended = list(zip(parcels, sent, strict=True))
        settled = await self._storage.write(
            lambda store: outcomes.settle(store, destination, ended, probe=probe, now=now),
            brief=len(ended) == 1,
            ends=True,
            can_wait=self._can_wait(destination.id, now) and not probe,
        )
        report(destination, ended, settled, self.counts[destination.type], self._traces)
        self.fresh.heard(destination, well=done and sender.batch == 1)
        if destination.ordered or settled.turn is not None or not done:
            self._wake_for(destination.id)  # something is due at another time than the loop knows of

    async def _give_back(self, parcels: Sequence[Parcel]) -> None:
        """Let others begin what we came too late to: its lease might end under the attempt."""
        self._over(parcels)
        await self._storage.write(lambda store: _release(store, parcels))
        self.wake.set()

    async def _outcomes(self, destination: Destination, parcels: Sequence[Parcel], at: Ms) -> Sequence[Sent]:
        try:
            return await self._senders[destination.type].send(destination, parcels)
        except Exception as error:  # noqa: BLE001 - whatever one event does to its sender, it ends as its attempt
            log.error("sender.failed", destination_id=destination.id, error=repr(error), exc_info=error)
            failed = f"an error of ours: {type(error).__name__}"
            return [
                Sent(attempt=Attempt(number=parcel.delivery.attempts, at=at, duration_ms=0, error=failed))
                for parcel in parcels
            ]


def _release(store: Store, parcels: Sequence[Parcel]) -> None:
    for parcel in parcels:
        store.release_delivery(parcel.delivery.id, owner=parcel.delivery.owner or "", now=parcel.was_due_at)

"""Claims what is owed to a destination, in one transaction: its share of the queue; of a held queue the probe."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from receiver import breaker_policy, outcomes, suspicion
from receiver.breaker_policy import Breaker
from receiver.copying import replace
from receiver.delivery_policy import Next
from receiver.domain import Attempt, DeliveryState, Destination, Ms
from receiver.ids import new_id
from receiver.store.protocol import Store
from receiver.store.records import Parcel
from receiver.suspicion import SUSPECT_AFTER, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A destination that may be given up to so many parcels now, so many of them the freshest."""

    destination_id: str
    most: int
    freshest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """Who is given something in this round, at once or `in_turn`, and whether there is more for another round."""

    quick: Sequence[Grant] = ()
    in_turn: Sequence[Grant] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who is `blocked` now, whether a suspect may be tried (`free`), and how long one waits at first."""

    blocked: Callable[[Destination, Ms], bool]
    free: bool
    suspect_pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The parcels to send, and when there is more for the same destination, as far as its queue goes (None: never).

    `suspect` is true of one parcel that must be tried while no other suspect is. `more` is true where there may be more
    to claim now: it was not there before, was left for the suspect, or stood behind what was put off.
    """

    destination: Destination
    parcels: Sequence[Parcel]
    probe: bool
    next_at: Ms | None
    suspect: bool
    more: bool


def claim(store: Store, grant: Grant, rules: Rules, *, now: Ms, until: Ms) -> Claimed | None:
    """Lease parcels for one destination, as it is at this moment; None where nothing may be delivered to it now.

    That is so, too, where this process has no part of what all together may have in flight. Those whose attempts are
    never heard of again are suspects: they are tried one at a time, at last they are dead.
    """
    destination = store.deliverable(grant.destination_id, now)
    if destination is None or destination.max_in_flight == 0 or rules.blocked(destination, now):
        return None
    fares, owner = store.breaker(destination.id), new_id("own", now)
    parcels: Sequence[Parcel] = ()
    if not fares.open:
        parcels = store.claim_deliveries(
            destination.id, owner=owner, now=now, until=until, limit=grant.most, freshest=grant.freshest
        )
    elif breaker_policy.probe_due(fares, now):
        parcels = _probe(store, fares, owner=owner, now=now, until=until)
    sorted_out = _sort_out(store, destination, parcels, rules, now)
    if fares.open and sorted_out.put_off_to is not None:  # that was no probe: by another one at once, or a bit later
        passed_over = parcels[0].lapsed
        store.save_breaker(fares if passed_over else replace(fares, probe_at=sorted_out.put_off_to))
    return Claimed(
        destination=destination,
        parcels=sorted_out.parcels,
        probe=fares.open,
        next_at=store.breaker(destination.id).probe_at if fares.open else store.next_due_delivery(destination.id),
        suspect=sorted_out.suspect,
        more=sorted_out.more,
    )


def _probe(store: Store, fares: Breaker, *, owner: str, now: Ms, until: Ms) -> list[Parcel]:
    """One delivery to try a held queue with, another one each time: the oldest may be what cannot be delivered."""
    store.save_breaker(breaker_policy.probing(fares, now))
    freshest = fares.probes % 2 == 1
    parcel = store.claim_probe(fares.destination_id, owner=owner, now=now, until=until, freshest=freshest)
    return [parcel] if parcel else []


@dataclass(frozen=True, slots=True, kw_only=True)
class _SortedOut:
    """What is left to send of what was claimed, and when the last of those is due again that were put off."""

    parcels: Sequence[Parcel]
    suspect: bool
    more: bool
    put_off_to: Ms | None


def _sort_out(store: Store, destination: Destination, parcels: Sequence[Parcel], rules: Rules, now: Ms) -> _SortedOut:
    """Put off, give up or single out what may have killed its process; a suspect goes without the others."""
    sound: list[Parcel] = []
    suspect, put_off_to, given_up = None, None, False
    for parcel in parcels:
        lost = store.unended_attempts(parcel.delivery) if parcel.delivery.attempts > SUSPECT_AFTER else 0
        match suspicion.judge(lost, just_lost=parcel.lapsed, free=rules.free and suspect is None):
            case Verdict.TRY:
                sound.append(parcel)
            case Verdict.ALONE:
                suspect = parcel
            case Verdict.OFF:
                put_off_to = now + round(1000 * _pause_s(parcel, lost, rules))
                _release(store, parcel, put_off_to)
            case Verdict.DEAD:
                given_up = True
                _give_up(store, destination, parcel, now)
    if suspect is not None:
        for parcel in sound:
            _release(store, parcel, parcel.was_due_at)
    return _SortedOut(
        parcels=sound if suspect is None else [suspect],
        suspect=suspect is not None,
        more=given_up or put_off_to is not None or (suspect is not None and bool(sound)),
        put_off_to=put_off_to,
    )


def _pause_s(parcel: Parcel, lost: int, rules: Rules) -> float:
    spread = random.random()  # noqa: S311 - jitter
    return suspicion.pause_s(lost, just_lost=parcel.lapsed, spread=spread, first_s=rules.suspect_pause_s)


def _release(store: Store, parcel: Parcel, due_at: Ms) -> None:
    store.release_delivery(parcel.delivery.id, owner=parcel.delivery.owner or "", now=due_at)


def _give_up(store: Store, destination: Destination, parcel: Parcel, now: Ms) -> None:
    delivery = parcel.delivery
    error = f"given up: {suspicion.GIVEN_UP_AFTER} attempts in a row were begun, and never heard of again"
    attempt = Attempt(number=delivery.attempts, at=now, duration_ms=0, error=error)
    outcomes.end(store, destination, delivery, attempt, Next(state=DeliveryState.DEAD, tries=delivery.tries), now)


def by_turns(parcels: Sequence[Parcel]) -> list[Parcel]:
    """One of the oldest and one of the freshest in turn."""
    oldest_first = sorted(parcels, key=lambda parcel: parcel.was_due_at)
    half = (len(parcels) + 1) // 2
    pairs = zip_longest(oldest_first[:half], reversed(oldest_first[half:]))
    return [parcel for pair in pairs for parcel in pair if parcel is not None]

"""Claims what is owed to a destination, in one transaction: its share of the queue; of a held queue the probe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from receiver import breaker_policy, outcomes
from receiver.breaker_policy import Breaker
from receiver.delivery_policy import Next
from receiver.domain import Attempt, DeliveryState, Destination, Ms
from receiver.ids import new_id
from receiver.store.protocol import Store
from receiver.store.records import Parcel

MOST_LOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A destination that may be given up to so many parcels now, so many of them the freshest."""

    destination_id: str
    most: int
    freshest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The parcels to send, and when there is more for the same destination, as far as its queue goes (None: never).

    `told` is true where operators are owed something now that was not there before.
    """

    destination: Destination
    parcels: Sequence[Parcel]
    probe: bool
    next_at: Ms | None
    told: bool


def claim(
    store: Store, grant: Grant, *, now: Ms, until: Ms, blocked: Callable[[Destination, Ms], bool]
) -> Claimed | None:
    """Lease parcels for one destination, as it is at this moment; None where nothing may be delivered to it now.

    Those whose attempts are never heard of again are dead, and left out.
    """
    destination = store.deliverable(grant.destination_id, now)
    if destination is None or blocked(destination, now):
        return None
    fares, owner = store.breaker(destination.id), new_id("own", now)
    parcels: Sequence[Parcel] = ()
    if not fares.open:
        parcels = store.claim_deliveries(
            destination.id, owner=owner, now=now, until=until, limit=grant.most, freshest=grant.freshest
        )
    elif breaker_policy.probe_due(fares, now):
        parcels = _probe(store, fares, owner=owner, now=now, until=until)
    sound = _sound(store, destination, parcels, now)
    return Claimed(
        destination=destination,
        parcels=sound,
        probe=fares.open,
        next_at=store.breaker(destination.id).probe_at if fares.open else store.next_due_delivery(destination.id),
        told=len(sound) < len(parcels),
    )


def _probe(store: Store, fares: Breaker, *, owner: str, now: Ms, until: Ms) -> list[Parcel]:
    """One delivery to try a held queue with, another one each time: the oldest may be what cannot be delivered."""
    store.save_breaker(breaker_policy.probing(fares, now))
    freshest = fares.probes % 2 == 1
    parcel = store.claim_probe(fares.destination_id, owner=owner, now=now, until=until, freshest=freshest)
    return [parcel] if parcel else []


def _sound(store: Store, destination: Destination, parcels: Sequence[Parcel], now: Ms) -> list[Parcel]:
    """The parcels but those that ten attempts in a row did not survive."""
    sound = []
    for parcel in parcels:
        delivery = parcel.delivery
        if delivery.attempts > MOST_LOST and store.unended_attempts(delivery) >= MOST_LOST:
            error = f"given up: {MOST_LOST} attempts in a row were begun, and never heard of again"
            attempt = Attempt(number=delivery.attempts, at=now, duration_ms=0, error=error)
            dead = Next(state=DeliveryState.DEAD, tries=delivery.tries)
            outcomes.end(store, destination, delivery, attempt, dead, now)
        else:
            sound.append(parcel)
    return sound


def by_turns(parcels: Sequence[Parcel]) -> list[Parcel]:
    """One of the oldest and one of the freshest in turn."""
    oldest_first = sorted(parcels, key=lambda parcel: parcel.was_due_at)
    half = (len(parcels) + 1) // 2
    pairs = zip_longest(oldest_first[:half], reversed(oldest_first[half:]))
    return [parcel for pair in pairs for parcel in pair if parcel is not None]

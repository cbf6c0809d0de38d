"""Claims what is owed to a destination, in one transaction: its share of the queue; of a held queue the probe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver import breaker, breaker_policy, outcomes
from receiver.delivery_policy import Next
from receiver.domain import Attempt, DeliveryState, Destination, Ms
from receiver.ids import new_id
from receiver.store.protocol import Store
from receiver.store.records import Parcel

MOST_LOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A destination that may be given up to so many parcels now, so many of them the freshest."""

    destination: Destination
    most: int
    freshest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The parcels to send, and when there is more for the same destination, as far as its queue goes (None: never).

    `again` is true where what was read before is out of date: the destination changed, or others are owed something.
    """

    destination: Destination
    parcels: Sequence[Parcel] = ()
    probe: bool = False
    next_at: Ms | None = None
    again: bool = False


def claim(store: Store, grant: Grant, *, now: Ms, until: Ms) -> Claimed:
    """Lease parcels for one destination; those whose attempts are never heard of again are dead, and left out."""
    destination = grant.destination
    kept = breaker.current(store, destination)
    if kept is None or not kept.enabled or not _same(destination, kept):
        return Claimed(destination=destination, again=True)
    fares, owner = store.breaker(destination.id), new_id("own", now)
    if not fares.open:
        parcels = store.claim_deliveries(
            destination.id, owner=owner, now=now, until=until, limit=grant.most, freshest=grant.freshest
        )
        sound = _sound(store, kept, parcels, now)
        next_at, again = store.next_due_delivery(destination.id), len(sound) < len(parcels)
        return Claimed(destination=destination, parcels=sound, next_at=next_at, again=again)
    if not breaker_policy.probe_due(fares, now):
        return Claimed(destination=destination, next_at=fares.probe_at)
    probing = breaker_policy.probing(fares, now)
    store.save_breaker(probing)
    # Another one each time: the oldest may be the one that cannot be delivered.
    parcel = store.claim_probe(destination.id, owner=owner, now=now, until=until, freshest=fares.probes % 2 == 1)
    sound = _sound(store, kept, [parcel] if parcel else [], now)
    again = parcel is not None and not sound
    return Claimed(destination=destination, parcels=sound, probe=True, next_at=probing.probe_at, again=again)


def _same(read: Destination, kept: Destination) -> bool:
    """Whether a destination is kept as it was read; a hidden one signs with its tenant's secret."""
    secret = kept.sealed_secret if kept.hidden else read.sealed_secret
    return replace(read, sealed_secret=secret, retired=kept.retired) == kept


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

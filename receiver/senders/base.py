"""What a sender is: it gets parcels to one destination, and tells of each what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from receiver import formats, json_text
from receiver.copying import replace
from receiver.domain import Attempt, Destination, Ms
from receiver.ids import new_id
from receiver.operators import of_no_task
from receiver.store.records import Parcel

PING_SEQ = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One attempt and, where the consumer asked for it, how long to leave it alone."""

    attempt: Attempt
    retry_after_s: float | None = None


class Sender(Protocol):
    """One kind of destination. `batch` is how many parcels it takes at once, `longest_attempt_s` its own deadline."""

    batch: int
    longest_attempt_s: float

    def blocked_reason(self, destination: Destination) -> str | None:
        """Why nothing can be sent there now for a fault of ours, and the remedy; None where it can."""

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Sent]:
        """Try each parcel once; an outcome is a value, for every parcel, in order. Raises nothing of the network.

        A parcel of `PING_SEQ` is a ping, recorded nowhere: it is sent like any other, and a log, which keeps what is
        recorded, only makes sure that it could be written.
        """


def a_ping(destination: Destination, now: Ms) -> Parcel:
    """An event that is not recorded, to try a destination with."""
    event_id = new_id("evt", now)
    delivery = replace(of_no_task(destination, event_id, now), attempts=1)
    data = {"destination_id": destination.id}
    body = {"id": event_id, "type": "ping", "timestamp": formats.timestamp(now), "data": data}
    return Parcel(delivery=delivery, seq=PING_SEQ, body=json_text.write(body), input=None, was_due_at=now)

"""A webhook sender over real sockets, and what it needs to send."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from receiver.clock import Clock
from receiver.domain import Destination, Ms, RetiredSecret
from receiver.guard import Guard
from receiver.outbound import Outbound
from receiver.rendering import Rendered
from receiver.sealing import Seal
from receiver.senders.base import Sent
from receiver.senders.webhook import WebhookSender
from receiver.store.records import Parcel
from tests.make import NOW, StoppedClock, a_delivery, a_destination
from tests.rendered.samples import body_of

SEAL = Seal(["k" * 32])
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@asynccontextmanager
async def a_sender(clock: Clock | None = None, *, deadline_s: float = 5.0) -> AsyncIterator[WebhookSender]:
    """Loopback is open to it."""
    async with Outbound(Guard("loopback")) as outbound:
        yield WebhookSender(outbound, SEAL, clock or StoppedClock(), as_callback=as_callback, deadline_s=deadline_s)


async def as_callback(destination: Destination, parcel: Parcel) -> Rendered:
    """In place of a provider's own callback."""
    return Rendered(headers={"content-type": "application/json"}, body=parcel.delivery.event_id.encode())


def a_target(
    url: str,
    *,
    secret: str = SECRET,
    headers: Mapping[str, str] | None = None,
    retired: Sequence[tuple[str, Ms]] = (),
    **fields: Any,
) -> Destination:
    """A destination with its secrets and the values of its headers sealed, as it is kept."""
    values = {
        "target": url,
        "sealed_secret": SEAL.seal(secret, row="dst_1"),
        "headers": {name: SEAL.seal(value, row="dst_1") for name, value in (headers or {}).items()},
        "retired": tuple(RetiredSecret(sealed=SEAL.seal(old, row="dst_1"), until=until) for old, until in retired),
    }
    return a_destination(**values | fields)


def a_parcel(body: str | None = None, *, event_id: str = "evt_1", **fields: Any) -> Parcel:
    """A claimed delivery of an event with this text; a small one where none is given."""
    delivery = a_delivery(event_id=event_id, attempts=3)
    return Parcel(
        **{"delivery": delivery, "seq": 1, "body": body or body_of("ping"), "input": None, "was_due_at": NOW} | fields
    )


async def sent(sender: WebhookSender, destination: Destination, parcel: Parcel | None = None) -> Sent:
    """Send one parcel; what became of it."""
    [outcome] = await sender.send(destination, [parcel or a_parcel()])
    return outcome


def headers_of(head: bytes) -> dict[str, str]:
    """The headers of a request as they stood on the wire, names in small letters; none of them stands twice."""
    lines = [line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:] if line]
    headers = {name.lower(): value for name, value in lines}
    assert len(headers) == len(lines)
    return headers

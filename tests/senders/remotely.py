"""Senders to servers that speak no HTTP, over real sockets, and what they need to send."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from receiver import formats, json_text
from receiver.domain import Attempt, Destination, EventType, Format
from receiver.guard import Guard
from receiver.names import LookUp, look_up
from receiver.rendering import Rendered, rendered
from receiver.senders.kinds import KINDS
from receiver.senders.remote import RemoteSender
from receiver.store.records import Parcel
from receiver.streams import Streams
from receiver.targets import read_target
from tests.make import NOW, StoppedClock, a_delivery, a_destination, a_task, an_event
from tests.senders.sending import SEAL
from tests.senders.servers import Got, Server


@asynccontextmanager
async def a_remote(
    kind: str, *, allowed: str = "loopback", deadline_s: float = 10.0, look_up: LookUp = look_up, **fields: float
) -> AsyncIterator[RemoteSender]:
    """A sender of one kind; it and its connections are gone afterwards, as when a server stops."""
    streams = Streams(Guard(allowed), look_up=look_up)
    sender = RemoteSender(KINDS[kind], streams, SEAL, StoppedClock(), deadline_s=deadline_s, **fields)
    try:
        yield sender
    finally:
        await sender.close()
        streams.close()


def a_place(kind: str, url: str, *, id: str = "dst_1", **fields: Any) -> Destination:
    """A destination of one kind as it is kept: its URL sealed, and shown without who logs in."""
    shown = read_target(url, KINDS[kind].load().shape).shown
    return a_destination(id=id, type=kind, target=shown, sealed_secret=SEAL.seal(url, row=id), **fields)


def an_owed(
    seq: int = 1, *, delivery: str = "", prompt: str = "a red panda", type: EventType = EventType.SUBMITTED, **task: Any
) -> Parcel:
    """An event of seq, owed once."""
    event = an_event(seq, type=type, task=a_task(**task))
    owed = a_delivery(id=delivery or f"dlv_{seq}", event_id=event.id, attempts=1)
    body, text = json_text.write(formats.envelope(event)), json_text.write({"prompt": prompt})
    return Parcel(delivery=owed, seq=seq, body=body, input=json_text.Unread(text), was_due_at=NOW)


async def attempts(sender: RemoteSender, place: Destination, *parcels: Parcel) -> list[Attempt]:
    """What became of each."""
    return [each.attempt for each in await sender.send(place, parcels or [an_owed()])]


async def error_of(sender: RemoteSender, place: Destination, *parcels: Parcel) -> str:
    """Why none of them arrived: the same for all."""
    [error] = {each.error for each in await attempts(sender, place, *parcels)}
    assert error is not None
    return error


async def arrives(sender: RemoteSender, place: Destination, *parcels: Parcel) -> list[str]:
    """All of them do; what was told of each."""
    made = await attempts(sender, place, *parcels)
    assert [each.error for each in made] == [None] * len(made)
    return [each.response for each in made]


def ids(got: Sequence[Any]) -> list[str]:
    return [each["id"] for each in got]


def at(address: str) -> Callable[[str, int], list[tuple[Any, ...]]]:
    """Every name is there."""
    return lambda _, port: [(0, 0, 0, "", (address, port))]


async def arrives_rendered(server: Server, format: Format) -> tuple[Got, Rendered]:
    """What is there of an event that was sent in a format, and the webhook that it would have been."""
    parcel = an_owed(7, prompt="a red panda")
    async with a_remote(server.kind) as sender:
        await arrives(sender, a_place(server.kind, server.url(), format=format), parcel)
    [got] = await server.got()
    prompt = formats.prompt_of(parcel.input) if format is Format.FLAT else None
    return got, rendered(format, parcel.body, seq=7, prompt=prompt)

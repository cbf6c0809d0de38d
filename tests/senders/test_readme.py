"""The example in `receiver/senders/README.md` is a sender that works."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from receiver.guard import Guard
from receiver.senders.remote import Registered, RemoteSender
from receiver.streams import Streams
from receiver.targets import read_target
from tests.make import StoppedClock, a_destination
from tests.raw_servers import RawServer, raw_server
from tests.senders import example_client
from tests.senders.remotely import an_owed, attempts
from tests.senders.sending import SEAL

pytestmark = pytest.mark.anyio

README = Path(__file__).parent.parent.parent / "receiver" / "senders" / "README.md"


async def queue(_: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lets one user in, takes every event but the second, and knows those that it has."""
    places: dict[str, int] = {}
    writer.write(b"welcome\n" if await reader.readline() == b"weaver pass-of-weaver\n" else b"go\n")
    while line := (await reader.readline()).decode():
        key = line.split()[1]
        place = places.setdefault(key, len(places) + 1)
        writer.write(b"no room\n" if key == "evt_2" else f"{place}\n".encode())


async def test_the_example_sends() -> None:
    """As it stands there, over a library that is only as large as it needs: repeats, refusals, logins."""
    [code] = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"example_client": example_client}
    exec(code.replace("import example_client\n", ""), names)
    kind = Registered(type="example", library="tests.senders.example_client", load=lambda: names["KIND"])
    streams = Streams(Guard("loopback"))
    sender = RemoteSender(kind, streams, SEAL, StoppedClock())
    async with raw_server(queue) as server:
        address = server.url("").removeprefix("http://").rstrip("/")
        sent = []
        for user in ("weaver", "stranger"):
            url = f"example://{user}:pass-of-weaver@{address}/films"
            shown = read_target(url, names["KIND"].shape).shown
            place = a_destination(type="example", target=shown, sealed_secret=SEAL.seal(url, row="dst_1"))
            sent.append(await attempts(sender, place, *(an_owed(seq) for seq in (1, 2, 3, 1))))
        await sender.close()
        streams.close()
    assert [(each.error, each.response) for each in sent[0]] == [
        (None, "place 1"),
        ("the queue refused it: no room", ""),
        (None, "place 3"),
        (None, "place 1"),
    ]
    assert {each.error for each in sent[1]} == {"Example let nobody in: nobody of that name"}

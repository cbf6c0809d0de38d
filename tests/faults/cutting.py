"""A provider that takes every submit and answers as its prompt says: well, not at all, or cut off."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.raw_servers import RawServer, answer, raw_server, reset
from tests.service.world import created, record

WELL = "well"
QUICK_CUTS = ("half head", "half body", "reset", "500", "closed after the head")
SLOW_CUTS = ("never", "half, then never")
_SLOW_EVERY = 100


def cut_of(number: int) -> str:
    """How submit `number` is answered: every fifth well, and few of the cuts wait for the time limit."""
    if number % 5 == 0:
        return WELL
    if number % _SLOW_EVERY == 1:
        return SLOW_CUTS[number // _SLOW_EVERY % len(SLOW_CUTS)]
    return QUICK_CUTS[number % len(QUICK_CUTS) if number % 2 else number // 2 % len(QUICK_CUTS)]


@dataclass
class Cutter:
    """What was asked of it: `creates` in order, and the callback path of each prompt."""

    seen: RawServer = field(default_factory=RawServer)
    creates: list[str] = field(default_factory=list)
    callbacks: dict[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return self.seen.url("").rstrip("/")

    async def serve(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; it stays open while the answers on it are whole."""
        while True:
            head, body = await server.read(reader)
            polled = re.match(rb"GET \S+\?taskId=(\S+)", head)
            if polled:
                writer.write(whole(*record("success", polled[1].decode())))
            elif not await self._create(json.loads(body), writer):
                return
            await writer.drain()

    async def _create(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        prompt = asked["input"]["prompt"]
        self.creates.append(prompt)
        self.callbacks[prompt] = asked["callBackUrl"]
        how = prompt.partition(" #")[0]
        good = whole(*created(provider_id(prompt)))
        head, _, rest = good.partition(b"\r\n\r\n")
        match how:
            case "well":
                writer.write(good)
                return True
            case "never":
                await asyncio.Event().wait()
            case "half, then never":
                writer.write(head + b"\r\n\r\n" + rest[: len(rest) // 2])
                await asyncio.Event().wait()
            case "half head":
                writer.write(head[: len(head) // 2])
            case "half body":
                writer.write(head + b"\r\n\r\n" + rest[: len(rest) // 2])
            case "closed after the head":
                writer.write(head + b"\r\n\r\n")
            case "500":
                writer.write(whole(500, {"code": 500, "msg": "internal error"}))
            case "reset":
                reset(writer)
                return False
            case _:
                raise AssertionError(f"no such cut: {how}")
        await writer.drain()
        return False


def provider_id(prompt: str) -> str:
    """The id under which a prompt is known to the provider."""
    return "p" + prompt.partition("#")[2]


def whole(status: int, body: Any) -> bytes:
    return answer(json.dumps(body).encode(), status=f"{status} X", headers="Content-Type: application/json\r\n")


@asynccontextmanager
async def a_cutter() -> AsyncIterator[Cutter]:
    """Such a provider on a free loopback port."""
    cutter = Cutter()
    async with raw_server(cutter.serve) as seen:
        cutter.seen = seen
        yield cutter

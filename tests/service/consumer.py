"""A user's webhook endpoint, as a user would write it: it checks signatures with the official package."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from tests.raw_servers import RawServer, raw_server


@dataclass
class Consumer:
    """What arrived, in order; `answers` are statuses (or `hang`, `close`) to give, the last one for ever."""

    url: str = ""
    answers: deque[Any] = field(default_factory=lambda: deque([204]))
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers in self.headers]

    def verify(self, secret: str) -> None:
        """Raise unless every single request verifies; times are the test's, so only the digest is compared."""
        for headers, body in zip(self.headers, self.bodies, strict=True):
            at = int(headers["webhook-timestamp"])
            webhook = Webhook(secret)
            expected = webhook.sign(headers["webhook-id"], datetime.fromtimestamp(at, UTC), body.decode())
            assert expected in headers["webhook-signature"].split(" ")

    async def serve(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await server.read(reader)
            lines = head.decode().split("\r\n")[1:]
            pairs = (line.split(": ", 1) for line in lines if line)
            self.headers.append({name.lower(): value for name, value in pairs})
            self.bodies.append(body)
            answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
            if answer == "hang":
                await asyncio.Event().wait()
            if answer == "close":
                return
            status, extra, text = answer if isinstance(answer, tuple) else (answer, "", "ok")
            if status == 204:
                text = ""
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\n{extra}\r\n{text}".encode())
            await writer.drain()


@asynccontextmanager
async def a_consumer(*answers: Any) -> AsyncIterator[Consumer]:
    """An endpoint on a free loopback port."""
    consumer = Consumer()
    if answers:
        consumer.answers = deque(answers)
    async with raw_server(consumer.serve) as server:
        consumer.url = server.url("/hook")
        yield consumer


@dataclass
class Gated:
    """An endpoint that answers each request when it is told to, and what; `ids` are those that arrived so far."""

    url: str = ""
    ids: list[str] = field(default_factory=list)
    gates: list["asyncio.Future[int]"] = field(default_factory=list)

    async def serve(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await server.read(reader)
            gate = asyncio.get_running_loop().create_future()
            self.ids += [line[len("webhook-id: ") :] for line in head.decode().split("\r\n") if "webhook-id: " in line]
            self.gates.append(gate)
            writer.write(f"HTTP/1.1 {await gate} X\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()

    async def arrived(self, count: int) -> None:
        """Wait until so many requests are there."""
        for _ in range(2000):
            if len(self.gates) >= count:
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"{len(self.gates)} of {count} requests arrived")

    def answer(self, status: int) -> None:
        """Answer all that wait."""
        for gate in self.gates:
            if not gate.done():
                gate.set_result(status)


@asynccontextmanager
async def a_gated_consumer() -> AsyncIterator[Gated]:
    """An endpoint on a free loopback port that holds every request back."""
    consumer = Gated()
    async with raw_server(consumer.serve) as server:
        consumer.url = server.url("/hook")
        yield consumer

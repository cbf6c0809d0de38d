"""A user's webhook endpoint in a thread of its own: it verifies what comes, and remembers every event."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from standardwebhooks import Webhook

from tests.raw_servers import RawServer, raw_server_beside

SECRET = "whsec_" + "c2VjcmV0" * 4


class Inbox:
    """Verified events by id, the moments at which each came, and what did not verify or changed between two tries."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._webhook = Webhook(SECRET)
        self.bodies: dict[str, bytes] = {}
        self.came: dict[str, list[float]] = {}
        self.wrong: list[str] = []

    def take(self, headers: dict[str, str], body: bytes) -> None:
        event_id = headers["webhook-id"]
        with self._lock:
            self.came.setdefault(event_id, []).append(time.monotonic())
            self._lock.notify_all()
            try:
                event: Any = self._webhook.verify(body, headers)
            except Exception as error:  # noqa: BLE001 - the package raises whatever it likes; all of it means no
                self.wrong.append(f"{event_id} does not verify: {error!r}")
                return
            if event["id"] != event_id or self.bodies.setdefault(event_id, body) != body:
                self.wrong.append(f"{event_id} changed between two tries")

    def wait_for_more(self, within_s: float) -> None:
        """Return when the next event comes, or after so long."""
        with self._lock:
            self._lock.wait(within_s)

    def moments(self) -> dict[str, list[float]]:
        """When each event came, every time."""
        with self._lock:
            return {event_id: list(moments) for event_id, moments in self.came.items()}

    def events(self) -> dict[str, Any]:
        with self._lock:
            return {event_id: json.loads(body) for event_id, body in self.bodies.items()}


@contextmanager
def an_inbox(*, answers_after_s: float = 0) -> Iterator[tuple[Inbox, str]]:
    """The endpoint and its URL; it is as far away as `answers_after_s`."""
    inbox = Inbox()

    async def answer(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await server.read(reader)
            lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
            inbox.take({name.lower(): value for name, _, value in lines}, body)
            await asyncio.sleep(answers_after_s)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()

    with raw_server_beside(answer) as (server, _):
        yield inbox, server.url("/hook")

"""The webhooks' end: counts what arrives, checks every signature, tells how long each was on its way."""

import asyncio
import base64
import hmac
import re
from contextlib import suppress
from time import perf_counter

from receiver.signing import secret_bytes
from tests.bench.wire import answer

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
_HEADER = re.compile(rb"\r\nwebhook-(id|timestamp|signature): *([^\r]+)", re.IGNORECASE)
_TASK = re.compile(rb'"id":"(task_[0-9a-z]+)"')
_OK = answer(b"ok")


class Sink:
    """`answering` is what `wire.serving` needs. Times are of `time.perf_counter`.

    `began_at` is when what led to a task's event was sent, by the task's id; `took` how long until its webhook came.
    """

    def __init__(self) -> None:
        self._key = secret_bytes(SECRET)
        self._known: set[int] = set()
        self._wanted: int | None = None
        self._enough = asyncio.Event()
        self.count = self.again = self.forged = 0
        self.began_at: dict[bytes, float] = {}
        self.took: list[float] = []

    async def wait_for(self, count: int, *, within_s: float) -> None:
        """Return once so many webhooks came in all; after that time, whatever came."""
        self._wanted = count
        if self.count < count:
            self._enough.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), within_s)

    def answering(self, head: bytes, body: bytes) -> bytes:
        now = perf_counter()
        told = {name.lower(): value for name, value in _HEADER.findall(head)}
        content = b"%s.%s.%s" % (told.get(b"id", b""), told.get(b"timestamp", b""), body)
        signature = b"v1," + base64.b64encode(hmac.digest(self._key, content, "sha256"))
        self.forged += told.get(b"signature") != signature
        event = hash((told.get(b"id"), head[: head.find(b"\r")]))  # its line names the destination
        self.again += event in self._known
        self._known.add(event)
        if self.began_at:
            task = _TASK.search(body)
            began = self.began_at.pop(task[1], None) if task else None
            if began is not None:
                self.took.append(now - began)
        self.count += 1
        if self.count == self._wanted:
            self._enough.set()
        return _OK

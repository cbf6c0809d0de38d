"""The webhooks' end: counts what arrives, checks every signature, remembers when each task's event came."""

import asyncio
import base64
import hmac
import re
from collections import Counter
from contextlib import suppress
from time import perf_counter

from receiver.signing import secret_bytes
from tests.bench.wire import answer

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
_HEADER = re.compile(rb"\r\nwebhook-(id|timestamp|signature): *([^\r]+)", re.IGNORECASE)
_TASK = re.compile(rb'"id":"(task_[0-9a-z]+)"')
_OK = answer(b"ok")


class Sink:
    """`answering` is what `wire.serving` needs. Times are of `time.perf_counter`."""

    def __init__(self) -> None:
        self._key = secret_bytes(SECRET)
        self.events: Counter[bytes] = Counter()
        self.came_at: dict[str, float] = {}
        self.forged = 0
        self.count = 0
        self.wanted: int | None = None
        self._enough = asyncio.Event()

    async def wait_for(self, count: int, *, within_s: float) -> None:
        """Return once so many webhooks came in all; after that time, whatever came."""
        self.wanted = count
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
        self.events[told.get(b"id", b"")] += 1
        task = _TASK.search(body)
        if task is not None:
            self.came_at.setdefault(task[1].decode(), now)
        self.count += 1
        if self.count == self.wanted:
            self._enough.set()
        return _OK

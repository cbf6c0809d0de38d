"""What the provider says, in the sandbox's own words: callbacks, and answers to submits and polls."""

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from adapters.sandbox.apikley import Apikley
from adapters.sandbox.base import Media, Order, Stage
from adapters.sandbox.base import Task as SandboxTask
from receiver import json_text
from tests.bench.wire import answer

if TYPE_CHECKING:
    from tests.bench.seeding import Made

PROVIDER = "apikley"
MODEL = "bytedance/v1-pro-text-to-video"
INPUT = {
    "prompt": "A red panda crosses a rope bridge over a misty gorge at dawn, the camera following from behind, 35 mm",
    "resolution": "720p",
    "duration": "5",
}
_URL = "https://tasks.example.com/callbacks/apikley/(token)"


class Callbacks:
    """Bodies about a task, written by the sandbox once and filled in for each."""

    def __init__(self) -> None:
        side, task = Apikley(), _task()
        self._callbacks = {stage: json_text.write(side.callback(task, stage)) for stage in Stage}
        self._shown = {stage: json_text.write(side.shown(task, stage).body) for stage in Stage}

    def succeeded(self, made: "Made") -> bytes:
        """The callback that says that a task succeeded."""
        return _filled(self._callbacks[Stage.SUCCEEDED], made.provider_id, made.token)

    def shown(self, provider_id: str, token: str, *, succeeded: bool) -> bytes:
        """The answer to a poll."""
        return _filled(self._shown[Stage.SUCCEEDED if succeeded else Stage.WORKING], provider_id, token)


class Provider:
    """The provider's end of the wire for `wire.serving`; polls find that a task works, or succeeded if it `ended`."""

    def __init__(self) -> None:
        self._callbacks = Callbacks()
        self.tokens: dict[str, str] = {}  # by the provider's own id
        self.ended: set[str] = set()
        self.submits = 0
        self.polls = 0
        self._wanted = 0
        self._enough = asyncio.Event()
        self._since = time.time_ns() // 1_000_000

    async def polled(self, count: int, *, within_s: float) -> None:
        """Return once there were so many polls in all; after that time, whatever there was."""
        if self.polls < count:
            self._wanted = count
            self._enough.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), within_s)

    def answering(self, head: bytes, body: bytes) -> bytes:
        line = head[: head.index(b"\r")]
        if line.startswith(b"POST "):
            self.submits += 1
            created = f"task_bytedance_{self._since}{self.submits:08}"
            return answer(b'{"code":200,"msg":"success","data":{"taskId":"%s"}}' % created.encode())
        self.polls += 1
        if self.polls == self._wanted:
            self._enough.set()
        provider_id = line.rpartition(b"taskId=")[2].partition(b" ")[0].decode()
        token = self.tokens.get(provider_id, "none")
        return answer(self._callbacks.shown(provider_id, token, succeeded=provider_id in self.ended))


def _filled(text: str, provider_id: str, token: str) -> bytes:
    return text.replace("(task)", provider_id).replace("(token)", token).encode()


def _task() -> SandboxTask:
    order = Order(model=MODEL, prompt=INPUT["prompt"], input=INPUT, media=Media.VIDEO, callback_url=_URL)
    return SandboxTask(
        provider=PROVIDER,
        id="(task)",
        order=order,
        words=frozenset(),
        method="POST",
        path="",
        headers={},
        body={},
        base="https://files.example.com",
        created_at=time.time_ns() // 1_000_000,
        started_s=0,
        takes_s=42,
        fails=False,
    )

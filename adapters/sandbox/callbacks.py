"""The courier: posts callbacks when tasks end, and again while they are not accepted."""

import asyncio
import time
from collections.abc import Callable
from functools import cached_property
from urllib.parse import urlsplit

import httpx

from adapters.sandbox.base import CallingSide, Stage, Task
from adapters.sandbox.ledger import now_ms
from adapters.sandbox.steering import Word
from receiver import json_text

RETRIES = 3
TIMEOUT_S = 15.0


class Courier:
    """Sends the callbacks of all tasks over one client.

    One that is answered 200 is accepted; anything else is tried up to `RETRIES` times again, `retry_after_s` apart.
    `on_final` hears of the stage in which a task really ended, just before its callback leaves.
    """

    def __init__(self, *, retry_after_s: float, on_final: Callable[[Task, Stage], None]) -> None:
        self._retry_after_s = retry_after_s
        self._on_final = on_final
        self._timers: dict[Task, asyncio.TimerHandle] = {}
        self._runs: set[asyncio.Task[None]] = set()

    async def start(self, task: Task, side: CallingSide) -> None:
        """See to the callback of a new task; returns after the first try where it is to come early."""
        if Word.EARLY in task.words:
            task.finish(time.monotonic())
            self._run(task, side, accepted=await self._post(task, side))
        else:
            self._timers[task] = asyncio.get_running_loop().call_later(task.takes_s, self._due, task, side)

    def clear(self) -> None:
        """Drop every callback that has not left yet."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for run in self._runs:
            run.cancel()

    async def aclose(self) -> None:
        self.clear()
        await asyncio.gather(*self._runs, return_exceptions=True)
        if "_client" in vars(self):
            await self._client.aclose()

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        """Made for the first callback: whom to trust takes a while to read."""
        return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)

    def _due(self, task: Task, side: CallingSide) -> None:
        del self._timers[task]
        task.finish(time.monotonic())
        self._run(task, side, accepted=None)

    def _run(self, task: Task, side: CallingSide, *, accepted: bool | None) -> None:
        run = asyncio.get_running_loop().create_task(self._insist(task, side, accepted))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def _insist(self, task: Task, side: CallingSide, accepted: bool | None) -> None:
        """See one callback through, and another where the task is to be called back twice.

        `accepted` is how the first try went, None where there was none yet.
        """
        if accepted is None:
            accepted = await self._post(task, side)
        accepted = accepted or await self._retry(task, side)
        if accepted and Word.TWICE in task.words and not await self._post(task, side):
            await self._retry(task, side)

    async def _retry(self, task: Task, side: CallingSide) -> bool:
        for _ in range(RETRIES):
            await asyncio.sleep(self._retry_after_s)
            if await self._post(task, side):
                return True
        return False

    async def _post(self, task: Task, side: CallingSide) -> bool:
        stage, url = task.stage(time.monotonic()), task.order.callback_url or ""
        self._on_final(task, stage)
        claimed = Stage.SUCCEEDED if Word.FORGE in task.words else stage
        body = json_text.write(side.callback(task, claimed)).encode()
        status, error = None, None
        at = now_ms()
        try:
            response = await self._client.post(url, content=body, headers={"content-type": "application/json"})
            status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
            error = type(failure).__name__
        claim = {"at": at, "status": status, "error": error, "claimed": claimed.value, "url_redacted": redacted(url)}
        task.callbacks.append(claim)
        return status == httpx.codes.OK


def redacted(url: str) -> str:
    """A callback URL without what makes it secret: user, query and the last segment of its path."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rpartition('/')[0]}/…"

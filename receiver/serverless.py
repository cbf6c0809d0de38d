"""One Taskweir for hosts that call us now and then: opened by the first request, in an event loop of its own.

Such hosts bring an event loop, and a lifespan, for every call, and stop the process between two of them. The service
lives in the loop of one thread, which all calls of the process share: whatever loop a request comes from, it is
answered there.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from starlette.types import Receive, Scope, Send

from receiver.errors import ConfigurationError
from receiver.service import Service
from receiver.serving import load_adapters, settings_of
from receiver.settings import Mode
from receiver.strays import warn_of_strays
from receiver.telemetry import configure_logs, log
from receiver.web.answers import problem

BUDGET_MS = 25_000

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Serverless:
    """An ASGI application that may be called from any event loop, in any thread, and a heartbeat for plain functions.

    `make` is called by the first request. Where the service cannot open, that request is told so, and the next one
    tries again.
    """

    def __init__(self, make: Callable[[], Service]) -> None:
        self._make = make
        self._starting = threading.Lock()
        self._own: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._opening = asyncio.Lock()
        self._opened: Service | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a lifespan is none of ours, for in places there is one per call."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        theirs = asyncio.get_running_loop()
        answering = self._run(self._answer(dict(scope), _across(receive, theirs), _across(send, theirs)))
        await asyncio.wrap_future(answering)

    def tick(self, budget_ms: int = BUDGET_MS) -> dict[str, Any]:
        """What `POST /internal/tick` does and answers, for whoever has no key to show; raises `TaskweirError`."""
        return self._run(self._tick(budget_ms / 1000)).result()

    def close(self) -> None:
        """Give back what is claimed, close the store, end the thread."""
        with self._starting:
            own, self._own = self._own, None
        if own is not None:
            loop, thread = own
            asyncio.run_coroutine_threadsafe(self._close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _run(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Begin work in our own loop."""
        with self._starting:
            if self._own is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_live_in, args=(loop,), name="taskweir-serverless", daemon=True)
                self._own = loop, thread
                thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._own[0])

    async def _service(self) -> Service:
        async with self._opening:
            if self._opened is None:
                service = self._make()
                try:
                    await service.start()
                except BaseException:
                    await service.storage.close()  # what is open of it would keep the next one out
                    raise
                self._opened = service
            return self._opened

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            service = await self._service()
        except Exception as error:  # noqa: BLE001 - whatever keeps us from opening, the caller is told that it does
            hint = error.hint if isinstance(error, ConfigurationError) else None
            log.error("service.unopened", error=str(error) or repr(error), hint=hint)
            await problem(503, "not open: the log says why")(scope, receive, send)
            return
        await service.app(scope, receive, send)

    async def _tick(self, budget_s: float) -> dict[str, Any]:
        service = await self._service()
        return (await service.tick(budget_s)).fields()

    async def _close(self) -> None:
        if self._opened is not None:
            await self._opened.stop()
            self._opened = None


def _live_in(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _across(
    call: Callable[Given, Awaitable[Result]], loop: asyncio.AbstractEventLoop
) -> Callable[Given, Awaitable[Result]]:
    """The same call, made in its own loop, for somebody who waits in ours."""

    async def made(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        return await call(*args, **kwargs)

    async def called(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made(*args, **kwargs), loop))

    return called


async def _live(receive: Receive, send: Send) -> None:
    """A lifespan that begins and ends nothing."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def from_environment() -> Service:
    """The service that the environment describes, serverless whatever its mode says; raises `ConfigurationError`."""
    configure_logs(fmt="console", level="info")  # where what is set cannot be read
    adapters = load_adapters()
    settings = settings_of(os.environ, adapters)
    configure_logs(fmt=settings.log_format, level=settings.log_level)
    warn_of_strays(os.environ, [*adapters, *settings.providers])
    return Service(replace(settings, mode=Mode.SERVERLESS), adapters)


app = Serverless(from_environment)
tick = app.tick

"""Serves one `Service` over HTTP until it is told to stop."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import FrameType

import uvicorn

from adapters.base import Adapter
from receiver.errors import ConfigurationError
from receiver.service import Limits, Service
from receiver.settings import Settings
from receiver.telemetry import log
from receiver.web.limits import SPARE, ReceiveLimits
from receiver.web.reception import within
from receiver.web.sweep import Sweep

REQUESTS_GRACE_S = 3
MOST_FILES = 65_536
# Of an answer that nobody reads the kernel would take megabytes, and we would not see that nobody does.
SEND_BUFFER = 128 * 1024


def run(settings: Settings, adapters: Mapping[str, Adapter], limits: Limits | None = None) -> None:
    """Serve until SIGTERM or SIGINT; raises `ConfigurationError` where it cannot begin."""
    with listen(settings.host, settings.port) as listening:
        settings = replace(settings, port=listening.getsockname()[1])  # 0 was any: no webhook may go to the real one
        service = Service(settings, adapters, limits=limits)
        for path in settings.generated:
            log.info("key.kept", path=str(path))
        log.info(
            "server.starting",
            url=url_of(listening),
            role=settings.role.value,
            providers=sorted(settings.providers),
            allow_networks=settings.allow_networks,
        )
        # A body may come in small chunks, each with its frame; half of the files are for what we ourselves open.
        receiving = ReceiveLimits(wire_bytes=2 * settings.max_body + SPARE, connections=_open_files() // 2)
        config = uvicorn.Config(
            service.app,
            http=within(receiving),
            ws="none",
            loop="uvloop",
            log_config=None,
            access_log=False,  # callback tokens are in the path
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=REQUESTS_GRACE_S,
        )
        # What goes wrong inside the application is logged there, without paths; what stops it is raised below.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stopped)
        hold_up_nothing()
        try:
            Server(config, service, receiving).run(sockets=[listening])
        except SystemExit:  # how uvicorn tells that the application did not start
            if service.refused is None:
                raise
            raise service.refused from None


def hold_up_nothing() -> None:
    """What is loaded by now stays; almost all that a request makes is freed without the collector, which only looks."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.0005)  # the loop waits no longer than that for a reader, or the writer, to let it go on


class Server(uvicorn.Server):
    """Told to stop, it finishes its work first, answering callbacks meanwhile; told twice, it stops at once."""

    def __init__(self, config: uvicorn.Config, service: Service, limits: ReceiveLimits) -> None:
        super().__init__(config)
        self._service = service
        self._sweep = Sweep(self.server_state.connections, limits)
        self._loading: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._sweep.start()
        if self.started:
            log.info("server.ready")
            self._loading = asyncio.get_running_loop().create_task(self._load())

    async def _load(self) -> None:
        """What nobody needed until now, so that nobody has to wait for it."""
        await self._service.app.others.load()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sweep.hurry()
        await super().shutdown(sockets)
        await self._sweep.stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._draining is not None or not self.started:
            super().handle_exit(sig, frame)
        else:
            self._draining = asyncio.get_running_loop().create_task(self._drain(sig, frame))

    async def _drain(self, sig: int, frame: FrameType | None) -> None:
        log.info("server.stopping")
        try:
            await self._service.drain()
        finally:
            super().handle_exit(sig, frame)


def _stopped(number: int, frame: object) -> None:
    """The server handles these signals while it runs, and raises them again after: by then all is done."""


def _open_files() -> int:
    """How many files this process may open: as many as it is allowed to, where that is not far too many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_FILES if soft == resource.RLIM_INFINITY else soft
    with suppress(ValueError, OSError):  # some systems name a limit that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises `ConfigurationError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"{host} port {port} cannot be listened on: {error.strerror}",
            hint="Set TASKWEIR_PORT (or TASKWEIR_HOST) to an address that is free and ours.",
        ) from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # what it accepts inherits it
    return listening


def url_of(listening: socket.socket) -> str:
    """Where people on this machine reach a listening socket."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

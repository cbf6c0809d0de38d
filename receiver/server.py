"""Serves one `Service` over HTTP until it is told to stop."""

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType

import uvicorn

from adapters.base import Adapter
from receiver.errors import ConfigurationError
from receiver.service import Service
from receiver.settings import Settings
from receiver.telemetry import log

REQUESTS_GRACE_S = 3


def run(settings: Settings, adapters: Mapping[str, Adapter]) -> None:
    """Serve until SIGTERM or SIGINT; raises `ConfigurationError` where it cannot begin."""
    with listen(settings.host, settings.port) as listening:
        settings = replace(settings, port=listening.getsockname()[1])  # 0 was any: no webhook may go to the real one
        service = Service(settings, adapters)
        for path in settings.generated:
            log.info("key.kept", path=str(path))
        log.info(
            "server.starting",
            url=url_of(listening),
            providers=sorted(settings.providers),
            allow_networks=settings.allow_networks,
        )
        config = uvicorn.Config(
            service.app,
            http="httptools",
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
        try:
            Server(config, service).run(sockets=[listening])
        except SystemExit:  # how uvicorn tells that the application did not start
            if service.refused is None:
                raise
            raise service.refused from None


class Server(uvicorn.Server):
    """Told to stop, it finishes its work first, answering callbacks meanwhile; told twice, it stops at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._draining: asyncio.Task[None] | None = None

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


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises `ConfigurationError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"{host} port {port} cannot be listened on: {error.strerror}",
            hint="Set TASKWEIR_PORT (or TASKWEIR_HOST) to an address that is free and ours.",
        ) from None


def url_of(listening: socket.socket) -> str:
    """Where people on this machine reach a listening socket."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

"""One running Taskweir: the rooms wired together, started and stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette

from adapters.base import Adapter
from receiver.bell import Bell
from receiver.clock import Clock, SystemClock
from receiver.delivery import Courier, DeliveryLimits
from receiver.domain import Trust
from receiver.errors import ConfigurationError, TaskweirError
from receiver.guard import Guard
from receiver.intake import Taken
from receiver.loops import Loop
from receiver.outbound import Outbound
from receiver.policy import MINUTE
from receiver.poller import Poller, PollLimits
from receiver.providers import CallbackUrls, Providers, Served
from receiver.sealing import Seal
from receiver.senders.sqlite_log import SqliteLogSender
from receiver.senders.webhook import WebhookSender
from receiver.settings import Settings
from receiver.signing import CallbackTokens
from receiver.store.sqlite import SqliteStorage
from receiver.submit import SubmitLimits, Submitter
from receiver.telemetry import log
from receiver.web.app import create_app
from receiver.web.doors import Doors


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The time limits and leases, in one place so that tests need not wait for them."""

    submit: SubmitLimits = field(default_factory=SubmitLimits)
    poll: PollLimits = field(default_factory=PollLimits)
    delivery: DeliveryLimits = field(default_factory=DeliveryLimits)
    answer_within_s: float = 20.0
    drain_s: float = 8.0


class Service:
    """Everything one process runs. `app` is the ASGI application; its lifespan starts and stops the rest."""

    def __init__(
        self,
        settings: Settings,
        adapters: Mapping[str, Adapter],
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
    ) -> None:
        path = settings.sqlite_path
        if path is None:
            raise ConfigurationError("only SQLite is served so far", hint="Set TASKWEIR_DATABASE_URL=sqlite:///…")
        limits = limits or Limits()
        self._limits = limits
        self._settings = settings
        self._clock = clock or SystemClock()
        self._guard = Guard(settings.allow_networks)
        self.refused: ConfigurationError | None = None
        self.storage = SqliteStorage(path)
        self.outbound = Outbound(self._guard)
        self.bell = Bell()
        served = serve_providers(settings, adapters)
        callbacks = CallbackUrls(settings.public_url, CallbackTokens(settings.secret_keys))
        seal = Seal(settings.secret_keys)
        self.submitter = Submitter(
            storage=self.storage,
            outbound=self.outbound,
            providers=served,
            callbacks=callbacks,
            clock=self._clock,
            bell=self.bell,
            limits=limits.submit,
        )
        self.poller = Poller(
            storage=self.storage,
            outbound=self.outbound,
            providers=served,
            callbacks=callbacks,
            clock=self._clock,
            bell=self.bell,
            limits=limits.poll,
        )
        self.courier = Courier(
            storage=self.storage,
            senders={
                "webhook": WebhookSender(self.outbound, seal, self._clock),
                "sqlite": SqliteLogSender(settings.data_dir, self._clock),
            },
            clock=self._clock,
            limits=limits.delivery,
        )
        self.bell.listen(self._wake)
        self.loops = [
            Loop("submit", self.submitter.run_once, self.submitter.wake),
            Loop("poll", self.poller.run_once, self.poller.wake),
            Loop("deliver", self.courier.run_once, self.courier.wake),
        ]
        self.doors = Doors(
            storage=self.storage,
            providers=served,
            callbacks=callbacks,
            seal=seal,
            clock=self._clock,
            bell=self.bell,
            accept=self.submitter.accept,
            wake_poller=self.poller.wake.set,
            check_target=self._check_target,
            unready=self._unready,
            api_key=settings.api_key,
            max_body=settings.max_body,
            answer_within_s=limits.answer_within_s,
        )
        self.app = create_app(self.doors, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        try:
            await self.start()
        except ConfigurationError as error:
            self.refused = error
            raise
        for loop in self.loops:
            loop.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        """Open the store and the way out; loops are the lifespan's, or a test's own `run_once`."""
        now = self._clock.now()
        await self.storage.open(now=now, migrate=self._settings.migrate)
        await self.outbound.start()
        await self.storage.write(lambda store: store.hasten_safety_polls(now, within=MINUTE))

    async def stop(self) -> None:
        """Stop claiming, finish what was claimed within the grace period, close the store last."""
        for loop in self.loops:
            await loop.stop()
        await asyncio.gather(
            *(each.crew.stop(self._limits.drain_s) for each in (self.submitter, self.poller, self.courier))
        )
        await self.outbound.close()
        await self.storage.close()
        log.info("server.stopped")

    def _wake(self, taken: Taken) -> None:
        if taken.owed:
            self.courier.wake.set()
        if not taken.task.status.final:
            self.poller.wake.set()

    async def _check_target(self, url: str) -> None:
        """Refuse a webhook target that may not be dialled; raises `AddressRefused` or `Malformed`."""
        parsed = self._guard.check_url(url)
        self._guard.judge(url, await self.outbound.resolve(parsed.raw_host or "", parsed.port or 0))

    async def _unready(self) -> str | None:
        stuck = [loop.name for loop in self.loops if loop.stuck]
        if stuck:
            return f"the {' and '.join(stuck)} loop does not move"
        try:
            await asyncio.wait_for(self.storage.write(lambda store: store.schema_version()), 5.0)
        except TimeoutError:
            return "the store does not answer"
        except TaskweirError as error:
            return str(error)
        return None


def serve_providers(settings: Settings, adapters: Mapping[str, Adapter]) -> Providers:
    """The configured providers with their adapters; raises `ConfigurationError`."""
    for provider in settings.providers.values():
        if provider.trust is Trust.SIGNATURE:
            raise ConfigurationError(
                f"{provider.name}: trust is signature, but this provider does not sign its callbacks' bodies",
                hint="Use poll (the default) or token.",
            )
    return {name: Served(provider, adapters[provider.adapter]) for name, provider in settings.providers.items()}

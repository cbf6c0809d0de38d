"""One running Taskweir: the rooms wired together, started and stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette

from adapters.base import Adapter
from receiver.bell import Bell
from receiver.budget import Budget, Room
from receiver.clock import Clock, SystemClock
from receiver.delivery import Courier, DeliveryLimits
from receiver.dialling import is_here
from receiver.domain import Trust
from receiver.errors import ConfigurationError, Unavailable
from receiver.guard import Guard
from receiver.hand_off import HandOff
from receiver.health import Health
from receiver.intake import Taken
from receiver.itself import Itself
from receiver.loops import Loop
from receiver.outbound import Outbound
from receiver.poller import Poller, PollLimits
from receiver.providers import CallbackUrls, Providers, Served
from receiver.replicas import Replicas
from receiver.resealing import unreadable
from receiver.retention import Retention
from receiver.sealing import Seal
from receiver.senders.sqlite_log import SqliteLogSender
from receiver.senders.webhook import WebhookSender
from receiver.settings import Settings
from receiver.signing import CallbackTokens
from receiver.storages import storage_of
from receiver.store.sides import NOT_WHOLE, NOT_WHOLE_HINT
from receiver.submit import SubmitLimits, Submitter
from receiver.telemetry import log
from receiver.unsealing import REMEDY
from receiver.web.doors import Doors
from receiver.web.front import create_app


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The time limits and leases, in one place so that tests need not wait for them."""

    submit: SubmitLimits = field(default_factory=SubmitLimits)
    poll: PollLimits = field(default_factory=PollLimits)
    delivery: DeliveryLimits = field(default_factory=DeliveryLimits)
    answer_within_s: float = 20.0
    drain_s: float = 13.0


class Service:
    """Everything one process runs. `app` is the ASGI application; its lifespan starts and stops the rest."""

    def __init__(
        self,
        settings: Settings,
        adapters: Mapping[str, Adapter],
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        outbound: Outbound | None = None,
    ) -> None:
        limits = limits or Limits()
        self._limits = limits
        self._settings = settings
        self.hand_off = HandOff(lease=round(limits.delivery.lease_s * 1000), now=SystemClock().now())
        kept = storage_of(settings, self.hand_off)
        self.storage = kept.storage
        self._clock = clock or kept.clock
        itself = Itself(host=settings.host, port=settings.port, public_url=settings.public_url, is_here=is_here)
        self._guard = Guard(settings.allow_networks, itself=itself)
        self.refused: Exception | None = None
        self.outbound = outbound or Outbound(self._guard)
        self.bell = Bell()
        served = serve_providers(settings, adapters)
        callbacks = CallbackUrls(settings.public_url, CallbackTokens(settings.secret_keys))
        budgets = {name: Budget(cap=each.provider.rate) for name, each in served.items()}
        self._budgets = budgets
        seal = self._seal = Seal(settings.secret_keys)
        self.submitter = Submitter(
            storage=self.storage,
            outbound=self.outbound,
            providers=served,
            budgets=budgets,
            callbacks=callbacks,
            clock=self._clock,
            bell=self.bell,
            limits=limits.submit,
        )
        self.poller = Poller(
            storage=self.storage,
            outbound=self.outbound,
            providers=served,
            budgets=budgets,
            callbacks=callbacks,
            clock=self._clock,
            bell=self.bell,
            limits=limits.poll,
        )
        logs = SqliteLogSender(settings.data_dir, self._clock)
        self.courier = Courier(
            storage=self.storage,
            senders={
                "webhook": WebhookSender(self.outbound, seal, self._clock, deadline_s=limits.delivery.deadline_s),
                "sqlite": logs,
            },
            clock=self._clock,
            limits=limits.delivery,
            hand_off=self.hand_off,
        )
        self.retention = Retention(storage=self.storage, logs=logs, clock=self._clock, days=settings.retention_days)
        self.replicas = Replicas(
            kept,
            self._clock,
            budgets,
            {name: each.provider.rate for name, each in served.items()},
            (self.submitter.wake.set, self.poller.wake.set, self.courier.look_again),
        )
        self.bell.listen(self._wake)
        self.loops = [
            Loop("submit", self.submitter.run_once, self.submitter.wake),
            Loop("poll", self.poller.run_once, self.poller.wake),
            Loop("deliver", self.courier.run_once, self.courier.wake),
            Loop("retain", self.retention.run_once, self.retention.wake),
        ]
        if kept.beat is not None:
            self.loops.append(Loop("replicas", self.replicas.run_once, self.replicas.wake))
        self.health = Health(self.storage, self._clock, sorted(served), self.loops, blocked=self.courier.blocked)
        self.doors = Doors(
            storage=self.storage,
            providers=served,
            adapters=frozenset(adapters),
            callbacks=callbacks,
            seal=seal,
            clock=self._clock,
            bell=self.bell,
            accept=self.submitter.accept,
            wake_poller=self.poller.wake.set,
            wake_submitter=self.submitter.wake.set,
            wake_courier=self.courier.look_again,
            ping=self.courier.ping,
            check_target=self._check_target,
            health=self.health,
            room=self._room,
            keeps_logs=kept.beat is None,
            metrics_open=settings.metrics_open,
            api_key=settings.api_key,
            max_body=settings.max_body,
            answer_within_s=limits.answer_within_s,
        )
        self.app = create_app(self.doors, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        try:
            await self.start()
        except Exception as error:
            self.refused = error
            raise
        self.start_loops()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        """Open the store and the way out; loops are the lifespan's, or a test's own `run_once`."""
        await self.storage.open(now=self._clock.now(), migrate=self._settings.migrate)
        if await self.storage.read(lambda store: store.half_moved()):
            await self.storage.close()
            raise ConfigurationError(f"the database is not whole: {NOT_WHOLE}", hint=NOT_WHOLE_HINT)
        await self.outbound.start()
        await self.replicas.run_once()
        if self.replicas.alone:  # else somebody took the callbacks while we were away
            self.poller.make_up_for(self._clock.now())
        if lost := await unreadable(self.storage, self._seal):
            log.error("secrets.unreadable", count=lost, hint=f"{REMEDY}, or renew these secrets")

    def start_loops(self) -> None:
        """Work from now on; only what is started takes over what is recorded."""
        for loop in self.loops:
            loop.start()
        self.hand_off.open = True

    async def drain(self) -> None:
        """Stop taking tasks and claiming; finish what is under way within the grace period, give back the rest.

        Callbacks are answered on. What is still being handed over then is in doubt, and says so.
        """
        if self.health.draining:
            return
        self.health.draining = True
        self.hand_off.open = False
        self.courier.fresh.close()
        await asyncio.gather(*(loop.stop() for loop in self.loops))
        workers = (self.submitter, self.poller, self.courier)
        await asyncio.gather(*(worker.crew.stop(self._limits.drain_s) for worker in workers))
        try:
            await self.submitter.abandon()
            await self.storage.write(lambda store: store.release_leases(self._clock.now()))
        except Unavailable as error:  # what is left behind lapses at the next start
            log.error("leases.kept", error=str(error))

    async def stop(self) -> None:
        """Drain, and close the store last."""
        await self.drain()
        await self.outbound.close()
        await self.storage.close()
        log.info("server.stopped")

    def _wake(self, taken: Taken) -> None:
        self.courier.fresh.take(taken.handed)
        if taken.owed:
            self.courier.wake.set()
        if taken.task.status.final:
            ended = any(event.type.final for event in taken.events) and not taken.task.ours
            if ended and taken.task.provider in self._budgets:
                self._budgets[taken.task.provider].free_up()
            self.submitter.wake.set()
        else:
            self.poller.wake.set()

    def _room(self, provider: str) -> Room:
        """How a provider's budget stands now."""
        under_way = self.submitter.crew.count(provider)
        return self._budgets[provider].room(self._clock.now(), under_way=under_way)

    async def _check_target(self, url: str) -> None:
        """Refuse a webhook target that may not be dialled; raises `AddressRefused` or `Malformed`."""
        parsed = self._guard.check_url(url)
        self._guard.judge(url, await self.outbound.resolve(parsed.raw_host or "", parsed.port or 0))


def serve_providers(settings: Settings, adapters: Mapping[str, Adapter]) -> Providers:
    """The configured providers with their adapters; raises `ConfigurationError`."""
    for provider in settings.providers.values():
        if provider.trust is not Trust.SIGNATURE:
            continue
        if not adapters[provider.adapter].profile.signs_callbacks:
            raise ConfigurationError(
                f"{provider.name}: trust is signature, but this provider does not sign its callbacks' bodies",
                hint="Use poll (the default) or token.",
            )
        if provider.callback_secret is None:
            raise ConfigurationError(
                f"{provider.name}: trust is signature, but the secret that the provider signs with is missing",
                hint=f"Set TASKWEIR_{provider.name.upper()}_CALLBACK_SECRET, or callback_secret in TASKWEIR_PROVIDERS.",
            )
    return {name: Served(provider, adapters[provider.adapter]) for name, provider in settings.providers.items()}

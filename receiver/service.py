"""One running Taskweir: the rooms wired together, started and stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from adapters.base import Adapter
from receiver import owed
from receiver.bell import Bell
from receiver.budget import Budget, Room
from receiver.clock import Clock, SystemClock
from receiver.counts import Counts
from receiver.delivery import Courier, DeliveryLimits
from receiver.dialling import is_here
from receiver.domain import Ms, Task
from receiver.drop_in import ProvidersCallbacks
from receiver.due import Due
from receiver.errors import ConfigurationError, Unavailable
from receiver.extras import collector
from receiver.follow_up import FollowUp
from receiver.guard import Guard
from receiver.hand_off import HandOff
from receiver.health import Health
from receiver.heartbeat import Heartbeat
from receiver.intake import Taken
from receiver.itself import Itself
from receiver.keyring import Keyring
from receiver.loops import Loop
from receiver.outbound import Outbound
from receiver.poller import Poller, PollLimits
from receiver.providers import CallbackUrls, serve_providers
from receiver.replicas import Replicas
from receiver.resealing import unreadable
from receiver.retention import Retention
from receiver.sealing import Seal
from receiver.senders.kinds import KINDS
from receiver.senders.remote import RemoteSender
from receiver.senders.sqlite_log import SqliteLogSender
from receiver.senders.webhook import WebhookSender
from receiver.settings import Mode, Settings
from receiver.signing import CallbackTokens, WatchTokens
from receiver.storages import storage_of
from receiver.store.protocol import Store
from receiver.store.sides import NOT_WHOLE, NOT_WHOLE_HINT
from receiver.streams import Streams
from receiver.submit import SubmitLimits, Submitter
from receiver.telemetry import log
from receiver.traces import NO_TRACES
from receiver.turns import Turns
from receiver.unsealing import REMEDY
from receiver.usage import Counting
from receiver.web.doors import Doors
from receiver.web.front import create_app
from receiver.web.in_turn import InTurn

if TYPE_CHECKING:
    from receiver.feed import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The time limits and leases, in one place so that tests need not wait for them."""

    submit: SubmitLimits = field(default_factory=SubmitLimits)
    poll: PollLimits = field(default_factory=PollLimits)
    delivery: DeliveryLimits = field(default_factory=DeliveryLimits)
    answer_within_s: float = 20.0
    drain_s: float = 13.0
    heartbeat_s: float = 15.0
    stream_s: float | None = None


# Whoever calls by the clock gives 25 s: what hangs ends as its own failure within them, not with the call.
# Streams are over before that, so that they end as they should.
SERVERLESS = Limits(
    submit=SubmitLimits(deadline_s=20.0), poll=PollLimits(deadline_s=15.0), answer_within_s=25.0, stream_s=24.0
)


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
        self._serverless = settings.mode is Mode.SERVERLESS
        self._works = settings.role.works
        limits = limits or (SERVERLESS if self._serverless else Limits())
        self._limits = limits
        self.settings = settings
        self.hand_off = HandOff(lease=round(limits.delivery.lease_s * 1000), now=SystemClock().now())
        kept = storage_of(settings, self.hand_off)
        self.storage = kept.storage
        self._clock = clock or kept.clock
        itself = Itself(host=settings.host, port=settings.port, public_url=settings.public_url, is_here=is_here)
        self._guard = Guard(settings.allow_networks, itself=itself)
        self.refused: Exception | None = None
        self.outbound = outbound or Outbound(self._guard)
        self.bell = Bell()
        self._traces = collector()() if settings.otel else NO_TRACES
        served = serve_providers(settings.providers, adapters)
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
            traces=self._traces,
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
            traces=self._traces,
        )
        logs = SqliteLogSender(settings.data_dir, self._clock)
        self.streams = Streams(self._guard)
        deadline_s = limits.delivery.deadline_s
        self._logs = logs
        self._remotes = {
            each.type: RemoteSender(each, self.streams, seal, self._clock, deadline_s=deadline_s)
            for each in KINDS.values()
        }
        self.courier = Courier(
            storage=self.storage,
            senders={
                "webhook": WebhookSender(
                    self.outbound,
                    seal,
                    self._clock,
                    deadline_s=deadline_s,
                    traces=self._traces,
                    as_callback=ProvidersCallbacks(self.storage, served),
                ),
                "sqlite": logs,
                **self._remotes,
            },
            clock=self._clock,
            limits=limits.delivery,
            hand_off=self.hand_off,
            traces=self._traces,
        )
        self.retention = Retention(storage=self.storage, logs=logs, clock=self._clock, days=settings.retention_days)
        self.replicas = Replicas(
            kept,
            self._clock,
            budgets,
            {name: each.provider.rate for name, each in served.items()},
            (self.submitter.wake.set, self.poller.wake.set, self.courier.look_again),
            works=self._works,
        )
        self.feed: Feed | None = None
        self.bell.listen(self._wake)
        counts = Counts(providers={name: each.counts for name, each in served.items()}, kinds=self.courier.counts)
        self.bell.listen(lambda taken: counts.recorded(taken.task.provider, taken.events))
        self.bell.listen(lambda taken: self._traces.recorded(taken.events))
        delivering = Loop("deliver", self.courier.run_once, self.courier.wake)
        working = [
            Loop("submit", self.submitter.run_once, self.submitter.wake),
            Loop("poll", self.poller.run_once, self.poller.wake),
            delivering,
        ]
        keeping = [Loop("retain", self.retention.run_once, self.retention.wake)]
        alive = [Loop("replicas", self.replicas.run_once, self.replicas.wake)] if kept.beat is not None else []
        keeping += alive
        missed = Loop("catch up", self.poller.catch_up, self.poller.wake)
        self.loops = [*working, *keeping] if self._works else [missed, *alive]
        self.turns = Turns(self._rest)
        self.tick = Heartbeat(
            turns=self.turns,
            working=working,
            keeping=keeping,
            due=Due(budgets, self.courier.blocked),
            storage=self.storage,
            replicas=self.replicas,
            clock=self._clock,
            stopping=lambda: self.health.draining,
        ).tick
        self.health = Health(
            self.storage,
            self._clock,
            sorted(served),
            self.courier.blocked,
            self.loops,
            looping=not self._serverless,
        )
        follow_up = FollowUp(
            storage=self.storage,
            poller=self.poller,
            courier=self.courier,
            delivering=delivering.alone,
            replicas=self.replicas,
            clock=self._clock,
        )
        self.doors = Doors(
            storage=self.storage,
            providers=served,
            adapters=frozenset(adapters),
            callbacks=callbacks,
            seal=seal,
            clock=self._clock,
            bell=self.bell,
            watch=WatchTokens(settings.secret_keys),
            feed=self._open_feed,
            accept=self._accept,
            follow_up=follow_up if self._serverless else self._tell_poller,
            tick=self.tick,
            wake_poller=self.poller.wake.set,
            wake_submitter=self.submitter.wake.set,
            wake_courier=self.courier.look_again,
            ping=self.courier.ping,
            check_target=self._check_target,
            keyring=Keyring(self.storage, self._clock),
            counting=Counting(self.storage),
            counts=counts,
            traces=self._traces,
            health=self.health,
            room=self._room,
            keeps_logs=kept.beat is None,
            metrics_open=settings.metrics_open,
            api_key=settings.api_key,
            cron_secret=settings.cron_secret,
            serverless=self._serverless,
            role=settings.role,
            max_body=settings.max_body,
            answer_within_s=limits.answer_within_s,
            stream_s=limits.stream_s,
        )
        self.app = create_app(self.doors, lifespan=self._lifespan)
        if self._serverless:
            self.app.add_middleware(InTurn, turns=self.turns)

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
        await self.storage.open(now=self._clock.now(), migrate=self.settings.migrate)
        if await self.storage.read(lambda store: store.half_moved()):
            await self.storage.close()
            raise ConfigurationError(f"the database is not whole: {NOT_WHOLE}", hint=NOT_WHOLE_HINT)
        await self.outbound.start()
        await self.replicas.run_once()
        # Of several, others took the callbacks while we were away; a host that starts us for each one misses none.
        if self.replicas.alone and self.settings.role.receives and not self._serverless:
            await self.poller.make_up_for(self._clock.now())
        await owed.form_all_lines(self.storage)
        if lost := await unreadable(self.storage, self._seal):
            log.error("secrets.unreadable", count=lost, hint=f"{REMEDY}, or renew these secrets")

    def start_loops(self) -> None:
        """Work from now on; only what is started takes over what is recorded."""
        if self._serverless:
            return
        for loop in self.loops:
            loop.start()
        self.hand_off.open = self._works

    async def drain(self) -> None:
        """Stop taking tasks and claiming; finish what is under way within the grace period, give back the rest.

        Callbacks are answered on. What is still being handed over then is in doubt, and says so.
        """
        if self.health.draining:
            return
        self.health.draining = True
        self.hand_off.open = False
        self.courier.fresh.close()
        if self.feed is not None:
            await self.feed.close()
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
        await asyncio.gather(self._logs.close(), *(each.close() for each in self._remotes.values()))
        self.streams.close()
        await self.storage.close()
        if self._traces.close is not None:
            await asyncio.to_thread(self._traces.close)
        log.info("server.stopped")

    async def _accept(self, task: Task, *, also: Callable[[Store], None] | None = None, later: bool = False) -> None:
        if self._serverless:
            await self.replicas.hear()
        await self.submitter.accept(task, also=also, later=later or not self._works)

    def _open_feed(self) -> "Feed":
        """Who reads along with the events; made for the first of them, for no start needs it."""
        if self.feed is None:
            from receiver.feed import Feed, most_streams

            others, heartbeat_s = not self.doors.keeps_logs, self._limits.heartbeat_s
            self.feed = Feed(self.storage, self.bell, others=others, most=most_streams(), heartbeat_s=heartbeat_s)
            self.feed.closed = self.health.draining
        return self.feed

    async def _tell_poller(self, task_id: str, rang: bool) -> None:
        """What follows from a callback, where a loop takes it up."""
        if rang:
            self.poller.wake.set()

    async def _rest(self) -> None:
        """Nobody waits for anything: where that may be so for hours, nothing claimed or half open is left behind."""
        if self._serverless:
            self.courier.put_back()
            self.outbound.rest()
            with suppress(Unavailable):  # then we are forgotten in a few seconds
                await self.replicas.rest()
            await asyncio.gather(self._logs.close(), *(each.close() for each in self._remotes.values()))

    def _wake(self, taken: Taken) -> None:
        self.courier.fresh.take(taken.handed)
        if taken.owed:
            self.courier.wake.set()
        if taken.task.status.final:
            ended = any(event.type.final for event in taken.events) and not taken.task.ours
            if ended and taken.task.provider in self._budgets:
                self._budgets[taken.task.provider].free_up()
            if self.submitter.waits:
                self.submitter.wake.set()
        else:
            self.poller.wake.set()

    def _room(self, provider: str, now: Ms) -> Room:
        """How a provider's budget stands."""
        return self._budgets[provider].room(now, under_way=self.submitter.crew.count(provider))

    async def _check_target(self, url: str) -> None:
        """Refuse a webhook target that may not be dialled; raises `AddressRefused` or `Malformed`."""
        parsed = self._guard.check_url(url)
        self._guard.judge(url, await self.outbound.resolve(parsed.raw_host or "", parsed.port or 0))

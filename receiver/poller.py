"""Asks providers how tasks stand: claim what is due, ask, hand the answer to intake, decide when to ask again.

A failed poll says nothing about the task. Due times live in the store, no coroutine per task.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.base import PollAnswer, PollFailed
from receiver import policy, provider_policy, timing, turns
from receiver.bell import Bell
from receiver.budget import A_TURN, Budget
from receiver.clock import Clock
from receiver.copying import replace
from receiver.crew import Crew, each_alone
from receiver.domain import DAY, MINUTE, Failure, FailureKind, Kind, Ms, Task, Timer, Update, Work
from receiver.errors import NotVerified
from receiver.ids import new_id
from receiver.intake import Taken
from receiver.outbound import Audience, Outbound
from receiver.poll_answers import settle
from receiver.provider_policy import Pause
from receiver.providers import NO_TASK, PROVIDER_CAP, CallbackUrls, Providers, Served
from receiver.signing import token_in
from receiver.standing import Turn, heard, log_turn
from receiver.store.protocol import Storage, Store
from receiver.telemetry import log
from receiver.traces import NO_TRACES, Traces
from receiver.turns import Did
from receiver.unasked import end_overdue, settle_held, wait_for_id
from receiver.wire import NoReply, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class PollLimits:
    """How long one poll may take, the lease that must outlast it, and how many run at once per provider."""

    deadline_s: float = 30.0
    lease_s: float = 60.0
    batch: int = 100
    in_flight: int = 128  # half of them may wait for their commit only


MOST_SETTLED = MOST_HASTENED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What one round is to do: tasks to ask about, tasks that ended unasked; whether it probes, without any task.

    `lags` tell how long those to ask about have been due.
    """

    asked: list[tuple[Timer, Task, str]] = field(default_factory=list)
    lags: list[Ms] = field(default_factory=list)
    ended: list[Taken] = field(default_factory=list)
    probes: bool = False
    blind: bool = False
    next_due: Ms | None = None


class Poller:
    """`run_once` claims what is due and starts asking; `crew` knows what is under way."""

    def __init__(
        self,
        *,
        storage: Storage,
        outbound: Outbound,
        providers: Providers,
        budgets: Mapping[str, Budget],
        callbacks: CallbackUrls,
        clock: Clock,
        bell: Bell,
        limits: PollLimits | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._storage = storage
        self._outbound = outbound
        self._providers = providers
        self._budgets = budgets
        self._callbacks = callbacks
        self._clock = clock
        self._bell = bell
        self._limits, self._traces = limits or PollLimits(), traces
        self.wake, self.crew = asyncio.Event(), Crew(lambda _: self.wake.set())
        self._away_until: Ms | None = None
        self._made_up_to = ""

    async def make_up_for(self, away_until: Ms) -> None:
        """Ask once, soon, about every open task whose callback may have come while nobody was there.

        The first bite of them is due within a minute after this, the others follow round by round.
        """
        self._away_until, self._made_up_to = away_until, ""
        await self._hasten()

    async def run_once(self) -> float:
        """End what is over unasked, start what is due; the seconds until something is."""
        await self._end_overdue()
        await self._hasten()
        due = await each_alone(
            self._run_provider(served)
            for name, served in self._providers.items()
            if self.crew.count(name) < self._limits.in_flight
        )
        return timing.seconds_until(due, self._clock.now()) if self._away_until is None else 0.0

    async def catch_up(self) -> float:
        """Of a round only what makes up for callbacks, for who leaves the asking to others; the seconds until more."""
        await self._hasten()
        return MINUTE / 1000 if self._away_until is None else 0.0

    async def _hasten(self) -> None:
        """One bite of what is to be asked about once more: a million at once would hold everybody up."""
        since, after = self._away_until, self._made_up_to
        if since is None:
            return
        now, most = self._clock.now(), MOST_HASTENED
        last = await self._storage.write(
            lambda store: store.hasten_safety_polls(now, since=since, within=MINUTE, after=after, limit=most)
        )
        self._away_until, self._made_up_to = (since, last) if last is not None else (None, "")

    async def ask_about(self, task_id: str) -> None:
        """Begin to ask about one task, where that is due and its provider may be asked; else its turn comes."""
        task = await self._storage.read(lambda store: store.task(task_id))
        served = self._providers.get(task.provider) if task else None
        if served is not None and self.crew.count(served.provider.name) < self._limits.in_flight:
            await self._run_provider(served, only=task_id)

    async def _end_overdue(self) -> None:
        now, most = self._clock.now(), self._limits.batch
        while await self._storage.read(lambda store: store.overdue_tasks(now, limit=1), brief=True):
            for taken in await self._storage.write(lambda store: end_overdue(store, self._providers, now, limit=most)):
                self._bell.ring(taken)

    async def _run_provider(self, served: Served, only: str | None = None) -> Ms | None:
        name, now = served.provider.name, self._clock.now()
        budget = self._budgets[name]
        most = 1 if only else min(self._limits.batch, self._limits.in_flight - self.crew.count(name))
        limit = budget.allows(now, most, Work.POLL)
        if limit == 0:
            return max(budget.next_at(now), now + A_TURN)
        with budget.holding(limit):
            claim = await self._storage.write(lambda store: self._claim(store, name, limit, only), brief=True)
            budget.spend(len(claim.asked) + claim.blind, self._clock.now(), Work.POLL)
        served.counts.asked(claim.lags)
        ended = claim.ended
        if claim.probes:
            ended += await self._storage.write(
                lambda store: settle_held(store, served, self._clock.now(), limit=MOST_SETTLED)
            )
        for taken in ended:
            self._bell.ring(taken)
        for timer, task, provider_task_id in claim.asked:
            self.crew.start(name, self._ask(served, timer, task, provider_task_id))
        if claim.blind:
            self.crew.start(name, self._probe(served))
        return claim.next_due

    def _claim(self, store: Store, provider: str, limit: int, only: str | None) -> "_Claim":
        """What is due; of a paused provider nothing but its probe, on any task that is with it, else on none."""
        now = self._clock.now()
        standing = store.standing(provider)
        if not standing.holds_polls:
            claim = self._claim_timers(store, provider, now, now, limit, only)
            return replace(claim, next_due=store.next_due_timer(Work.POLL, provider))
        if only or not provider_policy.probe_due(standing, now):
            return _Claim(next_due=standing.probe_at)
        probing = provider_policy.probing(standing, now)
        store.save_standing(probing)
        claim = self._claim_timers(store, provider, now, now + DAY * 365, 1)
        return replace(claim, probes=True, blind=not claim.asked, next_due=probing.probe_at)

    def _claim_timers(
        self, store: Store, provider: str, now: Ms, due_by: Ms, limit: int, only: str | None = None
    ) -> "_Claim":
        claim, owner = _Claim(), new_id("own", now)
        until = now + round(self._limits.lease_s * 1000)
        if only is not None:
            leased = store.claim_timer(Work.POLL, only, owner=owner, now=due_by, until=until)
        else:
            leased = store.claim_timers(
                Work.POLL, provider, owner=owner, now=due_by, until=until, limit=limit, freshest=limit // 2
            )
        tasks = store.tasks([each.timer.task_id for each in leased])
        for each in leased:
            timer, task = each.timer, tasks.get(each.timer.task_id)
            if task is None:
                store.drop_timer(timer.task_id)
            elif task.provider_task_id is None:
                claim.ended.extend(wait_for_id(store, self._providers[provider], task, timer, now))
            else:
                claim.asked.append((timer, task, task.provider_task_id))
                claim.lags.append(now - each.was_due_at)
        return claim

    async def _ask(self, served: Served, timer: Timer, task: Task, provider_task_id: str) -> None:
        asked_at = self._clock.now()
        reply = await self._reply(served, provider_task_id)
        if reply is None:
            await self._storage.write(lambda store: self._let_go(store, timer), brief=True)
            return
        turns.did(Did.POLLED)
        answered_at = self._clock.now()
        answer = self._read(served, task, reply)
        if isinstance(answer, PollFailed):
            log.warning("poll.failed", task=task.id, provider=task.provider, reason=answer.failure.message)
        self._learn(served, reply, answer)
        taken, turn = await self._storage.write(
            lambda store: self._record(store, served, timer, answer, provider_task_id, asked_at), brief=True
        )
        log_turn(turn)
        served.count_poll(answer)
        failure = answer.failure.kind if isinstance(answer, PollFailed) else None
        if failure is not None or (taken is not None and taken.events):
            status = reply.status if isinstance(reply, Reply) else None
            self._traces.polled(taken.task if taken else task, failure, status, asked_at, answered_at)
        if taken is not None:
            self._learn_of_callbacks(task, timer, taken.task)
            self._bell.ring(taken)

    def _learn_of_callbacks(self, before: Task, timer: Timer, after: Task) -> None:
        """What an end says about its provider's callbacks: the one that was due rang first, or it was lost."""
        if before.callback_expected and after.status.final and not (before.status.final or after.ours):
            self._budgets[before.provider].told_of_end(by_callback=timer.rings is not None)

    async def _probe(self, served: Served) -> None:
        """Ask about a task that cannot be: an answer, whatever it says, shows that the provider is there."""
        reply = await self._reply(served, NO_TASK)
        if reply is None:
            return
        now = self._clock.now()
        answer: PollAnswer
        if isinstance(reply, Reply):
            answer = served.read_poll(reply, Kind.VIDEO, now)
        else:
            answer = _failed(FailureKind.UNAVAILABLE, reply.reason)
        log_turn(await self._storage.write(lambda store: self._hear(store, served, answer)))

    async def _reply(self, served: Served, provider_task_id: str) -> Reply | NoReply | None:
        """What came, or why nothing did; None where our caller's time was over before the provider's was."""
        call = served.poll(provider_task_id)
        if isinstance(call, NoReply):
            return call
        deadline_s = self._limits.deadline_s
        sending = self._outbound.send(call, deadline_s=deadline_s, cap=PROVIDER_CAP, kind=Audience.PROVIDER_POLL)
        return await turns.within(sending, deadline_s)

    def _let_go(self, store: Store, timer: Timer) -> None:
        """A poll that was cut off says nothing, not even of its provider: it is due as it was."""
        store.task(timer.task_id)  # before its timer, as everywhere: others wait for the task
        current = store.timer(timer.task_id)
        if current is not None and current.owner == timer.owner:
            store.set_timer(replace(current, owner=None, due_at=self._clock.now()))

    def _read(self, served: Served, task: Task, reply: Reply | NoReply) -> PollAnswer:
        if not isinstance(reply, Reply):
            return _failed(FailureKind.UNAVAILABLE, reply.reason)
        answer = served.read_poll(reply, task.media, self._clock.now())
        return answer if isinstance(answer, PollFailed) else self._about_this(task, answer)

    def _learn(self, served: Served, reply: Reply | NoReply, answer: PollAnswer) -> None:
        """What an answer says about how much the provider can be asked for."""
        budget, now = self._budgets[served.provider.name], self._clock.now()
        if isinstance(answer, Update):
            budget.widen(now)
        elif answer.failure.kind is FailureKind.RATE_LIMITED or (isinstance(reply, Reply) and reply.status >= 500):
            budget.narrow(now, answer.retry_after_s)

    def _record(
        self, store: Store, served: Served, timer: Timer, answer: PollAnswer, about: str, asked_at: Ms
    ) -> tuple[Taken | None, Turn | None]:
        taken = settle(
            store,
            served,
            timer,
            answer,
            about=about,
            asked_at=asked_at,
            now=self._clock.now(),
            callbacks_arrive=self._budgets[served.provider.name].callbacks_arrive,
        )
        return taken, self._hear(store, served, answer)

    def _hear(self, store: Store, served: Served, answer: PollAnswer) -> Turn | None:
        """What an answer says about how the provider stands."""
        now, name = self._clock.now(), served.provider.name
        before = store.standing(name)
        submit_at = store.next_due_timer(Work.SUBMIT, name) if before.holds_polls else None
        failure = None if isinstance(answer, Update) else answer.failure
        if failure is not None and failure.kind is FailureKind.AUTH:
            after = provider_policy.paused(before, Pause.AUTH, now, failure.message)
        else:
            after = provider_policy.after_poll(
                before,
                answered=failure is None or failure.kind is not FailureKind.UNAVAILABLE,
                submits_wait=submit_at is not None and submit_at <= now + MINUTE,
                now=now,
                error=failure.message if failure else None,
            )
        return heard(store, before, after, now)

    def _about_this(self, task: Task, update: Update) -> PollAnswer:
        """The update, unless it is about another task: by its id, or by the callback URL that it echoes."""
        if policy.about_another(task, update):
            return _failed(FailureKind.UPSTREAM, f"the answer is about {update.provider_task_id}")
        if not task.callback_expected or update.callback_url is None:
            return update
        try:
            named = self._callbacks.tokens.read(task.provider, token_in(update.callback_url) or "")
        except NotVerified:
            named = None
        return update if named == task.id else _failed(FailureKind.UPSTREAM, "the answer names another callback URL")


def _failed(kind: FailureKind, reason: str) -> PollFailed:
    return PollFailed(failure=Failure(kind=kind, message=reason, retryable=True))

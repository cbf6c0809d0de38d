"""Asks providers how tasks stand: claim what is due, ask, hand the answer to intake, decide when to ask again.

A failed poll says nothing about the task. Due times live in the store, no coroutine per task.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from adapters.base import PollAnswer, PollFailed
from receiver import policy
from receiver.bell import Bell
from receiver.clock import Clock
from receiver.crew import Crew
from receiver.domain import (
    Callback,
    Failure,
    FailureKind,
    Ms,
    Reply,
    Source,
    Task,
    Timer,
    Update,
    Verified,
    Work,
)
from receiver.errors import Malformed, NotVerified
from receiver.ids import new_id
from receiver.intake import Taken, take
from receiver.outbound import Audience, Outbound
from receiver.providers import CallbackUrls, Providers, Served
from receiver.signing import token_in
from receiver.store.protocol import Storage, Store
from receiver.telemetry import log


@dataclass(frozen=True, slots=True, kw_only=True)
class PollLimits:
    """How long one poll may take, the lease that must outlast it, and how many run at once per provider."""

    deadline_s: float = 30.0
    lease_s: float = 60.0
    batch: int = 100
    in_flight: int = 64


class Poller:
    """`run_once` claims what is due and starts asking; `crew` knows what is under way."""

    def __init__(
        self,
        *,
        storage: Storage,
        outbound: Outbound,
        providers: Providers,
        callbacks: CallbackUrls,
        clock: Clock,
        bell: Bell,
        limits: PollLimits | None = None,
    ) -> None:
        self._storage = storage
        self._outbound = outbound
        self._providers = providers
        self._callbacks = callbacks
        self._clock = clock
        self._bell = bell
        self._limits = limits or PollLimits()
        self.wake = asyncio.Event()
        self.crew = Crew(self.wake.set)

    async def run_once(self) -> float:
        """Start what is due; the seconds until something is."""
        due = [
            await self._run_provider(served)
            for name, served in self._providers.items()
            if self.crew.count(name) < self._limits.in_flight
        ]
        return policy.seconds_until(due, self._clock.now())

    async def _run_provider(self, served: Served) -> Ms | None:
        name = served.provider.name
        limit = min(self._limits.batch, self._limits.in_flight - self.crew.count(name))
        claimed, ended, next_due = await self._storage.write(lambda store: self._claim(store, name, limit))
        for taken in ended:
            self._bell.ring(taken)
        for timer, task, provider_task_id in claimed:
            self.crew.start(name, self._ask(served, timer, task, provider_task_id))
        return next_due

    def _claim(
        self, store: Store, provider: str, limit: int
    ) -> tuple[list[tuple[Timer, Task, str]], list[Taken], Ms | None]:
        now = self._clock.now()
        owner = new_id("own", now)
        until = now + round(self._limits.lease_s * 1000)
        claimed, ended = [], []
        for timer in store.claim_timers(Work.POLL, provider, owner=owner, now=now, until=until, limit=limit):
            task = store.task(timer.task_id)
            if task is None:
                store.drop_timer(timer.task_id)
            elif task.provider_task_id is None:
                ended += _wait_for_id(store, task, timer, now)
            else:
                claimed.append((replace(timer, owner=owner, due_at=until), task, task.provider_task_id))
        return claimed, ended, store.next_due_timer(Work.POLL, provider)

    async def _ask(self, served: Served, timer: Timer, task: Task, provider_task_id: str) -> None:
        answer = await self._answer(served, task, provider_task_id)
        if isinstance(answer, PollFailed):
            log.warning("poll.failed", task=task.id, provider=task.provider, reason=answer.failure.message)
        taken = await self._storage.write(lambda store: self._settle(store, served, timer, answer))
        if taken is not None:
            self._bell.ring(taken)

    async def _answer(self, served: Served, task: Task, provider_task_id: str) -> PollAnswer:
        call = served.adapter.poll(served.provider, provider_task_id)
        reply = await self._outbound.send(call, deadline_s=self._limits.deadline_s, kind=Audience.PROVIDER_POLL)
        if not isinstance(reply, Reply):
            return _failed(FailureKind.UNAVAILABLE, reply.reason)
        answer = served.read_poll(reply, task, self._clock.now())
        return answer if isinstance(answer, PollFailed) else self._about_this(task, answer)

    def _about_this(self, task: Task, update: Update) -> PollAnswer:
        """The update, unless it is about another task: by its id, or by the callback URL that it echoes."""
        if update.provider_task_id is not None and update.provider_task_id != task.provider_task_id:
            return _failed(FailureKind.UPSTREAM, f"the answer is about {update.provider_task_id}")
        if not task.callback_expected or update.callback_url is None:
            return update
        try:
            named = self._callbacks.tokens.read(task.provider, token_in(update.callback_url) or "")
        except NotVerified:
            named = None
        return update if named == task.id else _failed(FailureKind.UPSTREAM, "the answer names another callback URL")

    def _settle(self, store: Store, served: Served, timer: Timer, answer: PollAnswer) -> Taken | None:
        """Record an answer, whoever holds the lease by now; set the next timer only if it is still ours."""
        now = self._clock.now()
        task, current = store.task(timer.task_id), store.timer(timer.task_id)
        if task is None:
            return None
        ours = current is not None and current.owner == timer.owner
        timer = current or timer
        if isinstance(answer, Update):
            taken, following = self._answered(store, served, task, timer, answer, now)
        else:
            taken, following = self._unanswered(store, served, task, timer, answer, now)
        if taken.task.status.final and not policy.watches_late(taken.task, now):
            store.drop_timer(task.id)
        elif ours:
            store.set_timer(following)
        return taken

    def _answered(
        self, store: Store, served: Served, task: Task, timer: Timer, update: Update, now: Ms
    ) -> tuple[Taken, Timer]:
        source, proof = policy.source_and_proof(timer, update)
        taken = take(store, task, update, source=source, verified_by=proof, now=now)
        if policy.due_for_expiry(taken.task, now):
            taken = _take_ours(store, taken.task, policy.expired(task), now)
        pace = served.adapter.profile.pace
        due_at = policy.next_poll_at(taken.task, timer, pace, now=now, spread=random.random())  # noqa: S311 - jitter
        rings = None if timer.rings is None else timer.rings + 1
        return taken, replace(
            timer, due_at=due_at, owner=None, tries=0, rings=rings, missing_since=None, answered_at=now
        )

    def _unanswered(
        self, store: Store, served: Served, task: Task, timer: Timer, answer: PollFailed, now: Ms
    ) -> tuple[Taken, Timer]:
        missing = answer.failure.kind is FailureKind.NOT_FOUND
        timer = replace(timer, missing_since=(timer.missing_since or now) if missing else None)
        profile = served.adapter.profile
        if missing and policy.believes_missing(timer, now, profile.grace_s) and not task.status.final:
            gone = policy.vanished(task, answer.failure)
            taken = take(store, task, gone, source=Source.POLL, verified_by=Verified.POLL, now=now, ours=True)
        elif policy.may_take_callback(task, timer, now):
            taken = self._take_claim(store, served, task, now)
        elif policy.due_for_expiry(task, now) and policy.given_up(task, now):
            taken = _take_ours(store, task, policy.expired(task), now)
        else:
            taken = Taken(task=task)
        due_at = policy.after_failed_poll(
            timer,
            profile.pace,
            retry_after_s=answer.retry_after_s,
            now=now,
            spread=random.random(),  # noqa: S311 - jitter
        )
        return taken, replace(timer, due_at=due_at, owner=None, tries=timer.tries + 1)

    def _take_claim(self, store: Store, served: Served, task: Task, now: Ms) -> Taken:
        """What the newest readable callback claimed, where nobody else could be asked until the deadline."""
        for body in store.callbacks(task.id):
            for update in _updates_in(served, body, task, now):
                if update.status is not None and update.status.final:
                    return take(store, task, update, source=Source.CALLBACK, verified_by=Verified.TOKEN, now=now)
        return Taken(task=task)


def _wait_for_id(store: Store, task: Task, timer: Timer, now: Ms) -> list[Taken]:
    """Nobody can be asked about a task whose id was never told: it waits for a callback, until its deadline."""
    if policy.due_for_expiry(task, now):
        store.drop_timer(task.id)
        return [_take_ours(store, task, policy.expired(task), now)]
    store.set_timer(replace(timer, due_at=task.deadline_at, owner=None))
    return []


def _take_ours(store: Store, task: Task, verdict: Update, now: Ms) -> Taken:
    return take(store, task, verdict, source=Source.DEADLINE, verified_by=None, now=now, ours=True)


def _updates_in(served: Served, body: bytes, task: Task, now: Ms) -> Sequence[Update]:
    try:
        return served.read_callback(Callback(headers={}, body=body), task, now)
    except Malformed:
        return ()


def _failed(kind: FailureKind, reason: str) -> PollFailed:
    return PollFailed(failure=Failure(kind=kind, message=reason, retryable=True))

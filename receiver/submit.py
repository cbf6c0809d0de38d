"""Hands tasks over to their providers: intent first, one request, and what became of it.

A task is recorded as `submitting` before the first byte leaves. Its timer's lease outlasts the request, so one that
lapses belongs to a process that died in between: such a task is unconfirmed, never sent again.
"""

import asyncio
import random
from dataclasses import dataclass, replace

from adapters.base import Accepted, Ambiguous, NotCreated, Refused, SubmitAnswer
from receiver import policy
from receiver.bell import Bell
from receiver.clock import Clock
from receiver.crew import Crew
from receiver.domain import (
    Failure,
    FailureKind,
    Ms,
    NoReply,
    Reply,
    Source,
    Status,
    Task,
    Timer,
    Update,
    Verified,
    Work,
)
from receiver.ids import new_id
from receiver.intake import Taken, take
from receiver.outbound import Audience, Outbound
from receiver.providers import CallbackUrls, Providers, Served
from receiver.store.protocol import Storage, Store
from receiver.telemetry import log


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitLimits:
    """How long one request may take, and the lease that must outlast it."""

    deadline_s: float = 30.0
    lease_s: float = 60.0
    batch: int = 100
    in_flight: int = 1000


class Submitter:
    """Records new tasks and hands them over; `run_once` takes up those that were put off, or left behind."""

    def __init__(
        self,
        *,
        storage: Storage,
        outbound: Outbound,
        providers: Providers,
        callbacks: CallbackUrls,
        clock: Clock,
        bell: Bell,
        limits: SubmitLimits | None = None,
    ) -> None:
        self._storage = storage
        self._outbound = outbound
        self._providers = providers
        self._callbacks = callbacks
        self._clock = clock
        self._bell = bell
        self._limits = limits or SubmitLimits()
        self.wake = asyncio.Event()
        self.crew = Crew(self.wake.set)

    async def accept(self, task: Task) -> "asyncio.Task[None]":
        """Commit a new task as being handed over, then hand it over; the handover goes on if its waiter leaves."""
        now = self._clock.now()
        timer = Timer(
            task_id=task.id,
            provider=task.provider,
            work=Work.SUBMIT,
            due_at=now + round(self._limits.lease_s * 1000),
            owner=new_id("own", now),
        )

        def record(store: Store) -> None:
            store.record_task(task)
            store.set_timer(timer)

        await self._storage.write(record)
        return self.crew.start(task.provider, self._hand_over(task))

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
        starting, settled, next_due = await self._storage.write(lambda store: self._claim(store, name, limit))
        for taken in settled:
            self._announce(taken)
        for task in starting:
            self.crew.start(name, self._hand_over(task))
        return next_due

    def _claim(self, store: Store, provider: str, limit: int) -> tuple[list[Task], list[Taken], Ms | None]:
        now = self._clock.now()
        until = now + round(self._limits.lease_s * 1000)
        owner = new_id("own", now)
        starting, settled = [], []
        for timer in store.claim_timers(Work.SUBMIT, provider, owner=owner, now=now, until=until, limit=limit):
            task = store.task(timer.task_id)
            if task is None or task.status not in (Status.QUEUED, Status.SUBMITTING):
                store.drop_timer(timer.task_id)
            elif task.status is Status.SUBMITTING:
                lost = Ambiguous(failure=_unlearnt("the process ended while it was being handed over"))
                settled.append(self._settle(store, task.id, lost))
            elif policy.due_for_expiry(task, now):
                store.drop_timer(task.id)
                settled.append(
                    take(
                        store,
                        task,
                        policy.expired(task),
                        source=Source.DEADLINE,
                        verified_by=None,
                        now=now,
                        ours=True,
                    )
                )
            else:
                begun = replace(task, status=Status.SUBMITTING, version=task.version + 1)
                store.save_task(begun, expected_version=task.version)
                starting.append(begun)
        return starting, settled, store.next_due_timer(Work.SUBMIT, provider)

    async def _hand_over(self, task: Task) -> None:
        served = self._providers[task.provider]
        call = served.adapter.submit(
            served.provider,
            task.model,
            task.input,
            self._callbacks.of(served, task.id) if task.callback_expected else None,
        )
        began = self._clock.now()
        reply = await self._outbound.send(call, deadline_s=self._limits.deadline_s, kind=Audience.PROVIDER_SUBMIT)
        now = self._clock.now()
        answer = _judged(reply, served, task, now)
        log.info(
            "task.handed_over",
            task=task.id,
            provider=task.provider,
            answer=type(answer).__name__.lower(),
            status=reply.status if isinstance(reply, Reply) else None,
            reason=reply.reason if isinstance(reply, NoReply) else None,
            ms=now - began,
        )
        self._announce(await self._storage.write(lambda store: self._settle(store, task.id, answer)))

    def _settle(self, store: Store, task_id: str, answer: SubmitAnswer) -> Taken:
        """Record what became of a handover, and set the timer that follows from it."""
        now = self._clock.now()
        task, timer = store.task(task_id), store.timer(task_id)
        if task is None:
            raise RuntimeError(f"{task_id} is gone while it was being handed over")
        update = self._update_of(answer)
        taken = take(store, task, update, source=Source.SUBMIT, verified_by=_proof(answer), now=now)
        if isinstance(answer, Accepted) and taken.task.status is Status.SUBMITTING:
            twice = _unlearnt(f"its answer names {update.provider_task_id}, which is bound to another task")
            taken = take(store, task, _doubt(twice), source=Source.SUBMIT, verified_by=None, now=now)
        following = self._timer_after(taken.task, timer, answer, now)
        if following is None:
            store.drop_timer(task_id)
        else:
            store.set_timer(following)
        return taken

    def _update_of(self, answer: SubmitAnswer) -> Update:
        match answer:
            case Accepted(update=update):
                return replace(update, status=update.status or Status.SUBMITTED)
            case Refused(failure=failure):
                return Update(status=Status.FAILED, error=failure)
            case NotCreated():
                return Update(status=Status.QUEUED)
            case Ambiguous(failure=failure):
                return _doubt(failure)

    def _timer_after(self, task: Task, timer: Timer | None, answer: SubmitAnswer, now: Ms) -> Timer | None:
        if task.status.final and not policy.watches_late(task, now):
            return None
        timer = timer or Timer(task_id=task.id, provider=task.provider, work=Work.SUBMIT, due_at=now)
        if task.status is Status.QUEUED and isinstance(answer, NotCreated):
            again_at = policy.next_submit_at(
                timer.tries,
                retry_after_s=answer.retry_after_s,
                now=now,
                spread=random.random(),  # noqa: S311 - jitter
            )
            return replace(timer, due_at=min(again_at, task.deadline_at), owner=None, tries=timer.tries + 1)
        pace = self._providers[task.provider].adapter.profile.pace
        due_at = (
            policy.first_poll_at(task, pace, rings=timer.rings, now=now, spread=random.random())  # noqa: S311 - jitter
            if task.provider_task_id
            else task.deadline_at
        )
        return replace(timer, work=Work.POLL, due_at=due_at, owner=None, tries=0)

    def _announce(self, taken: Taken) -> None:
        self._bell.ring(taken)
        if taken.task.status is Status.QUEUED:
            self.wake.set()


def _judged(reply: Reply | NoReply, served: Served, task: Task, now: Ms) -> SubmitAnswer:
    """What an answer, or none, is known to mean: only what cannot have left is safe to send again."""
    if isinstance(reply, Reply):
        return served.read_submit(reply, task, now)
    if reply.sent:
        return Ambiguous(failure=_unlearnt(reply.reason))
    return NotCreated(failure=Failure(kind=FailureKind.UNAVAILABLE, message=reply.reason, retryable=True))


def _proof(answer: SubmitAnswer) -> Verified | None:
    return Verified.POLL if isinstance(answer, Accepted | Refused) else None


def _unlearnt(reason: str) -> Failure:
    return Failure(kind=FailureKind.UNKNOWN, message=reason)


def _doubt(failure: Failure) -> Update:
    why = f"sent, and never learnt whether the provider took it: {failure.message}; it is not sent again by itself"
    return Update(status=Status.UNCONFIRMED, error=replace(failure, message=why))

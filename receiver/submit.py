"""Hands tasks over to their providers: intent first, one request, and what became of it.

A task is recorded as `submitting` before the first byte leaves. Its timer's lease outlasts the request, so one that
lapses belongs to a process that died in between: such a task is unconfirmed, never sent again.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapters.base import Accepted, Ambiguous, NotCreated, Refused, SubmitAnswer, retry_after_seconds
from receiver import policy, provider_policy, story, timing, turns, verdicts
from receiver.actions import cancel_if_asked
from receiver.bell import Bell
from receiver.budget import A_TURN, Budget
from receiver.clock import Clock
from receiver.copying import replace
from receiver.crew import Crew, each_alone
from receiver.domain import MINUTE, Failure, FailureKind, Ms, Source, Status, Task, Timer, Update, Verified, Work
from receiver.errors import Unavailable
from receiver.ids import new_id
from receiver.intake import Outlook, Taken, take, take_ours
from receiver.outbound import Audience, Outbound
from receiver.providers import PROVIDER_CAP, CallbackUrls, Providers, Served
from receiver.standing import Turn, heard, log_turn
from receiver.store.protocol import Storage, Store
from receiver.telemetry import log
from receiver.traces import NO_TRACES, Traces
from receiver.turns import Did
from receiver.wire import Call, NoReply, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitLimits:
    """How long one request may take, and the lease that must outlast it."""

    deadline_s: float = 30.0
    lease_s: float = 60.0
    batch: int = 100


_WAITING = ""  # the crew's key of what only waits for its commit
STORE_PAUSES_S = (0.1, 0.5, 2.0, 5.0)


class Submitter:
    """Records new tasks and hands them over; `run_once` takes up those that were put off, or left behind."""

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
        limits: SubmitLimits | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._storage = storage
        self._outbound = outbound
        self._providers = providers
        self._budgets = budgets
        self._callbacks = callbacks
        self._clock = clock
        self._bell = bell
        self._traces = traces
        self._limits = limits or SubmitLimits()
        self.wake = asyncio.Event()
        self.waits = True  # something may wait to be handed over, as far as the last round saw
        self.crew = Crew(self._freed)
        self._starved = False

    async def accept(self, task: Task, *, also: Callable[[Store], None] | None = None, later: bool = False) -> None:
        """Commit a new task, and `also` what belongs to it, then hand it over; that goes on if the caller leaves.

        It is put off where its provider is paused or out of budget, and waits its turn where enough are under way, or
        where it is left for `later`.
        """
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        free = not later and self._free(task.provider, self._clock.now()) > 0
        # A place is taken before the commit, so that those who come together do not all find it free.
        place = task.provider if free else _WAITING
        self.crew.start(place, self._take_on(task, also, recorded, free=free))
        await asyncio.shield(recorded)

    async def _take_on(
        self, task: Task, also: Callable[[Store], None] | None, recorded: "asyncio.Future[None]", *, free: bool
    ) -> None:
        """Commit and handover in one piece, which no caller that leaves can cut between the two."""
        now, budget = self._clock.now(), self._budgets[task.provider]
        spent = budget.window(now) == 0 or budget.spent(now)
        why = f"{task.provider} takes no more requests now" if spent else None
        free = free and budget.allows(now, 1, Work.SUBMIT) > 0
        with budget.promising(int(free)):
            try:
                taken, begun = await self._storage.write(
                    lambda store: self._record(store, task, also, now, free=free, why=why), brief=True
                )
            except Exception as error:  # noqa: BLE001 - it belongs to the caller that waits, whatever it is
                recorded.set_exception(error)
                return
            if begun:
                budget.submits_began(1, self._clock.now())
        recorded.set_result(None)
        self._bell.ring(taken)
        if begun:
            await self._hand_over(taken.task)
        else:
            self.wake.set()

    def _record(
        self, store: Store, task: Task, also: Callable[[Store], None] | None, now: Ms, *, free: bool, why: str | None
    ) -> tuple[Taken, bool]:
        """The task and its timer: being handed over at once, put off with its event, or next in line."""
        if provider_policy.may_submit(store.standing(task.provider)) is not None:
            why = f"{task.provider} is paused"
        begun = why is None and free
        recorded = replace(task, status=Status.SUBMITTING if begun else Status.QUEUED)
        store.record_task(recorded)
        until, owner = self._lease(now) if begun else (now, None)
        store.set_timer(Timer(task_id=task.id, provider=task.provider, work=Work.SUBMIT, due_at=until, owner=owner))
        if also is not None:
            also(store)
        if why is None:
            return Taken(task=recorded), begun
        story.tell(store, recorded, story.put_off(why), now)
        put_off_now = Update(
            status=Status.QUEUED, error=Failure(kind=FailureKind.UNAVAILABLE, message=why, retryable=True)
        )
        return take(store, recorded, put_off_now, source=Source.SUBMIT, verified_by=None, now=now), False

    def _lease(self, now: Ms) -> tuple[Ms, str]:
        """Until when one that begins now is ours, and as whose."""
        return now + round(self._limits.lease_s * 1000), new_id("own", now)

    def _free(self, provider: str, now: Ms) -> int:
        """How many more submits may be under way."""
        return self._budgets[provider].window(now) - self.crew.count(provider)

    async def abandon(self) -> None:
        """What is still being handed over as the process ends: nobody will hear the answer, so it is in doubt."""
        lost = Ambiguous(failure=_unlearnt("the server stopped before the answer came"))
        await self._storage.write(
            lambda store: [
                self._settle(store, timer.task_id, lost, story.Exchange())
                for timer in store.leased_timers(Work.SUBMIT, mine=True)
            ]
        )

    async def run_once(self) -> float:
        """Start what is due; the seconds until something is."""
        now = self._clock.now()
        names = [name for name in self._providers if self._free(name, now) > 0]
        self._starved = len(names) < len(self._providers)
        due_at = await self._storage.read(
            lambda store: [store.next_due_timer(Work.SUBMIT, name) for name in names], brief=True
        )
        due = await each_alone(map(self._run_provider, names, due_at))
        self.waits = self._starved or any(at is not None for at in due)
        return timing.seconds_until(due, self._clock.now())

    def _freed(self, _: str) -> None:
        if self._starved:
            self.wake.set()

    async def _run_provider(self, name: str, due_at: Ms | None) -> Ms | None:
        now, budget = self._clock.now(), self._budgets[name]
        if due_at is None or due_at > now:
            return due_at  # nothing to hand over: no place is held that a new task could have
        if turns.left_s() < self._limits.deadline_s:
            return now + MINUTE  # nothing is sent whose answer could not be waited for
        limit = budget.allows(now, min(self._limits.batch, max(self._free(name, now), 0)), Work.SUBMIT)
        if limit == 0:
            self._starved = True
            return max(budget.next_at(now), now + A_TURN)
        with budget.holding(limit), self.crew.holding(name, limit):
            starting, settled, next_due = await self._storage.write(lambda store: self._claim(store, name, limit))
            budget.submits_began(len(starting), self._clock.now())
            for task in starting:
                self.crew.start(name, self._hand_over(task))
        for taken in settled:
            self._bell.ring(taken)
        return next_due

    def _claim(self, store: Store, provider: str, limit: int) -> tuple[list[Task], list[Taken], Ms | None]:
        now = self._clock.now()
        may = provider_policy.may_submit(store.standing(provider))
        starting: list[Task] = []
        settled: list[Taken] = []
        if may is not None:
            begun = [each for each in store.leased_timers(Work.SUBMIT) if each.provider == provider]
            settled += [self._settle(store, each.task_id, _CRASHED) for each in begun if each.due_at <= now]
            # The one that follows a probe is the only one under way.
            limit = min(limit, max(may - sum(each.due_at > now for each in begun), 0))
        until, owner = self._lease(now)
        for each in store.claim_timers(Work.SUBMIT, provider, owner=owner, now=now, until=until, limit=limit):
            task = store.task(each.timer.task_id)
            if task is None or task.status not in (Status.QUEUED, Status.SUBMITTING):
                store.drop_timer(each.timer.task_id)
            elif policy.exists(task) or task.status is Status.SUBMITTING:
                settled.append(self._settle(store, task.id, _CRASHED))
            elif policy.due_for_expiry(task, now):
                store.drop_timer(task.id)
                settled.append(take_ours(store, task, verdicts.expired(task), now))
            else:
                starting.append(policy.begun(task))
                store.save_task(starting[-1], expected_version=task.version)
        # What waits for its provider is due already: it is looked at again when that is resumed.
        return starting, settled, store.next_due_timer(Work.SUBMIT, provider) if limit else now + MINUTE

    async def _hand_over(self, task: Task) -> None:
        served = self._providers[task.provider]
        call = served.submit(task, self._callbacks.of(served, task.id) if task.callback_expected else None)
        began = self._clock.now()
        reply = await self._reply(call)
        now = self._clock.now()
        answer = _judged(reply, served, task, now)
        log.info(
            "task.handed_over",
            task=task.id,
            provider=task.provider,
            answer=type(answer).__name__.lower(),
            status=reply.status if isinstance(reply, Reply) else None,
            reason=reply.reason if isinstance(reply, NoReply) else None,
            provider_task_id=answer.update.provider_task_id if isinstance(answer, Accepted) else None,
            ms=now - began,
        )
        self._learn(task.provider, reply, answer, now, took_s=(now - began) / 1000)
        exchange = story.Exchange(status=reply.status if isinstance(reply, Reply) else None, ms=now - began)
        taken, turn = await self._recorded(lambda store: self._record_answer(store, task, answer, exchange))
        turns.did(Did.SUBMITTED)
        log_turn(turn)
        served.counts.submitted(story.WORD_OF[type(answer)], promised=_promises(task, answer))
        self._traces.submitted(taken.task, story.WORD_OF[type(answer)], exchange.status, began, now)
        self._bell.ring(taken)
        if (turn and turn.resumed) or taken.task.status is Status.QUEUED:
            self.wake.set()

    async def _reply(self, call: Call | NoReply) -> Reply | NoReply:
        if isinstance(call, NoReply):
            return call
        return await self._outbound.send(
            call, deadline_s=self._limits.deadline_s, cap=PROVIDER_CAP, kind=Audience.PROVIDER_SUBMIT
        )

    async def _recorded(self, do: Callable[[Store], tuple[Taken, Turn | None]]) -> tuple[Taken, Turn | None]:
        """Commit an answer, however long the store takes to come back: it names a task that was paid for."""
        for pause_s in itertools.chain(STORE_PAUSES_S, itertools.repeat(STORE_PAUSES_S[-1])):
            try:
                return await self._storage.write(do, brief=True)
            except Unavailable as error:
                log.error("answer.waits", error=str(error))
                await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    def _learn(self, provider: str, reply: Reply | NoReply, answer: SubmitAnswer, now: Ms, *, took_s: float) -> None:
        """What an answer says about how much the provider can be asked for."""
        budget = self._budgets[provider]
        broke = isinstance(reply, Reply) and reply.status >= 500
        if isinstance(reply, Reply) and (broke or reply.status == 429):
            budget.hold(now, retry_after_seconds(reply.headers, now))
        match answer:
            case Ambiguous():
                budget.submit_lost()
            case NotCreated(full=True):
                budget.fill_up(now)
            case NotCreated(failure=failure, retry_after_s=retry_after_s):
                if broke or failure.kind in (FailureKind.RATE_LIMITED, FailureKind.UPSTREAM):
                    budget.narrow(now, retry_after_s)
            case _:
                took = took_s / self._limits.deadline_s
                budget.submit_answered(now, under_way=self.crew.count(provider), took=took)
                budget.widen(now)

    def _record_answer(
        self, store: Store, task: Task, answer: SubmitAnswer, exchange: story.Exchange
    ) -> tuple[Taken, Turn | None]:
        """The task, and how its provider stands after this; whether that paused or resumed it."""
        now = self._clock.now()
        taken = self._settle(store, task.id, answer, exchange)
        before = store.standing(task.provider)
        if isinstance(answer, NotCreated) and exchange.status is None:
            after = provider_policy.after_no_connection(before, now)
        else:
            error = answer.failure.message if isinstance(answer, Ambiguous) else None
            after = provider_policy.after_submit(before, answered=error is None, now=now, error=error)
        timer = None if taken.task.status.final else store.timer(task.id)
        outlook = Outlook(timer=timer, standing=after) if timer is not None else None
        return replace(taken, outlook=outlook), heard(store, before, after, now)

    def _settle(
        self, store: Store, task_id: str, answer: SubmitAnswer, exchange: story.Exchange = story.UNHEARD
    ) -> Taken:
        """Record what became of a handover, and set the timer that follows from it."""
        now = self._clock.now()
        task, timer = store.task(task_id), store.timer(task_id)
        if task is None:
            raise RuntimeError(f"{task_id} is gone while it was being handed over")
        update = self._update_of(answer, task)
        taken = take(store, task, update, source=Source.SUBMIT, verified_by=_proof(answer), now=now)
        if isinstance(answer, Accepted) and taken.task.status is Status.SUBMITTING:
            twice = _unlearnt(f"its answer names {update.provider_task_id}, which is bound to another task")
            taken = take(store, task, _doubt(twice), source=Source.SUBMIT, verified_by=None, now=now)
        taken = cancel_if_asked(store, taken, now=now)
        following = self._timer_after(taken.task, timer, answer, now)
        if following is None:
            store.drop_timer(task_id)
        else:
            store.set_timer(following)
        next_at = following.due_at if following else None
        story.tell(store, task, story.submitted(answer, taken.task, exchange, next_at=next_at, now=now), now)
        return taken

    def _update_of(self, answer: SubmitAnswer, task: Task) -> Update:
        match answer:
            case Accepted(update=update):
                return replace(update, status=update.status or Status.SUBMITTED)
            case Refused(failure=failure):
                return Update(status=Status.FAILED, error=failure)
            case NotCreated(failure=failure):
                unneeded = task.cancel_asked and task.provider_task_id is None
                return Update(status=None if unneeded else Status.QUEUED, error=failure)
            case Ambiguous(failure=failure):
                return _doubt(failure)

    def _timer_after(self, task: Task, timer: Timer | None, answer: SubmitAnswer, now: Ms) -> Timer | None:
        if task.status.final and not timing.watches_late(task, now):
            return None
        timer = timer or Timer(task_id=task.id, provider=task.provider, work=Work.SUBMIT, due_at=now)
        if task.status is Status.QUEUED and isinstance(answer, NotCreated):
            again_at = timing.next_submit_at(
                timer.tries,
                retry_after_s=answer.retry_after_s,
                now=now,
                spread=random.random(),  # noqa: S311 - jitter
            )
            return replace(timer, due_at=min(again_at, task.deadline_at), owner=None, tries=timer.tries + 1)
        pace = self._providers[task.provider].adapter.profile.pace
        due_at = (
            timing.first_poll_at(task, pace, rings=timer.rings, now=now, spread=random.random())  # noqa: S311 - jitter
            if task.provider_task_id
            else task.deadline_at
        )
        return replace(timer, work=Work.POLL, due_at=due_at, owner=None, tries=0)


def _judged(reply: Reply | NoReply, served: Served, task: Task, now: Ms) -> SubmitAnswer:
    """What an answer, or none, is known to mean: only what cannot have left is safe to send again."""
    if isinstance(reply, Reply):
        return served.read_submit(reply, task, now)
    if reply.sent:
        return Ambiguous(failure=_unlearnt(reply.reason))
    return NotCreated(failure=Failure(kind=FailureKind.UNAVAILABLE, message=reply.reason, retryable=True))


def _promises(task: Task, answer: SubmitAnswer) -> bool:
    """Whether a callback is to come: the provider took the task with our URL, and has not told its end already."""
    ended = isinstance(answer, Accepted) and answer.update.status is not None and answer.update.status.final
    return task.callback_expected and isinstance(answer, Accepted) and not ended


def _proof(answer: SubmitAnswer) -> Verified | None:
    return Verified.POLL if isinstance(answer, Accepted | Refused) else None


def _unlearnt(reason: str) -> Failure:
    return Failure(kind=FailureKind.UNKNOWN, message=reason)


_CRASHED = Ambiguous(failure=_unlearnt("the process ended while it was being handed over"))


def _doubt(failure: Failure) -> Update:
    why = f"sent, and never learnt whether the provider took it: {failure.message}; it is not sent again by itself"
    return Update(status=Status.UNCONFIRMED, error=replace(failure, message=why))

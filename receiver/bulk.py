"""One action on many tasks: page after page of a list, a short transaction for each, whatever does not fit skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from receiver import action_policy, actions
from receiver.action_policy import Action, Refusal
from receiver.copying import replace
from receiver.domain import Ms, Task
from receiver.intake import Taken
from receiver.providers import CallbackUrls, Providers
from receiver.store.protocol import Storage, Store
from receiver.store.records import Page

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What to do, to which tasks: those that `page` filters, newest first, from `now` on at `rate` per second."""

    action: Action
    page: Page
    now: Ms
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Bulk:
    """Works through errands. `announce` hears of every batch after its commit."""

    storage: Storage
    providers: Providers
    callbacks: CallbackUrls
    announce: Callable[[Sequence[Taken]], None]

    async def count(self, errand: Errand) -> int:
        """How many tasks an errand would change now; nothing is done."""
        return await self._work(errand, dry=True)

    async def run(self, errand: Errand) -> int:
        """How many tasks an errand changed. Tasks that are made meanwhile are no part of it."""
        return await self._work(errand, dry=False)

    async def _work(self, errand: Errand, *, dry: bool) -> int:
        count, page = 0, replace(errand.page, limit=BATCH)
        while True:
            last, wanted = await self.storage.read(partial(self._wanted, errand, page))
            if dry:
                count += len(wanted)
            elif wanted:
                done, changes = await self.storage.write(partial(self._do_all, errand, wanted, count))
                self.announce(changes)
                count += done
            if last is None:
                return count
            page = replace(page, cursor=last)

    def _wanted(self, errand: Errand, page: Page, store: Store) -> tuple[str | None, list[str]]:
        """The cursor behind a page, None behind the last one, and the tasks on it that the errand means."""
        tasks = store.list_tasks(page)
        wanted = [task.id for task in tasks if self._means(errand, task, store)]
        return (tasks[-1].id if len(tasks) == BATCH else tasks.to), wanted

    def _means(self, errand: Errand, task: Task, store: Store) -> bool:
        where, action = errand.page.where or {}, errand.action
        if action_policy.refusal(action, task) or not action_policy.still_matches(task, where):
            return False
        if action is not Action.RESUBMIT:
            return True
        again = action_policy.worth_again(task, where, resubmitted=store.resubmitted(task.id))
        return again and isinstance(self._resubmission(errand, task, errand.now), Task)

    def _resubmission(self, errand: Errand, task: Task, due_at: Ms) -> Task | Refusal:
        served = self.providers.get(task.provider)
        return actions.resubmission(task, served, self.callbacks, now=errand.now, due_at=due_at)

    def _do_all(self, errand: Errand, ids: Sequence[str], before: int, store: Store) -> tuple[int, list[Taken]]:
        """One transaction: how many of these tasks were changed, and what was taken of them."""
        count, changes = 0, list[Taken]()
        for task_id in ids:
            task = store.task(task_id)
            if task is not None and self._means(errand, task, store):
                due_at = action_policy.paced(before + count, errand.rate, errand.now)
                changes += [taken for taken in self._do(errand, task, due_at, store) if taken.events]
                count += 1
        return count, changes

    def _do(self, errand: Errand, task: Task, due_at: Ms, store: Store) -> list[Taken]:
        now, outcomes = errand.now, list[Taken | Refusal]()
        match errand.action:
            case Action.CANCEL:
                outcomes = [actions.cancel(store, task, now=now)]
            case Action.REFRESH:
                outcomes = [actions.refresh(store, task, at=due_at, now=now)]
            case Action.RESOLVE:
                outcomes = [actions.declare_failed(store, task, now=now)]
            case Action.RESUBMIT:
                new = self._resubmission(errand, task, due_at)
                if isinstance(new, Task):
                    outcomes = [actions.replace_by(store, task, new.id, now=now)]
                    outcomes.append(actions.queue(store, new, now=now, due_at=due_at))
        return [each for each in outcomes if isinstance(each, Taken)]

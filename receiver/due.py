"""When there is something to do next, for whoever makes us work only then."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from receiver import formats, provider_policy
from receiver.blocked import Blocked
from receiver.budget import Budget
from receiver.domain import Ms, Work
from receiver.store.protocol import Store
from receiver.store.records import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """What a heartbeat did: requests that handed tasks over, polls, deliveries that arrived; and when more is due.

    `next_due_at` lies in the past where something is left that could not be done; None where nothing waits at all.
    """

    submitted: int
    polled: int
    delivered: int
    next_due_at: Ms | None

    def fields(self) -> dict[str, Any]:
        """As it is answered."""
        due_at = None if self.next_due_at is None else formats.timestamp(self.next_due_at)
        return {
            "submitted": self.submitted,
            "polled": self.polled,
            "delivered": self.delivered,
            "next_due_at": due_at,
        }


@dataclass(frozen=True, slots=True)
class Due:
    """Looks at all that waits: the budgets' providers, what destinations are owed, what is over at its deadline.

    What this process knows to be of no use earlier counts later: where a provider asked us to wait, or nothing can be
    signed. History that may be deleted is nothing that anybody waits for.
    """

    budgets: Mapping[str, Budget]
    blocked: Blocked

    def next_at(self, store: Store, now: Ms) -> Ms | None:
        """The earliest of it; what is leased counts when its lease ends."""
        times = [at for name in self.budgets for at in self._of_provider(store, name, now)]
        times += [self._of_queue(each) for each in store.owed()]
        times.append(store.next_deadline())
        return min((at for at in times if at is not None), default=None)

    def _of_provider(self, store: Store, name: str, now: Ms) -> list[Ms | None]:
        standing, free_at = store.standing(name), self.budgets[name].next_at(now)
        polls_at = standing.probe_at if standing.holds_polls else store.next_due_timer(Work.POLL, name)
        held = provider_policy.may_submit(standing) == 0
        submits_at = None if held else store.next_due_timer(Work.SUBMIT, name)
        return [None if at is None else max(at, free_at) if free_at > now else at for at in (polls_at, submits_at)]

    def _of_queue(self, queue: Queue) -> Ms:
        return max(queue.ready_at, self.blocked.until(queue.destination_id))

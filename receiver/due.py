"""When there is something to do next, for whoever makes us work only then."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from receiver import formats, provider_policy
from receiver.blocked import Blocked
from receiver.budget import Budget
from receiver.domain import Ms, Work
from receiver.store.protocol import Store


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
        """When the earliest of it can be done; what is leased counts when its lease ends."""
        return min((max(at, possible_at) for at, possible_at in self._times(store, now)), default=None)

    def waits(self, store: Store, now: Ms) -> bool:
        """Whether anything is due now, can it be done now or not."""
        return any(at <= now for at, _ in self._times(store, now))

    def _times(self, store: Store, now: Ms) -> Iterator[tuple[Ms, Ms]]:
        """When each kind of it is due, and before when it is of no use to try."""
        for name, budget in self.budgets.items():
            free_at = budget.next_at(now)
            possible_at = free_at if free_at > now else 0
            yield from ((at, possible_at) for at in self._of_provider(store, name) if at is not None)
        for queue in store.owed():
            yield queue.ready_at, self.blocked.until(queue.destination_id)
        deadline_at = store.next_deadline()
        if deadline_at is not None:
            yield deadline_at, 0

    def _of_provider(self, store: Store, name: str) -> tuple[Ms | None, Ms | None]:
        standing = store.standing(name)
        polls_at = standing.probe_at if standing.holds_polls else store.next_due_timer(Work.POLL, name)
        held = provider_policy.may_submit(standing) == 0
        return polls_at, None if held else store.next_due_timer(Work.SUBMIT, name)

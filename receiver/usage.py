"""What a tenant's tasks of some time came to and cost, grouped: added up in bites, so that nobody waits for it all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from receiver.domain import FINAL, Ms, Status
from receiver.ids import first_id, made_at
from receiver.store.protocol import Storage
from receiver.store.records import Part, Tallied

METADATA = "metadata."
PLAIN = ("provider", "model")

Group = tuple[str | None, ...]
Of = tuple[str, str]  # provider and model, which a price depends on


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whose tasks, made from `since` on and before `until`, grouped by these words of `PLAIN` or metadata."""

    tenant: str
    since: Ms
    until: Ms
    group_by: tuple[str, ...] = ()

    @property
    def metadata(self) -> list[str]:
        """The keys among the words."""
        return [word.removeprefix(METADATA) for word in self.group_by if word.startswith(METADATA)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one question may take: a bite of tasks is one read of the store, some 40 ms of one of its readers."""

    bite: int = 10_000
    tasks: int = 1_000_000
    groups: int = 1000


MOST = Limits()


@dataclass(frozen=True, slots=True)
class TooManyTasks:
    """More than are counted for one question; from `since` on there are not."""

    since: Ms


@dataclass(frozen=True, slots=True)
class TooManyGroups:
    """More than are told in one answer."""


@dataclass(slots=True)
class Figures:
    """What is counted of a group: tasks by status, sums by unit and phase, those in doubt by what prices depend on."""

    by_status: dict[str, int] = field(default_factory=dict)
    amounts: dict[tuple[str, str], float] = field(default_factory=dict)
    in_doubt: dict[Of, int] = field(default_factory=dict)

    def add(self, row: Tallied) -> None:
        _count(self.by_status, row.status, row.tasks)
        if row.unit is not None and row.phase is not None:
            _count(self.amounts, (row.unit, row.phase), row.amount)
        if row.status == Status.UNCONFIRMED:
            _count(self.in_doubt, (row.provider, row.model), row.tasks)

    @property
    def tasks(self) -> int:
        return sum(self.by_status.values())

    @property
    def open(self) -> int:
        return self.tasks - sum(self.by_status.get(status, 0) for status in FINAL)


@dataclass(slots=True)
class Usage:
    """The figures of each group, and of all; `charged`: how many tasks cost how many credits, by provider and model."""

    groups: dict[Group, Figures] = field(default_factory=dict)
    total: Figures = field(default_factory=Figures)
    charged: dict[Of, tuple[int, float]] = field(default_factory=dict)

    def add(self, group: Group, row: Tallied) -> None:
        self.total.add(row)
        self.groups.setdefault(group, Figures()).add(row)
        if (row.unit, row.phase, row.status) == ("credits", "charged", Status.SUCCEEDED):
            tasks, amount = self.charged.get((row.provider, row.model), (0, 0.0))
            self.charged[row.provider, row.model] = tasks + row.tasks, amount + row.amount

    def at_risk(self, figures: Figures) -> tuple[float | None, int]:
        """The credits that tasks in doubt may have cost: what others of the same model did on average in this time.

        None where that is known of none; and of how many it is not.
        """
        known = {of: count for of, count in figures.in_doubt.items() if of in self.charged}
        unpriced = sum(figures.in_doubt.values()) - sum(known.values())
        if not known:
            return None, unpriced
        return sum(count * self.charged[of][1] / self.charged[of][0] for of, count in known.items()), unpriced


class Counting:
    """Adds up for one request of a tenant's after the other, so that many of them leave the store to others."""

    def __init__(self, storage: Storage, limits: Limits = MOST) -> None:
        self._storage = storage
        self._limits = limits
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, asked: Question) -> Usage | TooManyTasks | TooManyGroups:
        """The usage, of at most so many tasks and groups."""
        turn = self._turns.setdefault(asked.tenant, asyncio.Lock())
        async with turn:
            return await self._added_up(asked)

    async def _added_up(self, asked: Question) -> Usage | TooManyTasks | TooManyGroups:
        usage, limits, counted = Usage(), self._limits, 0
        before = first_id("task", asked.until)
        while part := await self._part(asked, before):
            counted += part.count
            if counted > limits.tasks:
                return TooManyTasks(made_at(before))
            for row in part.rows:
                group = tuple(_value(row, word, asked.metadata) for word in asked.group_by)
                if group not in usage.groups and len(usage.groups) >= limits.groups:
                    return TooManyGroups()
                usage.add(group, row)
            before = part.first
        return usage

    async def _part(self, asked: Question, before: str) -> Part | None:
        since, limit, metadata = first_id("task", asked.since), self._limits.bite, asked.metadata
        return await self._storage.read(
            lambda store: store.add_up(asked.tenant, since=since, before=before, limit=limit, metadata=metadata)
        )


def _value(row: Tallied, word: str, metadata: Sequence[str]) -> str | None:
    if word.startswith(METADATA):
        return row.metadata[metadata.index(word.removeprefix(METADATA))]
    return row.provider if word == "provider" else row.model


def _count(sums: dict[Any, Any], place: object, more: float) -> None:
    sums[place] = sums.get(place, 0) + more

"""What the one writer of a database keeps in memory, because nobody else can change it.

The counter of events, written once per transaction; the destinations that every event is held against and every
attempt is counted for; the tasks, and their timers, that are being handed over or that somebody is being asked about.
Only for the connection that writes: another one would not hear of changes.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from receiver.breaker_policy import Breaker
from receiver.domain import Destination, Ms, Task, Timer, Work
from receiver.hand_off import HandOff
from receiver.json_text import Unread
from receiver.provider_policy import Standing
from receiver.store.deliveries import DeliveryVerbs
from receiver.store.destinations import DestinationVerbs
from receiver.store.events import EventVerbs
from receiver.store.records import Lease, LeasedTimer
from receiver.store.standings import StandingVerbs
from receiver.store.statements import QUERIES
from receiver.store.tasks import TaskVerbs

_MOST = 10_000
_MOST_TASKS = 2_048  # more than are asked about at once
_LONGEST_INPUT = 4_096  # characters; a longer one is read again
_CHANGED = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_MEMORY_OF = {
    **dict.fromkeys(("destinations", "tenant_secrets", "retired_secrets"), "_answers"),
    "breakers": "_breakers",
    "standings": "_standings",
    "tasks": "_tasks",
    "inputs": "_tasks",
    "timers": "_timers",
}
# They change what they name, or nothing that is kept: the verbs below know what is true after them.
_KNOWN = {"insert_task", "insert_input", "update_task", "upsert_timer", "delete_timer", "lease_timers", "claim_timer"}
_Answer = TypeVar("_Answer")


def _spoilt_by(sql: str) -> str | None:
    """The memory that a statement makes untrue; None where it changes nothing of what is kept."""
    changed = _CHANGED.search(sql)
    return _MEMORY_OF.get(changed[1]) if changed else None


_SPOILT = {sql: memory for name, sql in QUERIES.items() if name not in _KNOWN and (memory := _spoilt_by(sql))}


class KeptVerbs(TaskVerbs, StandingVerbs, EventVerbs, DestinationVerbs, DeliveryVerbs):
    """These verbs answer from memory what was answered before, until a statement of this connection changes it."""

    _handing: HandOff
    _seq: int | None
    _written_seq: int | None
    _answers: dict[tuple[str, ...], Any]
    _breakers: dict[str, Breaker]
    _standings: dict[str, Standing]
    _tasks: dict[str, Task]
    _timers: dict[str, Timer]

    def forget(self) -> None:
        """Begin with an empty memory: what was remembered in a transaction that is undone may never have been true."""
        self._seq = self._written_seq = None
        self._answers = {}
        self._breakers = {}
        self._standings = {}
        self._tasks = {}
        self._timers = {}

    def hear(self, sql: str) -> None:
        """A statement that changes something is about to run."""
        spoilt = _SPOILT.get(sql)
        if spoilt is not None:
            getattr(self, spoilt).clear()

    def before_commit(self) -> None:
        """Write down what was only counted."""
        if self._seq != self._written_seq:
            self.count("set_seq", value=self._seq)
            self._written_seq = self._seq

    def next_seq(self) -> int:
        if self._seq is None:
            [row] = self.run("select_seq")
            self._seq = self._written_seq = int(row["value"])
        self._seq += 1
        return self._seq

    def skip_seqs(self, count: int) -> int:
        self.before_commit()  # what was counted so far comes before the gap
        self._seq = self._written_seq = super().skip_seqs(count)
        return self._seq

    def enabled_destinations(self, tenant: str) -> Sequence[Destination]:
        ask = super().enabled_destinations
        return self._kept(("enabled", tenant), lambda: ask(tenant))

    def destination(self, destination_id: str, tenant: str) -> Destination | None:
        ask = super().destination
        return self._kept(("destination", destination_id, tenant), lambda: ask(destination_id, tenant))

    def hidden_destination(self, destination_id: str) -> Destination | None:
        ask = super().hidden_destination
        return self._kept(("hidden", destination_id), lambda: ask(destination_id))

    def deliverable(self, destination_id: str, now: Ms) -> Destination | None:
        # It may hold a retired secret whose time was over since: who signs looks at the times.
        ask = super().deliverable
        return self._kept(("deliverable", destination_id), lambda: ask(destination_id, now))

    def breaker(self, destination_id: str) -> Breaker:
        kept = self._breakers.get(destination_id)
        if kept is None:
            kept = self._breakers[destination_id] = super().breaker(destination_id)
        return kept

    def standing(self, provider: str) -> Standing:
        kept = self._standings.get(provider)
        if kept is None:
            kept = self._standings[provider] = super().standing(provider)
        return kept

    def task(self, task_id: str) -> Task | None:
        kept = self._tasks.get(task_id)
        return kept or self._keep_task(super().task(task_id))

    def tasks(self, task_ids: Collection[str]) -> Mapping[str, Task]:
        unknown = [each for each in task_ids if each not in self._tasks]
        found = {each: self._tasks[each] for each in task_ids if each in self._tasks}
        if unknown:
            read = super().tasks(unknown)
            for task in read.values():
                self._keep_task(task)
            found |= read
        return found

    def record_task(self, task: Task) -> None:
        super().record_task(task)
        self._keep_task(task)

    def save_task(self, task: Task, *, expected_version: int) -> bool:
        self._tasks.pop(task.id, None)
        saved = super().save_task(task, expected_version=expected_version)
        if saved:
            self._keep_task(task)
        return saved

    def _keep_task(self, task: Task | None) -> Task | None:
        """Most are small, and are read again soon; a long input would be kept for nothing."""
        if task is not None and isinstance(task.input, Unread) and len(task.input.text) <= _LONGEST_INPUT:
            _make_room(self._tasks)
            self._tasks[task.id] = task
        return task

    def timer(self, task_id: str) -> Timer | None:
        kept = self._timers.get(task_id)
        return kept or super().timer(task_id)

    def set_timer(self, timer: Timer) -> None:
        super().set_timer(timer)
        self._keep_timer(timer)

    def drop_timer(self, task_id: str) -> None:
        self._timers.pop(task_id, None)
        super().drop_timer(task_id)

    def claim_timers(
        self, work: Work, provider: str, *, owner: str, now: Ms, until: Ms, limit: int, freshest: int = 0
    ) -> Sequence[LeasedTimer]:
        claimed = super().claim_timers(
            work, provider, owner=owner, now=now, until=until, limit=limit, freshest=freshest
        )
        for each in claimed:
            self._keep_timer(each.timer)
        return claimed

    def claim_timer(self, work: Work, task_id: str, *, owner: str, now: Ms, until: Ms) -> Sequence[LeasedTimer]:
        claimed = super().claim_timer(work, task_id, owner=owner, now=now, until=until)
        self._timers.pop(task_id, None)
        return claimed

    def _keep_timer(self, timer: Timer) -> None:
        _make_room(self._timers)
        self._timers[timer.task_id] = timer

    def hand_off(self, destination: Destination, now: Ms) -> Lease | None:
        if not self._handing.take(destination.id):
            return None
        whole = self.deliverable(destination.id, now)
        if whole is None or whole.max_in_flight == 0:
            return None
        return Lease(owner=self._handing.owner, until=now + self._handing.lease, destination=whole)

    def _kept(self, question: tuple[str, ...], ask: Callable[[], _Answer]) -> _Answer:
        if question not in self._answers:
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[question] = ask()
        answer: _Answer = self._answers[question]
        return answer


def _make_room(memory: dict[str, Any]) -> None:
    if len(memory) >= _MOST_TASKS:
        memory.clear()

"""What the one writer of a database keeps in memory, because nobody else can change it.

The counter of events, written once per transaction, and the destinations that every event is held against and every
attempt is counted for. Only for the connection that writes: another one would not hear of changes.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from receiver.breaker_policy import Breaker
from receiver.domain import Destination, Ms
from receiver.hand_off import HandOff
from receiver.provider_policy import Standing
from receiver.store.deliveries import DeliveryVerbs
from receiver.store.destinations import DestinationVerbs
from receiver.store.events import EventVerbs
from receiver.store.records import Lease
from receiver.store.standings import StandingVerbs
from receiver.store.statements import QUERIES

_MOST = 10_000


def _changing(tables: str) -> frozenset[str]:
    change = re.compile(rf"\s*(?:INSERT INTO|UPDATE|DELETE FROM) (?:{tables})\b")
    return frozenset(sql for sql in QUERIES.values() if change.match(sql))


_CHANGES = _changing("destinations|tenant_secrets|retired_secrets")
_BREAKER_CHANGES = _changing("breakers")
_STANDING_CHANGES = _changing("standings")
_Answer = TypeVar("_Answer")


class KeptVerbs(StandingVerbs, EventVerbs, DestinationVerbs, DeliveryVerbs):
    """These verbs answer from memory what was answered before, until a statement of this connection changes it."""

    _handing: HandOff
    _seq: int | None
    _written_seq: int | None
    _answers: dict[tuple[str, ...], Any]
    _breakers: dict[str, Breaker]
    _standings: dict[str, Standing]

    def forget(self) -> None:
        """Begin with an empty memory: what was remembered in a transaction that is undone may never have been true."""
        self._seq = self._written_seq = None
        self._answers = {}
        self._breakers = {}
        self._standings = {}

    def hear(self, sql: str) -> None:
        """A statement that changes something is about to run."""
        if sql in _CHANGES:
            self._answers.clear()
        elif sql in _BREAKER_CHANGES:
            self._breakers.clear()
        elif sql in _STANDING_CHANGES:
            self._standings.clear()

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

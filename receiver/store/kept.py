"""What the one writer of a database keeps in memory, because nobody else can change it.

The counter of events, written once per transaction, and the destinations that every event is held against. Only for
the connection that writes: another one would not hear of changes.
"""

import re
from collections.abc import Sequence

from receiver.domain import Destination, Ms
from receiver.store.destinations import DestinationVerbs
from receiver.store.events import EventVerbs
from receiver.store.statements import QUERIES

_CHANGE = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM) (?:destinations|tenant_secrets|retired_secrets)\b")
_CHANGES = frozenset(sql for sql in QUERIES.values() if _CHANGE.match(sql))


class KeptVerbs(EventVerbs, DestinationVerbs):
    """These verbs answer from memory what was answered before, until a statement of this connection changes it."""

    _seq: int | None
    _written_seq: int | None
    _enabled: dict[str, Sequence[Destination]]
    _deliverable: dict[str, Destination | None]

    def forget(self) -> None:
        """Begin with an empty memory: what was remembered in a transaction that is undone may never have been true."""
        self._seq = self._written_seq = None
        self._enabled = {}
        self._deliverable = {}

    def next_seq(self) -> int:
        if self._seq is None:
            [row] = self.run("select_seq")
            self._seq = self._written_seq = int(row["value"])
        self._seq += 1
        return self._seq

    def enabled_destinations(self, tenant: str) -> Sequence[Destination]:
        if tenant not in self._enabled:
            self._enabled[tenant] = super().enabled_destinations(tenant)
        return self._enabled[tenant]

    def deliverable(self, destination_id: str, now: Ms) -> Destination | None:
        if destination_id not in self._deliverable:
            self._deliverable[destination_id] = super().deliverable(destination_id, now)
        return self._deliverable[destination_id]

    def hear(self, sql: str) -> None:
        """A statement that changes something is about to run."""
        if sql in _CHANGES:
            self._enabled.clear()
            self._deliverable.clear()

    def before_commit(self) -> None:
        """Write down what was only counted."""
        if self._seq != self._written_seq:
            self.count("set_seq", value=self._seq)
            self._written_seq = self._seq

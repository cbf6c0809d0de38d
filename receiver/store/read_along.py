"""What every store can do for whoever reads along with all that happens, of whichever tenant."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from receiver.store.records import Recorded


class ReadAlong(Protocol):
    """A part of the verbs of a `Store`."""

    def last_seq(self) -> int:
        """The highest place that was given to an event of anybody's."""

    def events_after(self, seq: int, *, limit: int) -> Sequence[Recorded]:
        """What comes behind a place, in the order of their `seq`."""

    def task_versions(self, task_ids: Collection[str]) -> Mapping[str, int]:
        """How often each of these was changed; those that are not kept are missing."""

"""Destinations that are owed something, and that nothing can be sent to for a fault of ours: they wait, untried."""

from collections.abc import Iterable, Mapping

from receiver.domain import MINUTE, Destination, Ms
from receiver.senders.base import Sender
from receiver.telemetry import log


class Blocked:
    """Remembers who is blocked, so that nobody asks again at every turn; keys come with a restart, secrets at any time.

    Time comes in as `now`.
    """

    def __init__(self, senders: Mapping[str, Sender]) -> None:
        self._senders = senders
        self._again_at: dict[str, Ms] = {}

    def __len__(self) -> int:
        return len(self._again_at)

    def holds(self, destination: Destination, now: Ms) -> bool:
        """Whether nothing may be claimed for it: looked at anew, and logged where that is news."""
        reason = self._senders[destination.type].blocked_reason(destination)
        if reason is None:
            if self._again_at.pop(destination.id, None) is not None:
                log.info("destination.unblocked", destination_id=destination.id)
            return False
        if destination.id not in self._again_at:
            log.error("destination.blocked", destination_id=destination.id, reason=reason)
        self._again_at[destination.id] = now + MINUTE
        return True

    def waits(self, destination_id: str, now: Ms) -> bool:
        """Whether it was found blocked within the last minute."""
        return now < self._again_at.get(destination_id, now)

    def until(self, destination_id: str) -> Ms:
        """When it is looked at again; in the past where it was not found blocked."""
        return self._again_at.get(destination_id, 0)

    def look_again(self) -> None:
        """A secret may have been renewed: whoever is blocked is looked at in the next round."""
        self._again_at = dict.fromkeys(self._again_at, 0)

    def keep(self, owed: Iterable[str]) -> None:
        """Forget whoever is owed nothing any more."""
        if self._again_at:
            known = self._again_at.keys() & set(owed)
            self._again_at = {each: self._again_at[each] for each in known}

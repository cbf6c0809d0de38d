"""What the courier takes over as it is recorded, already leased, so that the common path needs no claim.

The courier says, in the event loop, how much each destination takes; whoever records a delivery counts that down, there
or in the writer's thread. A count that is off for a moment lets a few wait for their turn in memory, nothing more.
"""

from receiver.domain import Ms
from receiver.ids import new_id


class HandOff:
    """How many more parcels the courier takes for each destination; none unless `open`, for somebody must send them.

    `owner` holds their leases. None is leased to it twice: what it lets lapse is claimed like anything else.
    """

    def __init__(self, *, lease: Ms, now: Ms) -> None:
        self.lease = lease
        self.owner = new_id("own", now)
        self.open = False
        self._room: dict[str, int] = {}

    def offer(self, destination_id: str, room: int) -> None:
        """Take so many for a destination from now on."""
        if room > 0:
            self._room[destination_id] = room
        else:
            self._room.pop(destination_id, None)

    def take(self, destination_id: str) -> bool:
        """Whether one more is taken; from now on it counts."""
        room = self._room.get(destination_id, 0)
        if room <= 0 or not self.open:
            return False
        self._room[destination_id] = room - 1
        return True

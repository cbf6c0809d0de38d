"""What time it is: the one thing that tests replace."""

import time
from typing import Protocol

from receiver.domain import Ms


class Clock(Protocol):
    """Something that knows the time."""

    def now(self) -> Ms:
        """Milliseconds since 1970-01-01 UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> Ms:
        return time.time_ns() // 1_000_000

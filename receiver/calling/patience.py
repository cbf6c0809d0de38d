"""Patience with a server that is away for a moment, as when it is started anew."""

import time
from collections.abc import Callable
from typing import Protocol

from receiver.calling.errors import ClientError

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


class Patient(Protocol):
    """Told of every call that failed or was answered, it waits before the next one, or gives up by raising."""

    def answered(self) -> None: ...

    def missed(self, failure: ClientError) -> None: ...


class Patience:
    """Lets calls fail for so many seconds in a row (None: for ever), each pause longer than the one before."""

    def __init__(self, lasts_s: float | None, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._lasts_s = lasts_s
        self._pause = pause
        self._since: float | None = None
        self._next_s = _FIRST_PAUSE_S

    def answered(self) -> None:
        """The server answered."""
        self._since, self._next_s = None, _FIRST_PAUSE_S

    def missed(self, failure: ClientError) -> None:
        """It did not: wait a moment, or raise `failure` where that has lasted too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if self._lasts_s is not None and now - self._since >= self._lasts_s:
            raise failure
        self._pause(self._next_s)
        self._next_s = min(self._next_s * 2, _LONGEST_PAUSE_S)

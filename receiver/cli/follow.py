"""Patience with a server that is away for a moment, as when it is started anew."""

import time

from receiver.calling.errors import ClientError
from receiver.cli.screen import aside, say

_PAUSE_S = 1.0


class Patience:
    """Lets calls fail for so many seconds in a row (None: for ever), telling it once, with a pause after each."""

    def __init__(self, lasts_s: float | None, *, pause_s: float = _PAUSE_S) -> None:
        self._lasts_s = lasts_s
        self._pause_s = pause_s
        self._since: float | None = None

    def answered(self) -> None:
        """The server answered."""
        if self._since is not None:
            say(aside(), "the server is back")
        self._since = None

    def missed(self, failure: ClientError) -> None:
        """It did not: wait a moment, or raise `failure` where that has lasted too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            say(aside(), f"{failure}; trying again")
        elif self._lasts_s is not None and now - self._since > self._lasts_s:
            raise failure
        time.sleep(self._pause_s)

"""Named points at which a server kills itself, wrapped around its seams from outside: production code knows nothing.

A point is `<seam>.<moment>`. Around each write of the store: `before` it waits for its transaction, `inside` once its
statements ran but nothing is committed, `after` its result left. Around each request: `before` its first byte,
`after` its answer, of which nothing is recorded yet. Around each commit of the writer, whatever it holds; and around
the SQLite log's append.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from receiver.outbound import Audience, Outbound
from receiver.senders.log_file import LogFile
from receiver.senders.sqlite_log import SqliteLogSender
from receiver.store.sqlite import SqliteStorage, _Connection
from receiver.wire import Call

# The code that asks for a write, by its qualified name.
WRITES = {
    "Submitter._take_on": "submit_intent",
    "Submitter._run_provider": "submit_claim",
    "Submitter._hand_over": "submit_answer",
    "Poller._run_provider": "poll_claim",
    "Poller._ask": "poll_answer",
    "receive": "callback",
    "Courier._claim": "delivery_claim",
    "Courier._try": "delivery_record",
    "Retention._bite_of": "prune",
}
REQUESTS = {
    Audience.PROVIDER_SUBMIT: "submit_request",
    Audience.PROVIDER_POLL: "poll_request",
    Audience.WEBHOOK: "delivery_request",
}
POINTS = tuple(
    [f"{seam}.{moment}" for seam in WRITES.values() for moment in ("before", "inside", "after")]
    + [f"{seam}.{moment}" for seam in REQUESTS.values() for moment in ("before", "after")]
    + ["commit.before", "commit.after"]
    + ["log_append.before", "log_append.inside", "log_append.after"]
)


class Failpoint:
    """`name:n`: the n-th time that the point is reached is the process's last moment."""

    def __init__(self, text: str) -> None:
        name, _, times = text.partition(":")
        if name not in POINTS:
            raise ValueError(f"no such point: {name}")
        self._name, self._left = name, int(times or 1)

    def reach(self, point: str) -> None:
        if point == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(failpoint: Failpoint) -> None:
    """Wrap every seam of this process; there is no way back."""
    reach = failpoint.reach
    _around_writes(reach)
    _around_requests(reach)
    _around(SqliteLogSender, "_append", reach, "log_append.before", "log_append.after")
    _around(LogFile, "_put_in", reach, None, "log_append.inside")
    _around(_Connection, "commit", reach, "commit.before", "commit.after")


def _around(owner: type, name: str, reach: Callable[[str], None], before: str | None, after: str) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **fields: Any) -> Any:
        if before is not None:
            reach(before)
        result = original(*args, **fields)
        reach(after)
        return result

    setattr(owner, name, wrapped)


def _around_writes(reach: Callable[[str], None]) -> None:
    original = SqliteStorage.write

    async def write(
        storage: SqliteStorage, do: Any, *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Any:
        asked_by = do.func if isinstance(do, partial) else do
        seam = WRITES.get(asked_by.__qualname__.partition(".<locals>")[0], "other")
        reach(f"{seam}.before")

        def inside(store: Any) -> Any:
            result = do(store)
            reach(f"{seam}.inside")
            return result

        result = await original(storage, inside, brief=brief, ends=ends, can_wait=can_wait)
        reach(f"{seam}.after")
        return result

    SqliteStorage.write = write  # type: ignore[method-assign] # from the test's side, so that the receiver has no hook


def _around_requests(reach: Callable[[str], None]) -> None:
    original = Outbound.send

    async def send(outbound: Outbound, call: Call, *, kind: Audience, **fields: Any) -> Any:
        reach(f"{REQUESTS[kind]}.before")
        reply = await original(outbound, call, kind=kind, **fields)
        reach(f"{REQUESTS[kind]}.after")
        return reply

    Outbound.send = send  # type: ignore[method-assign] # as above

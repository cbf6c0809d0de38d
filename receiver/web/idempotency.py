"""The Idempotency-Key: one task per key and tenant, however often its request is repeated.

The key is committed with the task of its first use and kept as long as it. Until that commit a repeat is told to ask
again; from then on it gets the task, with the status code that the first use was answered with. Where that answer was
never given, because it is still being waited for or its process died, the code says how the task stands now.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.errors import Busy, Conflict, Fault, Invalid, Unavailable
from receiver.store.protocol import Store
from receiver.store.records import KeptKey
from receiver.web.doors import Caller, Doors

HEADER = "Idempotency-Key"
REPLAYED = "idempotent-replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')  # a string of RFC 8941, 3.3.3

# Commits a task, has the `Keep` called in the same transaction, and returns its id; what it raises uses up no key.
Keep = Callable[[Store, str], None]
Record = Callable[[Keep], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use of a key: by whom, and for what; `fingerprint` is that of the request."""

    tenant: str
    key: str
    fingerprint: str

    def keep(self, store: Store, task_id: str) -> None:
        """Part of the transaction that records the task; raises where another use was first."""
        first = KeptKey(tenant=self.tenant, key=self.key, fingerprint=self.fingerprint, task_id=task_id)
        if not store.keep_key(first):
            raise _Taken("the key was used meanwhile")


class _Taken(Conflict):
    """Another use of the key committed first, and nothing of this one was recorded."""


def use_of(request: Request, caller: Caller, asked: Any) -> Use | None:
    """The use of a key that a request makes, None where it has none; `asked` is the JSON that it asks for.

    Raises `Invalid` for a key that is not 1 to 255 visible ASCII characters, bare or as a quoted string.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    key = _unquoted(given[0].strip(" \t"))
    if len(given) > 1 or not _KEY.fullmatch(key):
        message = 'must be one key of 1 to 255 visible ASCII characters, as it is or in double quotes: "…"'
        raise Invalid([Fault(path=HEADER, message=message)])
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Use(tenant=caller.tenant, key=key, fingerprint=hashlib.sha256(canonical.encode()).hexdigest())


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    quoted = _QUOTED.fullmatch(text)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""


async def once(doors: Doors, use: Use, record: Record) -> tuple[str, KeptKey | None]:
    """Do `record` unless the key was used before: the task's id, and the earlier use where there was one."""
    earlier = await _earlier(doors, use)
    if earlier is not None:
        return earlier.task_id, earlier
    with _under_way(doors, use):
        try:
            return await record(use.keep), None
        except _Taken:
            pass  # between our look and our commit another use was first
    return await once(doors, use, record)


async def _earlier(doors: Doors, use: Use) -> KeptKey | None:
    kept = await doors.storage.read(lambda store: store.kept_key(use.key, use.tenant))
    if kept is not None and kept.fingerprint != use.fingerprint:
        raise Invalid([Fault(path=HEADER, message="this key was used before, for another request")])
    return kept


@contextmanager
def _under_way(doors: Doors, use: Use) -> Iterator[None]:
    mine = (use.tenant, use.key)
    if mine in doors.keys_under_way:
        raise Busy(f"the first request with this {HEADER} is still being recorded; send it again in a moment")
    doors.keys_under_way.add(mine)
    try:
        yield
    finally:
        doors.keys_under_way.discard(mine)


async def remember(doors: Doors, use: Use, response: Response) -> Response:
    """The first answer, its status code remembered for every repeat."""
    with suppress(Unavailable):  # the task is on disk: that is what must be told
        await doors.storage.write(lambda store: store.answer_key(use.key, use.tenant, response.status_code), brief=True)
    return response


def replayed(earlier: KeptKey, response: Response) -> Response:
    """A later answer, with the first one's status code."""
    response.status_code = earlier.status or response.status_code
    response.headers[REPLAYED] = "true"
    return response

"""Every connection that this process tries to make, as the interpreter itself reports it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from receiver.outbound import Outbound
from receiver.streams import Streams


@dataclass(frozen=True, slots=True)
class Dialled:
    """Where to, the files whose code was running from the innermost on, and whether `outbound` was sending there.

    The room dials in the task of the request that needs the connection, so that the request is found below it.
    """

    address: Any
    files: tuple[str, ...]
    for_a_request: bool


_watching: list[list[Dialled]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in ("socket.connect", "socket.sendto"):
        codes = tuple(_codes(sys._getframe(1)))
        files = tuple(code.co_filename for code in codes)
        asked_for = {Outbound.send.__code__, Streams.open.__code__} & {*codes}
        dialled = Dialled(arguments[1], files, bool(asked_for))
        for watched in _watching:
            watched.append(dialled)


def _codes(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


sys.addaudithook(_hear)  # for good, as hooks are; deaf while nobody watches


@contextmanager
def dials() -> Iterator[list[Dialled]]:
    """Gives the list of what is dialled inside this block, as it grows."""
    seen: list[Dialled] = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)

"""Every connection that this process tries to make, as the interpreter itself reports it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from receiver.connections import DIAL


@dataclass(frozen=True, slots=True)
class Dialled:
    """Where to, the files whose code was running from the innermost on, and whether `outbound` has a request under way.

    Several addresses of one host are tried in tasks of aiohttp's own: their code runs under nobody else's, but in a
    copy of the context of the request.
    """

    address: Any
    files: tuple[str, ...]
    for_a_request: bool


_watching: list[list[Dialled]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in ("socket.connect", "socket.sendto"):
        request = DIAL.get(None) is not None
        dialled = Dialled(arguments[1], tuple(_files(sys._getframe(1))), request)
        for watched in _watching:
            watched.append(dialled)


def _files(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_filename
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

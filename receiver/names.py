"""Name look-ups: on threads of their own, each with a deadline, their answers kept for ten seconds."""

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

DNS_DEADLINE_S = 5.0
_DNS_CACHE_S = 10
# More at once than the courier lets slow destinations have under way, so that a healthy one finds a thread.
_DNS_THREADS = 256
_DNS_THREADS_FOR_DEAD = 64
_DEAD_KNOWN = 10_000
_KEPT = 10_000

Found = list[tuple[Any, ...]]  # as `socket.getaddrinfo` tells it
LookUp = Callable[[str, int], Found]


def look_up(host: str, port: int) -> Found:
    """Ask the system for a host's addresses, and wait; raises `OSError` or `ValueError` where it has none."""
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class Names:
    """Name look-ups on threads of their own, daemons.

    A look-up cannot be stopped, only left behind. In the loop's own executor a few dead name servers would hold up
    everything else that runs there, and the process at its end. Hosts that were not answered for the last time wait
    for each other only.
    """

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._ask = look_up
        self._free = asyncio.Semaphore(_DNS_THREADS)
        self._free_for_dead = asyncio.Semaphore(_DNS_THREADS_FOR_DEAD)
        self._dead: set[str] = set()

    async def addresses(self, host: str, port: int, *, deadline_s: float = DNS_DEADLINE_S) -> list[str]:
        """Every address of a host, each once; raises `OSError` where it has none, or no answer came in time."""
        free = self._free_for_dead if host in self._dead else self._free
        answer: asyncio.Future[Found] | None = None
        try:
            async with asyncio.timeout(deadline_s):
                await free.acquire()
                answer = self._start(host, port, free)
                found = await answer
        except TimeoutError:
            if answer is not None:
                self._remember_dead(host)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered") from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def _remember_dead(self, host: str) -> None:
        if len(self._dead) >= _DEAD_KNOWN:
            self._dead.clear()
        self._dead.add(host)

    def _start(self, host: str, port: int, free: asyncio.Semaphore) -> "asyncio.Future[Found]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()

        def settle(found: Found | None, error: OSError | None) -> None:
            free.release()
            if not answer.done():
                self._dead.discard(host)
                answer.set_result(found or []) if error is None else answer.set_exception(error)

        def run() -> None:
            found, error = self._answer(host, port)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, found, error)

        try:
            threading.Thread(target=run, daemon=True, name="name look-up").start()
        except RuntimeError:  # the process may have no more threads now: that must not cost a slot for good
            settle(None, OSError(errno.EAGAIN, "no thread"))
        return answer

    def _answer(self, host: str, port: int) -> tuple[Found | None, OSError | None]:
        try:
            return self._ask(host, port), None
        except OSError as error:
            return None, error
        except ValueError:  # a label that is empty or too long
            return None, socket.gaierror(socket.EAI_NONAME, "not a host name")


class KeptNames:
    """Answers of `Names`, kept for ten seconds; equal questions at once are one. A failure is not kept."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._kept: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Every address of a host, each once; empty where it has none, or no answer came in time."""
        key = (host, port)
        good_until_s, kept = self._kept.get(key, (0.0, []))
        if time.monotonic() < good_until_s:
            return kept
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._ask(key))
        return await asyncio.shield(asked)  # whoever asked first may leave: the others still want to know

    def forget(self, host: str, port: int) -> None:
        """Ask again next time: what a host has now may not be dialled."""
        self._kept.pop((host, port), None)

    async def _ask(self, key: tuple[str, int]) -> list[str]:
        try:
            found = await self._names.addresses(*key)
        except OSError:
            return []
        finally:
            del self._asked[key]
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        if found:
            self._kept[key] = (time.monotonic() + _DNS_CACHE_S, found)
        return found

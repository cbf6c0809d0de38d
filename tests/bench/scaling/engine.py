"""Discrete events: processes that take time, wait for each other and share what there is only so much of."""

import heapq
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Process = Generator["float | Use | Signal | Lock", None, None]


@dataclass(slots=True, eq=False)
class Signal:
    """Something that happens once; who waits for it goes on then."""

    happened: bool = False
    waiting: list[Process] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Lock:
    """One at a time, in the order of asking; `yield` takes it, `release` of the world gives it on."""

    taken: bool = False
    waiting: deque[Process] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Cores:
    """So many pieces of work at once, in the order of asking; `busy_s` adds up what all of them did."""

    number: int
    busy: int = 0
    busy_s: float = 0.0
    waiting: "deque[tuple[Process, float]]" = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Use:
    """So many seconds of one core."""

    cores: Cores
    seconds: float


class World:
    """What is simulated, and its time in seconds. A process yields how long it sleeps, or what it waits for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Process, Any]] = []
        self._order = count()

    def begin(self, process: Process) -> None:
        self._at(self.now, process, None)

    def happen(self, signal: Signal) -> None:
        signal.happened = True
        for process in signal.waiting:
            self._at(self.now, process, None)
        signal.waiting.clear()

    def release(self, lock: Lock) -> None:
        if lock.waiting:
            self._at(self.now, lock.waiting.popleft(), None)
        else:
            lock.taken = False

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= until:
            self.now, _, process, used = heapq.heappop(self._due)
            if used is not None:
                self._freed(used)
            self._step(process)
        self.now = until

    def _at(self, when: float, process: Process, used: Cores | None) -> None:
        heapq.heappush(self._due, (when, next(self._order), process, used))

    def _step(self, process: Process) -> None:
        for wanted in process:
            match wanted:
                case Use(cores, seconds):
                    self._use(cores, process, seconds)
                    return
                case Signal() as signal:
                    if not signal.happened:
                        signal.waiting.append(process)
                        return
                case Lock() as lock:
                    if lock.taken:
                        lock.waiting.append(process)
                        return
                    lock.taken = True
                case seconds:
                    self._at(self.now + seconds, process, None)
                    return

    def _use(self, cores: Cores, process: Process, seconds: float) -> None:
        if cores.busy >= cores.number:
            cores.waiting.append((process, seconds))
            return
        cores.busy += 1
        cores.busy_s += seconds
        self._at(self.now + seconds, process, cores)

    def _freed(self, cores: Cores) -> None:
        cores.busy -= 1
        if cores.waiting:
            process, seconds = cores.waiting.popleft()
            self._use(cores, process, seconds)

"""The machine that is measured on: which core does what, who else is busy, and what the disk is."""

import os
import platform
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2  # of the clocks of a process, the one that the scheduler keeps: CPUCLOCK_SCHED of Linux


# The server's core, and the one for everything else: the same where there is one only, and then figures mean little.
SERVER_CORE, LOAD_CORE = (_FREE := sorted(os.sched_getaffinity(0)))[0], _FREE[-1]


REST = frozenset(_FREE) - {LOAD_CORE} or frozenset(_FREE)  # what several servers and their database share


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Whatever is started inside this block runs on those cores, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def before_others(nice: int) -> None:
    """Let this process and what it starts go before others, or after them."""
    os.nice(nice)
    with suppress(OSError):  # where each session is scheduled as one, niceness counts within it only
        Path("/proc/self/autogroup").write_text(str(nice))


def cpu_seconds(pid: int) -> float:
    """What a process, its threads and nobody else has used of the processor so far, to the nanosecond.

    `/proc` tells hundredths of a second, and an idle server's session of PostgreSQL uses less than one of them.
    """
    return time.clock_gettime(~pid << 3 | _SCHEDULED)


def family_seconds(pid: int) -> float:
    """The same of a process and all that it began, what ended meanwhile included."""
    while True:
        # One has ended since they were listed, or since its file was opened: its parent has its time by now.
        with suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return (sum(_ticks(pid)) + sum(sum(_ticks(int(child))[:2]) for child in children)) / _TICKS


def _ticks(pid: int) -> Sequence[int]:
    """In user and in system mode, and the same of those that it began and that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in fields[11:15]]


def memory_mb(pid: int, *, most: bool = False) -> float:
    """Resident memory in millions of bytes: now, or the most that there ever was."""
    name = "VmHWM" if most else "VmRSS"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _busy_seconds() -> float:
    """What all processes together used of all cores, time that the hypervisor gave to others included."""
    user, nice, system, _, _, interrupts, soft, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + interrupts + soft + steal) / _TICKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Shares of one core while something was measured: the server's, ours, everybody else's."""

    server: float
    load: float
    others: float


class Watch:
    """Measures who used the processor between its making and `stop`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        return time.perf_counter(), cpu_seconds(self._pid), time.process_time(), _busy_seconds()

    def stop(self) -> Used:
        took, server, load, all_ = (after - before for after, before in zip(self._now(), self._before, strict=True))
        return Used(server=server / took, load=load / took, others=max(all_ - server - load, 0) / took)


def disk_of(path: Path) -> str:
    """The file system that a path is on, as `ext4 on /dev/vda`."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    here = [(Path(where), kind, device) for device, where, kind, *_ in mounts if path.resolve().is_relative_to(where)]
    _, kind, device = max(here, key=lambda mount: len(mount[0].parts))
    return f"{kind} on {device}"


def in_memory(disk: str) -> bool:
    """Whether that is none: a commit there costs nothing."""
    return disk.partition(" ")[0] in ("tmpfs", "ramfs")


def description(directory: Path) -> dict[str, Any]:
    """What a figure means nothing without."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "processor": next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?"),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "disk": disk_of(directory),
        "load_average": os.getloadavg()[0],
    }

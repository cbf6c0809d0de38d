"""From the start of the process to its first ready answer, on a large database; imports; memory when idle."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.figures import Row, Run
from tests.bench.history import history
from tests.bench.machine import SERVER_CORE, memory_mb, on_cores
from tests.bench.seeding import database
from tests.bench.servers import environment_of
from tests.service.world import free_port

_READY_WITHIN_S = 60
_IDLE_S = 5
_IMPORT = re.compile(r"^import time: +(\d+) \|", re.MULTILINE)


async def to_ready(run: Run) -> Sequence[Row]:
    """Started again and again on the same file, whose pages the system knows: a cold disk would be measured else."""
    directory = await history(run, run.size.events)
    size = database(directory).stat().st_size / 1e9
    ready = Row(title=f"start to ready, database of {size:.2f} GB", unit="s", bar=0.6, at_least=False)
    imports = Row(title="  of it imports (-X importtime)", unit="s", bar=0.35, at_least=False)
    idle = Row(title="  memory, idle", unit="MB", bar=70, at_least=False)
    for number in range(max(run.size.rounds, 1) + 2):
        run.say(f"{ready.title}, round {number + 1}")
        took, memory, _ = await _started(directory, idle_s=_IDLE_S if number == 0 else 0)
        ready.add(took)
        if number == 0:
            idle.add(memory)
        _, _, log = await _started(directory, "-X", "importtime")
        before, _, _ = log.partition("server.ready")  # what is loaded after that keeps nobody waiting
        imports.add(sum(int(microseconds) for microseconds in _IMPORT.findall(before)) / 1e6)
    return [ready, imports, idle]


async def _started(directory: Path, *options: str, idle_s: float = 0) -> tuple[float, float, str]:
    """Seconds until ready, memory some time after, and what was printed."""
    port, log = free_port(), directory / "start.log"
    env = environment_of(directory, port, "http://127.0.0.1:9", {})
    began = perf_counter()
    process = _begin([sys.executable, *options, "-m", "receiver", "serve"], env, log)
    try:
        while not _answers(port):
            assert perf_counter() - began < _READY_WITHIN_S, log.read_text()
            await asyncio.sleep(0.002)
        took = perf_counter() - began
        await asyncio.sleep(idle_s)
        return took, memory_mb(process.pid), log.read_text()
    finally:
        process.terminate()
        process.wait(30)


def _begin(arguments: list[str], env: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output, on_cores(frozenset({SERVER_CORE})):
        return subprocess.Popen(arguments, env=env, stdout=output, stderr=output)


def _answers(port: int) -> bool:
    """Whether it answers that it is ready; before that nobody listens, or it says 503."""
    with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
        return bool(answer.status == 200)
    return False

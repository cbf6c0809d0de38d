"""The servers that are measured, each a process of its own on the server's core, started alike."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bench.machine import SERVER_CORE, on_cores
from tests.processes import environment, wait_until_up
from tests.service.world import API_KEY, free_port

ITS_OWN = frozenset({SERVER_CORE})
PROFILED = "TASKWEIR_BENCH_PROFILE"  # a file's name: `.svg` a flame graph, `.txt` collapsed stacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One that runs, with a client for what is not measured."""

    process: "subprocess.Popen[bytes]"
    port: int
    api: httpx.Client

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()


def environment_of(directory: Path, port: int, provider_url: str, more: Mapping[str, str]) -> dict[str, str]:
    """The settings of a server in this directory; every provider's base URL is that of the bench's own provider."""
    return environment(directory, port, provider_url) | more


@contextmanager
def a_taskweir(
    directory: Path, *, provider_url: str = "http://127.0.0.1:9", cores: frozenset[int] = ITS_OWN, **settings: str
) -> Iterator[Server]:
    """`taskweir serve`, all of it, on the database in this directory."""
    port = free_port()
    arguments = [sys.executable, "-m", "receiver", "serve"]
    env = environment_of(directory, port, provider_url, settings)
    with _running(arguments, directory, port, env, cores) as server:
        yield server


@contextmanager
def a_baseline(directory: Path) -> Iterator[Server]:
    """Baseline A: see `tests.bench.baseline`."""
    port = free_port()
    with _running([sys.executable, "-m", "tests.bench.baseline", str(port)], directory, port, dict(os.environ)) as made:
        yield made


@contextmanager
def a_bare_script(directory: Path, sink_port: int, destination_id: str) -> Iterator[Server]:
    """See `tests.bench.bare`; on the database in this directory."""
    port = free_port()
    of = [str(port), str(directory / "taskweir.db"), str(sink_port), destination_id]
    with _running([sys.executable, "-m", "tests.bench.bare", *of], directory, port, dict(os.environ)) as made:
        yield made


@contextmanager
def _running(
    arguments: list[str], directory: Path, port: int, env: dict[str, str], cores: frozenset[int] = ITS_OWN
) -> Iterator[Server]:
    log = directory / "server.log"
    with log.open("ab") as output, on_cores(cores):
        process = subprocess.Popen(arguments, env=env, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(f"{url}/health/ready", process, log)
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=30) as api:
            server = Server(process=process, port=port, api=api)
            yield server
            server.stop()
    finally:
        process.kill()
        process.wait()


@contextmanager
def profiled(server: Server) -> Iterator[None]:
    """Let py-spy watch the server inside this block, where TASKWEIR_BENCH_PROFILE names a file."""
    target = os.environ.get(PROFILED)
    if not target:
        yield
        return
    program = Path(sys.executable).with_name("py-spy")
    found = str(program) if program.exists() else shutil.which("py-spy")
    if found is None:
        raise SystemExit("py-spy is not installed: it is among the extras of `make setup`, where it has a wheel.")
    form = "raw" if target.endswith(".txt") else "flamegraph"
    options = shlex.split(os.environ.get("TASKWEIR_BENCH_PROFILE_OPTIONS", "--rate 100 --threads"))
    command = [found, "record", "--pid", str(server.pid), "--output", target, "--format", form, *options]
    watching = subprocess.Popen([*command, "--duration", "3600"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield
    finally:
        watching.send_signal(2)
        _, told = watching.communicate(timeout=60)
        if watching.returncode != 0:
            print(told.decode(errors="replace"), file=sys.stderr)  # noqa: T201 - a tool's own complaint

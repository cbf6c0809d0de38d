"""The demo's two processes, the providers' sandbox and the server: started, waited for, always ended."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from receiver.cli.commands import Failed
from receiver.cli.text import plain

TAIL_LINES = 15
_TRIES = 3
_READY_WITHIN_S = 25.0
_LOOK_EVERY_S = 0.05
_STOPS_WITHIN_S = 10.0
_PORTS_TRIED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process of ours, and the file that has everything it said."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    ready_url: str

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Both processes, up and answering."""

    server_url: str
    children: Sequence[Child]


def broken(message: str, children: Sequence[Child], what: Sequence[str] = ()) -> Failed:
    """A failure: what is wrong, and the last lines of what each process said."""
    lines = [*what]
    for child in children:
        lines += ["", f"The last lines of {child.name}.log:", *tail(child.log)]
    return Failed(message, *lines)


def tail(path: Path) -> list[str]:
    """The last lines of a log file."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return [plain(line) for line in text.splitlines()[-TAIL_LINES:]] or ["(nothing)"]


@contextmanager
def on_stage(
    directory: Path, *, finish_after_s: float, port_base: int | None, providers: Sequence[str]
) -> Iterator[Stage]:
    """Start both in a directory; on the way out both are gone. Raises `Failed` where they do not come up.

    A port may be taken between the moment it was found free and its use, so it is tried again with others.
    """
    tries_left = _TRIES
    while True:
        tries_left -= 1
        with ExitStack() as stack:
            server_url, sandbox_url = [f"http://127.0.0.1:{port}" for port in free_ports(2, port_base)]
            settings = server_settings(directory, server_url, sandbox_url, providers)
            port = sandbox_url.rpartition(":")[2]
            steps = ["sandbox", "--port", port, "--finish-after", str(finish_after_s)]
            children = [
                stack.enter_context(running("sandbox", steps, {}, directory, ready_url=f"{sandbox_url}/health")),
                stack.enter_context(
                    running("server", ["serve"], settings, directory, ready_url=f"{server_url}/health/ready")
                ),
            ]
            if are_ready(children):
                yield Stage(server_url=server_url, children=children)
                return
            if not tries_left or not any(child.ended for child in children):
                raise broken("the demo's own processes did not start", children)


def server_settings(directory: Path, server_url: str, sandbox_url: str, providers: Sequence[str]) -> dict[str, str]:
    """The environment that makes a server of the demo: everything in one directory, every provider the sandbox."""
    accounts = {
        f"TASKWEIR_{name.upper()}_{field}": value
        for name in providers
        for field, value in (("API_KEY", "demo"), ("BASE_URL", f"{sandbox_url}/{name}"))
    }
    return accounts | {
        "TASKWEIR_DATABASE_URL": f"sqlite:///{directory / 'taskweir.db'}",
        "TASKWEIR_DATA_DIR": str(directory),
        "TASKWEIR_PUBLIC_URL": server_url,
        "TASKWEIR_HOST": "127.0.0.1",
        "TASKWEIR_PORT": server_url.rpartition(":")[2],
        "TASKWEIR_ALLOW_NETWORKS": "loopback",
    }


def environment_for(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """A child's environment: nothing that was set for another Taskweir may steer the demo's."""
    return {
        name: value for name, value in environment.items() if not name.startswith("TASKWEIR_") and name != "PORT"
    } | dict(settings)


@contextmanager
def running(
    name: str, arguments: Sequence[str], settings: Mapping[str, str], directory: Path, *, ready_url: str
) -> Iterator[Child]:
    """Run a command of ours in a directory, its output in a file there; on the way out it is gone."""
    log = directory / f"{name}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            [sys.executable, "-P", "-m", "receiver.cli.leash", *arguments],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment_for(os.environ, settings),
            start_new_session=True,  # a Ctrl-C is for us; we end them in order
        )
    try:
        yield Child(name=name, process=process, log=log, ready_url=ready_url)
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]", *, within_s: float = _STOPS_WITHIN_S) -> None:
    """End a process: politely, and by force where it does not go or we are interrupted once more."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(within_s)
    finally:
        process.kill()
        process.communicate()


def are_ready(children: Sequence[Child], *, within_s: float = _READY_WITHIN_S) -> bool:
    """Whether all of them answer; False as soon as one has ended, or when it takes too long."""
    waits_until = time.monotonic() + within_s
    with httpx.Client(trust_env=False, verify=False, timeout=2.0) as client:  # noqa: S501 - it is loopback, without TLS
        while time.monotonic() < waits_until and not any(child.ended for child in children):
            if all(_answers(client, child.ready_url) for child in children):
                return not any(child.ended for child in children)
            time.sleep(_LOOK_EVERY_S)
    return False


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def free_ports(count: int, base: int | None) -> list[int]:
    """Loopback ports that nobody listens on: the first from `base` on, or whatever the system gives."""
    candidates = [0] * count if base is None else range(base, min(base + _PORTS_TRIED, 65536))
    held: list[socket.socket] = []
    try:
        for port in candidates:
            try:
                held.append(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            if len(held) == count:
                return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
    raise Failed(f"no {count} free ports at or above {base}", "Choose another --port-base, or leave it out.")

"""Taskweir and its sandbox as processes of their own, for tests that kill them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.service.world import API_KEY, free_port

NAMES = ("apikley", "reapi", "reelbyte", "reve2img")


def environment(directory: Path, port: int, sandbox_url: str) -> dict[str, str]:
    """What a server needs to run beside a sandbox: nothing of ours from outside, keys, addresses."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKWEIR_")}
    return clean | {
        "TASKWEIR_DATABASE_URL": f"sqlite:///{directory}/taskweir.db",
        "TASKWEIR_DATA_DIR": str(directory),
        "TASKWEIR_API_KEY": API_KEY,
        "TASKWEIR_SECRET_KEY": "s" * 32,
        "TASKWEIR_PORT": str(port),
        "TASKWEIR_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TASKWEIR_ALLOW_NETWORKS": "loopback",
        **{f"TASKWEIR_{name.upper()}_API_KEY": "provider-key" for name in NAMES},
        **{f"TASKWEIR_{name.upper()}_BASE_URL": f"{sandbox_url}/{name}" for name in NAMES},
    }


def start(*arguments: str, env: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """The command `taskweir` as a process; what it prints goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "receiver.main", *arguments], env=env, stdout=output, stderr=output
        )


def eventually(happened: Callable[[], Any], otherwise: Callable[[], object], *, within_s: float = 60) -> None:
    """Return when `happened()` is true of other processes, whose time is not ours; fail with what `otherwise` says."""
    ends_at = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < ends_at, otherwise()
        time.sleep(0.02)


def wait_until_up(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when `url` answers 200; fails with the log where the process ended instead."""

    def up() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(url, timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    eventually(up, log.read_text, within_s=20)


@contextmanager
def a_sandbox(directory: Path, *, finish_after_s: float) -> Iterator[str]:
    """The provider sandbox as a process; its base URL."""
    port, log = free_port(), directory / "sandbox.log"
    arguments = ("sandbox", "--port", str(port), "--finish-after", str(finish_after_s))
    process = start(*arguments, env=dict(os.environ), log=log)
    try:
        wait_until_up(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()

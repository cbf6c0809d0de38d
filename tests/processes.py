"""Taskweir and its sandbox as processes of their own, for tests that kill them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import sqlite_utils

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


def unmeasured(env: Mapping[str, str]) -> dict[str, str]:
    """For what is killed: to measure its coverage takes time, and what was measured is lost with it."""
    return {name: value for name, value in env.items() if not name.startswith("COVERAGE_PROCESS_")}


def start(*arguments: str, env: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """The command `taskweir` as a process; what it prints goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", "receiver", *arguments], env=env, stdout=output, stderr=output)


def eventually(happened: Callable[[], Any], otherwise: Callable[[], object], *, within_s: float = 60) -> None:
    """Return when `happened()` is true of other processes, whose time is not ours; fail with what `otherwise` says."""
    ends_at = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < ends_at, otherwise()
        time.sleep(0.02)


def wait_until_up(url: str, process: "subprocess.Popen[bytes] | BaseProcess", log: Path) -> None:
    """Return when `url` answers 200; fails with the log where the process ended instead."""

    # Here and elsewhere in the tests: a client that is to verify nobody need not read 20 ms of authorities first.
    def up() -> bool:
        alive = process.is_alive() if isinstance(process, BaseProcess) else process.poll() is None
        assert alive, log.read_text()
        try:
            return httpx.get(url, timeout=1, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    eventually(up, log.read_text, within_s=20)


@contextmanager
def a_process(
    *arguments: str, env: dict[str, str], log: Path, ready: str, measured: bool = False
) -> Iterator["subprocess.Popen[bytes]"]:
    """The command `taskweir` as a process that answers at the URL `ready` and is killed at the end.

    It is `measured` where it may end by itself before.
    """
    process = start(*arguments, env=env if measured else unmeasured(env), log=log)
    try:
        wait_until_up(ready, process, log)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def a_sandbox(directory: Path, *, finish_after_s: float) -> Iterator[str]:
    """The provider sandbox as a process; its base URL."""
    port, log = free_port(), directory / "sandbox.log"
    arguments = ("sandbox", "--port", str(port), "--finish-after", str(finish_after_s))
    url = f"http://127.0.0.1:{port}"
    with a_process(*arguments, env=dict(os.environ), log=log, ready=f"{url}/health"):
        yield url


def every(api: httpx.Client, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Every item of a list, page by page."""
    cursor = "after" if path == "/v1/events" else "cursor"
    query = {"limit": 200} | query
    while True:
        answer = api.get(path, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield from page["items"]
        if not page.get("has_more", page["next_cursor"] is not None):
            return
        query[cursor] = page["next_cursor"]


def logged(directory: Path) -> list[dict[str, Any]]:
    """The rows of the SQLite log `log`, as far as there are any."""
    path = directory / "logs" / "default" / "log.db"
    if not path.exists():
        return []
    log = sqlite_utils.Database(path)
    try:
        return list(log.query("SELECT id, seq, task_id, type FROM events")) if log.table("events").exists() else []
    finally:
        log.close()

"""What a start waits for: nothing that the server does not need before somebody asks for it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import environment, wait_until_up
from tests.service.world import API_KEY, free_port

_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)

# What each is for; each takes from five to eighty milliseconds.
NOT_AT_START = {
    "pydantic": "reads the bodies of requests",
    "pydantic_core": "the same",
    "prometheus_client": "writes /metrics",
    "httpx": "talks to a server, for the commands",
    "typer": "reads the command line",
    "rich": "prints for people",
    "pygments": "colours what rich prints",
    "sqlite_utils": "appends to a SQLite log",
    "psycopg": "speaks to PostgreSQL",
    "nats": "sends to NATS",
    "redis": "sends to Redis",
    "opentelemetry": "sends traces, where TASKWEIR_OTEL=1 asks for it",
    "receiver.collector": "the same",
    "receiver.main": "the commands",
    "receiver.cli": "the commands",
    "receiver.web.app": "all doors but those of callbacks and health",
    "receiver.feed": "whoever reads along with the events",
    "receiver.moving": "moves one database into another",
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server that is ready: its URL, and the file in which Python names what it imports."""
    port, log = free_port(), tmp_path / "imports.log"
    env, url = environment(tmp_path, port, "http://127.0.0.1:9"), f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "receiver", "serve"], env=env, stdout=output, stderr=output
        )
    try:
        wait_until_up(f"{url}/health/ready", process, log)
        yield url, log
    finally:
        process.terminate()
        process.wait(30)


def imported(log: Path) -> set[str]:
    """Every module, and the packages that it is in."""
    return _modules(log.read_text())


def _modules(text: str) -> set[str]:
    names = _IMPORTED.findall(text)
    return {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}


def test_a_server_is_ready_without_what_only_others_need(served: tuple[str, Path]) -> None:
    """Neither the command line's machinery nor that of the doors which nobody has asked yet."""
    _, log = served
    before, ready, _ = log.read_text().partition("server.ready")
    assert ready
    have = _modules(before)
    assert {"uvicorn", "starlette", "receiver.server", "receiver.web.callbacks", "adapters.base"} <= have
    assert sorted(have & NOT_AT_START.keys()) == []


def test_the_other_doors_are_there_for_whoever_asks_first(served: tuple[str, Path]) -> None:
    """They are loaded beside the event loop, and whoever asks meanwhile is answered as anybody else."""
    url, log = served
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {API_KEY}"}, verify=False) as api:
        assert api.get("/v1/tasks").json() == {"items": [], "next_cursor": None}
        assert api.post("/v1/tasks", content=b"{").status_code == 400
        assert api.get("/v1/nothing").status_code == 404
        assert api.get("/v1/tasks/").status_code == 404
        assert api.put("/v1/tasks").status_code == 405
        assert api.post("/health/live").status_code == 405
        assert api.get("/metrics").status_code == 200
    assert {"pydantic", "prometheus_client", "receiver.web.app"} <= imported(log)

"""kill -9 between what a server was sent and what is recorded of it: sent again, and there once."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.launch import start_server
from tests.processes import a_sandbox, environment, eventually, every, wait_until_up
from tests.senders.remotely import ids
from tests.senders.servers import Server
from tests.service.world import API_KEY, APIKLEY_MODEL, free_port


async def _got(server: Server) -> Any:
    return await server.got()


def got(server: Server) -> list[str]:
    return ids(asyncio.run(_got(server)))


def owed(directory: Path) -> list[str]:
    """The events that a dead process has left as if they were still to be sent."""
    with closing(sqlite3.connect(directory / "taskweir.db")) as database:
        return [name for (name,) in database.execute("SELECT event_id FROM deliveries WHERE state = 'pending'")]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sandbox(tmp_path_factory.mktemp("sandbox"), finish_after_s=0.1) as url:
        yield url


def test_what_was_sent_and_not_recorded_is_there_once(tmp_path: Path, running: Server, sandbox: str) -> None:
    """By NATS's own memory of ids, by a mark in Redis, by a row's key: each of them saw the event twice."""
    running.start()
    asyncio.run(running.empty())
    port, log = free_port(), tmp_path / "server.log"
    url, headers = f"http://127.0.0.1:{port}", {"authorization": f"Bearer {API_KEY}"}
    env = environment(tmp_path, port, sandbox)
    process = start_server(env | {"TASKWEIR_FAILPOINT": "delivery_record.before:1"}, log)
    with httpx.Client(base_url=url, headers=headers, timeout=30, verify=False) as api:
        wait_until_up(f"{url}/health/ready", process, log)
        made = api.post("/v1/destinations", json={"type": running.kind, "url": running.url()})
        assert made.status_code == 201, made.text
        task: dict[str, Any] = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "x"}}
        assert api.post("/v1/tasks", json=task).status_code == 201
    process.join(20)
    assert process.exitcode == -9, log.read_text()
    [sent] = got(running)
    assert owed(tmp_path) == [sent]
    process = start_server(env, log)
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=30, verify=False) as api:
            wait_until_up(f"{url}/health/ready", process, log)
            eventually(lambda: not owed(tmp_path), log.read_text)
            [delivery] = every(api, "/v1/deliveries")
    finally:
        process.kill()
        process.join()
    assert (delivery["event_id"], delivery["state"], delivery["attempts"]) == (sent, "delivered", 2)
    assert got(running) == [sent]

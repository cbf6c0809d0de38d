"""Datasette itself serves a SQLite log, with the command of the README, while the courier goes on appending to it."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import wait_until_up
from tests.service.engines import makes_a_log
from tests.service.owing import STEPS, happen, quiet, rows_of
from tests.service.world import World, a_world, free_port

pytestmark = pytest.mark.anyio

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
ROUNDS, TASKS = 20, 25


@contextmanager
def datasette(directory: Path) -> Iterator[str]:
    """The README's command, run in the data directory; where it serves."""
    [command] = re.findall(r"`(datasette serve [^`]+)`", README)
    program, *arguments = shlex.split(command)
    port, log = free_port(), directory / "datasette.log"
    steps = [sys.executable, "-m", program, *arguments, "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(steps, cwd=directory, env=dict(os.environ), stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(f"{url}/-/versions.json", process, log)
        yield url
    finally:
        process.terminate()
        process.wait(20)
    # Its own words for whatever SQLite refused: "database is locked", "disk image is malformed".
    assert not re.search(r"Traceback|Error|locked|malformed", log.read_text()), log.read_text()


async def rows(client: httpx.AsyncClient, path: str, **query: str) -> list[dict[str, Any]]:
    """What a page of Datasette's JSON API holds."""
    answer = await client.get(path, params={"_shape": "array", **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def counted(client: httpx.AsyncClient, sql: str) -> int:
    [row] = await rows(client, "/results.json", sql=f"SELECT count(*) AS n FROM {sql}")
    return int(row["n"])


async def append(world: World) -> None:
    """Batch after batch, as fast as it goes."""
    for number in range(ROUNDS):
        await happen(world, TASKS, first=1000 + number * TASKS, statuses=STEPS)
        await quiet(world)


@makes_a_log
async def test_datasette_reads_a_log_that_is_being_written(tmp_path: Path) -> None:
    """Table, latest-state view and full-text search, all the time: no error on either side, nothing torn or old."""
    async with a_world(tmp_path) as world:
        made = await world.api.post(
            "/v1/destinations", json={"type": "sqlite", "name": "results", "event_types": ["task.*"]}
        )
        assert made.status_code == 201
        await happen(world, 1, statuses=STEPS)
        await quiet(world)
        with datasette(tmp_path) as url:
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=False) as client:
                appending = asyncio.create_task(append(world))
                before, looks = 0, 0
                while not appending.done():
                    newest = (await rows(client, "/results/events.json", _sort_desc="seq", _size="10"))[0]
                    assert newest["type"] in ("task.running", "task.succeeded")
                    latest = await rows(client, "/results/tasks.json", _sort_desc="seq", _size="10")
                    assert all(row["status"] in ("running", "succeeded") for row in latest)
                    assert len(await rows(client, "/results/events.json", _search="panda", _size="10")) > 1
                    now = await counted(client, "events")
                    assert now >= before
                    before, looks = now, looks + 1
                await appending
                many = 1 + ROUNDS * TASKS
                assert looks > 5
                assert await counted(client, "events") == many * len(STEPS)
                assert await counted(client, "tasks WHERE status = 'succeeded'") == many
                assert await counted(client, "events_fts WHERE events_fts MATCH 'panda'") == many * len(STEPS)
        owed = await rows_of(world, "SELECT state, attempts, count(*) AS n FROM deliveries GROUP BY 1, 2")
        assert owed == [{"state": "delivered", "attempts": 1, "n": many * len(STEPS)}]

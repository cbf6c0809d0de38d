"""What pages of deploy/ tell to run against servers of one's own: run, with real ones in the examples' place."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.deploy.files import DEPLOY
from tests.postgres_server import PostgresServer, everything
from tests.processes import a_process, a_sandbox, environment, eventually
from tests.senders.servers import Nats, Postgres, Redis, a_server
from tests.service.world import API_KEY, APIKLEY_MODEL, free_port
from tests.test_docs import in_bash

CRON = "the-secret-of-the-clock"
OURS = "postgresql://taskweir:…@db.example/taskweir"
KEY = f"KEY={'s' * 32}"


def blocks(page: str, stand_ins: Mapping[str, str]) -> list[str]:
    """Its blocks marked `sh`, with these in the examples' place; every one of them must be there."""
    found = "\0".join(re.findall(r"^```sh\n(.*?)^```$", (DEPLOY / page).read_text(), re.MULTILINE | re.DOTALL))
    for example, real in stand_ins.items():
        assert example in found, example
        found = found.replace(example, real)
    assert "…" not in found, "nobody can paste this as it is"
    return found.split("\0")


@contextmanager
def a_server_of_ours(directory: Path) -> Iterator[str]:
    """The address of one on a SQLite file, with a sandbox behind it."""
    port = free_port()
    with a_sandbox(directory, finish_after_s=0.2) as sandbox:
        env = environment(directory, port, sandbox) | {"TASKWEIR_CRON_SECRET": CRON}
        url = f"http://127.0.0.1:{port}"
        with a_process("serve", env=env, log=directory / "server.log", ready=f"{url}/health/ready"):
            yield url


def a_task(url: str) -> str:
    """Made there, and succeeded; its id."""
    body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
    key = {"authorization": f"Bearer {API_KEY}"}
    task = httpx.post(f"{url}/v1/tasks?wait=30", json=body, headers=key, timeout=40, verify=False).json()
    assert task["status"] == "succeeded"
    return str(task["id"])


def test_events_go_to_ones_own_servers(tmp_path: Path) -> None:
    """Three destinations, one task: its events are in all of them, and the query tells of it."""
    with ExitStack() as stack:
        nats, redis, postgres = servers = [stack.enter_context(a_server(kind)) for kind in (Nats, Redis, Postgres)]
        served = stack.enter_context(a_server_of_ours(tmp_path))
        asyncio.run(nats.empty())
        [block] = blocks(
            "queues.md",
            {
                "nats://weaver:…@nats.example:4222/taskweir.events": nats.url(),
                "rediss://weaver:…@redis.example:6380/0?stream=events": redis.url(),
                "postgresql://weaver:…@db.example/shop?sslmode=require": postgres.url(),
                "psql shop": f"{postgres.server.program('psql')} --no-align '{postgres.admin}'",
            },
        )
        *adding, asking = block.splitlines()
        in_bash("\n".join(adding), tmp_path, TASKWEIR_URL=served, TASKWEIR_API_KEY=API_KEY)
        task_id = a_task(served)

        def got() -> list[str]:
            return [str([each for each in asyncio.run(server.got()) if task_id in str(each)]) for server in servers]

        eventually(lambda: all("task.succeeded" in text for text in got()), got)
        assert "succeeded|1|" in in_bash(asking, tmp_path)


def test_a_server_begins_on_postgresql_and_a_file_moves_there(tmp_path: Path) -> None:
    """The database is made ready, and served; another one takes over the task of a SQLite file."""
    with a_server_of_ours(tmp_path) as url:
        task_id = a_task(url)
    server, port = PostgresServer(), free_port()
    try:
        server.start()
        new, moved = (server.make_database(name) for name in ("new", "moved"))
        begin, _ = blocks("postgresql.md", {OURS: f"'{new}'", "KEY=…": KEY})
        ready = f"curl -sf --retry 20 --retry-delay 1 --retry-connrefused http://127.0.0.1:{port}/health/ready"
        settings = {"TASKWEIR_PORT": str(port), "TASKWEIR_API_KEY": API_KEY, "TASKWEIR_DATA_DIR": str(tmp_path)}
        assert '"status":"ready"' in in_bash(f"{{ {begin} }} > begun.log 2>&1 &\n{ready}", tmp_path, **settings)
        _, move = blocks("postgresql.md", {OURS: f"'{moved}'", "KEY=…": KEY})
        in_bash(move, tmp_path)
        assert [task[0] for task in everything(moved)["tasks"]] == [task_id]
    finally:
        server.remove()


def test_whoever_calls_by_the_clock_is_answered(tmp_path: Path) -> None:
    """With what was done, and when something is due next."""
    [block] = blocks("serverless.md", {"curl": "curl -s"})
    with a_server_of_ours(tmp_path) as url:
        printed = in_bash(block, tmp_path, TASKWEIR_URL=url, TASKWEIR_CRON_SECRET=CRON)
    assert json.loads(printed).keys() == {"submitted", "polled", "delivered", "next_due_at"}

"""The entry for hosts that call now and then, each time from an event loop of its own."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

from receiver.errors import ConfigurationError
from receiver.serverless import Serverless
from receiver.service import Service
from receiver.serving import load_adapters, settings_of
from receiver.settings import Mode
from tests.processes import a_sandbox, environment
from tests.service.world import API_KEY, APIKLEY_MODEL

BODY = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
KEY = {"authorization": f"Bearer {API_KEY}"}
KEYS = {"TASKWEIR_API_KEY": API_KEY, "TASKWEIR_SECRET_KEY": "s" * 32}


@contextmanager
def a_house(directory: Path, sandbox: str = "http://127.0.0.1:1", **more: str) -> Iterator[Serverless]:
    """The entry over a store in this directory, closed at the end."""
    adapters = load_adapters()
    settings = settings_of(environment(directory, 8080, sandbox) | {"TASKWEIR_PUBLIC_URL": ""} | more, adapters)
    house = Serverless(lambda: Service(replace(settings, mode=Mode.SERVERLESS), adapters))
    try:
        yield house
    finally:
        house.close()


async def ask(house: Serverless, method: str, path: str, **fields: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=house)
    async with httpx.AsyncClient(transport=transport, base_url="http://t.test", headers=KEY, timeout=30) as api:
        return await api.request(method, path, **fields)


async def lives(house: Serverless, *requests: tuple[str, str]) -> list[int]:
    """One lifespan, and requests inside it, as a host does it that knows of no other way."""
    messages: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []
    statuses: list[int] = []

    async def receive() -> Message:
        if len(messages) == 1:
            statuses.extend([(await ask(house, *request)).status_code for request in requests])
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await house({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    return statuses


def test_a_loop_and_a_lifespan_for_every_request(tmp_path: Path) -> None:
    """Each call of the host brings its own; the task that one recorded is finished by the next ones."""
    with a_sandbox(tmp_path, finish_after_s=0.1) as sandbox, a_house(tmp_path, sandbox) as house:
        answer = asyncio.run(ask(house, "POST", "/v1/tasks", json=BODY))
        assert (answer.status_code, answer.json()["status"]) == (201, "submitted")
        task_id = answer.json()["id"]
        for _ in range(200):
            calls = (("POST", "/internal/tick?budget_ms=1000"), ("POST", f"/v1/tasks/{task_id}/refresh"))
            assert asyncio.run(lives(house, *calls)) == [200, 200]
            if asyncio.run(ask(house, "GET", f"/v1/tasks/{task_id}")).json()["status"] == "succeeded":
                break
        events = asyncio.run(ask(house, "GET", "/v1/events")).json()["items"]
        assert [event["type"] for event in events] == ["task.submitted", "task.succeeded"]


def test_threads_with_loops_of_their_own_at_once(tmp_path: Path) -> None:
    """They share one service, which opens once."""
    with a_house(tmp_path) as house, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: asyncio.run(ask(house, "GET", "/v1/me")), range(32)))
        assert [answer.status_code for answer in answers] == [200] * 32


def test_a_body_comes_across_whole(tmp_path: Path) -> None:
    """In pieces, from the host's loop to ours."""
    whole = json.dumps(BODY | {"input": {"prompt": "x" * 300_000}, "checks": False}).encode()

    async def pieces() -> Any:
        for first in range(0, len(whole), 10_000):
            await asyncio.sleep(0)
            yield whole[first : first + 10_000]

    async def post(house: Serverless) -> httpx.Response:
        return await ask(house, "POST", "/v1/tasks", content=pieces(), headers={"prefer": "respond-async"})

    with a_house(tmp_path) as house:
        answer = asyncio.run(post(house))
        assert (answer.status_code, len(answer.json()["input"]["prompt"])) == (202, 300_000)


def test_the_heartbeat_of_a_plain_function(tmp_path: Path) -> None:
    """No key, no loop: what calls it was let in by somebody else; once it is closed, nothing of it runs."""
    before = threading.active_count()
    with a_house(tmp_path) as house:
        assert house.tick(1000) == {"submitted": 0, "polled": 0, "delivered": 0, "next_due_at": None}
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_what_cannot_open_says_so_and_tries_again(tmp_path: Path) -> None:
    """503 while a setting is wrong or the store is held, and the reason in the log alone; then it opens."""
    with a_house(tmp_path) as other, a_house(tmp_path) as house:
        assert asyncio.run(ask(other, "GET", "/v1/me")).status_code == 200
        refused = asyncio.run(ask(house, "GET", "/v1/me"))
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert "taskweir.db" not in refused.text
        with pytest.raises(ConfigurationError, match="another process"):
            house.tick(100)
        other.close()
        assert asyncio.run(ask(house, "GET", "/v1/me")).status_code == 200


def test_it_is_made_without_looking_at_anything(tmp_path: Path) -> None:
    """Importing it reads no setting; the first request tells of what is missing, and of the remedy in the log."""
    program = (
        "import asyncio, sys\n"
        "from receiver.serverless import app, tick\n"
        "assert 'sqlite_utils' not in sys.modules and 'typer' not in sys.modules\n"
        "import httpx\n"
        "async def ask():\n"
        "    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url='http://t') as api:\n"
        "        return (await api.get('/v1/me')).status_code\n"
        "print(asyncio.run(ask()))\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKWEIR_")}
    clean |= KEYS | {"AWS_LAMBDA_FUNCTION_NAME": "taskweir"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "503\n"), done.stderr
    assert "AWS Lambda keeps no files" in done.stderr
    assert "TASKWEIR_DATABASE_URL=postgresql://" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_tick_from_the_command_line(tmp_path: Path) -> None:
    """On the store itself: JSON on standard output; 2 where somebody else has it."""
    env = environment(tmp_path, 8080, "http://127.0.0.1:1")
    command = [sys.executable, "-m", "receiver.main", "tick", "--budget-ms", "500"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["next_due_at"]) == (0, None), done.stderr
    with a_house(tmp_path) as house:
        house.tick(100)
        held = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert (held.returncode, held.stdout) == (2, "")
        assert "another process" in held.stderr

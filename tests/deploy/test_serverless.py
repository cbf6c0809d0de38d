"""The entries for AWS Lambda and Vercel, each in a process as its host runs it, on a real PostgreSQL."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.deploy.files import DEPLOY
from tests.processes import a_sandbox, environment, eventually
from tests.service.world import API_KEY

HERE = Path(__file__).parent
CRON_SECRET = "cron-secret-0123456789"
TASK = {"provider": "reapi", "model": "doubao-seedance-2.0-face", "input": {"prompt": "A kitten yawning"}}


class Host:
    """Calls an entry, one call at a time, and tells what came back."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def call(self, call: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(call), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@contextmanager
def a_host(kind: str, entry: str, env: dict[str, str], log: Path) -> Iterator[Host]:
    """A process that holds one entry of ours, as long as its host would keep it."""
    with log.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "host.py"), kind, str(DEPLOY / entry)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        )
    with process:
        try:
            yield Host(process)
        finally:
            process.kill()


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((HERE / "events" / f"{name}.json").read_text())
    return event


def by_url(method: str, path: str, body: Any = None, key: str = API_KEY) -> dict[str, Any]:
    """The recorded event of the function URL, asking for something else."""
    event = recorded("function_url")
    route, _, query = path.partition("?")
    event |= {"rawPath": route, "rawQueryString": query}
    event["requestContext"]["http"] |= {"method": method, "path": route}
    text = "" if body is None else json.dumps(body)
    event["headers"] |= {"authorization": f"Bearer {key}", "content-length": str(len(text))}
    return event | {"body": base64.b64encode(text.encode()).decode()}


def by_vercel(method: str, path: str, body: Any = None, key: str = API_KEY) -> dict[str, Any]:
    """A request as Vercel passes it on."""
    headers = {"host": "my-taskweir.vercel.app", "authorization": f"Bearer {key}", "content-type": "application/json"}
    return {"method": method, "path": path, "headers": headers, "body": "" if body is None else json.dumps(body)}


def told(answer: dict[str, Any]) -> Any:
    return json.loads(answer["body"])


def serverless_environment(directory: Path, sandbox_url: str, database_url: str) -> dict[str, str]:
    """A place without a disk of ours: what is needed is set, nobody calls back."""
    env = environment(directory, 1, sandbox_url)
    env |= {"TASKWEIR_DATABASE_URL": database_url, "TASKWEIR_PUBLIC_URL": "", "TASKWEIR_CRON_SECRET": CRON_SECRET}
    return env


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[str]:
    with a_sandbox(tmp_path, finish_after_s=0.1) as url:
        yield url


def all_is_due(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE timers SET due_at = 0 WHERE owner IS NULL")


def test_lambda_answers_requests_and_heartbeats(tmp_path: Path, sandbox: str, postgres_url: str) -> None:
    """A function URL's request submits; the scheduler's events poll, with the template's input or AWS's own."""
    env = serverless_environment(tmp_path, sandbox, postgres_url) | {"AWS_LAMBDA_FUNCTION_NAME": "taskweir"}
    log = tmp_path / "host.log"
    with a_host("lambda", "aws-lambda/handler.py", env, log) as host:
        assert host.call(by_url("GET", "/v1/me", key="not-our-key-at-all"))["statusCode"] == 401
        submitted = host.call(by_url("POST", "/v1/tasks", TASK))
        assert (submitted["statusCode"], told(submitted)["status"]) == (201, "submitted"), log.read_text()
        assert submitted["isBase64Encoded"] is False
        task = told(submitted)["id"]
        nothing = host.call(recorded("scheduler_without_input"))
        assert (nothing["submitted"], nothing["polled"], nothing["delivered"]) == (0, 0, 0)
        assert nothing["next_due_at"].endswith("Z")

        def finished() -> bool:
            all_is_due(postgres_url)
            assert host.call(recorded("scheduler")).keys() == {"submitted", "polled", "delivered", "next_due_at"}
            return bool(told(host.call(by_url("GET", f"/v1/tasks/{task}")))["status"] == "succeeded")

        eventually(finished, log.read_text)
        events = told(host.call(by_url("GET", "/v1/events?after=0")))["items"]
        assert [event["type"] for event in events] == ["task.submitted", "task.succeeded"]


def test_lambda_without_a_database_of_its_own_says_so(tmp_path: Path) -> None:
    """SQLite is refused where no disk is kept: a request is 503, a heartbeat fails; both with the remedy."""
    env = environment(tmp_path, 1, "http://127.0.0.1:9") | {"AWS_LAMBDA_FUNCTION_NAME": "taskweir"}
    log = tmp_path / "host.log"
    with a_host("lambda", "aws-lambda/handler.py", env, log) as host:
        assert host.call(by_url("GET", "/health/ready"))["statusCode"] == 503
        failed = host.call(recorded("scheduler"))
        assert failed["errorType"] == "ConfigurationError"
        assert "AWS Lambda" in failed["errorMessage"]
    assert "TASKWEIR_DATABASE_URL" in log.read_text()


def test_vercel_answers_requests_and_its_cron(tmp_path: Path, sandbox: str, postgres_url: str) -> None:
    """Each request in an event loop of its own; the cron job is let in by the secret that Vercel sends."""
    env = serverless_environment(tmp_path, sandbox, postgres_url) | {"VERCEL": "1"}
    [vercel] = [json.loads((DEPLOY / "vercel" / "vercel.json").read_text())]
    tick, log = vercel["crons"][0]["path"], tmp_path / "host.log"
    with a_host("vercel", "vercel/app.py", env, log) as host:
        assert host.call(by_vercel("GET", "/health/ready"))["statusCode"] == 200, log.read_text()
        submitted = host.call(by_vercel("POST", "/v1/tasks", TASK))
        assert (submitted["statusCode"], told(submitted)["status"]) == (201, "submitted")
        assert host.call(by_vercel("GET", tick, key="not-the-secret-at-all"))["statusCode"] == 401

        def finished() -> bool:
            all_is_due(postgres_url)
            assert host.call(by_vercel("GET", tick, key=CRON_SECRET))["statusCode"] == 200
            return bool(
                told(host.call(by_vercel("GET", f"/v1/tasks/{told(submitted)['id']}")))["status"] == "succeeded"
            )

        eventually(finished, log.read_text)

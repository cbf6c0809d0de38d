"""The server as a process: how it starts, what it refuses, how it stops."""

import asyncio
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.processes import a_process, environment, start, wait_until_up
from tests.service.world import API_KEY, APIKLEY_MODEL, created, free_port, scripted, soon

NOWHERE = "http://127.0.0.1:9"


@contextmanager
def a_server(
    directory: Path, *, log: str = "server.log", **more: str
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A running server: its URL, its process."""
    port = free_port()
    file = directory / log
    url, env = f"http://127.0.0.1:{port}", environment(directory, port, NOWHERE) | more
    with a_process("serve", env=env, log=file, ready=f"{url}/health/ready", measured=True) as process:
        yield url, process


def run(directory: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """One command to its end."""
    env = environment(directory, 0, NOWHERE) | {"COLUMNS": "200"} | more
    return subprocess.run(
        [sys.executable, "-m", "receiver", *arguments], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Status 0, well within the 20 s, and the database is free for the next one."""
    with a_server(tmp_path) as (_, process):
        asked_at = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - asked_at < 20
    with a_server(tmp_path):
        pass


@pytest.mark.anyio
async def test_who_waits_when_it_is_told_to_stop_gets_the_task(tmp_path: Path) -> None:
    """Not an error: `?wait=30` is answered with the task as it is, a submit once its handover is."""
    answered = asyncio.Event()
    body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
    async with scripted(created("p1"), answered, created("p2")) as apikley:
        with a_server(tmp_path, TASKWEIR_APIKLEY_BASE_URL=apikley.base_url) as (url, process):
            headers = {"authorization": f"Bearer {API_KEY}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, verify=False) as api:
                first = (await api.post("/v1/tasks", json=body)).json()
                waiting = asyncio.ensure_future(api.get(f"/v1/tasks/{first['id']}", params={"wait": 30}))
                handed = asyncio.ensure_future(api.post("/v1/tasks", json=body))
                await soon(lambda: len(apikley.lines) == 2)
                process.terminate()
                shown = await waiting
                assert (shown.status_code, shown.json()["status"]) == (200, "submitted")
                assert not handed.done()
                answered.set()
                made = await handed
                assert (made.status_code, made.json()["status"]) == (201, "submitted")
                assert made.json()["provider_task_id"] == "p2"
            assert await asyncio.to_thread(process.wait, 20) == 0


def test_a_request_that_hangs_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    """A caller that waits for a handover is answered within the grace period: in doubt, 202, and not an error."""
    body = b'{"provider":"reapi","model":"m","input":{"prompt":"a red panda"}}'
    head = (
        f"POST /v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as provider:  # takes connections, never answers
        provider.settimeout(10)
        base_url = f"http://127.0.0.1:{provider.getsockname()[1]}"
        with (
            a_server(tmp_path, TASKWEIR_REAPI_BASE_URL=base_url) as (url, process),
            socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as caller,
        ):
            caller.sendall(head.encode() + body)
            taken, _ = provider.accept()
            process.terminate()
            assert process.wait(timeout=20) == 0
            taken.close()
            answer = caller.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 202 ")
            assert b'"status":"unconfirmed"' in answer
    with a_server(tmp_path) as (url, _):
        key = {"authorization": f"Bearer {API_KEY}"}
        [task] = httpx.get(f"{url}/v1/tasks", headers=key, verify=False).json()["items"]
        assert task["status"] == "unconfirmed"


def test_who_asks_nothing_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    """Silent, idle, in the midst of a head or a body: the process ends as soon as without them, or a second later."""
    head = b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nauthorization: Bearer " + API_KEY.encode()
    asked = {b"": b"", head: b"", head + b"\r\n\r\n{": b"HTTP/1.1 503 ", b"GET / HTTP/1.1\r\n\r\n": b"HTTP/1.1 404 "}
    with a_server(tmp_path) as (url, process), ExitStack() as stack:
        address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        callers = [(stack.enter_context(socket.create_connection(address)), *each) for each in list(asked.items()) * 20]
        for caller, said, _ in callers:
            caller.sendall(said)
        assert httpx.get(f"{url}/health/live", verify=False).status_code == 200
        asked_at = time.monotonic()
        process.terminate()
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - asked_at < 2.5
        for caller, said, answer in callers:
            heard = caller.makefile("rb").read()
            assert heard.startswith(answer), said
            assert bool(heard) == bool(answer), said


def test_a_second_server_on_the_same_file_is_refused(tmp_path: Path) -> None:
    """Status 2, with the reason and what to do; no traceback."""
    with a_server(tmp_path):
        refused = run(tmp_path, "serve", TASKWEIR_PORT=str(free_port()))
    assert refused.returncode == 2
    assert "another process has" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """Status 2, and the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run(tmp_path, "serve", TASKWEIR_PORT=port)
    assert refused.returncode == 2
    assert port in refused.stderr
    assert "TASKWEIR_PORT" in refused.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TASKWEIR_DATABASE_URL", "oracle://x"),
        ("TASKWEIR_ALLOW_NETWORKS", "10.0.0.0/99"),
        ("TASKWEIR_APIKLEY_TRUST", "signature"),
        ("TASKWEIR_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(tmp_path: Path, name: str, value: str) -> None:
    """Status 2, one clear line; no traceback."""
    refused = run(tmp_path, "serve", **{name: value})
    assert refused.returncode == 2
    assert refused.stderr.strip()
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_role_needs_a_database_that_others_can_share(tmp_path: Path, role: str) -> None:
    """Status 2 on a SQLite file, with what to set; in serverless mode as well, where requests do the work."""
    alone = run(tmp_path, "serve", "--role", role)
    postgres = {"TASKWEIR_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "TASKWEIR_MODE": "serverless"}
    without_loops = run(tmp_path, "serve", "--role", role, **postgres)
    assert (alone.returncode, without_loops.returncode) == (2, 2)
    assert f"--role {role} needs PostgreSQL" in alone.stderr
    assert "Set TASKWEIR_DATABASE_URL=postgresql://" in alone.stderr
    assert "leave out TASKWEIR_MODE" in without_loops.stderr
    assert "Traceback" not in alone.stderr + without_loops.stderr


def test_migrations_may_be_left_to_the_operator(tmp_path: Path) -> None:
    """`TASKWEIR_MIGRATE=0` refuses an old schema and names the command; after it the server starts."""
    refused = run(tmp_path, "serve", TASKWEIR_MIGRATE="0", TASKWEIR_PORT=str(free_port()))
    assert refused.returncode == 2
    assert "taskweir migrate" in refused.stderr
    first, second = run(tmp_path, "migrate"), run(tmp_path, "migrate")
    assert (first.returncode, second.returncode) == (0, 0)
    assert "applied" in first.stdout
    assert "up to date" in second.stdout
    with a_server(tmp_path, TASKWEIR_MIGRATE="0"):
        pass


def test_a_generated_key_is_named_on_the_console_and_never_shown(tmp_path: Path) -> None:
    """0600 in the data directory; it opens the API."""
    with a_server(tmp_path, TASKWEIR_API_KEY="", TASKWEIR_SECRET_KEY="") as (url, _):
        file = tmp_path / "taskweir.api-key"
        key = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert httpx.get(f"{url}/v1/me", headers={"authorization": f"Bearer {key}"}, verify=False).status_code == 200
        printed = (tmp_path / "server.log").read_text()
        assert str(file) in printed
        assert key not in printed
        assert (tmp_path / "taskweir.secret-key").read_text().strip() not in printed


def test_json_logs_are_json(tmp_path: Path) -> None:
    """One object per line."""
    with a_server(tmp_path, TASKWEIR_LOG_FORMAT="json") as (_, process):
        process.terminate()
        process.wait()
    lines = (tmp_path / "server.log").read_text().splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"\{.*\}", line) for line in lines)


def test_it_listens_on_ipv6_and_on_every_address(tmp_path: Path) -> None:
    """What is printed is an address that works here."""
    for host, shown in (("::1", "http://[::1]:"), ("0.0.0.0", "http://localhost:")):
        with a_server_on(tmp_path, host) as printed:
            assert shown in printed


@contextmanager
def a_server_on(directory: Path, host: str) -> Iterator[str]:
    port, file = free_port(), directory / f"{host.replace(':', '_')}.log"
    env = environment(directory, port, NOWHERE) | {"TASKWEIR_HOST": host}
    process = start("serve", env=env, log=file)
    try:
        wait_until_up(f"http://{'[::1]' if ':' in host else '127.0.0.1'}:{port}/health/live", process, file)
        yield file.read_text()
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_it_may_open_as_many_files_as_it_is_allowed_to() -> None:
    """Whatever the shell that it was started from thinks enough."""
    code = (
        "import resource as r; from receiver.server import _open_files, MOST_FILES\n"
        "most = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (100, most))\n"
        "print(_open_files(), r.getrlimit(r.RLIMIT_NOFILE)[0], MOST_FILES if most < 0 else min(most, MOST_FILES))\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (100, 100)); print(_open_files())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert printed[0] == printed[1] == printed[2]
    assert printed[3] == "100"


def test_settings_are_printed_without_secrets(tmp_path: Path) -> None:
    """Every variable, secrets as "set"."""
    printed = run(tmp_path, "settings", TASKWEIR_REAPI_API_KEY="canary-key")
    assert printed.returncode == 0
    assert "TASKWEIR_REAPI_API_KEY" in printed.stdout
    assert "canary-key" not in printed.stdout
    assert API_KEY not in printed.stdout


def test_without_a_command_help_is_shown(tmp_path: Path) -> None:
    """Wrong usage is status 2."""
    assert "serve" in run(tmp_path).stdout + run(tmp_path).stderr
    assert run(tmp_path, "nonsense").returncode == 2


def test_a_variable_that_nothing_reads_is_named_at_the_start(tmp_path: Path) -> None:
    """With the one that was likely meant, and without its value; nothing that is read is named."""
    with a_server(tmp_path, TASKWEIR_PUBLC_URL="a-secret-value", TASKWEIR_LOG_FORMAT="json"):
        pass
    said = (tmp_path / "server.log").read_text()
    [line] = [line for line in map(json.loads, said.splitlines()) if line["event"] == "setting.unknown"]
    assert (line["setting"], line["nearest"], line["level"]) == ("TASKWEIR_PUBLC_URL", "TASKWEIR_PUBLIC_URL", "warning")
    assert "a-secret-value" not in said

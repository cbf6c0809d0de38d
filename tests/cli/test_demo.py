"""`taskweir demo`, from end to end."""

import os
import re
import shlex
import signal
import socket
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest

from receiver.cli.commands import Failed
from receiver.cli.demo import FINISH_AFTER_S, run
from receiver.cli.demo.children import free_ports
from receiver.cli.demo.orders import ORDERS, Order
from receiver.client import Invalid
from tests.cli.driving import Cli, read_until
from tests.processes import eventually

HOSTILE = {
    "TASKWEIR_DATABASE_URL": "postgresql://nowhere/nothing",
    "TASKWEIR_API_KEY": "short",
    "TASKWEIR_PORT": "abc",
    "TASKWEIR_PROVIDERS": "{",
    "TASKWEIR_APIKLEY_TRUST": "nobody",
    "TASKWEIR_LOG_LEVEL": "loud",
    "TASKWEIR_URL": "ftp://nowhere",
    "PORT": "1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "socks5://127.0.0.1:1",
}
PROVIDERS = [order.provider for order in ORDERS]


def test_every_provider_has_one_order() -> None:
    """Four providers, four tasks, each passes the checks of its adapter."""
    assert PROVIDERS == ["apikley", "reapi", "reelbyte", "reve2img"]


def test_the_demo_where_nothing_is_as_it_should_be(tmp_path: Path) -> None:
    """Wrong settings, a taken port, no home, a directory not to be written to: exit 0, in plain lines, within 60 s."""
    here = tmp_path / "read-only"
    here.mkdir(mode=0o555)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = str(taken.getsockname()[1])
        result = Cli(settings=HOSTILE).ended("demo", "--port-base", base, cwd=here)
    assert (result.code, result.err) == (0, "")
    assert time.monotonic() - began < 45
    assert "\x1b" not in result.out
    rows = {line.split()[0]: line for line in result.lines if line.startswith("  ") and "/_sandbox/files/" in line}
    assert sorted(rows) == PROVIDERS
    for order in ORDERS:
        row = rows[order.provider]
        assert order.model in row
        assert row.split().count("✓") == 2
        assert "succeeded" in row
    assert re.search(r"succeeded +callback +poll", rows["apikley"])
    assert re.search(r"succeeded +poll +poll", rows["reapi"])
    assert re.search(r"succeeded +poll +poll", rows["reelbyte"])
    assert re.search(r"succeeded +submit +poll", rows["reve2img"])
    assert "each signed, verified and in the SQLite log" in result.out
    assert list(here.iterdir()) == []


def test_the_demo_on_a_terminal_keeps_what_it_is_told_to(tmp_path: Path) -> None:
    """--keep DIR: the log is there, the example query that is printed works, and DIR is not used twice."""
    kept = tmp_path / "a directory to keep"
    code, shown = Cli(settings={}).on_terminal("demo", "--keep", str(kept))
    assert code == 0
    for text in ("Taskweir demo", "waiting for the outcomes", "callback", "signed and verified"):
        assert text in shown
    words = shlex.split(next(line for line in shown.splitlines() if line.startswith("  sqlite3 ")))
    assert words[1] == str(kept / "logs" / "default" / "demo.db")
    rows = sqlite3.connect(words[1]).execute(words[2]).fetchall()
    assert {(row[1], row[2]) for row in rows} >= {("task.succeeded", provider) for provider in PROVIDERS}
    assert (kept / "server.log").exists()
    again = Cli(settings={})("demo", "--keep", str(kept))
    assert again.code == 1
    assert "not empty" in again.err


def order(prompt: str) -> Order:
    return Order(provider="apikley", model="bytedance/v1-pro-text-to-video", input={"prompt": prompt})


def test_a_task_that_fails_fails_the_demo() -> None:
    """Exit is 1 for whatever is not as promised, with the reason and the server's last lines."""
    with pytest.raises(Failed, match="not complete") as caught:
        run([order("[fail]")], finish_after_s=0.1)
    told = "\n".join(caught.value.lines)
    assert "apikley: failed: upstream" in told
    assert "server.log" in told
    assert "task.handed_over" in told


def test_a_task_that_does_not_end_fails_the_demo_in_time() -> None:
    """After its limit the demo says what it was still waiting for."""
    began = time.monotonic()
    with pytest.raises(Failed, match="not complete") as caught:
        run([order("[never]"), ORDERS[3]], limit_s=8.0, finish_after_s=0.1)
    assert time.monotonic() - began < 25
    assert any(line.startswith("apikley: still submitted: handed over to apikley") for line in caught.value.lines)
    assert not any(line.startswith("reve2img:") for line in caught.value.lines)


def test_a_task_that_is_refused_fails_the_demo() -> None:
    """What the API refuses is told field by field."""
    with pytest.raises(Invalid) as caught:
        run([Order(provider="apikley", model=ORDERS[0].model, input={})])
    assert any("input.prompt" in line for line in caught.value.lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_however_it_is_ended_nothing_is_left_running(number: signal.Signals, tmp_path: Path) -> None:
    """Neither the server nor the sandbox outlives the demo: their ports are free again."""
    ports = free_ports(2, None)
    base = min(ports)
    with Cli(settings={}).process("demo", "--port-base", str(base), TMPDIR=str(tmp_path)) as demo:
        read_until(demo.stdout, "waiting for the outcomes")
        used = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", _logs(tmp_path))]
        assert len(used) >= 2
        os.kill(demo.pid, number)
        _, err = demo.communicate(timeout=20)
    eventually(lambda: not any(map(_is_served, used)), lambda: f"one of {used} is still served", within_s=15)
    if number is signal.SIGKILL:
        assert demo.returncode == -signal.SIGKILL
    else:
        assert demo.returncode == 130
        assert "nothing of the demo is left running" in err
        assert list(tmp_path.iterdir()) == []


def _logs(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.glob("taskweir-demo-*/*.log"))


def _is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_directories_that_cannot_be_used_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1 with a remedy, for --keep and for the temporary one."""
    file = tmp_path / "file"
    file.write_text("x")
    kept = Cli(settings={})("demo", "--keep", str(file))
    assert kept.code == 1
    assert "cannot be used" in kept.err
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    temporary = Cli(settings={})("demo")
    assert temporary.code == 1
    assert "--keep DIR" in temporary.err


def test_ports_are_checked() -> None:
    """Wrong usage is exit status 2."""
    assert Cli(settings={})("demo", "--port-base", "0").code == 2


def test_tasks_of_the_demo_take_long_enough_to_be_seen() -> None:
    """So long that the callback comes before the first poll of most, and all is over soon."""
    assert 2 <= FINISH_AFTER_S <= 5

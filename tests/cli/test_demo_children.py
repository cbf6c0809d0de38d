"""The demo's processes and what it knows of them."""

import io
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import deque
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from receiver import signing
from receiver.cli.commands import Failed
from receiver.cli.demo import Play
from receiver.cli.demo.children import are_ready, end, environment_for, free_ports, on_stage, running, tail
from receiver.cli.demo.orders import ORDERS, Order
from receiver.cli.demo.screen import Screen, event_text, next_look
from receiver.cli.demo.standing import Standing, read_log, standings
from receiver.cli.screen import output, say
from receiver.cli.sink_app import Heard
from receiver.client import Taskweir
from receiver.formats import time_of

SECRET = signing.new_secret(b"s" * 32)


def play_on(directory: Path, stage: Any) -> Play:
    key = (directory / "taskweir.api-key").read_text().strip()
    return Play(
        client=Taskweir(stage.server_url, key, retries=0),
        stage=stage,
        log=directory / "logs" / "default" / "demo.db",
        screen=Screen(Console(quiet=True), 0.0),
        heard=deque(),
    )


@pytest.mark.parametrize(("name", "told"), [("server", "no server answers"), ("sandbox", "the sandbox has ended")])
def test_a_process_that_dies_ends_the_demo_at_once(tmp_path: Path, name: str, told: str) -> None:
    """It is named, and its last lines are shown; nobody waits for the limit."""
    began = time.monotonic()
    with on_stage(tmp_path, finish_after_s=5, port_base=None, providers=["apikley"]) as stage:
        child = next(child for child in stage.children if child.name == name)
        child.process.kill()
        child.process.wait()
        play = play_on(tmp_path, stage)
        with play.client, pytest.raises(Failed) as caught:
            play.perform(
                [Order(provider="apikley", model="m", input={"prompt": "x"})],
                "http://127.0.0.1:9/",
                SECRET,
                until_s=time.monotonic() + 60,
            )
    assert told in "\n".join([str(caught.value), *caught.value.lines])
    assert "server.starting" in "\n".join(caught.value.lines)
    assert time.monotonic() - began < 30


def test_processes_that_do_not_start_are_told_with_their_last_words(tmp_path: Path) -> None:
    """After some tries with other ports."""
    (tmp_path / "taskweir.db").mkdir()
    with (
        pytest.raises(Failed, match="did not start") as caught,
        on_stage(tmp_path, finish_after_s=1, port_base=None, providers=["apikley"]),
    ):
        raise AssertionError("a server on a directory for a database came up")
    assert "The last lines of server.log:" in caught.value.lines


def test_what_is_not_ready_in_time_is_not_ready(tmp_path: Path) -> None:
    """A process that runs but never answers is not waited for without limit."""
    with running("sandbox", ["sandbox", "--port", "0"], {}, tmp_path, ready_url="http://127.0.0.1:9/") as child:
        assert not are_ready([child], within_s=0.2)
        assert not child.ended
    assert child.ended


def test_a_process_that_ignores_us_is_ended_by_force() -> None:
    """Also where the wait for it is cut short."""
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    end(process, within_s=0.1)
    assert process.returncode == -signal.SIGKILL


def test_a_command_whose_parent_is_gone_ends() -> None:
    """The leash: the end of standard input is the end of the command."""
    environment = environment_for(os.environ, {})
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver.cli.leash", "sandbox", "--port", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        while b"Ctrl-C" not in process.stdout.readline():
            assert process.poll() is None
        process.stdin.close()
        assert process.wait(20) == -signal.SIGTERM


def test_a_childs_environment_has_only_what_the_demo_sets() -> None:
    """Whatever was set for another Taskweir stays out, everything else stays in."""
    given = {"PATH": "/bin", "PORT": "1", "TASKWEIR_MODE": "serverless", "TASKWEIR_API_KEY_FILE": "x"}
    assert environment_for(given, {"TASKWEIR_PORT": "2"}) == {"PATH": "/bin", "TASKWEIR_PORT": "2"}


def test_ports_from_a_base_are_the_first_free_ones() -> None:
    """A taken one is passed over."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = taken.getsockname()[1]
        assert base not in free_ports(2, base)


def test_no_free_ports_are_told() -> None:
    """Above the last port there is none."""
    with pytest.raises(Failed, match="no 2 free ports"):
        free_ports(2, 65535)


def test_the_tail_of_a_log_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Its last lines, without control characters; an empty or missing one says so."""
    log = tmp_path / "x.log"
    assert tail(log) == ["(nothing)"]
    log.write_bytes(b"".join(b"%d\x1b[2J\xff\n" % number for number in range(40)))
    assert tail(log)[-1] == "39 [2J\ufffd"
    assert len(tail(log)) == 15


def test_a_log_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    """Neither has a file without a table."""
    assert read_log(tmp_path / "no.db") == []
    sqlite3.connect(tmp_path / "empty.db").close()
    assert read_log(tmp_path / "empty.db") == []


def event(id: str, status: str, sequence: int) -> dict[str, Any]:
    return {
        "id": id,
        "type": f"task.{status}",
        "data": {
            "task": {"id": "task_1", "status": status},
            "sequence": sequence,
            "source": "poll",
            "verified_by": "poll",
        },
    }


def standing(status: str, *events: dict[str, Any], logged: int = 0, refused: int = 0) -> Standing:
    error = {"kind": "upstream", "code": None, "message": "no"} if status == "failed" else None
    waiting = None if status in ("succeeded", "failed") else {"text": "being polled"}
    return Standing(
        order=ORDERS[0],
        task={"id": "task_1", "status": status, "error": error, "waiting_for": waiting},
        verified={each["id"]: each for each in events},
        refused=refused,
        logged=frozenset(str(number) for number in range(logged)),
    )


def test_what_the_screen_says_of_an_open_task() -> None:
    """The provider's word and for how long; when we ask next, where that is planned."""
    waiting = {"since": "2026-11-20T19:48:00.000Z", "next_at": "2026-11-20T19:48:09.000Z"}
    task = {"status": "submitted", "provider_status": "pending", "waiting_for": waiting}
    now_s = time_of(waiting["since"]) / 1000 + 4
    assert next_look(task, now_s) == "pending for 4 s; next poll in 5 s"
    assert next_look(task | {"waiting_for": waiting | {"next_at": None}}, now_s) == "pending for 4 s"
    assert next_look(task | {"waiting_for": None}, now_s) == ""


def test_a_screen_says_what_is_not_verified() -> None:
    """A forged webhook is shown, with the reason why it does not count."""
    forged = Heard(at=0, verified=False, fault="no signature matches", webhook_id="evt_1", event={})
    assert "NOT verified: no signature matches" in event_text(Console(quiet=True), forged).plain


def test_output_goes_to_a_text_in_memory_too() -> None:
    """A program that collects what a command prints need not give it a real file."""
    with redirect_stdout(io.StringIO()) as collected:
        say(output(), "x")
    assert collected.getvalue() == "x\n"


FIRST, LAST = event("evt_1", "submitted", 1), event("evt_2", "succeeded", 2)


def test_an_order_is_complete_when_every_event_is_in_both_places() -> None:
    """Nothing less."""
    assert standing("succeeded", FIRST, LAST, logged=2).complete
    assert standing("succeeded", FIRST, LAST, logged=2).missing() == []
    for less in (
        standing("running", FIRST, logged=1),
        standing("succeeded", FIRST, logged=2),
        standing("succeeded", LAST, logged=2),
        standing("succeeded", FIRST, LAST, logged=1),
        standing("failed", FIRST, event("evt_2", "failed", 2), logged=2),
    ):
        assert not less.complete
        assert less.missing()


def test_what_is_missing_is_said_in_words() -> None:
    """Each of the ways in which a demo can fail has its own."""
    assert standing("running", FIRST).missing() == ["still running: being polled"]
    assert standing("failed", FIRST).missing() == ["failed: upstream: no"]
    assert standing("succeeded", FIRST, refused=1, logged=1).missing() == [
        "its outcome has not arrived at the webhook",
        "1 webhooks came with a wrong signature",
        "the SQLite log has 1 of its events",
    ]
    assert standing("succeeded", LAST, logged=2).missing() == ["only 1 of its 2 events arrived at the webhook"]


def test_only_verified_posts_about_the_task_count(tmp_path: Path) -> None:
    """A stranger's post, a forged one and the same event twice change nothing for the better."""

    def heard(posted: dict[str, Any], verified: bool) -> Heard:
        return Heard(at=0, verified=verified, fault=None if verified else "no", webhook_id="", event=posted)

    (found,) = standings(
        [(ORDERS[0], "task_1")],
        [{"id": "task_1", "status": "succeeded"}],
        [heard(FIRST, True), heard(FIRST, True), heard(LAST, False), heard({}, False), heard({"data": 1}, False)],
        tmp_path / "no.db",
    )
    assert (list(found.verified), found.refused, found.outcome) == (["evt_1"], 1, None)

"""`taskweir listen`."""

import json
import os
import signal
from collections import deque
from typing import Any

import pytest

from receiver import signing
from receiver.cli.sink_app import Heard, create_sink, running
from tests.cli.driving import Cli, read_until, submitted
from tests.cli.stub import HANG_UP, answer, stub
from tests.processes import eventually

KEY = "0123456789abcdef"
SECRET = signing.new_secret(b"l" * 32)


def event(seq: int) -> dict[str, Any]:
    task = {"id": f"task_{seq}", "provider": "reapi", "outputs": [], "error": None}
    data = {"task": task, "source": "poll", "verified_by": "poll", "late": False, "sequence": 1}
    return {
        "seq": seq,
        "id": f"evt_{seq}",
        "type": "task.running",
        "timestamp": "2026-11-20T19:48:00.123Z",
        "data": data,
    }


def streamed(*seqs: int) -> bytes:
    """A stream with these events in it, which then ends."""
    text = "".join(f"id: {seq}\ndata: {json.dumps(event(seq))}\n\n" for seq in seqs)
    return answer(200, f": hello\n\n{text}", kind="text/event-stream")


def test_what_happens_is_posted_as_a_webhook(cli: Cli) -> None:
    """Signed with the secret that is printed, only what is wanted, each answer beside its event."""
    heard: deque[Heard] = deque()
    asked = ("--events", "task.succeeded,task.failed", "--secret", SECRET)
    with running(create_sink(SECRET, heard.append)) as url:
        target = f"{url.removeprefix('http://')}/hooks"
        with cli.process("listen", "--forward-to", target, *asked) as process:
            greeting = read_until(process.stdout, "Waiting for events")
            assert (f"http://{target}" in greeting, SECRET in greeting) == (True, True)
            eventually(lambda: submitted(cli, "[fail]", "--wait") and heard, lambda: "nothing came", within_s=20)
            line = read_until(process.stdout, "task.failed")
            os.kill(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert " -> 204 No Content" in line
    first = heard[0]
    assert (first.verified, first.format, first.event["type"], "seq" in first.event) == (
        True,
        "standard",
        "task.failed",
        False,
    )
    assert first.webhook_id == first.event["id"]


def test_a_server_that_restarts_is_listened_to_again() -> None:
    """From the last event on: none is missed, none is posted twice."""
    heard: deque[Heard] = deque()
    with (
        stub([streamed(7), HANG_UP, streamed(7, 8)]) as server,
        running(create_sink(SECRET, heard.append)) as url,
        Cli(settings={"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": KEY}).process(
            "listen", "--forward-to", url, "--secret", SECRET, "--after", "6", "--json"
        ) as process,
    ):
        lines = read_until(process.stdout, '"seq":8').splitlines()
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    told = [json.loads(line) for line in lines]
    assert [(each["event"]["seq"], each["answer"]["status"]) for each in told] == [(7, 204), (8, 204)]
    assert [each.webhook_id for each in heard] == ["evt_7", "evt_8"]
    assert all(each.verified for each in heard)
    assert "trying again" in err
    assert [line.split(" ")[1] for line in server.requests[:3]] == [
        f"/v1/events/stream?after={seq}" for seq in (6, 7, 7)
    ]


def test_what_nobody_takes_is_told_and_not_sent_again() -> None:
    """A refusal by its status, no server by its absence; the next event goes out all the same."""
    with stub([streamed(1, 2)]) as server, stub([HANG_UP]) as gone, stub([answer(500, "no"), HANG_UP]) as consumer:
        ours = Cli(settings={"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": KEY})
        with ours.process("listen", "--forward-to", consumer.url, "--after", "0") as process:
            told = read_until(process.stdout, "no answer")
        assert told.count("task.running") == 2
        assert " -> 500 Internal Server Error" in told
        assert [headers["webhook-id"] for headers in consumer.headers] == ["evt_1", "evt_2"]
    with stub([streamed(1)]) as server:
        ours = Cli(settings={"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": KEY})
        with ours.process("listen", "--forward-to", gone.url, "--after", "0") as process:
            read_until(process.stdout, "nothing listens there")


def test_without_a_target_events_are_only_printed() -> None:
    """And nothing is said of a secret."""
    with stub([streamed(1)]) as server:
        ours = Cli(settings={"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": KEY})
        with ours.process("listen", "--after", "0") as process:
            told = read_until(process.stdout, "task_1")
    assert ("whsec_" in told, "->" in told) == (False, False)


def test_a_type_that_nobody_knows_is_refused(cli: Cli) -> None:
    """By the server, in its words; exit status 1."""
    result = cli("listen", "--events", "task.sung")
    assert (result.code, "task.sung" in result.err) == (1, True)


@pytest.mark.parametrize("wrong", [["--forward-to", "ftp://x"], ["--forward-to", "http://"], ["--secret", "whsec_x"]])
def test_what_cannot_be_meant_is_wrong_usage(wrong: list[str]) -> None:
    """Exit status 2 before anybody is asked."""
    assert Cli(settings={"TASKWEIR_API_KEY": KEY})("listen", *wrong).code == 2

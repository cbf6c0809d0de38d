"""What the README says of the client, `listen` and `tail`, run as it is written there."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from receiver import signing
from receiver.cli.sink_app import Heard, create_sink, running
from tests.cli.driving import Cli, clean_environment, read_until, submitted
from tests.processes import eventually
from tests.service.world import APIKLEY_MODEL

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
SECRET = signing.new_secret(b"d" * 32)


def block_with(language: str, text: str) -> str:
    """The only block of that language with this text in it."""
    [found] = [
        block for block in re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL) if text in block
    ]
    return str(found)


def test_the_client_example_works(cli: Cli) -> None:
    """It prints the outcome and then the events."""
    quicker = block_with("python", "Taskweir()").replace(
        '"reapi", "doubao-seedance-2.0-face"', f'"apikley", "{APIKLEY_MODEL}"'
    )
    assert "apikley" in quicker
    done = subprocess.run(
        [sys.executable, "-c", quicker],
        capture_output=True,
        text=True,
        env=clean_environment(cli.settings),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *events = done.stdout.splitlines()
    assert first.startswith("succeeded ['http")
    assert "task.succeeded task_" in events[-1]


def test_the_consumers_example_tells_ours_from_others() -> None:
    """The one is printed with its URLs, the other refused."""
    task = {"id": "task_1", "outputs": [{"role": "main", "url": "https://x.example/a.mp4"}]}
    body = json.dumps({"id": "evt_1", "type": "task.succeeded", "data": {"task": task}}).encode()
    signed = signing.sign([SECRET], message_id="evt_1", at=time.time_ns() // 1_000_000, body=body)
    printed: list[tuple[Any, ...]] = []
    for headers in (signed, {}):
        names = {"headers": headers, "body": body, "secret": SECRET, "print": lambda *words: printed.append(words)}
        exec(block_with("python", "verify_webhook"), names)
    assert printed[0] == ("evt_1", "task.succeeded", ["https://x.example/a.mp4"])
    assert printed[1][0] == 401


def test_listen_and_tail_do_what_is_said(cli: Cli) -> None:
    """With another port for the consumer's."""
    listen, tail = (line.split() for line in block_with("sh", "taskweir listen").splitlines())
    heard: deque[Heard] = deque()
    with running(create_sink(None, heard.append)) as url:
        target = [word.replace("localhost:3000", url.removeprefix("http://")) for word in listen[1:]]
        with cli.process(*target) as listening, cli.process(*tail[1:]) as following:
            read_until(listening.stdout, "Waiting for events")
            eventually(lambda: submitted(cli, "a heron", "--wait") and heard, lambda: "nothing came")
            told = read_until(listening.stdout, "204 No Content")
            read_until(following.stdout, "task.succeeded")
            for each in (listening, following):
                os.kill(each.pid, signal.SIGINT)
                assert each.wait(20) == 0
    assert "task.succeeded" in told
    assert {each.event["type"] for each in heard} == {"task.succeeded"}

"""`taskweir sandbox`."""

import json
import os
import signal
from pathlib import Path

import httpx

from tests.cli.driving import Cli, read_until

CLI = Cli(settings={})


def test_it_plays_the_providers_and_tells_how_to_reach_them(tmp_path: Path) -> None:
    """The settings that it prints are those that a server needs; the ledger counts; Ctrl-C is the normal end."""
    ledger = tmp_path / "creates.jsonl"
    with CLI.process("sandbox", "--port", "0", "--finish-after", "0.1", "--ledger", str(ledger)) as sandbox:
        told = read_until(sandbox.stdout, "Ctrl-C")
        settings = dict(word.split("=", 1) for word in told.split() if word.startswith("TASKWEIR_"))
        reply = httpx.post(
            f"{settings['TASKWEIR_REVE2IMG_BASE_URL']}/api/v1/generate",
            json={"model": "reve-2.0", "prompt": "a lighthouse"},
            headers={"authorization": f"Bearer {settings['TASKWEIR_REVE2IMG_API_KEY']}"},
            trust_env=False,
            verify=False,
        )
        os.kill(sandbox.pid, signal.SIGINT)
        _, err = sandbox.communicate(timeout=20)
    assert reply.json()["data"]["status"] == "SUCCESS"
    assert json.loads(ledger.read_text().splitlines()[0])["event"] == "created"
    assert (sandbox.returncode, err) == (0, "")


def test_a_ledger_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Exit status 1 before anything listens."""
    result = CLI("sandbox", "--ledger", str(tmp_path / "no" / "such" / "file"))
    assert result.code == 1
    assert "cannot be written" in result.err


def test_times_and_ports_are_checked() -> None:
    """Wrong usage is exit status 2."""
    assert CLI("sandbox", "--finish-after", "-1").code == 2
    assert CLI("sandbox", "--port", "65536").code == 2

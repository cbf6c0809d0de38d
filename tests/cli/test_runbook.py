"""What deploy/RUNBOOK.md tells people to run, run as it is written there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.driving import Cli, clean_environment, submitted

RUNBOOK = (Path(__file__).parents[2] / "deploy" / "RUNBOOK.md").read_text()
HOOK = "http://127.0.0.1:9/runbook"


def commands() -> list[str]:
    """Each line of its blocks, once."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)
    return list(dict.fromkeys(line for block in blocks for line in block.splitlines()))


@pytest.fixture
def ids(cli: Cli) -> Iterator[dict[str, str]]:
    """What the dots stand for: a task, a webhook, and a delivery that waits for it.

    Other tests have the same server, and find it as it was: at work.
    """
    made = cli("destinations", "add", HOOK, "--events", "task.finished,task.unconfirmed", "--json").json["id"]
    submitted(cli, "[500] [never]")
    task = submitted(cli, "[never]")["id"]
    [delivery] = cli("deliveries", "list", "--destination", made, "--json").json
    yield {"task_…": task, "dst_…": made, "dlv_…": delivery["id"]}
    assert cli("providers", "resume", "apikley").code == 0


def test_all_of_it_can_be_run(cli: Cli, ids: dict[str, str]) -> None:
    """With real ids for the dots: each command is there, takes what it is given, and does it."""
    lines = commands()
    assert len(lines) > 20
    for line in lines:
        for dots, real in ids.items():
            line = line.replace(dots, _another(cli, line) if dots == "task_…" and "tasks res" in line else real)
        if line.startswith("curl"):
            done = subprocess.run(
                ["bash", "-c", line], env=clean_environment(cli.settings), capture_output=True, text=True, check=False
            )
            assert '"status": "ready"' in done.stdout or '"status":"ready"' in done.stdout, line
            continue
        program, *words = line.split()
        assert program == "taskweir"
        result = cli(*words)
        # The doctor tells by its status what is wrong with these settings; nobody listens at the webhook.
        expected = {"doctor": (0, 1), "destinations test": (1,)}.get(" ".join(words[:2]), (0,))
        assert result.code in expected, (line, result.err)
    cli("destinations", "delete", ids["dst_…"])


def _another(cli: Cli, line: str) -> str:
    """A task of its own for what can be done once."""
    return str(submitted(cli, f"[500] [never] {line}")["id"])

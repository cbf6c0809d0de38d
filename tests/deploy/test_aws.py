"""The SAM template: accepted by AWS's own linter, and about the handler that is there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY
from tests.deploy.host import loaded

TEMPLATE = DEPLOY / "aws-lambda" / "template.yaml"
LINTER = Path(sys.executable).parent / "cfn-lint"


def test_the_linter_accepts_the_template(tmp_path: Path) -> None:
    """Without a word, warnings included; and not with a property more."""
    spoilt = tmp_path / "spoilt.yaml"
    spoilt.write_text(TEMPLATE.read_text().replace("      MemorySize:", "      NotThere: 1\n      MemorySize:"))
    linted = subprocess.run(
        [LINTER, "--format", "parseable", TEMPLATE, spoilt], capture_output=True, text=True, check=False
    )
    [told] = linted.stdout.splitlines()
    assert told.startswith(f"{spoilt}:")
    assert "E3002" in told


@pytest.mark.anyio  # mangum opens an event loop where none runs, and closes it never
async def test_the_template_means_the_handler_and_its_events() -> None:
    """By the name that it has; the scheduler sends what the handler is tested with."""
    text = TEMPLATE.read_text()
    [handler] = re.findall(r"Handler: handler\.(\w+)", text)
    assert callable(getattr(loaded(DEPLOY / "aws-lambda" / "handler.py"), handler))
    [sent] = re.findall(r"Input: '(.+)'", text)
    assert json.loads(sent) == json.loads((Path(__file__).parent / "events" / "scheduler.json").read_text())

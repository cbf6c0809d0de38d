"""What a log line looks like, and which are written."""

import json
import re

import pytest

from receiver.telemetry import configure_logs, log

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def test_a_line_is_json_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    """One object on one line, whatever is in it; what JSON has no form for is told as Python writes it."""
    configure_logs(fmt="json", level="info")
    log.info("key.kept", path="über\nzwei", left={1}, count=3, none=None)
    [line] = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert re.fullmatch(TIME, told.pop("timestamp"))
    assert told == {
        "level": "info",
        "event": "key.kept",
        "path": "über\nzwei",
        "left": "{1}",
        "count": 3,
        "none": None,
    }


def test_a_line_for_people_cannot_be_mistaken_for_two(capsys: pytest.CaptureFixture[str]) -> None:
    """What would end a line, or look like another fact, is quoted."""
    configure_logs(fmt="console", level="info")
    log.warning("setting.unknown", setting="TASKWEIR_X", nearest=None, odd="a\nb c=d", empty="")
    [line] = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        TIME + r" \[warning\] setting\.unknown +setting=TASKWEIR_X nearest=None odd='a\\nb c=d' empty=''", line
    )


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_an_error_is_told_without_its_local_variables(fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys and prompts are among them."""
    configure_logs(fmt=fmt, level="info")

    def fail() -> None:
        secret = f"the-{10}-secrets"
        raise ValueError(len(secret))

    try:
        fail()
    except ValueError as error:
        log.error("work.failed", error=repr(error), exc_info=error)
    printed = capsys.readouterr().err
    assert "ValueError: 14" in printed
    assert "in fail" in printed
    assert "the-10-secrets" not in printed


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_what_is_below_the_level_is_not_written(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`critical` lets nothing through."""
    configure_logs(fmt="json", level=level)
    for each in ("debug", "info", "warning", "error"):
        getattr(log, each)("server.stopped")
    levels = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert (
        levels
        == ["debug", "info", "warning", "error"][["debug", "info", "warning", "error", "critical"].index(level) :]
    )

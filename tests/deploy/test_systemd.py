"""The unit, judged by systemd itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY

UNIT = DEPLOY / "systemd" / "taskweir.service"
UNPACKED = Path(sys.prefix) / "servers"
MOST_EXPOSED = "20"  # of 100, by systemd's own count


def analyzed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """What systemd-analyze says, where it is installed, or unpacked with what it needs."""
    unpacked = UNPACKED / "usr" / "bin" / "systemd-analyze"
    program = str(unpacked) if unpacked.exists() else shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze is not there: run `make setup` on a Debian, or put it on PATH"
    env = dict(os.environ)
    if unpacked.exists():
        folders = [str(each) for place in ("lib", "usr/lib") for each in UNPACKED.glob(f"{place}/*-linux-gnu*")]
        env["LD_LIBRARY_PATH"] = ":".join([*folders, *(f"{folder}/systemd" for folder in folders)])
        env["SYSTEMD_UNIT_PATH"] = str(UNPACKED / "lib" / "systemd" / "system")
    return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the command where it is here."""
    placed = tmp_path / UNIT.name
    placed.write_text(UNIT.read_text().replace("/opt/taskweir/bin/", f"{Path(sys.executable).parent}/"))
    return placed


def test_systemd_accepts_the_unit(unit: Path) -> None:
    """Without a word; and not with a setting that it does not know, or a command that is not there."""
    assert f"{Path(sys.executable).parent}/taskweir serve" in unit.read_text()
    verified = analyzed("verify", "--man=no", str(unit))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in analyzed("verify", "--man=no", str(unit)).stderr
    unit.write_text(unit.read_text().replace(f"{Path(sys.executable).parent}/", "/nowhere/"))
    assert "not executable" in analyzed("verify", "--man=no", str(unit)).stderr


def test_the_unit_is_hardened(unit: Path) -> None:
    """By systemd's own count of what a service could do."""
    judged = analyzed("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit))
    assert judged.returncode == 0, judged.stdout + judged.stderr

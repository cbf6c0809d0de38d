"""Prometheus' own judge of metrics, rules and configuration."""

import shutil
import subprocess
import sys
from pathlib import Path

UNPACKED = Path(sys.prefix) / "servers" / "usr" / "bin" / "promtool"


def promtool(*command: str, input: str | None = None, directory: Path | None = None) -> str:
    """What it has to complain about; nothing where it accepts."""
    found = str(UNPACKED) if UNPACKED.exists() else shutil.which("promtool")
    assert found is not None, "promtool is not there: run `make setup` on a Debian, or put it on PATH"
    done = subprocess.run(
        [found, *command], input=input, cwd=directory, capture_output=True, text=True, check=False, timeout=60
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr

"""Ways to run a command: inside the test, as a process, and on a terminal of its own."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from typer.testing import CliRunner

from receiver.main import app
from tests.service.world import APIKLEY_MODEL

COMMAND = (sys.executable, "-m", "receiver")
LONGEST_S = 60
_STEERING = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\r")


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with only these settings of ours, and without a home: nobody needs one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKWEIR_") and name != "HOME"}
    return kept | dict(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cli:
    """The command line, pointed at one server."""

    settings: Mapping[str, str]

    def __call__(self, *arguments: str, input: str | None = None, **settings: str) -> Result:
        """Run inside this process; what a command raises is raised here."""
        ours = dict.fromkeys((name for name in os.environ if name.startswith("TASKWEIR_")), None)
        result = CliRunner().invoke(app, arguments, input=input, env={**ours, **self.settings, **settings})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def with_settings(self, **settings: str) -> "Cli":
        return Cli(settings={**self.settings, **settings})

    @contextmanager
    def process(self, *arguments: str, cwd: Path | None = None, **settings: str) -> Iterator["subprocess.Popen[str]"]:
        """Run as a process of its own, which is gone at the end."""
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=clean_environment({**self.settings, **settings}),
        )
        with process:
            try:
                yield process
            finally:
                _end(process)

    def ended(self, *arguments: str, cwd: Path | None = None, **settings: str) -> Result:
        """Run as a process of its own to its end."""
        with self.process(*arguments, cwd=cwd, **settings) as process:
            out, err = process.communicate(timeout=LONGEST_S)
            return Result(process.returncode, out, err)

    def on_terminal(self, *arguments: str, columns: int = 100, **settings: str) -> tuple[int, str]:
        """Run on a terminal; its exit status, and everything it wrote there without the terminal's commands."""
        ours, theirs = pty.openpty()
        environment = clean_environment({**self.settings, **settings, "TERM": "xterm-256color"})
        environment |= {"COLUMNS": str(columns), "LINES": "40"}
        process = subprocess.Popen([*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        with process:
            try:
                written = _read_all(ours)
                return process.wait(LONGEST_S), written
            finally:
                _end(process)
                os.close(ours)


def _end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()  # politely, so that what it measured of itself is kept
    try:
        process.wait(10)
    finally:
        process.kill()


def _read_all(terminal: int) -> str:
    """All that is written, up to the moment when nobody holds the other end any more."""
    written = b""
    while select.select([terminal], [], [], LONGEST_S)[0]:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        written += chunk
    return _STEERING.sub(b"", written).decode("utf-8", "replace")


def submit_of(prompt: str) -> list[str]:
    """The words of a submit to Apikley."""
    return ["submit", "apikley", APIKLEY_MODEL, "--input", json.dumps({"prompt": prompt})]


def submitted(cli: Cli, prompt: str, *more: str) -> dict[str, Any]:
    """Submit to Apikley; the task as it is printed."""
    task: dict[str, Any] = cli(*submit_of(prompt), "--json", *more).json
    return task


def read_until(stream: IO[str] | None, word: str) -> str:
    """The lines of a process up to one with this word in it."""
    lines = ""
    for line in stream or ():
        lines += line
        if word in line:
            return lines
    raise AssertionError(f"{word!r} never came, only:\n{lines}")

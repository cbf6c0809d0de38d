"""The steps that need an account, a cluster or a machine: pasted as written, the programs of the platform played.

A stand-in takes each of its commands, writes down what it was given, and answers something. So a line that bash does
not understand, a variable that nothing sets, a file that is not there are found; what the platform makes of it is not.
"""

import re
import shlex
import sys
import textwrap
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, MADE, ROOT
from tests.test_docs import in_bash

PLAYED = {"aws", "curl", "docker", "editor", "fly", "gcloud", "git", "heroku", "install", "journalctl", "kubectl"}
PLAYED |= {"litestream", "npm", "pip", "python3", "sam", "systemctl", "systemd-run", "taskweir", "zapier-platform"}
STAND_IN = f"""#!/bin/bash
program=${{0##*/}}
[ "$program $1" != "python3 -c" ] || exec {sys.executable} "$@"
(printf '%q ' "$program" "$@" $(env | grep ^TASKWEIR_); echo) >> "$CALLS"
[ "$*" != "info --shell" ] || echo web_url=https://taskweir.example/
[[ "$*" == *--data-file=-* ]] && cat > /dev/null || echo YW5zd2Vy  # "answer", for who decodes it
"""
PLATFORMS = re.compile(r"^( {3}```sh|litestream )", re.MULTILINE)
PAGES = sorted(page for page in DEPLOY.rglob("*.md") if PLATFORMS.search(page.read_text()))
assert len(PAGES) == 12, PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DEPLOY)))
def test_steps_are_run(page: Path, tmp_path: Path) -> None:
    """In order, in one shell; no word or value that a command gets is empty, and files are there."""
    played, calls, machine = tmp_path / "bin", tmp_path / "calls", tmp_path / "machine"
    played.mkdir()
    for program in PLAYED:
        (played / program).write_text(STAND_IN)
        (played / program).chmod(0o755)
    (machine / "var/lib/taskweir").mkdir(parents=True)
    (machine / "var/lib/taskweir/taskweir.api-key").touch()
    found = re.findall(r"^( *)```sh\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    script = "".join(textwrap.dedent(block) for _, block in found)
    script = re.sub(r"(?<=\s)/(etc|opt|var)/", rf"{machine}/\1/", script.replace("/opt/taskweir/bin/pip", "pip"))
    in_bash(f'PATH={played}:"$PATH"\n{script}', ROOT, CALLS=str(calls))
    given = [shlex.split(line) for line in calls.read_text().splitlines()]
    assert given
    assert [words for words in given if any(re.fullmatch(r"([\w-]+=)?", word) for word in words)] == []
    files = {name for words in given for word in words for name in re.findall(r"\bdeploy/[\w./-]+", word)}
    assert {name for name in files if not MADE & set(Path(name).parts) and not (ROOT / name).exists()} == set()

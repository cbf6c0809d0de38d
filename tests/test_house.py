"""The house is as its plan says: arrows, types, style, sizes, names."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [path for folder in ("receiver", "adapters") for path in sorted((ROOT / folder).rglob("*.py"))]
THE_WAY_OF_ONE_DATUM = [
    "receiver/web/callbacks.py",
    "adapters/apikley.py",
    "receiver/poller.py",
    "receiver/poll_answers.py",
    "receiver/intake.py",
    "receiver/policy.py",
    "receiver/delivery.py",
    "receiver/senders/webhook.py",
]


@pytest.mark.parametrize(
    "command",
    [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"], ["lint-imports"]],
    ids=["format", "style", "types", "arrows"],
)
def test_lint(command: list[str]) -> None:
    """Formatting, style, strict types, and imports that run downward only."""
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rooms_are_small() -> None:
    """No file over 400 lines; half of them under 130."""
    lengths = sorted(len(path.read_text().splitlines()) for path in SOURCES if path.name != "__init__.py")
    assert lengths[-1] <= 400
    assert lengths[len(lengths) // 2] <= 130


def test_every_module_says_what_it_is_for() -> None:
    """In the first line of its docstring."""
    silent = [path.name for path in SOURCES if not re.match(r'"""\S[^\n]+[.:]?', path.read_text())]
    assert silent == []


def test_the_way_of_one_datum_can_be_read() -> None:
    """At most eight short files, in order; the house's own README lists them so."""
    readme = (ROOT / "receiver" / "README.md").read_text()
    places = [readme.find(f"`{name}`") for name in THE_WAY_OF_ONE_DATUM]
    assert -1 not in places
    assert places == sorted(places)
    assert all(len((ROOT / name).read_text().splitlines()) <= 320 for name in THE_WAY_OF_ONE_DATUM)


def test_the_judges_are_locked_by_hashes_and_name_no_registry() -> None:
    """The JavaScript packages too: the same bytes from whatever registry npm is set to."""
    lock = json.loads((ROOT / "tests" / "js" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert {"node_modules/standardwebhooks", "node_modules/cloudevents"} <= packages.keys()
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_the_lock_has_hashes_and_names_no_index() -> None:
    """Installable from whatever index its user trusts, and from no other bytes."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9][\w.-]*==", lock, re.MULTILINE)
    assert len(pins) > 30
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "http://" not in lock
    assert "https://" not in lock


def test_every_log_line_is_in_the_past_tense_and_on_the_list() -> None:
    """One list of what is logged stands in the house's README."""
    readme = (ROOT / "receiver" / "README.md").read_text()
    named = {
        name
        for path in SOURCES
        for name in re.findall(r'\blog\.(?:info|warning|error)\(\s*"([\w.]+)"', path.read_text())
    }
    assert named
    assert {name for name in named if f"`{name}`" not in readme} == set()

"""The pages in deploy/: links lead somewhere, and every block marked `bash` does what its page says."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from receiver.main import load_adapters, settings_of
from tests.deploy.files import DEPLOY, MADE, OURS, ROOT
from tests.deploy.test_settings import STAND_INS, lines
from tests.test_docs import in_bash

PAGES = [path.relative_to(DEPLOY) for path in OURS if path.suffix == ".md"]
ELSEWHERE = ("backups.md", "no-code.md")
RUN_HERE = {"docker/README.md": 1, "heroku/README.md": 1, "aws-lambda/README.md": 2, "vercel/README.md": 1}


def blocks(page: str) -> list[str]:
    """What a page tells to paste, as far as it needs nothing of its platform (that is marked `sh`)."""
    found = re.findall(r"^( *)```bash\n(.*?)^\1```$", (DEPLOY / page).read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The repository as a user has it, but for what our work leaves in it."""
    top = tmp_path / "taskweir"
    for name in ("receiver", "adapters", "deploy"):
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns(*MADE))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, top)
    return top


def test_every_block_is_run() -> None:
    """Here, or elsewhere: those of the backups in `test_backups.py`, of hooks in `test_no_code.py`."""
    counted = {str(page): len(blocks(str(page))) for page in PAGES}
    assert {page: count for page, count in counted.items() if count and page not in ELSEWHERE} == RUN_HERE


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """To files, and to headings in them."""
    text = (DEPLOY / page).read_text()
    for target, _, anchor in re.findall(r"\]\(((?!http)[^)#]*)(#([^)]+))?\)", text):
        found = ((DEPLOY / page).parent / target).resolve() if target else DEPLOY / page
        assert found.exists(), target
        headings = [re.sub(r"[^\w -]", "", line.lstrip("# ")).lower() for line in found.read_text().splitlines()]
        assert not anchor or anchor.replace("-", " ") in headings, anchor


def test_composes_environment_is_made(checkout: Path) -> None:
    """For its owner only, with three different keys, and what the program takes once the rest is filled in."""
    [make] = blocks("docker/README.md")
    in_bash(make, checkout)
    made = checkout / "deploy" / "docker" / ".env"
    assert made.stat().st_mode & 0o777 == 0o600
    given = lines(made)
    keys = [given[name] for name in ("POSTGRES_PASSWORD", "TASKWEIR_API_KEY", "TASKWEIR_SECRET_KEY")]
    assert len(set(keys)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys)
    settings_of(given | {"TASKWEIR_DATABASE_URL": STAND_INS["TASKWEIR_DATABASE_URL"]}, load_adapters())
    assert (DEPLOY / ".gitignore").read_text().split() == [
        ".env",
        "aws-lambda/build/",
        "aws-lambda/secret.json",
        "zapier/node_modules/",
        "zapier/package-lock.json",
    ]


def test_heroku_gets_what_it_reads(checkout: Path) -> None:
    """On a branch of its own: the program with its driver, every version that was tested, the Python of the tests."""
    who = {f"GIT_{role}_{what}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    who |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    in_bash("git init --quiet --initial-branch=main && git add . && git commit --quiet -m first", checkout, **who)
    [make] = blocks("heroku/README.md")
    in_bash(make, checkout, **who)
    committed = in_bash("git log --format=%s --name-only -1 heroku", checkout).split("\n", 1)
    assert committed[1].split() == [".python-version", "requirements.txt"]
    program, *pinned = (checkout / "requirements.txt").read_text().splitlines()
    locked = re.findall(r"^[a-z][^\\\n]*", (DEPLOY / "requirements.lock").read_text(), re.MULTILINE)
    assert program == ".[postgres]"
    assert pinned == [line.rstrip() for line in locked]
    assert (checkout / ".python-version").read_text().strip() == ".".join(map(str, sys.version_info[:2]))


def test_lambdas_build_is_whole(checkout: Path) -> None:
    """The secret has what the template asks for; in the build is all of the program, SQL included, and the handler."""
    secret, build = blocks("aws-lambda/README.md")
    in_bash(secret, checkout)
    asked = set(re.findall(r"SecretString:(\w+)", (DEPLOY / "aws-lambda" / "template.yaml").read_text()))
    assert asked == json.loads((checkout / "deploy" / "aws-lambda" / "secret.json").read_text()).keys()
    # What pip would fetch to build with is here already.
    in_bash(build, checkout, PIP_NO_INDEX="1", PIP_NO_BUILD_ISOLATION="0")
    built = checkout / "deploy" / "aws-lambda" / "build"
    ours = [path for name in ("receiver", "adapters") for path in (ROOT / name).rglob("*") if path.suffix != ".md"]
    parts = {str(path.relative_to(ROOT)) for path in ours if path.is_file() and "__pycache__" not in path.parts}
    assert {part for part in parts if not (built / part).exists()} == set()
    found = "from importlib.metadata import entry_points; import receiver, handler; "
    found += "print(receiver.__file__, len(entry_points(group='taskweir.adapters')))"
    env = {name: value for name, value in os.environ.items() if not name.startswith("TASKWEIR_")}
    told = subprocess.run(
        [sys.executable, "-c", found],
        env=env | {"PYTHONPATH": str(built)},
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [str(built / "receiver" / "__init__.py"), str(len(load_adapters()))]


def test_a_key_is_made() -> None:
    """Long enough for every setting."""
    [make] = blocks("vercel/README.md")
    assert re.fullmatch(r"[0-9a-f]{64}\n", in_bash(make, ROOT))

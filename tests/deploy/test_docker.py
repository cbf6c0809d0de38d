"""The image, as far as that can be told without building it: what is in it is enough, and nothing runs as root."""

import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, ROOT, documents
from tests.processes import a_process, environment
from tests.service.world import free_port

FILE = DEPLOY / "docker" / "Dockerfile"
ROLES = ("web", "worker")
IGNORED = FILE.with_name("Dockerfile.dockerignore")


def instructions() -> list[tuple[str, str]]:
    """Every instruction, as (word, rest), with its lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def copied() -> list[str]:
    """What is copied out of the repository."""
    copies = [rest.split() for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    return [source for words in copies for source in words[:-1]]


def test_each_stage_is_of_one_version_and_the_last_is_nobodys() -> None:
    """The Python of the tests; a numbered user, commands without a shell, a health check."""
    stages = [rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"]
    version = ".".join(map(str, sys.version_info[:2]))
    assert {stage.split("-")[0] for stage in stages} == {"python:3.11"}
    assert version == "3.11"
    last = instructions()[[word for word, _ in instructions()].index("FROM", 1) :]
    settings = dict(last)
    assert settings["USER"] == "10001:10001"
    assert [word for word, _ in last].index("USER") > [word for word, _ in last].index("RUN")
    assert all(isinstance(json.loads(settings[word]), list) for word in ("ENTRYPOINT", "CMD"))
    assert settings["HEALTHCHECK"].endswith('CMD ["python", "/opt/taskweir/healthy.py"]')
    assert not {word for word, _ in instructions()} & {"ADD", "MAINTAINER"}


def test_what_is_installed_is_locked_and_leaves_no_cache() -> None:
    """By hashes, but for the program itself, which brings nothing along."""
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert all("--no-cache-dir" in each for each in installs)
    assert all("--require-hashes" in each or each.endswith("--no-deps .") for each in installs)


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_there_and_is_sent(source: str) -> None:
    """The ignore file lets it through, in the order that Docker reads it: the last line that matches decides."""
    assert (ROOT / source).exists()
    sent = True
    for line in IGNORED.read_text().splitlines():
        pattern = line.removeprefix("!")
        if fnmatch.fnmatch(source, pattern) or source.startswith(f"{pattern}/"):
            sent = line.startswith("!")
    assert sent


def test_the_health_check_tells_and_no_disk_is_needed(tmp_path: Path, postgres_url: str) -> None:
    """Status 0 where the server is ready, by the port that it was given; else not, with the reason.

    The server is on PostgreSQL, and nobody could write where its data directory is said to be.
    """
    port, healthy = free_port(), [sys.executable, str(FILE.with_name("healthy.py"))]
    env = environment(tmp_path, port, "http://127.0.0.1:9")
    env |= {"TASKWEIR_DATABASE_URL": postgres_url, "TASKWEIR_DATA_DIR": "/proc/nowhere"}
    before = subprocess.run(healthy, env=env, capture_output=True, text=True, check=False)
    assert before.returncode == 1
    assert "refused" in before.stderr
    with a_process("serve", env=env, log=tmp_path / "log", ready=f"http://127.0.0.1:{port}/health/ready"):
        subprocess.run(healthy, env=env, check=True)


def test_replicas_differ_in_their_doors_only() -> None:
    """`web` and `worker` are one program with the same settings, each in its role; requests are led to one of them."""
    [compose] = documents(DEPLOY / "docker" / "compose.yaml")
    web, worker = compose["services"]["web"], compose["services"]["worker"]
    assert web.pop("ports") == ["127.0.0.1:8080:8080"]
    assert [each.pop("command") for each in (web, worker)] == [["serve", "--role", role] for role in ROLES]
    assert web == worker
    deployments = [documents(DEPLOY / "kubernetes" / f"{role}.yaml")[0] for role in ROLES]
    pods = [each["spec"]["template"]["spec"] for each in deployments]
    for pod in pods:
        del pod["topologySpreadConstraints"]  # each spreads its own
    assert [pod["containers"][0].pop("args") for pod in pods] == [["serve", "--role", role] for role in ROLES]
    assert pods[0] == pods[1]


def test_pods_may_do_nothing() -> None:
    """Not as root, not more than they began with, on a file system that nobody writes to."""
    for path in (DEPLOY / "kubernetes").glob("*.yaml"):
        for document in documents(path):
            pod = document.get("spec", {}).get("template", {}).get("spec")
            if pod is None:
                continue
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["automountServiceAccountToken"] is False
            for container in pod["containers"]:
                security = container["securityContext"]
                assert security["readOnlyRootFilesystem"] is True
                assert security["allowPrivilegeEscalation"] is False
                assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_lock_is_a_part_of_the_tested_one() -> None:
    """Of what the tests ran with, the same versions and hashes, and all that the program asks for."""
    deployed, tested = pins(DEPLOY / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert {"psycopg-binary", "mangum", "uvicorn"} <= deployed.keys()
    assert not deployed.keys() & {"pytest", "cfn-lint", "mypy"}
    assert {name: tested[name] for name in deployed} == deployed
    assert "://" not in (DEPLOY / "requirements.lock").read_text()


def pins(lock: Path) -> dict[str, tuple[str, set[str]]]:
    """The version and the hashes of each package in a lock."""
    pin = r"^([a-z0-9][\w.-]*)(==\S+)[^\\]*((?:\\\n    --hash=\S+ ?)+)"
    found = re.findall(pin, lock.read_text(), re.MULTILINE)
    return {name: (version, set(re.findall(r"sha256:\w+", hashes))) for name, version, hashes in found}

"""What the files set, the program reads, and takes: names, values, commands, paths."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from receiver.cli.commands import Commands
from receiver.main import app, load_adapters, settings_of
from receiver.settings import PROVIDER_SETTINGS, SETTINGS, Mode
from tests.deploy.files import DEPLOY, OURS, ROOT, documents

STAND_INS = {
    "TASKWEIR_DATABASE_URL": "postgresql://taskweir:x@db/taskweir",
    "TASKWEIR_PUBLIC_URL": "https://tasks.example.com",
    "TASKWEIR_REAPI_API_KEY": "rk_live_xxx",
}
TEXTS = [path for path in OURS if path.suffix != ".lock"]
Environment = dict[str, str]


def lines(path: Path) -> Environment:
    """What an environment file sets, empty values as whoever fills it in would."""
    pairs = [line.partition("=") for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value or STAND_INS.get(name, "k" * 64) for name, _, value in pairs}


def listed(entries: list[dict[str, Any]], name: str) -> Environment:
    """A list of names, with the values that stand there, or what else stands for a secret."""
    return {each[name]: str(each.get("value", STAND_INS.get(each[name], "k" * 64))) for each in entries}


def shell_words(folder: str, command: str) -> Environment:
    """What a command of a page sets, what the shell would put in as any user's would be."""
    page = (DEPLOY / folder / "README.md").read_text()
    [given] = re.findall(rf"{command} ((?:.*\\\n)*.*)$", page, re.MULTILINE)
    words = [word.split("=", 1) for word in shlex.split(given.replace("\\\n", " "))]
    return {name: STAND_INS.get(name, "k" * 64) if "$" in value else value for name, value in words}


def image() -> Environment:
    [block] = re.findall(r"^ENV ((?:.*\\\n)*.*)$", (DEPLOY / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    return dict(word.split("=", 1) for word in shlex.split(block.replace("\\\n", " ")))


def compose() -> Environment:
    [document] = documents(DEPLOY / "docker" / "compose.yaml")
    web = document["services"]["web"]
    assert web["env_file"] == ".env"
    given = {name: re.sub(r"\$\{.+?\}", "secret", value) for name, value in web["environment"].items()}
    return image() | lines(DEPLOY / "docker" / "env.example") | given


def kubernetes() -> Environment:
    [config], [secret] = (documents(DEPLOY / "kubernetes" / name) for name in ("config.yaml", "secret.yaml.example"))
    return image() | config["data"] | {name: STAND_INS.get(name, "k" * 64) for name in secret["stringData"]}


def fly() -> Environment:
    [document] = documents(DEPLOY / "fly" / "fly.toml")
    return image() | document["env"] | shell_words("fly", r"fly secrets set --app \S+")


def render() -> Environment:
    [document] = documents(DEPLOY / "render" / "render.yaml")
    return listed(document["services"][0]["envVars"], "key") | {"PORT": "10000", "RENDER": "true"}


def cloud_run() -> Environment:
    [document] = documents(DEPLOY / "cloud-run" / "service.yaml")
    [container] = document["spec"]["template"]["spec"]["containers"]
    return image() | listed(container["env"], "name") | {"PORT": "8080", "K_SERVICE": "taskweir"}


def aws_lambda() -> Environment:
    text = (DEPLOY / "aws-lambda" / "template.yaml").read_text()
    given = dict(re.findall(r"^ +(TASKWEIR_\w+): (.+)$", text, re.MULTILINE))
    read = {
        name: value if not value.startswith("!") else STAND_INS.get(name, "k" * 64) for name, value in given.items()
    }
    return read | {"AWS_LAMBDA_FUNCTION_NAME": "taskweir", "TASKWEIR_PUBLIC_URL": ""}


def vercel() -> Environment:
    named = re.findall(r"^ +\| `(TASKWEIR_\w+)` \|", (DEPLOY / "vercel" / "README.md").read_text(), re.MULTILINE)
    return {name: STAND_INS.get(name, "k" * 64) for name in named} | {"VERCEL": "1"}


def heroku() -> Environment:
    given = shell_words("heroku", "heroku config:set")
    return given | {"DYNO": "web.1", "PORT": "5000"}


def systemd() -> Environment:
    unit = (DEPLOY / "systemd" / "taskweir.service").read_text().replace("%S", "/var/lib")
    given = dict(re.findall(r"^Environment=(\w+)=(.+)$", unit, re.MULTILINE))
    return given | lines(DEPLOY / "systemd" / "taskweir.env.example")


ON_DISK, IN_POSTGRES = "sqlite:///", "postgresql://"


@pytest.mark.parametrize(
    ("platform", "store", "mode", "host"),
    [
        (image, ON_DISK, "server", "0.0.0.0"),
        (compose, IN_POSTGRES, "server", "0.0.0.0"),
        (kubernetes, IN_POSTGRES, "server", "0.0.0.0"),
        (fly, ON_DISK, "server", "0.0.0.0"),
        (render, ON_DISK, "server", "0.0.0.0"),
        (heroku, IN_POSTGRES, "server", "0.0.0.0"),
        (systemd, ON_DISK, "server", "127.0.0.1"),
        (cloud_run, IN_POSTGRES, "serverless", "0.0.0.0"),
        (aws_lambda, IN_POSTGRES, "server", "127.0.0.1"),  # neither is asked for where nobody listens
        (vercel, IN_POSTGRES, "server", "127.0.0.1"),
    ],
)
def test_the_program_takes_what_is_set(
    platform: Callable[[], Environment], store: str, mode: str, host: str, tmp_path: Path
) -> None:
    """As it stands in the files and steps, with keys for what is left to the user; in the store of the overview."""
    given = {name: value for name, value in platform().items() if name != "PATH"}
    read = settings_of(given | {"TASKWEIR_DATA_DIR": str(tmp_path)}, load_adapters())  # no key is made elsewhere
    assert read.database_url.startswith(store)
    assert (read.mode, read.host) == (Mode(mode), host)
    assert platform is image or "reapi" in read.providers
    assert read.port == int(given.get("PORT", "8080"))


def test_every_setting_named_is_one() -> None:
    """In files, steps and SQL alike; so that a typo cannot be deployed."""
    names = {setting.name for setting in SETTINGS} | {"TASKWEIR_URL"}  # which the clients read
    for adapter in load_adapters():
        names |= {setting.name.replace("<NAME>", adapter.upper()) for setting in PROVIDER_SETTINGS}
    for path in TEXTS:
        for name in re.findall(r"\bTASKWEIR_[A-Z][A-Z0-9_]*", path.read_text()):
            assert name.removesuffix("_FILE") in names, f"{path}: {name}"


def test_every_command_named_is_one() -> None:
    """What the Procfile, the images, the units and the services start."""
    [compose_file], [render_file] = (documents(DEPLOY / name) for name in ("docker/compose.yaml", "render/render.yaml"))
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    roles = {role: f"taskweir serve --role {role}" for role in ("web", "worker")}
    assert procfile == roles | {"release": "taskweir migrate"}
    assert 'ENTRYPOINT ["taskweir"]\nCMD ["serve"]\n' in dockerfile
    started = [command.split()[1:] for command in (*procfile.values(), render_file["services"][0]["startCommand"])]
    started += [service["command"] for service in compose_file["services"].values() if "command" in service]
    for path in (DEPLOY / "kubernetes").glob("*.yaml"):
        for document in documents(path):
            containers = document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
            started += [container["args"] for container in containers]
    there = get_command(app)
    assert isinstance(there, Commands)
    assert {tuple(options) for _, *options in started} == {(), ("--role", "web"), ("--role", "worker")}
    for command in {
        *(name for name, *_ in started),
        *re.findall(r"/opt/taskweir/bin/taskweir (\w+)", "".join(map(Path.read_text, TEXTS))),
    }:
        assert command in there.commands


def test_probes_ask_what_is_answered() -> None:
    """Nobody asks the paths that end in z, which Cloud Run keeps to itself."""
    asked = {path for text in TEXTS for path in re.findall(r"/health/\w+|/\w+z\b", text.read_text())}
    assert asked == {"/health/live", "/health/ready"}


def test_the_overview_is_complete() -> None:
    """One row per folder, with as many steps as its page has."""
    overview = (DEPLOY / "README.md").read_text()
    rows = re.findall(r"^\| \[[^]]+\]\((\S+)/README\.md[^)]*\).*?\| (\d) \|", overview, re.MULTILINE)
    folders = [path for path in DEPLOY.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(rows) == sorted((path.name, str(steps)) for path in folders for steps in step_counts(path))


def step_counts(folder: Path) -> list[int]:
    """How many steps each list of steps of a page has; they are numbered without a gap."""
    numbers = map(int, re.findall(r"^(\d)\. ", (folder / "README.md").read_text(), re.MULTILINE))
    counts: list[int] = []
    for number in numbers:
        counts = [*counts, 1] if number == 1 else [*counts[:-1], counts[-1] + 1]
        assert counts[-1] == number
    return counts

"""Which commands there are, and how they end."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from receiver.cli.commands import PANELS
from receiver.cli.screen import fields_of, output
from receiver.setting_faults import setting_faults
from tests.cli.driving import Cli
from tests.cli.stub import HANG_UP, answer, stub
from tests.service.signing_provider import Signs

KEY = "0123456789abcdef"
ALONE = Cli(settings={"TASKWEIR_API_KEY": KEY})


def at(url: str) -> Cli:
    return ALONE.with_settings(TASKWEIR_URL=url)


def test_the_help_names_every_command() -> None:
    """A command that exists is in the help, those of the server too."""
    result = ALONE("--help")
    assert result.code == 0
    for name in (*PANELS, "serve", "migrate", "tick", "settings", "doctor"):
        assert f" {name} " in result.out


def test_no_arguments_print_the_help() -> None:
    """`taskweir` alone is no mistake that needs a lecture: it gets the help."""
    assert "Usage" in ALONE().out + ALONE().err


def test_a_misspelt_command_is_wrong_usage_with_a_suggestion() -> None:
    """Exit status 2, and the name that was probably meant, although its module was not loaded before."""
    result = ALONE("destination")
    assert result.code == 2
    assert "destinations" in result.err


@pytest.mark.parametrize(
    ("group", "command"),
    [
        ("tasks", "list"),
        ("events", "list"),
        ("destinations", "list"),
        ("deliveries", "list"),
    ],
)
def test_a_group_alone_prints_its_help(group: str, command: str) -> None:
    """A group without a command tells which it has."""
    result = ALONE(group)
    assert result.code in (0, 2)
    assert command in result.out + result.err


@pytest.mark.parametrize(("group", "told"), [("keys", "rotate-secrets"), ("providers", "pause")])
def test_a_group_that_is_a_list_tells_what_else_it_has(group: str, told: str) -> None:
    """Without a command it is the list, which needs a server; its help names the others."""
    with stub([answer(200, {"items": [], "next_cursor": None})]) as server:
        assert at(server.url)(group, "--json").json == []
    assert told in ALONE(group, "--help").out


def test_the_version_is_told() -> None:
    """And nothing else."""
    result = ALONE("--version")
    assert (result.code, result.out.strip()) == (0, f"taskweir {version('taskweir')}")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("taskweir ev", {"events"}),
        ("taskweir do", {"doctor"}),
        ("taskweir tasks re", {"refresh", "resubmit", "resolve"}),
    ],
)
def test_a_shell_completes_what_is_typed(typed: str, offered: set[str]) -> None:
    """Commands whose modules are not loaded yet, and theirs."""
    asked = {"_TASKWEIR_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [Path(sys.executable).parent / "taskweir"],
        capture_output=True,
        text=True,
        env={**os.environ, **asked},
        check=False,
    )
    assert set(done.stdout.split()) == offered


def test_settings_are_json_too(tmp_path: Path) -> None:
    """With what is wrong with each; the exit status tells it as well."""
    wrong = {"TASKWEIR_PORT": "http", "TASKWEIR_SECRET_KEY": "s" * 40}
    result = Cli(settings={**wrong, "TASKWEIR_DATA_DIR": str(tmp_path)})("settings", "--json")
    rows = {each["name"]: each for each in result.json}
    assert (result.code, rows["TASKWEIR_PORT"]["wrong"]) == (2, "TASKWEIR_PORT is 'http'")
    assert (rows["TASKWEIR_SECRET_KEY"]["value"], rows["TASKWEIR_SECRET_KEY"]["wrong"]) == ("set", None)


def test_serve_does_not_load_the_other_commands() -> None:
    """The server's process imports no HTTP client and none of the commands."""
    script = (
        "import sys; from typer.main import get_command; from receiver.main import app; group = get_command(app)\n"
        "assert group.get_command(None, 'serve').name == 'serve'\n"
        "print([name for name in sys.modules if name in ('httpx', 'uvicorn') or name.startswith('receiver.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['receiver.cli.commands']"


def test_no_server_is_one_plain_line_and_how_to_start_one() -> None:
    """Exit status 1, the address, the remedy, no traceback."""
    with stub([HANG_UP]) as gone:
        pass
    result = at(gone.url)("tasks", "list")
    assert (result.code, result.out) == (1, "")
    assert f"no server answers at {gone.url}" in result.err
    assert "taskweir serve" in result.err


@pytest.mark.parametrize("command", [["tasks", "list"], ["tasks", "show", "x"], ["destinations", "list"]])
@pytest.mark.parametrize(
    "reply",
    [
        answer(200, "<html>", kind="text/html"),
        answer(200, {"hello": 1}),
        answer(200, [1]),
        answer(307, ""),
        answer(204, ""),
        answer(502, "<html>", kind="text/html"),
        answer(404, {"message": "nope"}),
        answer(404, ["nope"]),
    ],
)
def test_another_kind_of_server_is_said_to_be_one(command: list[str], reply: bytes) -> None:
    """Whatever listens there instead, it ends in a sentence and not in a traceback."""
    with stub([reply]) as stranger:
        result = at(stranger.url)(*command)
    assert result.code == 1
    assert "not as Taskweir does" in result.err


@pytest.mark.parametrize("errors", ["x", ["x"], [{}], None])
def test_a_refusal_with_odd_errors_is_told_all_the_same(errors: object) -> None:
    """`detail` counts; what `errors` holds cannot break the telling."""
    with stub([answer(422, {"detail": "no\x1b[2J good", "errors": errors})]) as odd:
        result = at(odd.url)("tasks", "list")
    assert result.code == 1
    assert "taskweir: no [2J good" in result.err


def test_a_broken_connection_is_told() -> None:
    """A read can be repeated, a write may have been done: only of that the reader is warned."""
    with stub([HANG_UP]) as broken:
        read = at(broken.url)("tasks", "list")
        written = at(broken.url)("destinations", "add", "http://example.com/")
    assert (read.code, written.code) == (1, 1)
    assert "gave no answer" in read.err
    assert "may have been done" not in read.err
    assert "may have been done" in written.err


def test_a_wrong_key_is_told_with_where_it_came_from(cli: Cli) -> None:
    """401 names the variable or file to look at, and never the key."""
    result = cli("tasks", "list", TASKWEIR_API_KEY=KEY)
    assert result.code == 1
    assert "TASKWEIR_API_KEY" in result.err
    assert KEY not in result.err


def test_the_key_may_stand_in_a_file(cli: Cli, server: dict[str, str]) -> None:
    """`TASKWEIR_API_KEY_FILE` is read before the data directory is looked at."""
    path = f"{server['TASKWEIR_DATA_DIR']}/taskweir.api-key"
    result = cli("tasks", "list", TASKWEIR_DATA_DIR="/nowhere", TASKWEIR_API_KEY_FILE=path)
    assert result.code == 0


def test_a_missing_key_is_wrong_usage_with_a_remedy(tmp_path: Path) -> None:
    """Exit status 2 and what to set, as for every wrong setting."""
    result = Cli(settings={"TASKWEIR_DATA_DIR": str(tmp_path)}).ended("tasks", "list")
    assert result.code == 2
    assert "TASKWEIR_API_KEY" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "url", ["ftp://x", "x", "http://", "http://[", "http://x:0", "http://ä", "http://a\nb", "[/x]"]
)
def test_an_impossible_address_is_wrong_usage(url: str) -> None:
    """TASKWEIR_URL must be an http(s) URL."""
    result = at(url)("tasks", "list")
    assert result.code == 2
    assert "TASKWEIR_URL is" in result.err


@pytest.mark.parametrize("key", ["clé-0123456789abcdef", "a\x01b"])
def test_a_key_that_no_header_can_carry_is_wrong_usage(key: str) -> None:
    """It is found before anything is sent, and not printed."""
    result = ALONE("tasks", "list", TASKWEIR_API_KEY=key)
    assert result.code == 2
    assert key not in result.err


def test_a_key_file_that_is_not_text_is_wrong_usage(tmp_path: Path) -> None:
    """A picture is no key, and its bytes are not printed."""
    picture = tmp_path / "key.png"
    picture.write_bytes(b"\x89PNG\xff")
    result = Cli(settings={"TASKWEIR_API_KEY_FILE": str(picture)})("tasks", "list")
    assert result.code == 2
    assert "not text" in result.err


def test_a_proxy_does_not_come_between_us_and_our_own_machine(cli: Cli) -> None:
    """A proxy for the outside cannot reach this machine's loopback, and is not asked to."""
    assert cli("tasks", "list", HTTP_PROXY="http://127.0.0.1:1", ALL_PROXY="socks5://127.0.0.1:1").code == 0


def test_a_proxy_that_cannot_be_used_is_wrong_usage() -> None:
    """For a server elsewhere the proxy counts, and one of an unknown kind is named as the fault."""
    result = ALONE("tasks", "list", TASKWEIR_URL="https://tasks.example.com", ALL_PROXY="gopher://127.0.0.1:1")
    assert result.code == 2
    assert "the proxy in the environment" in result.err


def test_wrong_settings_are_shown_as_the_errors_they_are(tmp_path: Path) -> None:
    """All of them, each with what to set instead; exit status 2, no secret printed, and no key left behind."""
    wrong = {
        "TASKWEIR_RETENTION_DAYS": "0",
        "TASKWEIR_PORT": "http",
        "TASKWEIR_ALLOW_NETWORKS": "10.0.0.0/33",
        "TASKWEIR_SECRET_KEY": "canary",
        "TASKWEIR_REAPI_API_KEY_FILE": "/nowhere/key",
        "TASKWEIR_APIKLEY_API_KEY": "canary",
        "TASKWEIR_APIKLEY_RATE": "-1",
    }
    result = Cli(settings={**wrong, "COLUMNS": "200"}).ended("settings", cwd=tmp_path)
    assert result.code == 2
    for name in wrong.keys() - {"TASKWEIR_APIKLEY_API_KEY", "TASKWEIR_REAPI_API_KEY_FILE"}:
        [row] = [line for line in result.lines if f" {name} " in line]
        assert "wrong, see below" in row
    for told in (
        "Set TASKWEIR_RETENTION_DAYS to a number of days, 1 to 36500.",
        "TASKWEIR_PORT is 'http'",
        "holds '10.0.0.0/33', which names no network",
        "TASKWEIR_SECRET_KEY has 6 characters",
        "TASKWEIR_REAPI_API_KEY_FILE names /nowhere/key",
        "TASKWEIR_APIKLEY: rate is '-1'",
    ):
        assert result.err.count(told) == 1, told
    assert "canary" not in result.out + result.err
    assert list(tmp_path.iterdir()) == []


def test_right_settings_are_no_error(tmp_path: Path) -> None:
    """Exit status 0, nothing on standard error, and no key generated by looking."""
    result = Cli(settings={"TASKWEIR_RETENTION_DAYS": "7"}).ended("settings", cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    assert "wrong" not in result.out
    assert list(tmp_path.iterdir()) == []


def test_in_a_pipe_no_cell_of_a_table_is_cut(tmp_path: Path) -> None:
    """Nor wrapped, however narrow COLUMNS says that something is: what is looked for stands whole on its line."""
    long = ", ".join(f"10.0.{number}.0/24" for number in range(100))
    result = Cli(settings={"TASKWEIR_ALLOW_NETWORKS": long, "COLUMNS": "40"}).ended("settings", cwd=tmp_path)
    [key] = [line for line in result.lines if " TASKWEIR_APIKLEY_API_KEY " in line]
    [networks] = [line for line in result.lines if " TASKWEIR_ALLOW_NETWORKS " in line]
    assert "The provider's key; a provider is configured when this is set." in key
    assert long in networks


def test_on_a_terminal_the_settings_fit_it(tmp_path: Path) -> None:
    """There cells are wrapped, so that no line is broken by the terminal."""
    _, shown = Cli(settings={"TASKWEIR_DATA_DIR": str(tmp_path)}).on_terminal("settings", columns=90)
    assert "TASKWEIR_PORT" in shown
    assert all(len(line) <= 90 for line in shown.splitlines())


def test_in_a_pipe_no_value_of_one_thing_is_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    """An output's URL may be as long as its signature makes it."""
    url = f"https://cdn.example/{'x' * 5000}"
    output().print(fields_of([("task", "task_1"), ("main", url)]))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["task", "task_1"], ["main", url]]


REFUSED = [
    (
        {"TASKWEIR_REAPI_API_KEY": "any", "TASKWEIR_REAPI_TRUST": "signature"},
        "TASKWEIR_REAPI_TRUST",
        "reapi: trust is signature, but this provider does not sign its callbacks' bodies",
    ),
    (
        {"TASKWEIR_PROVIDERS": '{"kie": {"adapter": "apikley", "api_key": "any", "trust": "signature"}}'},
        "TASKWEIR_PROVIDERS",
        "kie: trust is signature, but this provider does not sign its callbacks' bodies",
    ),
    ({"TASKWEIR_OTEL": "1"}, "TASKWEIR_OTEL", "TASKWEIR_OTEL=1 needs a package that is not installed"),
    (
        {"TASKWEIR_DATABASE_URL": "postgresql://127.0.0.1:1/x", "TASKWEIR_SECRET_KEY": "s" * 32},
        "TASKWEIR_DATABASE_URL",
        "PostgreSQL's driver is not installed",
    ),
]


@pytest.mark.parametrize(("wrong", "name", "told"), REFUSED, ids=[f"{name}" for _, name, _ in REFUSED])
def test_what_serve_refuses_of_its_settings_they_tell(
    tmp_path: Path, wrong: dict[str, str], name: str, told: str
) -> None:
    """Both exit with 2 and the same words; here the packages that extras bring are hidden."""
    for package in ("opentelemetry", "psycopg"):
        (tmp_path / f"{package}.py").touch()
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    cli = Cli(settings={**wrong, "TASKWEIR_PORT": "0", "PYTHONPATH": path})
    shown, served = cli.ended("settings", cwd=tmp_path), cli.ended("serve", cwd=tmp_path)
    assert (shown.code, served.code) == (2, 2)
    assert shown.err == served.err
    assert told in shown.err
    [row] = [line for line in shown.lines if f" {name} " in line]
    assert "wrong, see below" in row


def test_a_kept_key_that_serve_refuses_is_told_too(tmp_path: Path) -> None:
    """One that somebody cut, or that is no text."""
    for kept, told in ((b"short", "TASKWEIR_API_KEY has 5 characters"), (b"\x89PNG\xff", "it is not UTF-8")):
        (tmp_path / "taskweir.api-key").write_bytes(kept)
        cli = Cli(settings={"TASKWEIR_DATA_DIR": str(tmp_path)})
        shown, served = cli("settings"), cli("serve")
        assert (shown.code, served.code, shown.err == served.err) == (2, 2, True)
        assert told in shown.err


def test_a_signature_without_its_secret_is_named_by_what_asks_for_it() -> None:
    """`doctor` leaves out what is wrong, and that is not the provider's key."""
    faults = setting_faults({"TASKWEIR_SIGNS_API_KEY": "any", "TASKWEIR_SIGNS_TRUST": "signature"}, {"signs": Signs()})
    assert {name: str(fault) for name, fault in faults.items()} == {
        "TASKWEIR_SIGNS_TRUST": "signs: trust is signature, but the secret that the provider signs with is missing"
    }


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_a_name_that_nothing_reads_is_a_warning(tmp_path: Path, how: list[str]) -> None:
    """As `serve` only warns of it: status 0, the name that is probably meant, never the value; the help says so."""
    cli = Cli(settings={"TASKWEIR_DATA_DIR": str(tmp_path), "TASKWEIR_PUBLC_URL": "canary"})
    result = cli("settings", *how)
    assert (result.code, "canary" in result.out + result.err) == (0, False)
    assert result.err.splitlines() == [
        "taskweir: warning: TASKWEIR_PUBLC_URL is set, and nothing reads it",
        "  TASKWEIR_PUBLIC_URL is probably meant: rename it.",
    ]
    assert "a name that nothing reads it warns" in cli("settings", "--help").out

"""`taskweir destinations`."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from receiver.cli.demo.standing import read_log
from tests.cli.driving import Cli

HOOK = "http://127.0.0.1:9/hook"


def test_a_webhook_prints_its_id_and_its_secret(cli: Cli) -> None:
    """Standard output has both, one per line; how to verify is on standard error."""
    result = cli("destinations", "add", HOOK)
    assert result.code == 0
    made, secret = result.lines
    assert made.startswith("dst_")
    assert secret.startswith("whsec_")
    assert f"taskweir sink --secret {secret}" in result.err
    assert "task.finished" in result.err


def test_what_was_chosen_is_what_was_made(cli: Cli) -> None:
    """Every filter reaches the server; words may be separated by commas."""
    made = cli(
        *("destinations", "add", HOOK, "--json"),
        *("--events", "task.succeeded,task.failed", "--events", "task.unconfirmed"),
        *("--provider", "apikley", "--model", "m1, m2", "--metadata", "team=blue", "--description", "for me"),
    ).json
    assert made["event_types"] == ["task.succeeded", "task.failed", "task.unconfirmed"]
    assert (made["providers"], made["models"], made["metadata"]) == (["apikley"], ["m1", "m2"], {"team": "blue"})
    assert made["description"] == "for me"
    assert made["secret"].startswith("whsec_")


def test_the_list_shows_where_events_go_but_no_secret(cli: Cli) -> None:
    """One row each: state, target, types and filters."""
    made = cli("destinations", "add", HOOK, "--provider", "apikley", "--metadata", "a=b", "--json").json
    result = cli("destinations", "list")
    assert result.code == 0
    row = next(line for line in result.lines if line.startswith(made["id"]))
    for text in ("webhook", "healthy", HOOK, "task.finished, task.unconfirmed", "apikley, a=b"):
        assert text in row
    assert "whsec_" not in result.out


def test_the_list_as_json_is_an_array(cli: Cli) -> None:
    """As the API gives it."""
    made = cli("destinations", "add", HOOK, "--json").json
    found = cli("destinations", "list", "--json").json
    assert made["id"] in [each["id"] for each in found]
    assert all("secret" not in each for each in found)


def test_the_secret_can_be_shown_again(cli: Cli) -> None:
    """For a consumer that is set up later."""
    made = cli("destinations", "add", HOOK, "--json").json
    result = cli("destinations", "secret", made["id"])
    assert (result.code, result.lines) == (0, [made["secret"]])
    assert "verifies" in result.err


def test_a_sqlite_log_is_filled(cli: Cli, logs: Path) -> None:
    """--sqlite NAME makes a log of that name in the server's data directory."""
    added = cli("destinations", "add", "--sqlite", "results", "--events", "task.*")
    assert added.code == 0
    assert added.lines[0].startswith("dst_")
    assert "results.db" in added.err
    done = cli("submit", "reve2img", "reve-2.0", "--input", '{"prompt": "x"}', "--json").json
    assert cli("events", "list", "--task", done["id"], "--json").json != []
    ends_at = time.monotonic() + 10
    while (found := _types(logs / "results.db", done["id"])) != ["task.succeeded"]:
        assert time.monotonic() < ends_at, found
    again = cli("destinations", "add", "--sqlite", "results")
    assert again.code == 1
    assert "results" in again.err


def _types(log: Path, task_id: str) -> list[str]:
    if not read_log(log):
        return []
    with closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT type FROM events WHERE task_id = ?", [task_id])]


def test_a_log_has_no_secret(cli: Cli) -> None:
    """Asking for it is exit status 1."""
    made = cli("destinations", "add", "--sqlite", "no-secret", "--json").json
    result = cli("destinations", "secret", made["id"])
    assert (result.code, result.out) == (1, "")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("nats://weaver:pass-of-weaver@127.0.0.1:9/events", "nats"),
        ("rediss://weaver:pass-of-weaver@127.0.0.1:9/0?stream=events", "redis"),
        ("postgresql://weaver:pass-of-weaver@127.0.0.1:9/shop", "postgres"),
    ],
)
def test_another_server_is_added_by_its_url(cli: Cli, url: str, kind: str) -> None:
    """Its scheme says what it is; there is no secret to verify with, and who logs in is printed nowhere."""
    added = cli("destinations", "add", url)
    assert (added.code, len(added.lines)) == (0, 1)
    listed = cli("destinations", "list", "--json")
    [made] = [each for each in listed.json if each["id"] == added.lines[0]]
    assert (made["type"], made["url"], made["login"]) == (kind, url.replace("weaver:pass-of-weaver@", ""), "set")
    assert "weaver" not in added.out + added.err + listed.out
    cli("destinations", "delete", made["id"])


def test_one_can_be_deleted_once(cli: Cli) -> None:
    """The second time there is none."""
    made = cli("destinations", "add", HOOK, "--json").json
    first, second = cli("destinations", "delete", made["id"]), cli("destinations", "delete", made["id"])
    assert (first.code, second.code) == (0, 1)
    assert "deleted" in first.err
    assert "no destination" in second.err
    assert made["id"] not in cli("destinations", "list").out


def test_a_target_that_may_not_be_dialled_is_refused_with_the_remedy(cli: Cli) -> None:
    """The line to set is told, once."""
    result = cli("destinations", "add", "http://10.0.0.1/hook")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("TASKWEIR_ALLOW_NETWORKS=10.0.0.1/32") == 1


def test_an_unknown_event_type_is_refused_by_its_path(cli: Cli) -> None:
    """With the types that there are."""
    result = cli("destinations", "add", HOOK, "--events", "task.sung")
    assert result.code == 1
    assert "event_types: " in result.err


def test_it_is_a_url_or_a_name(cli: Cli) -> None:
    """Neither and both are wrong usage."""
    assert cli("destinations", "add").code == 2
    assert cli("destinations", "add", HOOK, "--sqlite", "x").code == 2
    assert cli("destinations", "add", HOOK, "--metadata", "x").code == 2


def test_no_destinations_are_said_to_be_none(cli: Cli) -> None:
    """With the command that makes one."""
    for each in cli("destinations", "list", "--json").json:
        cli("destinations", "delete", each["id"])
    result = cli("destinations", "list")
    assert (result.code, result.out) == (0, "")
    assert "taskweir destinations add" in result.err

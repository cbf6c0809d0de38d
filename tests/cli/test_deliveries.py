"""`taskweir deliveries`."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.driving import Cli
from tests.cli.stub import answer, stub

MODEL = "reve-2.0"


def ended(cli: Cli, *more: str) -> dict[str, Any]:
    """A task that its provider finished inside the answer: one event."""
    task: dict[str, Any] = cli("submit", "reve2img", MODEL, "--input", '{"prompt": "x"}', "--json", *more).json
    assert task["status"] == "succeeded"
    return task


def once(cli: Cli, task_id: str, **fields: Any) -> dict[str, Any]:
    """The only delivery about a task, as soon as its fields are these."""
    ends_at = time.monotonic() + 10
    while True:
        [found] = cli("deliveries", "list", "--task", task_id, "--json").json
        if fields.items() <= found.items():
            return dict(found)
        assert time.monotonic() < ends_at, found


@pytest.fixture
def failed(cli: Cli) -> Iterator[dict[str, Any]]:
    """A delivery that was tried once: its webhook has answered 503, with a word why."""
    with stub([answer(503, "we are\x1b[2J down"), answer(200, {})]) as consumer:
        made = cli("destinations", "add", consumer.url, "--metadata", "run=failed", "--json").json
        task = ended(cli, "--metadata", "run=failed")
        begun = once(cli, task["id"], attempts=1) | {"destination_id": made["id"]}
        ends_at = time.monotonic() + 10
        while not cli("deliveries", "show", begun["id"], "--json").json["attempt_log"]:
            assert time.monotonic() < ends_at, "an attempt counts as soon as it begins, and is in the log once it ended"
        yield begun
        cli("destinations", "delete", made["id"])


def test_the_list_shows_what_is_owed(cli: Cli, failed: dict[str, Any]) -> None:
    """One row each: state, attempts, when the next one is, to whom, of which event."""
    result = cli("deliveries", "list", "--task", failed["task_id"])
    assert result.code == 0
    head, row = result.lines
    assert head.split() == ["delivery", "state", "age", "attempts", "next", "destination", "event", "task"]
    for text in (failed["id"], "pending", failed["destination_id"], failed["event_id"], failed["task_id"]):
        assert text in row


@pytest.mark.parametrize("option", ["state", "destination", "task", "event"])
def test_every_filter_reaches_the_server(cli: Cli, failed: dict[str, Any], option: str) -> None:
    """What it lets through has that value; what nobody has lets nothing through."""
    field = option if option == "state" else f"{option}_id"
    found = cli("deliveries", "list", f"--{option}", failed[field], "--limit", "500", "--json").json
    assert failed["id"] in [each["id"] for each in found]
    assert {each[field] for each in found} == {failed[field]}
    nobody = cli("deliveries", "list", f"--{option}", "canceled" if option == "state" else f"{failed[field]}x")
    assert failed["id"] not in nobody.out


def test_nothing_owed_is_said_to_be_nothing(cli: Cli) -> None:
    """On standard error; as JSON it is an empty array."""
    result = cli("deliveries", "list", "--event", "evt_nobody")
    assert (result.code, result.out) == (0, "")
    assert "no deliveries" in result.err
    assert cli("deliveries", "list", "--event", "evt_nobody", "--json").json == []


def test_a_word_that_is_no_state_is_refused(cli: Cli) -> None:
    """Exit status 1, with the path."""
    result = cli("deliveries", "list", "--state", "lost")
    assert (result.code, result.out) == (1, "")
    assert "state" in result.err


def test_show_tells_every_attempt(cli: Cli, failed: dict[str, Any]) -> None:
    """Its number, time, outcome and what was answered, without what would steer the terminal."""
    result = cli("deliveries", "show", failed["id"])
    assert result.code == 0
    for text in (failed["event_id"], failed["destination_id"], "next attempt", "HTTP 503"):
        assert text in result.out
    assert "[2J down" in result.out
    assert "\x1b" not in result.out
    assert "blocked" not in result.out
    as_json = cli("deliveries", "show", failed["id"], "--json").json
    assert [attempt["status"] for attempt in as_json["attempt_log"]] == [503]


def test_a_retry_is_made_now(cli: Cli, failed: dict[str, Any]) -> None:
    """And what came of it is in the log of attempts."""
    result = cli("deliveries", "retry", failed["id"])
    assert (result.code, result.out) == (0, "")
    assert f"taskweir deliveries show {failed['id']}" in result.err
    once(cli, failed["task_id"], state="delivered", attempts=2)
    assert "HTTP 200" in cli("deliveries", "show", failed["id"]).out
    again = cli("deliveries", "retry", failed["id"])
    assert (again.code, "is delivered" in again.err) == (1, True)


def test_one_is_canceled(cli: Cli, failed: dict[str, Any]) -> None:
    """It has no next attempt then, and may be canceled twice; a retry brings it back."""
    result = cli("deliveries", "cancel", failed["id"])
    assert (result.code, result.out) == (0, "")
    assert f"{failed['id']} is canceled" in result.err
    assert once(cli, failed["task_id"], state="canceled")["next_attempt_at"] is None
    assert cli("deliveries", "cancel", failed["id"]).code == 0
    assert cli("deliveries", "retry", failed["id"], "--json").json["state"] == "pending"


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_an_unknown_delivery_is_exit_status_1(cli: Cli, command: str) -> None:
    """Whatever was typed."""
    result = cli("deliveries", command, "dlv_nobody")
    assert (result.code, result.out) == (1, "")
    assert "no delivery" in result.err


def test_a_dead_one_says_how_it_is_tried_again(cli: Cli) -> None:
    """The command is told, with its id; a blocked one says what is missing."""
    dead = {
        **dict.fromkeys(("event_id", "destination_id", "task_id", "next_attempt_at"), None),
        "id": "dlv_1",
        "state": "dead",
        "attempts": 10,
        "created_at": "2026-11-20T19:48:00.000Z",
        "blocked_reason": "nothing can be signed",
        "attempt_log": [],
    }
    with stub([answer(200, dead)]) as server:
        result = cli("deliveries", "show", "dlv_1", TASKWEIR_URL=server.url)
    assert result.code == 0
    assert "taskweir deliveries retry dlv_1" in result.err
    assert "nothing can be signed" in result.out

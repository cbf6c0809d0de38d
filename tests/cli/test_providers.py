"""`taskweir providers`, and what tasks can be asked for many at once."""

from typing import Any

import pytest

from tests.cli.driving import Cli, submitted
from tests.cli.stub import answer, stub

KEY = "0123456789abcdef"


def test_providers_are_listed_with_or_without_the_word(cli: Cli) -> None:
    """One row each, or a JSON array."""
    for words in (["providers"], ["providers", "list"]):
        head, *rows = cli(*words).lines
        assert head.split()[:2] == ["provider", "state"]
        assert [row.split()[0] for row in rows] == ["apikley", "reapi", "reelbyte", "reve2img"]
        assert [each["name"] for each in cli(*words, "--json").json] == ["apikley", "reapi", "reelbyte", "reve2img"]


def test_a_provider_is_paused_and_resumed(cli: Cli) -> None:
    """Told on standard error; the list says since when and why."""
    assert cli("providers", "pause", "reve2img").err.strip() == "reve2img paused"
    [row] = [line for line in cli("providers").lines if line.startswith("reve2img")]
    assert "paused (operator) for " in row
    assert cli("providers", "resume", "reve2img", "--json").json["paused"] is False
    assert cli("providers", "pause", "nobody").code == 1


def test_a_paused_provider_says_what_waits_and_when_it_is_asked() -> None:
    """As the server tells it."""
    standing: dict[str, Any] = {
        "name": "reapi",
        "adapter": "reapi",
        "learns_by": "poll",
        "paused": True,
        "reason": "auth",
        "since": "2026-11-20T19:48:00.123Z",
        "next_probe_at": "2026-11-20T19:49:00.123Z",
        "in_flight": 1,
        "waiting": 3,
        "last_error": "Invalid API key",
    }
    answers = [{"items": [standing], "next_cursor": None}, standing | {"paused": False}, {"items": []}]
    with stub([answer(200, each) for each in answers]) as server:
        ours = Cli(settings={"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": KEY})
        listed, resumed, none = ours("providers"), ours("providers", "resume", "reapi"), ours("providers")
    assert "paused (auth) for" in listed.lines[1]
    assert "asked again 2026-11-20 19:49:00" in listed.lines[1]
    assert listed.lines[1].endswith("Invalid API key")
    assert resumed.err.strip() == "reapi at work; 3 tasks wait for it"
    assert (none.out, "no provider is configured" in none.err) == ("", True)


def test_the_story_of_a_task(cli: Cli) -> None:
    """One line for each thing that happened, in time order."""
    made = submitted(cli, "a heron", "--wait")
    head, *rows = cli("tasks", "timeline", made["id"]).lines
    assert head.split() == ["at", "what", "told"]
    assert len(rows) == len(cli("tasks", "timeline", made["id"], "--json").json)
    assert any("event" in row and "task.succeeded" in row for row in rows)
    assert cli("tasks", "timeline", "task_nobody").code == 1


def test_a_task_is_asked_about_now(cli: Cli) -> None:
    """And what it waits for is told."""
    made = submitted(cli, "[never]")
    result = cli("tasks", "refresh", made["id"])
    assert (result.code, made["id"] in result.err) == (0, True)
    assert cli("tasks", "refresh", made["id"], "--json").json["id"] == made["id"]


def test_tasks_are_found_and_dealt_with_by_what_they_are(cli: Cli) -> None:
    """The same filters list them and act on all of them; a number is printed, and nothing done where only counted."""
    made = {submitted(cli, "[never]", "--metadata", "batch=cli")["id"] for _ in range(3)}
    filters = ["--metadata", "batch=cli", "--provider", "apikley", "--since", "1h"]
    assert {each["id"] for each in cli("tasks", "list", *filters, "--json").json} == made
    assert cli("tasks", "list", *filters, "--until", "2h").out == ""
    counted = cli("tasks", "bulk", "cancel", *filters, "--dry-run")
    assert (counted.out.strip(), "would be" in counted.err) == ("3", True)
    assert cli("tasks", "bulk", "cancel", *filters, "--json").json == {"count": 3}
    assert {each["status"] for each in cli("tasks", "list", *filters, "--json").json} == {"canceled"}
    assert cli("tasks", "bulk", "resubmit", *filters, "--error-kind", "quota", "--rate", "5").out.strip() == "0"


@pytest.mark.parametrize("words", [["cancel"], ["sing", "--all"], ["cancel", "--all", "--status", "queued"]])
def test_what_is_done_to_many_must_be_said_plainly(words: list[str]) -> None:
    """All tasks are meant only by --all, which goes with no filter; exit status 2."""
    assert Cli(settings={"TASKWEIR_API_KEY": KEY})("tasks", "bulk", *words).code == 2

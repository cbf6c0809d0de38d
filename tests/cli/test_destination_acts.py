"""`taskweir destinations test|rotate|replay|enable|disable|update`."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from receiver.cli.text import since_of
from receiver.formats import time_of
from tests.cli.driving import Cli
from tests.cli.stub import answer, stub

HOOK = "http://127.0.0.1:9/hook"
MODEL = "reve-2.0"


@pytest.fixture
def made(cli: Cli) -> Iterator[str]:
    """A destination, and gone afterwards."""
    destination_id = cli("destinations", "add", HOOK, "--json").json["id"]
    yield destination_id
    cli("destinations", "delete", destination_id)


def shown(cli: Cli, destination_id: str) -> dict[str, object]:
    found: list[dict[str, object]] = cli("destinations", "list", "--json").json
    return next(each for each in found if each["id"] == destination_id)


def test_every_field_can_be_chosen(cli: Cli) -> None:
    """On the way in, and changed afterwards; what is not named stays."""
    chosen = cli(
        *("destinations", "add", HOOK, "--format", "flat", "--header", "X-Team=a=b", "--header", "X-Key=k"),
        *("--signature", "v1a", "--ordered", "--max-in-flight", "3", "--rate", "0.5", "--json"),
    ).json
    assert (chosen["format"], chosen["signature"], chosen["ordered"]) == ("flat", "v1a", True)
    assert (chosen["max_in_flight"], chosen["rate_per_second"]) == (3, 0.5)
    assert chosen["headers"] == {"X-Team": "set", "X-Key": "set"}
    assert chosen["public_key"].startswith("whpk_")
    changed = cli(
        *("destinations", "update", chosen["id"], "--unordered", "--header", "X-Key=", "--provider", "reapi,apikley"),
        *("--metadata", "team=blue", "--description", "d", "--url", HOOK + "2", "--json"),
    ).json
    assert (changed["ordered"], changed["headers"], changed["providers"]) == (
        False,
        {"X-Team": "set"},
        ["reapi", "apikley"],
    )
    assert (changed["metadata"], changed["description"], changed["url"]) == ({"team": "blue"}, "d", HOOK + "2")
    assert (changed["format"], changed["max_in_flight"], changed["rate_per_second"]) == ("flat", 3, 0.5)
    cleared = cli("destinations", "update", chosen["id"], "--provider", "", "--metadata", "", "--events", "")
    assert cleared.code == 0
    assert "providers" in cleared.err
    after = shown(cli, chosen["id"])
    assert (after["providers"], after["metadata"]) == (None, None)
    assert after["event_types"] == ["task.finished", "task.unconfirmed"]


def test_every_field_can_have_its_default_again(cli: Cli) -> None:
    """By the names of the options, one or many; what is not named stays."""
    chosen = cli(
        *("destinations", "add", HOOK, "--format", "flat", "--header", "X-Team=a", "--description", "d"),
        *("--ordered", "--max-in-flight", "3", "--rate", "0.5", "--events", "task.*", "--model", "m", "--json"),
    ).json
    some = cli("destinations", "update", chosen["id"], "--reset", "rate,--max-in-flight", "--reset", "header", "--json")
    assert (some.json["rate_per_second"], some.json["max_in_flight"], some.json["headers"]) == (None, 32, {})
    assert (some.json["format"], some.json["description"], some.json["ordered"]) == ("flat", "d", True)
    others = cli("destinations", "update", chosen["id"], "--reset", "format,description,ordered,events,model")
    assert (others.code, "event_types, format, models, ordered changed" in others.err) == (0, True)
    plain = cli("destinations", "add", HOOK, "--json").json
    own = ("id", "created_at", "secret")
    assert shown(cli, chosen["id"]) == {
        name: chosen[name] if name in own else value for name, value in plain.items() if name != "secret"
    }
    for each in (chosen, plain):
        cli("destinations", "delete", each["id"])
    log = cli("destinations", "add", "--sqlite", "reset", "--retention-days", "9", "--json").json
    for_ever = cli("destinations", "update", log["id"], "--reset", "retention-days", "--json").json
    assert for_ever["retention_days"] is None


def test_a_reset_signature_says_where_its_secret_is(cli: Cli) -> None:
    """As a changed one does."""
    made = cli("destinations", "add", HOOK, "--signature", "v1a", "--json").json["id"]
    result = cli("destinations", "update", made, "--reset", "signature")
    assert (result.code, f"taskweir destinations secret {made}" in result.err) == (0, True)
    assert cli("destinations", "secret", made).lines[0].startswith("whsec_")
    cli("destinations", "delete", made)


def test_another_signature_says_where_its_secret_is(cli: Cli, made: str) -> None:
    """The consumer needs another key then; it is not printed where nobody asked for it."""
    result = cli("destinations", "update", made, "--signature", "v1a")
    assert (result.code, result.out) == (0, "")
    assert f"taskweir destinations secret {made}" in result.err
    secret = cli("destinations", "secret", made)
    assert secret.lines[0].startswith("whsk_")
    assert "taskweir sink --secret whpk_" in secret.err
    assert "whsk_" not in secret.err


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["--provider", "apikly"], "providers[0]"),
        (["--events", "task.sung"], "event_types"),
        (["--header", "Host=evil.example"], "headers.Host"),
        (["--format", "xml"], "format"),
        (["--signature", "v2"], "signature"),
        (["--rate", "0"], "rate_per_second"),
        (["--retention-days", "5"], "retention_days"),
    ],
)
def test_a_typo_is_told_by_its_path(cli: Cli, made: str, arguments: list[str], path: str) -> None:
    """Exit status 1, for a new one and for a change; nothing is made, nothing changes."""
    before = cli("destinations", "list", "--json").json
    for result in (cli("destinations", "add", HOOK, *arguments), cli("destinations", "update", made, *arguments)):
        assert (result.code, result.out) == (1, "")
        assert f"{path}: " in result.err
    assert cli("destinations", "list", "--json").json == before


def test_a_typo_in_a_provider_names_those_that_are(cli: Cli) -> None:
    """So that the right one can be copied."""
    result = cli("destinations", "add", HOOK, "--provider", "apikly")
    assert "configured: apikley, reapi, reelbyte, reve2img" in result.err


def test_wrong_usage(cli: Cli, made: str) -> None:
    """Exit status 2: nothing to change, a header without a value, numbers that are none."""
    for arguments in (
        ["update", made],
        ["update", made, "--header", "X-Team"],
        ["update", made, "--max-in-flight", "x"],
        ["update"],
        ["add", HOOK, "--header", "=x"],
        ["rotate", made, "--overlap", "-1"],
        ["replay", made],
        ["update", made, "--reset", "url"],
        ["update", made, "--reset", "rate", "--rate", "2"],
    ):
        assert cli("destinations", *arguments).code == 2, arguments
    assert "--header" in cli("destinations", "add", HOOK, "--header", "x").err
    assert "max-in-flight" in cli("destinations", "update", made, "--reset", "max_in_flight").err
    unsaid = " ".join(cli("destinations", "replay", made).err.split())
    assert "--since" in unsaid
    assert "2h, 3d or 2026-11-20T19:48:00Z" in unsaid


def test_a_ping_tells_what_came_of_it(cli: Cli) -> None:
    """Exit status 0 where it was taken; 1 with status and answer where it was not, as JSON too."""
    with stub([answer(200, {}), answer(503, "we are down"), answer(503, "we are down")]) as consumer:
        made = cli("destinations", "add", consumer.url, "--json").json["id"]
        taken, refused = cli("destinations", "test", made), cli("destinations", "test", made)
        as_json = cli("destinations", "test", made, "--json")
        cli("destinations", "delete", made)
    assert (taken.code, taken.out) == (0, "")
    assert "200, within" in taken.err
    assert (refused.code, refused.out) == (1, "")
    assert "503" in refused.err
    assert "we are down" in refused.err
    assert (as_json.code, as_json.json["status"], as_json.json["response"]) == (1, 503, "we are down")
    assert len(consumer.requests) == 3


def test_a_ping_that_nobody_answers(cli: Cli, made: str) -> None:
    """The reason is told."""
    result = cli("destinations", "test", made)
    assert result.code == 1
    assert "the ping was not taken: no connection" in result.err


def test_a_ping_of_a_log(cli: Cli) -> None:
    """It could be written."""
    made = cli("destinations", "add", "--sqlite", "pinged", "--retention-days", "9", "--json").json
    assert made["retention_days"] == 9
    result = cli("destinations", "test", made["id"])
    assert (result.code, "written" in result.err) == (0, True)


def test_a_rotation_prints_the_new_secret(cli: Cli, made: str) -> None:
    """And for how long the old one signs along."""
    before = cli("destinations", "secret", made).lines
    result = cli("destinations", "rotate", made)
    assert result.code == 0
    assert result.lines != before
    assert result.lines == cli("destinations", "secret", made).lines
    assert "signs along for 24 h" in result.err
    sharp = cli("destinations", "rotate", made, "--overlap", "0")
    assert "signs nothing any more" in sharp.err
    assert cli("destinations", "rotate", made, "--json").json["secret"].startswith("whsec_")
    assert cli("destinations", "rotate", "dst_nobody").code == 1


def test_it_is_switched(cli: Cli, made: str) -> None:
    """Off and on, with the state; enabling tells how to get what was missed."""
    off = cli("destinations", "disable", made)
    assert (off.code, off.out) == (0, "")
    assert "disabled" in off.err
    assert shown(cli, made)["state"] == "disabled"
    on = cli("destinations", "enable", made)
    assert (on.code, f"taskweir destinations replay {made}" in on.err) == (0, True)
    assert cli("destinations", "disable", made, "--json").json["disabled_reason"] == "caller"
    for how in ("enable", "disable", "test"):
        assert cli("destinations", how, "dst_nobody").code == 1


def test_what_was_missed_is_replayed(cli: Cli) -> None:
    """Counted first, then done, then nothing is missing any more."""
    mine = f"m{time.time_ns()}"
    done = cli("submit", "reve2img", MODEL, "--input", '{"prompt": "x"}', "--metadata", f"run={mine}", "--json").json
    assert done["status"] == "succeeded"
    with stub([answer(200, {})]) as consumer:
        made = cli("destinations", "add", consumer.url, "--metadata", f"run={mine}", "--json").json["id"]
        since = ("--since", done["created_at"])
        dry = cli("destinations", "replay", made, "--since", "1h", "--dry-run")
        assert (dry.code, dry.lines) == (0, ["1"])
        assert "would be" in dry.err
        assert cli("destinations", "replay", made, *since, "--events", "task.failed", "--json").json == {"count": 0}
        assert cli("destinations", "replay", made, *since, "--until", done["created_at"]).code == 1
        result = cli("destinations", "replay", made, *since)
        assert (result.code, result.lines) == (0, ["1"])
        ends_at = time.monotonic() + 10
        while not consumer.requests:
            assert time.monotonic() < ends_at
        assert cli("destinations", "replay", made, *since, "--json").json == {"count": 0}
        assert cli("destinations", "replay", made, *since, "--only", "all").lines == ["1"]
        cli("destinations", "delete", made)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["--since", "yesterday"], "since"),
        (["--since", "2999-01-01"], "since"),
        (["--since", "1h", "--only", "x"], "only"),
    ],
)
def test_a_replay_that_cannot_be_meant(cli: Cli, made: str, arguments: list[str], path: str) -> None:
    """Exit status 1, with the path."""
    result = cli("destinations", "replay", made, *arguments)
    assert (result.code, f"{path}: " in result.err) == (1, True)


@pytest.mark.parametrize(("text", "seconds"), [("90min", 5400), ("2h", 7200), ("3 d", 259_200), ("0s", 0)])
def test_so_long_ago(text: str, seconds: int) -> None:
    """As people say it; everything else is the server's to read."""
    ago = datetime.now(UTC).timestamp() - time_of(since_of(text)) / 1000
    assert ago == pytest.approx(seconds, abs=5)
    assert since_of("2026-11-20T19:48:00Z") == "2026-11-20T19:48:00Z"
    assert since_of("2 weeks") == "2 weeks"

"""`taskweir events`."""

import json
import os
import signal
from typing import Any

import pytest

from receiver.cli.events import event_line, says_who
from tests.cli.driving import Cli, read_until, submitted
from tests.cli.stub import HANG_UP, answer, stub

KEY = "0123456789abcdef"


def finished(cli: Cli, prompt: str = "a heron") -> str:
    """A task that is done: its two events are recorded."""
    return str(submitted(cli, prompt, "--wait")["id"])


def event(seq: int, **data: Any) -> dict[str, Any]:
    task: dict[str, Any] = {"id": "task_1", "provider": "reapi", "outputs": [], "error": None}
    known = {"task": task, "source": "poll", "verified_by": "poll", "late": False}
    return {"seq": seq, "type": "task.running", "timestamp": "2026-11-20T19:48:00.123Z", "data": known | data}


def page(*events: dict[str, Any], cursor: int, more: bool = False) -> bytes:
    return answer(200, {"items": events, "next_cursor": str(cursor), "has_more": more})


def streamed(*events: dict[str, Any]) -> bytes:
    """A stream with these events in it, which then ends."""
    messages = [f"id: {each['seq']}\nevent: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events]
    return answer(200, ": hello\n\n" + "".join(messages), kind="text/event-stream")


def test_the_list_shows_the_newest_first(cli: Cli) -> None:
    """One row per event, with its seq, type and task."""
    task_id = finished(cli)
    result = cli("events", "list", "--task", task_id)
    assert result.code == 0
    head, *rows = result.lines
    assert head.split()[:4] == ["seq", "age", "type", "task"]
    assert ["task.succeeded" in rows[0], "task.submitted" in rows[1]] == [True, True]
    assert "callback, verified by poll" in rows[0]


def test_a_page_without_an_event_is_not_the_end(cli: Cli) -> None:
    """What a filter lets through may be far behind: the list goes on while there is more to look through."""
    pages = [page(cursor=90, more=True), page(event(7), cursor=7, more=True), page(cursor=1)]
    with stub(pages) as server:
        found = cli("events", "list", "--json", "-n", "3", "--type", "task.running", TASKWEIR_URL=server.url)
    assert [each["seq"] for each in found.json] == [7]
    assert "order=desc&limit=3" in server.requests[0]
    assert "after=90&order=desc&limit=3" in server.requests[1]
    assert "after=7&order=desc&limit=2" in server.requests[2]


def test_the_list_as_json_is_an_array(cli: Cli) -> None:
    """With `seq` in every item."""
    task_id = finished(cli)
    found = cli("events", "list", "--task", task_id, "--json").json
    assert [each["type"] for each in found] == ["task.succeeded", "task.submitted"]
    assert found[0]["seq"] > found[1]["seq"]


def test_the_filters_reach_the_server(cli: Cli) -> None:
    """Types, given at once or one by one, and the provider."""
    finished(cli, "[fail]")
    finished(cli)
    for types in (["--type", "task.failed,task.succeeded"], ["--type", "task.failed", "--type", "task.succeeded"]):
        found = cli("events", "list", "--json", *types).json
        assert {each["type"] for each in found} == {"task.failed", "task.succeeded"}
    assert cli("events", "list", "--provider", "nobody", "--json").json == []


def test_an_unknown_type_is_refused(cli: Cli) -> None:
    """Exit status 1 with the server's own words."""
    result = cli("events", "list", "--type", "task.sung")
    assert result.code == 1
    assert "task.sung" in result.err


def test_an_empty_list_says_so(cli: Cli) -> None:
    """Nothing on standard output."""
    result = cli("events", "list", "--task", "task_nope")
    assert (result.code, result.out) == (0, "")
    assert "no events" in result.err


def test_tail_shows_the_last_ones_oldest_first(cli: Cli) -> None:
    """As `tail` does, one line each."""
    task_id = finished(cli)
    result = cli("events", "tail", "-n", "2", "--task", task_id)
    assert result.code == 0
    assert ["task.submitted" in result.lines[0], "task.succeeded" in result.lines[1]] == [True, True]
    assert all(task_id in line for line in result.lines)


def test_tail_after_a_seq_reads_on_from_there(cli: Cli) -> None:
    """--after is a cursor: what comes after it, in order, to the end."""
    task_id = finished(cli)
    submitted, succeeded = (each["seq"] for each in reversed(cli("events", "list", "--task", task_id, "--json").json))
    lines = cli("events", "tail", "--after", str(submitted), "--task", task_id, "--json").lines
    assert [json.loads(line)["seq"] for line in lines] == [succeeded]
    assert cli("events", "tail", "--after", str(succeeded), "--task", task_id).lines == []


def test_tail_reads_all_pages(cli: Cli) -> None:
    """It goes on while there is more, from each page's cursor."""
    with stub([page(event(3), cursor=3, more=True), page(event(5), cursor=5)]) as server:
        result = cli("events", "tail", "--after", "2", "--json", TASKWEIR_URL=server.url, TASKWEIR_API_KEY=KEY)
    assert [json.loads(line)["seq"] for line in result.lines] == [3, 5]
    assert ["after=2" in server.requests[0], "after=3" in server.requests[1]] == [True, True]


def test_a_server_that_is_gone_is_a_failure_where_nothing_is_followed(cli: Cli) -> None:
    """Only --follow has patience."""
    with stub([HANG_UP]) as server:
        result = cli("events", "tail", "--after", "0", TASKWEIR_URL=server.url, TASKWEIR_API_KEY=KEY)
    assert result.code == 1


def test_follow_shows_what_comes_and_ends_cleanly(cli: Cli) -> None:
    """What was there, then what is new, each once; Ctrl-C is the normal end."""
    first = finished(cli)
    with cli.process("events", "tail", "--follow", "--type", "task.finished", "--json") as process:
        read_until(process.stdout, first)
        second = finished(cli, "another")
        line = read_until(process.stdout, second)
        os.kill(process.pid, signal.SIGINT)
        rest, err = process.communicate(timeout=20)
    assert json.loads(line)["type"] == "task.succeeded"
    assert (process.returncode, rest, err) == (0, "", "")


def test_follow_resumes_from_its_cursor_after_a_restart(cli: Cli) -> None:
    """Where the server goes away, following goes on from the last event seen, without one missing or twice."""
    pages = [page(event(7), cursor=7), streamed(), HANG_UP, streamed(event(7), event(8))]
    with (
        stub(pages) as server,
        cli.process("events", "tail", "-f", "--json", TASKWEIR_URL=server.url, TASKWEIR_API_KEY=KEY) as process,
    ):
        lines = read_until(process.stdout, '"seq":8')
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert [json.loads(line)["seq"] for line in lines.splitlines()] == [7, 8]
    assert "trying again" in err
    assert server.requests[1:4] == ["GET /v1/events/stream?after=7 HTTP/1.1"] * 3


def test_follow_starts_at_the_beginning_where_there_was_nothing(cli: Cli) -> None:
    """An empty store has a first event too."""
    with (
        stub([page(cursor=0), streamed(event(1))]) as server,
        cli.process("events", "tail", "-f", TASKWEIR_URL=server.url, TASKWEIR_API_KEY=KEY) as process,
    ):
        read_until(process.stdout, "task_1")
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert "after=0" in server.requests[1]


def test_a_late_verdict_is_marked() -> None:
    """It follows our own, and is the one that counts."""
    assert "poll, late" in event_line(event(1, late=True)).plain


@pytest.mark.parametrize(
    ("source", "verified_by", "text"),
    [
        ("poll", "poll", "poll"),
        ("submit", "poll", "submit"),
        ("callback", "poll", "callback, verified by poll"),
        ("callback", "token", "callback, verified by token"),
        ("deadline", None, "deadline"),
    ],
)
def test_who_spoke_and_who_vouches(source: str, verified_by: str | None, text: str) -> None:
    """The second is named only where it adds something."""
    assert says_who(source, verified_by) == text


def test_an_event_is_delivered_again(cli: Cli) -> None:
    """To all that want it, or to one whatever its filters; the ids of the deliveries are printed."""
    task_id = finished(cli)
    event_id = cli("events", "list", "--task", task_id, "--json").json[0]["id"]
    with stub([answer(200, {})]) as consumer:
        wanting = cli("destinations", "add", consumer.url, "--json").json["id"]
        choosy = cli("destinations", "add", consumer.url, "--events", "task.expired", "--json").json["id"]
        result = cli("events", "replay", event_id)
        assert result.code == 0
        assert all(line.startswith("dlv_") for line in result.lines)
        assert f"on its way to {wanting}" in result.err
        assert choosy not in result.err
        named = cli("events", "replay", event_id, "--destination", choosy, "--json").json
        assert [each["destination_id"] for each in named["deliveries"]] == [choosy]
        cli("destinations", "disable", choosy)
        refused = cli("events", "replay", event_id, "--destination", choosy)
        assert (refused.code, "enable it first" in refused.err) == (1, True)
        cli("destinations", "delete", wanting)
        cli("destinations", "delete", choosy)
    enabled = [each["id"] for each in cli("destinations", "list", "--json").json if each["enabled"]]
    for each in enabled:
        cli("destinations", "disable", each)
    nobody = cli("events", "replay", event_id)
    for each in enabled:
        cli("destinations", "enable", each)
    assert (nobody.code, nobody.out) == (0, "")
    assert "--destination" in nobody.err
    assert cli("events", "replay", "evt_nobody").code == 1


def test_whoever_replays_a_range_is_told_the_command_for_it() -> None:
    """Exit status 2, and the line to type: a range goes to one destination."""
    cli = Cli(settings={"TASKWEIR_API_KEY": KEY})
    for arguments, command in (
        ([], "taskweir destinations replay DESTINATION --since 2h"),
        (["--since", "3d"], "taskweir destinations replay DESTINATION --since 3d"),
        (["--since", "3d", "--destination", "dst_1"], "taskweir destinations replay dst_1 --since 3d"),
    ):
        result = cli("events", "replay", *arguments)
        assert (result.code, result.out) == (2, "")
        assert command in " ".join(result.err.replace("│", " ").split())


def test_what_is_told_to_operators_is_listed_too(cli: Cli) -> None:
    """It has no task; what it is about, and why, stand in its line."""
    made = cli("destinations", "add", "http://127.0.0.1:9/", "--json").json["id"]
    cli("destinations", "disable", made)
    for command in ("list", "tail"):
        result = cli("events", command, "--type", "destination.disabled", "-n", "1")
        assert result.code == 0
        assert made in result.lines[-1]
        assert "caller" in result.lines[-1]
    dead = {"delivery_id": "dlv_1", "destination_id": "dst_1", "error": None, "status": 500}
    line = str(event_line({"seq": 7, "type": "delivery.dead", "timestamp": "2026-11-20T19:48:00.123Z", "data": dead}))
    assert line.split()[-3:] == ["dlv_1", "HTTP", "500"]
    cli("destinations", "delete", made)

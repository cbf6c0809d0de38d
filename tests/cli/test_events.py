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


def test_the_list_shows_the_newest_first(cli: Cli) -> None:
    """One row per event, with its seq, type and task."""
    task_id = finished(cli)
    result = cli("events", "list", "--task", task_id)
    assert result.code == 0
    head, *rows = result.lines
    assert head.split()[:4] == ["seq", "age", "type", "task"]
    assert ["task.succeeded" in rows[0], "task.submitted" in rows[1]] == [True, True]
    assert "callback, verified by poll" in rows[0]


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
    pages = [page(event(7), cursor=7), HANG_UP, page(event(8), cursor=8), page(cursor=8)]
    with (
        stub(pages) as server,
        cli.process("events", "tail", "-f", "--json", TASKWEIR_URL=server.url, TASKWEIR_API_KEY=KEY) as process,
    ):
        lines = read_until(process.stdout, '"seq":8')
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert [json.loads(line)["seq"] for line in lines.splitlines()] == [7, 8]
    assert "trying again" in err
    assert ["after=7" in line for line in server.requests[:3]] == [False, True, True]


def test_follow_starts_at_the_beginning_where_there_was_nothing(cli: Cli) -> None:
    """An empty store has a first event too."""
    with (
        stub([page(cursor=0), page(event(1), cursor=1)]) as server,
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

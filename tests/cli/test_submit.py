"""`taskweir submit`."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from receiver.cli.follow import Patience
from receiver.client import Unreachable
from tests.cli.driving import Cli, read_until, submit_of
from tests.cli.stub import HANG_UP, answer, stub
from tests.service.world import APIKLEY_MODEL

KEY = "0123456789abcdef"


def task(status: str, **fields: Any) -> Mapping[str, Any]:
    """A task as the API gives it."""
    known: dict[str, Any] = {"id": "task_1", "status": status, "progress": None, "outputs": [], "error": None}
    return known | {"waiting_for": None} | fields


def test_a_submit_prints_the_id_and_how_to_look_at_it(cli: Cli) -> None:
    """Standard output has the id alone, for a script; what it waits for is on standard error."""
    result = cli(*submit_of("a heron"))
    assert result.code == 0
    (task_id,) = result.lines
    assert task_id.startswith("task_")
    assert f"taskweir tasks show {task_id}" in result.err
    assert "submitted: handed over to apikley" in result.err


def test_waiting_prints_the_outputs(cli: Cli) -> None:
    """With --wait standard output has the URLs of the results, one per line, and nothing else."""
    result = cli(*submit_of("a heron at dawn"), "--wait")
    assert result.code == 0
    (url,) = result.lines
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith(".mp4")
    assert "succeeded" in result.err


def test_a_result_in_the_answer_needs_no_waiting(cli: Cli) -> None:
    """A model that answers at once is done at once, with --wait or without."""
    arguments = ["submit", "reve2img", "reve-2.0", "--input", '{"prompt": "a lighthouse"}']
    for more in ([], ["--wait"]):
        result = cli(*arguments, *more)
        assert result.code == 0
        assert result.out.strip().endswith(".png")


def test_a_failed_task_is_exit_status_1_with_its_reason(cli: Cli) -> None:
    """What the provider gave as its reason is told, and standard output stays empty."""
    result = cli(*submit_of("a heron [fail]"), "--wait")
    assert (result.code, result.out) == (1, "")
    assert "failed" in result.err
    assert "upstream" in result.err


def test_a_task_that_the_provider_refuses_is_exit_status_1(cli: Cli) -> None:
    """A refusal is known without waiting."""
    result = cli(*submit_of("a heron [reject]"))
    assert result.code == 1
    assert "quota" in result.err


def test_the_whole_task_as_json(cli: Cli) -> None:
    """--json prints the task as the API gives it, with what was asked for."""
    result = cli(*submit_of("json"), "--wait", "--json", "--metadata", "order=42", "--metadata", "a=b=c")
    assert result.code == 0
    assert result.json["status"] == "succeeded"
    assert result.json["metadata"] == {"order": "42", "a": "b=c"}


def test_a_failed_task_is_json_too(cli: Cli) -> None:
    """The exit status tells the failure, standard output has the task all the same."""
    result = cli(*submit_of("json [fail]"), "--wait", "--json")
    assert result.code == 1
    assert result.json["status"] == "failed"


def test_a_deadline_ends_the_wait(cli: Cli) -> None:
    """--deadline is the task's: when it is over the task expires."""
    result = cli("submit", "reelbyte", "m", "--no-checks", "--input", VIDEO, "--deadline", "1", "--wait")
    assert result.code == 1
    assert "expired" in result.err


VIDEO = json.dumps({"mediaType": "video", "provider": "replicate", "scene": "text-to-video", "prompt": "[never]"})


def test_what_our_checks_refuse_is_told_field_by_field(cli: Cli) -> None:
    """Each fault stands on its own line with its path and the provider's own code."""
    result = cli("submit", "apikley", APIKLEY_MODEL, "--input", '{"duration": 5}')
    assert (result.code, result.out) == (1, "")
    assert "  input.prompt: is required (code 422)" in result.err
    assert "  input.duration: " in result.err


def test_no_checks_leaves_the_judgement_to_the_provider(cli: Cli) -> None:
    """With --no-checks only the shape is checked here."""
    result = cli("submit", "apikley", APIKLEY_MODEL, "--input", '{"prompt": "x", "duration": 5}', "--no-checks")
    assert result.code == 0


def test_input_from_a_file(cli: Cli, tmp_path: Path) -> None:
    """`@file` reads the file."""
    path = tmp_path / "input.json"
    path.write_text('{"prompt": "from a file"}')
    assert cli("submit", "apikley", APIKLEY_MODEL, "--input", f"@{path}").code == 0


def test_input_from_standard_input(cli: Cli) -> None:
    """`@-` reads standard input."""
    assert cli("submit", "apikley", APIKLEY_MODEL, "--input", "@-", input='{"prompt": "from a pipe"}').code == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{", "not JSON"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[]", "JSON object"),
        ("@/nowhere/input.json", "cannot be read"),
    ],
)
def test_input_that_is_none_is_wrong_usage(cli: Cli, given: str, told: str) -> None:
    """Exit status 2 before anything is sent, naming the option."""
    result = cli("submit", "apikley", APIKLEY_MODEL, "--input", given)
    assert (result.code, result.out) == (2, "")
    assert "--input" in result.err
    assert told in result.err


@pytest.mark.parametrize("arguments", [["--metadata", "x"], ["--metadata", "=x"], ["--deadline", "0"]])
def test_options_that_are_none_are_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    """A pair needs a key and a value, a deadline at least a second."""
    assert cli(*submit_of("x"), *arguments).code == 2


def test_progress_is_a_line_per_change_where_there_is_no_terminal(cli: Cli) -> None:
    """No terminal, no steering of one."""
    result = cli(*submit_of("plain"), "--wait")
    assert "\x1b" not in result.err + result.out
    assert "submitted: handed over to apikley" in result.err


def test_progress_on_a_terminal(cli: Cli) -> None:
    """A terminal shows the status and what is waited for while it goes on."""
    code, shown = cli.on_terminal(*submit_of("a heron"), "--wait")
    assert code == 0
    assert "handed over to apikley" in shown
    assert shown.rstrip().endswith(".mp4")


def test_progress_on_a_terminal_of_few_letters(cli: Cli) -> None:
    """Where a terminal knows ASCII only, so does the progress, and nothing breaks."""
    code, shown = cli.on_terminal(*submit_of("a heron"), "--wait", PYTHONIOENCODING="ascii")
    assert code == 0
    assert shown.isascii()


def test_progress_that_the_provider_tells_fills_the_bar(cli: Cli) -> None:
    """A task with a known progress shows how far it is."""
    answers = [task("queued"), task("running", progress=40), task("succeeded", outputs=[])]
    with stub([answer(200, each) for each in answers]) as server:
        code, shown = cli.on_terminal(*submit_of("x"), "--wait", TASKWEIR_URL=server.url, TASKWEIR_API_KEY=KEY)
    assert code == 0
    assert "running" in shown


def test_a_server_that_restarts_is_waited_for(cli: Cli) -> None:
    """A connection that breaks while we wait is told and tried again: the task goes on without us."""
    answers = [answer(201, task("queued")), HANG_UP, answer(200, task("succeeded"))]
    with stub(answers) as server:
        result = cli(*submit_of("x"), "--wait", TASKWEIR_URL=server.url, TASKWEIR_API_KEY=KEY)
    assert result.code == 0
    assert "trying again" in result.err
    assert "the server is back" in result.err
    assert [line.split("?")[0] for line in server.requests] == [
        "POST /v1/tasks HTTP/1.1",
        "GET /v1/tasks/task_1",
        "GET /v1/tasks/task_1",
    ]


@pytest.mark.parametrize("on_terminal", [False, True])
def test_doubt_is_explained_once_while_it_is_waited_for(cli: Cli, on_terminal: bool) -> None:
    """What it means, and the two commands; however often the task is looked at."""
    doubtful = task("unconfirmed", provider="apikley")
    answers = [answer(202, task("queued")), *[answer(200, doubtful)] * 3, answer(200, task("succeeded"))]
    with stub(answers) as server:
        settings = {"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": KEY}
        if on_terminal:
            code, told = cli.on_terminal(*submit_of("x"), "--wait", **settings)
        else:
            result = cli(*submit_of("x"), "--wait", **settings)
            code, told = result.code, result.err
    assert code == 0
    assert told.count("Nobody knows whether apikley took this task") == 1
    assert "taskweir tasks resolve task_1 --provider-task-id" in told
    assert "taskweir tasks resubmit task_1" in told


def test_patience_ends() -> None:
    """A server that stays away for longer than the patience lasts is a failure in the end."""
    patience = Patience(0.0, pause_s=0.001)
    patience.missed(Unreachable("gone"))
    with pytest.raises(Unreachable, match="gone"):
        patience.missed(Unreachable("gone"))


def test_patience_may_be_endless() -> None:
    """Who follows a stream waits for ever."""
    patience = Patience(None, pause_s=0.001)
    for _ in range(3):
        patience.missed(Unreachable("gone"))


def test_patience_starts_anew_after_an_answer() -> None:
    """Only what fails in a row is counted."""
    patience = Patience(0.0, pause_s=0.001)
    for _ in range(3):
        patience.missed(Unreachable("gone"))
        patience.answered()


def test_ctrl_c_ends_the_wait_and_not_the_task(cli: Cli) -> None:
    """Who gives up waiting is told how to look later."""
    with cli.process(*submit_of("[never]"), "--wait") as process:
        read_until(process.stderr, "submitted")
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert "the task goes on" in err
    assert "taskweir tasks show task_" in err


def test_a_task_may_have_a_webhook_of_its_own(cli: Cli) -> None:
    """Where its own events go, which of them, and how they are written; the final one by default."""
    for chosen, count in ([], 1), (["--webhook-events", "task.submitted,task.finished"], 2):
        with stub([answer(200, {})]) as consumer:
            result = cli(*submit_of("a heron"), "--webhook-url", consumer.url, *chosen, "--wait", "--json")
            assert result.code == 0
            ends_at = time.monotonic() + 10
            while len(consumer.requests) < count:
                assert time.monotonic() < ends_at
            owed = cli("deliveries", "list", "--task", result.json["id"], "--json").json
        own = {each["id"] for each in cli("destinations", "list", "--json").json}
        assert len([each for each in owed if each["destination_id"] not in own]) == count


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["--webhook-events", "task.succeeded"], "webhook_events"),
        (["--webhook-format", "flat"], "webhook_format"),
        (["--webhook-url", "http://10.0.0.1/"], "webhook_url"),
        (["--webhook-url", "http://127.0.0.1:9/", "--webhook-events", "task.sung"], "webhook_events"),
        (["--webhook-url", "http://127.0.0.1:9/", "--webhook-format", "xml"], "webhook_format"),
    ],
)
def test_a_webhook_that_cannot_be_meant(cli: Cli, arguments: list[str], path: str) -> None:
    """Exit status 1 with the path, for a submit and for an adoption; nothing is submitted."""
    for command in (submit_of("a heron"), ["adopt", "apikley", "task_of_somebody"]):
        result = cli(*command, *arguments)
        assert (result.code, result.out) == (1, "")
        assert f"{path}: " in result.err

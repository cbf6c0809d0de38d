"""`taskweir tasks cancel|resubmit|resolve` and `taskweir adopt`."""

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.cli.driving import Cli, submit_of, submitted
from tests.cli.stub import answer, stub
from tests.service.world import APIKLEY_MODEL


def shown(cli: Cli, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = cli("tasks", "show", task_id, "--json").json
    return found


def test_a_task_is_canceled(cli: Cli) -> None:
    """Exit status 0, told on standard error; once it is final there is nothing to cancel."""
    made = submitted(cli, "[never]")
    result = cli("tasks", "cancel", made["id"])
    assert (result.code, result.out, result.err.strip()) == (0, "", f"{made['id']} canceled")
    again = cli("tasks", "cancel", f"apikley:{made['provider_task_id']}")
    assert (again.code, "only a task that is not final" in again.err) == (1, True)


def test_a_cancel_during_the_handover_says_that_it_is_still_to_come() -> None:
    """In the words of `waiting_for.text`."""
    waiting = {"text": "being handed over to apikley; canceled once that is answered"}
    task = {"id": "task_1", "status": "submitting", "waiting_for": waiting}
    with stub([answer(202, task)]) as server:
        settings = {"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": "0123456789abcdef"}
        result = Cli(settings=settings)("tasks", "cancel", "task_1")
    assert (result.code, result.err.strip()) == (0, f"task_1 submitting: {waiting['text']}")
    assert server.requests == ["POST /v1/tasks/task_1/cancel HTTP/1.1"]


def test_a_failed_task_is_submitted_once_more(cli: Cli) -> None:
    """Printed like any submit; with --wait its end decides the exit status."""
    first = submitted(cli, "[fail]", "--wait")
    again = cli("tasks", "resubmit", first["id"])
    (task_id,) = again.lines
    assert (again.code, shown(cli, task_id)["retry_of"]) == (0, first["id"])
    assert cli("tasks", "resubmit", first["id"], "--wait").code == 1
    open_one = submitted(cli, "[never]")
    assert cli("tasks", "resubmit", open_one["id"]).code == 1


def test_an_unconfirmed_task_is_declared_failed(cli: Cli) -> None:
    """--json prints the task as the API gives it."""
    made = submitted(cli, "[500] [never]")
    assert made["status"] == "unconfirmed"
    result = cli("tasks", "resolve", made["id"], "--failed", "--json")
    assert (result.code, result.json["status"]) == (0, "failed")


def test_an_unconfirmed_task_gets_the_id_that_was_found(cli: Cli) -> None:
    """It is asked about from then on."""
    made = submitted(cli, "[500] [never]")
    result = cli("tasks", "resolve", made["id"], "--provider-task-id", f"found-{made['id']}")
    assert (result.code, f"{made['id']} submitted: handed over to apikley" in result.err) == (0, True)
    assert shown(cli, made["id"])["provider_task_id"] == f"found-{made['id']}"


def test_what_doubt_means_is_told_with_the_commands_that_settle_it(cli: Cli) -> None:
    """By `tasks show` and by a submit, on standard error; of a task in no doubt nothing is."""
    made = cli(*submit_of("[500] [never]"))
    (task_id,) = made.lines
    looked = cli("tasks", "show", task_id)
    for result in (made, looked):
        assert result.err.count("Nobody knows whether apikley took this task") == 1
        assert f"taskweir tasks resolve {task_id} --provider-task-id" in result.err
        assert f"taskweir tasks resubmit {task_id} " in result.err
    assert cli("tasks", "show", task_id, "--json").err == ""
    assert "Nobody knows" not in cli("tasks", "show", submitted(cli, "[never]")["id"]).err


@pytest.mark.parametrize("options", [[], ["--failed", "--provider-task-id", "p1"]])
def test_a_resolution_is_one_of_two(cli: Cli, options: list[str]) -> None:
    """Anything else is wrong usage, and nobody is asked."""
    result = cli("tasks", "resolve", "task_1", *options)
    assert (result.code, "--failed" in result.err) == (2, True)


def created_elsewhere(cli: Cli) -> str:
    """A task that somebody else submitted to the sandbox, which serves the results, too; its id there."""
    body = {"model": APIKLEY_MODEL, "input": {"prompt": "x"}}
    result = urlsplit(submitted(cli, "x", "--wait")["outputs"][0]["url"])
    reply = httpx.post(
        f"{result.scheme}://{result.netloc}/apikley/api/v1/jobs/createTask",
        json=body,
        headers={"authorization": "Bearer k"},
        verify=False,
    )
    task_id: str = reply.json()["data"]["taskId"]
    return task_id


def test_a_task_of_elsewhere_is_adopted(cli: Cli) -> None:
    """Its outputs are printed as of any task; the same id again is the same task."""
    theirs = created_elsewhere(cli)
    about = ["--model", APIKLEY_MODEL, "--input", '{"prompt": "x"}', "--metadata", "order=42", "--deadline", "600"]
    result = cli("adopt", "apikley", theirs, *about, "--wait")
    assert result.code == 0
    (url,) = result.lines
    assert url.endswith(".mp4")
    again = cli("adopt", "apikley", theirs, "--json").json
    assert (again["provider_task_id"], again["metadata"], again["input"]) == (theirs, {"order": "42"}, {"prompt": "x"})


def test_what_cannot_be_adopted_is_told(cli: Cli) -> None:
    """Exit status 1 with the server's reason; 2 for input that is no JSON."""
    result = cli("adopt", "nobody", "p1")
    assert (result.code, "no provider 'nobody'" in result.err) == (1, True)
    assert cli("adopt", "apikley", "p1", "--input", "{").code == 2

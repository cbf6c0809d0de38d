"""The Python client, against a running server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.client import (
    ConfigurationError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Taskweir,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from tests.cli.driving import Cli
from tests.cli.stub import HANG_UP, answer, stub
from tests.service.world import APIKLEY_MODEL

KEY = "0123456789abcdef"
PROMPT = {"prompt": "a heron at dawn"}


@pytest.fixture(scope="module")
def client(server: dict[str, str]) -> Iterator[Taskweir]:
    """One for all tests, with the key that the server made."""
    key = (Path(server["TASKWEIR_DATA_DIR"]) / "taskweir.api-key").read_text().strip()
    with Taskweir(server["TASKWEIR_URL"], key) as made:
        yield made


def test_a_task_is_submitted_and_waited_for(client: Taskweir) -> None:
    """What the API promises of it are attributes; the whole answer is there as a dict."""
    task = client.submit("apikley", APIKLEY_MODEL, PROMPT, metadata={"order": "42"})
    assert (task.metadata, task.watch_url is None) == ({"order": "42"}, False)
    assert task.wait(timeout=20) is task
    assert (task.final, task.succeeded, task["status"], task.error) == (True, True, "succeeded", None)
    [output] = task.outputs
    assert (output.kind, output.role, task.urls) == ("video", "main", [output.url])
    assert client.task(f"apikley:{task.provider_task_id}") == task.reload()


def test_a_failure_is_an_answer_and_no_exception(client: Taskweir) -> None:
    """Who waits learns what became of the task."""
    task = client.submit("apikley", APIKLEY_MODEL, {"prompt": "[fail]"}).wait(timeout=20)
    assert (task.succeeded, task.status, task.urls) == (False, "failed", [])
    assert task.error is not None
    assert task.error.kind == "upstream"


def test_waiting_ends_when_its_time_is_over(client: Taskweir) -> None:
    """By a `TimeoutError`; the task goes on, and can be canceled."""
    task = client.submit("apikley", APIKLEY_MODEL, {"prompt": "[never]"})
    assert (task.final, task.status) == (False, "submitted")
    assert task.waiting_for is not None
    assert "apikley" in task.waiting_for.text
    with pytest.raises(TimedOut, match="it goes on"):
        task.wait(timeout=0)
    with pytest.raises(TimeoutError):
        task.wait(timeout=0.6)
    assert task.refresh().status == "submitted"
    assert task.cancel().status == "canceled"
    with pytest.raises(Conflict, match="only a task that is not final"):
        task.cancel()
    assert task.resubmit().retry_of == task.id


def test_a_task_in_doubt_is_settled(client: Taskweir) -> None:
    """By the provider's id, or as failed; by both or neither it cannot be."""
    task = client.submit("apikley", APIKLEY_MODEL, {"prompt": "[500] [never]"})
    assert task.status == "unconfirmed"
    with pytest.raises(ValueError, match="failed=True"):
        task.resolve()
    assert task.resolve(failed=True).status == "failed"
    assert "event" in {each["kind"] for each in client.timeline(task.id)}


def test_the_same_key_is_the_same_task(client: Taskweir) -> None:
    """However often it is sent; without one of the caller's own each submit has a new one."""
    first, again = (client.submit("apikley", APIKLEY_MODEL, PROMPT, idempotency_key="order-1") for _ in range(2))
    other = client.submit("apikley", APIKLEY_MODEL, PROMPT, at_once=True)
    assert (again.id == first.id, other.id == first.id) == (True, False)


def test_tasks_are_listed_by_their_filters(client: Taskweir) -> None:
    """Newest first, as many as there are, or as are wanted."""
    made = [client.submit("apikley", APIKLEY_MODEL, PROMPT, metadata={"batch": "7"}).id for _ in range(3)]
    assert [task.id for task in client.tasks(metadata={"batch": "7"})] == made[::-1]
    assert [task.id for task in client.tasks(metadata={"batch": "7"}, provider="apikley", limit=2)] == made[:0:-1]
    for task_id in made:
        client.task(task_id, wait=20)
    assert client.bulk("resubmit", {"metadata.batch": "7", "status": "succeeded"}, dry_run=True) == 3


def test_refusals_are_exceptions_by_their_names(client: Taskweir) -> None:
    """With the fields of the problem."""
    with pytest.raises(Invalid) as invalid:
        client.submit("apikley", APIKLEY_MODEL, {"duration": 5})
    assert (invalid.value.status, invalid.value.title.split()[0]) == (422, "Unprocessable")
    assert {fault.path for fault in invalid.value.errors} == {"input.prompt", "input.duration"}
    assert invalid.value.errors[0].code is not None
    with pytest.raises(NotFound, match="no task"):
        client.task("task_nobody")
    with Taskweir(client.server.url, KEY) as stranger, pytest.raises(Unauthorized) as unknown:
        stranger.me()
    assert unknown.value.lines == (f"The key came from api_key; give one that {client.server.url} knows.",)


def test_events_are_followed_from_a_cursor(client: Taskweir) -> None:
    """From there on, in order, and on with what comes."""
    [before] = client.newest(1)
    following = client.events(after=before.seq, follow=True, type=["task.submitted", "task.finished"])
    tasks = [client.submit("apikley", APIKLEY_MODEL, PROMPT) for _ in range(2)]
    seen = [next(following) for _ in range(4)]
    following.close()
    assert [event.seq for event in seen] == sorted({event.seq for event in seen if event.seq})
    for task in tasks:
        told = [event.type for event in seen if event.task and event.task.id == task.id]
        assert told == ["task.submitted", "task.succeeded"]
    assert [event.id for event in client.events(after=before.seq, task_id=tasks[0].id)] == [
        event.id for event in seen if event.task and event.task.id == tasks[0].id
    ]
    assert client.event(seen[0].id) == seen[0]
    assert (seen[-1].data.source, seen[-1].data.late) == ("callback", False)


def test_following_is_over_the_stream(client: Taskweir) -> None:
    """One connection, not a question every half second: what is there comes at once, by the stream's own door."""
    with client._http.stream("/v1/events/stream", {"after": 0, "type": "task.submitted"}) as lines:
        assert next(line for line in lines if line.startswith(b"event:")) == b"event: task.submitted"


def test_a_destination_has_its_deliveries(client: Taskweir) -> None:
    """Made, tested, changed, replayed, looked into and deleted."""
    with stub([answer(200, {}), answer(500, {})]) as consumer:
        made = client.add_webhook(consumer.url, event_types=["task.expired"], headers={"x-team": "set"})
        assert made.secret is not None
        assert client.destination_secret(made.id)["secret"] == made.secret
        assert client.test_destination(made.id).status == 200
        done = client.submit("apikley", APIKLEY_MODEL, PROMPT).wait(timeout=20)
        [event] = client.newest(1, type="task.finished", task_id=done.id)
        [owed] = client.replay_event(event.id, destination_id=made.id)
        assert owed.event_id == event.id
        assert client.cancel_delivery(owed.id).state == "canceled"
        assert client.retry_delivery(owed.id).state == "pending"
    assert made.id in {each.id for each in client.destinations()}
    assert client.update_destination(made.id, description="ours", max_in_flight=None)["description"] == "ours"
    assert [each.id for each in client.deliveries(destination_id=made.id)] == [owed.id]
    assert client.delivery(owed.id).event_id == event.id
    assert client.disable_destination(made.id).enabled is False
    assert client.enable_destination(made.id).state == "healthy"
    assert client.replay(made.id, since="2020-01-01T00:00:00Z", dry_run=True) == 0  # it wants none of them
    client.delete_destination(made.id)
    with pytest.raises(NotFound):
        client.destination(made.id)


def test_providers_are_paused_and_resumed(client: Taskweir) -> None:
    """By whoever operates them."""
    assert client.pause_provider("reelbyte").paused
    assert {each.name for each in client.providers() if each.paused} == {"reelbyte"}
    assert not client.resume_provider("reelbyte").paused


def test_a_key_opens_what_it_was_made_for(client: Taskweir) -> None:
    """What its scopes leave out is `Forbidden`; what tasks came to is told to whoever may read."""
    made = client.create_key("reader", ["read"])
    assert (made.scopes, made.id in {each.id for each in client.keys(limit=20)}) == (["read"], True)
    with Taskweir(client.server.url, made.key) as reader:
        assert reader.me()["label"] == "reader"
        [group] = [
            each for each in reader.usage(group_by="provider")["items"] if each["group"] == {"provider": "apikley"}
        ]
        assert group["tasks"] >= 1
        with pytest.raises(Forbidden):
            reader.submit("apikley", APIKLEY_MODEL, PROMPT)
    client.revoke_key(made.id)


def test_where_nothing_leads_to_a_server_it_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An impossible URL before anything is sent, a server that is away by `Unreachable`."""
    with pytest.raises(ConfigurationError, match="TASKWEIR_URL"):
        Taskweir("ftp://x", KEY)
    with stub([HANG_UP]) as gone:
        pass
    with Taskweir(gone.url, KEY, retries=0) as client, pytest.raises(Unreachable, match="no server answers"):
        client.me()


def test_importing_it_loads_no_server() -> None:
    """Neither ours nor the libraries that only a server needs."""
    script = "import sys, receiver.client; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "receiver.client" in loaded
    server = {"receiver.web", "receiver.store", "receiver.service", "receiver.cli", "adapters", "receiver.intake"}
    libraries = {"starlette", "uvicorn", "pydantic", "sqlite3", "typer", "prometheus_client", "psycopg", "httptools"}
    assert loaded & (server | libraries) == set()


def test_it_reads_the_environment_as_the_commands_do(cli: Cli) -> None:
    """`TASKWEIR_URL`, and the key in the file that the server made."""
    script = "from receiver.client import Taskweir\nwith Taskweir() as client: print(client.me()['tenant'])"
    ours = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**cli.settings}
    )
    assert ours.stdout.strip() == "default"


def test_what_was_deleted_cannot_be_followed() -> None:
    """Whose cursor is older than what is kept is told so, and decides himself where to go on."""
    gone = answer(410, {"detail": "events after 3 were deleted", "status": 410}, kind="application/problem+json")
    with stub([gone]) as server, Taskweir(server.url, KEY) as client, pytest.raises(Gone, match="were deleted"):
        next(client.events(after=3, follow=True))

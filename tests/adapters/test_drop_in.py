"""What every adapter's drop-in side promises: what it tells of a record, its own adapter reads as that record."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import Accepted, Adapter, Refused
from adapters.drop_in import CALLBACK, Answer, Asked, DropIn
from receiver import formats
from receiver.domain import Failure, FailureKind, Kind, Output, Provider, Role, Status, Task, Update, Usage
from receiver.errors import Fault
from receiver.wire import Callback, Reply
from tests.adapters import hostile
from tests.adapters.plain import HERE, NOW, entries
from tests.adapters.plain import adapter_of as installed
from tests.make import a_task

NAMES = [entry.name for entry in entries()]
every_adapter = pytest.mark.parametrize("name", NAMES)
FILE = "https://files.example/1.mp4"
WAITING = (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED, Status.SUBMITTED)
CHARGED = Usage(amount=18, phase="charged")
MODELS = {
    "apikley": "bytedance/v1-pro-text-to-video",
    "reapi": "doubao-seedance-2.0",
    "reve2img": "kling-text-to-video",
}
REASONS = {  # a code of the provider's own, and what it reads it as
    "apikley": ("500", FailureKind.UPSTREAM),
    "reapi": ("80006", FailureKind.CONTENT_POLICY),
    "reelbyte": ("E1", FailureKind.UPSTREAM),
    "reve2img": ("CONTENT_POLICY_VIOLATION", FailureKind.CONTENT_POLICY),
}


adapter_of = cache(installed)


@cache
def own(name: str) -> DropIn:
    found = adapter_of(name).drop_in()
    assert found is not None
    return found


def a_record(name: str, status: Status, **fields: Any) -> Task:
    return a_task(provider=name, model=MODELS.get(name, "m"), status=status, created_at=NOW, **fields)


def polled(name: str, answer: Answer) -> Any:
    return adapter_of(name).read_poll(reply(answer), media=Kind.VIDEO, now=NOW)


def sent(name: str, answer: Answer) -> Any:
    return adapter_of(name).read_submit(reply(answer), media=Kind.VIDEO, now=NOW)


def reply(answer: Answer) -> Reply:
    return Reply(status=answer.status, headers={}, body=json.dumps(answer.body).encode())


def shown(name: str, task: Task) -> Update:
    update = polled(name, own(name).shown(task, "p1", "https://caller.example/hook"))
    assert isinstance(update, Update), update
    return update


@every_adapter
def test_every_standing_is_read_as_it_is(name: str) -> None:
    """What waits waits, in doubt or not; what ended has ended; canceled and expired where the provider has a word."""
    for status in Status:
        error = Failure(kind=FailureKind.UNKNOWN, message="why") if status.final else None
        task = a_record(name, status, error=None if status is Status.SUCCEEDED else error, finished_at=NOW + 1)
        read = shown(name, task).status
        assert read is not None
        assert read.final is status.final
        if status in (Status.SUCCEEDED, Status.FAILED, Status.RUNNING):
            assert read is status
        if status in (Status.CANCELED, Status.EXPIRED):
            assert read in (Status.FAILED, status)


@every_adapter
def test_a_success_is_read_with_its_results_and_its_cost(name: str) -> None:
    """Each result in its place, in order."""
    outputs = tuple(Output(kind=Kind.VIDEO, url=f"https://files.example/{at}.mp4", index=at) for at in range(3))
    task = a_record(name, Status.SUCCEEDED, outputs=outputs[::-1], usage=CHARGED, finished_at=NOW)
    update = shown(name, task)
    assert [replace(each, expires_at=None) for each in update.outputs] == list(outputs)
    assert update.usage == (None if name == "reapi" else CHARGED)  # it has no cost in its envelope
    assert update.provider_task_id in ("p1", None)


@every_adapter
def test_other_kinds_of_results_are_in_their_own_places(name: str) -> None:
    """Images and sounds, by what they are; a last frame and a thumbnail where the provider has room for one."""
    for kind, suffix in ((Kind.IMAGE, "png"), (Kind.AUDIO, "mp3")):
        output = Output(kind=kind, url=f"https://files.example/1.{suffix}")
        update = shown(name, a_record(name, Status.SUCCEEDED, outputs=(output,), finished_at=NOW, media=kind))
        assert [(each.kind, each.url) for each in update.outputs] == [(kind, output.url)]
    still = Output(kind=Kind.IMAGE, url="https://files.example/1.png", role=Role.LAST_FRAME)
    thumbnail = replace(still, role=Role.THUMBNAIL)
    main = Output(kind=Kind.VIDEO, url=FILE)
    task = a_record(name, Status.SUCCEEDED, outputs=(still, thumbnail, main), finished_at=NOW)
    rooms = {"reapi": [Role.MAIN, Role.LAST_FRAME], "reelbyte": [Role.MAIN, Role.THUMBNAIL]}
    assert [each.role for each in shown(name, task).outputs] == rooms.get(name, [Role.MAIN])


@every_adapter
def test_a_failure_is_read_with_the_providers_own_reason(name: str) -> None:
    """Its code and its text, as it told us."""
    code, kind = REASONS[name]
    error = Failure(kind=kind, code=code, message="it would not")
    update = shown(name, a_record(name, Status.FAILED, error=error, finished_at=NOW, usage=None))
    assert update.status is Status.FAILED
    assert update.error is not None
    assert (update.error.kind, update.error.code, update.error.message) == (kind, code, "it would not")


@every_adapter
def test_the_providers_own_word_is_passed_on_until_the_end(name: str) -> None:
    """One from tomorrow, too; but none that speaks of an end which our record does not have."""
    word = "levitating"
    assert shown(name, a_record(name, Status.RUNNING, provider_status=word)).provider_status == word
    ends = {"apikley": "success", "reapi": "completed", "reelbyte": "success", "reve2img": "SUCCESS"}
    early = shown(name, a_record(name, Status.RUNNING, provider_status=ends[name]))
    assert early.status is Status.RUNNING


@every_adapter
def test_what_was_recorded_is_answered_as_accepted(name: str) -> None:
    """Under the id that is told, whatever we know of it yet: a library that reads an error pays twice."""
    for status in (*WAITING, Status.RUNNING):
        answer = sent(name, own(name).accepted(a_record(name, status), "task_7"))
        assert isinstance(answer, Accepted), status
        assert answer.update.provider_task_id == "task_7"
        assert answer.update.status is None or not answer.update.status.final


@every_adapter
def test_refusals_are_read_as_refusals_of_their_kind(name: str) -> None:
    """Ours and the provider's; those of a moment say that nothing was created."""
    for kind in (FailureKind.AUTH, FailureKind.QUOTA, FailureKind.INVALID_REQUEST):
        message = "insufficient credits" if kind is FailureKind.QUOTA else "no"
        answer = sent(name, own(name).refused(Failure(kind=kind, message=message)))
        assert isinstance(answer, Refused), (kind, answer)
        assert answer.failure.kind is kind
    slow = sent(name, own(name).refused(Failure(kind=FailureKind.RATE_LIMITED, message="later", retryable=True)))
    assert type(slow).__name__ == "NotCreated"


@every_adapter
def test_every_failure_can_be_refused_and_told(name: str) -> None:
    """With any code, as JSON, under a status that HTTP has."""
    for kind in FailureKind:
        for code in (None, "", "500", "x" * 100, "PRICING_UNAVAILABLE", "9" * 30, "\u0660\u0660\u0660"):
            failure = Failure(kind=kind, code=code, message="m")
            refused = own(name).refused(failure)
            assert 200 <= refused.status < 600
            json.dumps(refused.body)
            for status in (Status.FAILED, Status.EXPIRED, Status.CANCELED):
                task = a_record(name, status, error=failure, finished_at=NOW)
                json.dumps(own(name).callback(task, "p1", "https://caller.example/hook"))
                assert shown(name, task).status is not None


@every_adapter
def test_a_poll_of_nobodys_task_is_read_as_not_found(name: str) -> None:
    """In the provider's own words."""
    answer = polled(name, own(name).unknown_task("req_1"))
    assert answer.failure.kind is FailureKind.NOT_FOUND


@every_adapter
def test_a_callback_is_read_as_the_record(name: str) -> None:
    """By the adapter whose shape it is: Apikley's, where the provider has none; the caller's URL stands in it."""
    url = "https://caller.example/hook"
    main = Output(kind=Kind.VIDEO, url=FILE)
    done = a_record(name, Status.SUCCEEDED, outputs=(main,), usage=CHARGED, finished_at=NOW + 5000)
    failed = a_record(name, Status.FAILED, error=Failure(kind=FailureKind.UPSTREAM, code="500", message="no"))
    for task in (done, failed):
        body = json.dumps(own(name).callback(task, "p1", url)).encode()
        [update] = adapter_of("apikley").read_callback(Callback(headers={}, body=body), media=Kind.VIDEO, now=NOW)
        assert (update.status, update.provider_task_id, update.callback_url) == (task.status, "p1", url)
        assert [each.url for each in update.outputs] == [each.url for each in task.outputs]
        assert update.usage == task.usage
        assert (update.error and update.error.message) == (task.error and task.error.message)


@every_adapter
def test_what_a_caller_sends_is_what_we_would(name: str) -> None:
    """Every example of the provider's own pages: read here, and built again by its adapter, it is the same request."""
    adapter, provider = adapter_of(name), Provider(name=name, adapter=name, base_url="https://e.example", api_key="k")
    for path in sorted(HERE.glob(f"seeds/{name}/*.json")):
        wire = json.loads(path.read_text())["wire"]
        asked = own(name).read_submit(wire["path"], wire["body"])
        assert isinstance(asked, Asked), path
        assert asked.callback_url == wire["body"].get(CALLBACK)
        call = adapter.submit(provider, asked.model, asked.input, asked.callback_url if name == "apikley" else None)
        assert call.url == f"https://e.example{wire['path']}"
        assert json.loads(call.body or b"") == wire["body"]


@every_adapter
def test_any_body_is_read(name: str) -> None:
    """Each field of each example damaged; what is read has a shape, or a fault that its caller is told."""
    adapter = adapter_of(name)
    for path in sorted(HERE.glob(f"seeds/{name}/*.json")):
        wire = json.loads(path.read_text())["wire"]
        for body in hostile.damaged(wire["body"]):
            _judge(adapter, own(name).read_submit(wire["path"], body), own(name))


def _judge(adapter: Adapter, asked: Asked | Fault, own: DropIn) -> None:
    faults = [asked] if isinstance(asked, Fault) else list(adapter.check_shape(asked.model, asked.input))
    if faults:
        assert own.failure_of(faults).message
        assert own.refused(own.failure_of(faults)).body


@every_adapter
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(body=st.dictionaries(st.sampled_from(["model", "input", CALLBACK, "prompt", "x"]), st.none() | st.text()))
def test_any_object_is_read_on_any_path(name: str, body: dict[str, Any]) -> None:
    """None of it is an error of ours."""
    for path in own(name).submit_paths:
        _judge(adapter_of(name), own(name).read_submit(path, body), own(name))


@every_adapter
def test_polls_name_their_task(name: str) -> None:
    """Where the provider's callers name it; anything else names none."""
    doors = own(name)
    for path in (doors.poll_path, doors.poll_path.replace("{id}", "t.1")):
        found = doors.is_poll(doors.poll_method, path)
        assert found is not None
    assert doors.is_poll("DELETE", doors.poll_path) is None
    assert doors.is_poll(doors.poll_method, doors.poll_path + "/more") is None
    assert doors.is_poll(doors.poll_method, f"/x{doors.poll_path}") is None
    for body in hostile.BODIES.values():
        assert isinstance(doors.polled_id({}, body), str | None)


@every_adapter
def test_a_key_is_found_wherever_callers_put_it(name: str) -> None:
    """As bearer, or in `x-api-key`; in nothing else."""
    doors = own(name)
    assert doors.key({"authorization": "Bearer  k1 "}) == "k1"
    assert doors.key({"authorization": "bearer k1", "x-api-key": "k2"}) == "k1"
    assert doors.key({"authorization": "Basic abc", "x-api-key": "k2"}) == "k2"
    for headers in ({}, {"authorization": "k1"}, {"authorization": "Bearer "}, {"x-api-key": " "}):
        assert doors.key(headers) is None


def test_an_adapter_need_not_have_doors_of_its_own() -> None:
    """One of somebody else's, from before there were any."""
    assert Adapter.drop_in(adapter_of("apikley")) is None


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(
    status=st.sampled_from(Status),
    error=st.none()
    | st.builds(Failure, kind=st.sampled_from(FailureKind), message=st.text(), code=st.none() | st.text()),
    outputs=st.lists(
        st.builds(
            Output,
            kind=st.sampled_from(Kind),
            url=st.text(),
            role=st.sampled_from(Role),
            expires_at=st.none() | st.integers(0, 2**41),
        )
    ),
    usage=st.none() | st.builds(Usage, amount=st.floats(0, 1e9)),
    at=st.integers(0, 2**41),
)
def test_a_task_is_read_from_its_event_as_it_was(
    status: Status, error: Failure | None, outputs: list[Output], usage: Usage | None, at: int
) -> None:
    """To the millisecond: a callback is rebuilt from it."""
    task = a_task(status=status, error=error, outputs=tuple(outputs), usage=usage, created_at=at, finished_at=at)
    fields = formats.task_fields(task)
    read = formats.task_in(json.loads(json.dumps(fields)), task.input)
    assert formats.task_fields(read) == fields
    assert (read.input, read.outputs, read.error, read.usage) == (task.input, task.outputs, task.error, task.usage)

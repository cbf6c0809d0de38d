"""What Reelbyte is asked, and what is refused before it is asked; its answers stand in samples/reelbyte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Ambiguous, PollFailed
from adapters.reelbyte import Reelbyte
from receiver.domain import FailureKind, Kind, Provider, Status
from receiver.wire import Reply
from tests.adapters.plain import NOW

ADAPTER = Reelbyte()
PROVIDER = Provider(name="reelbyte", adapter="reelbyte", base_url="https://reelbyte.video/", api_key="key-of-a-test")
MODEL = "bytedance/seedance-1-lite"
GOOD: dict[str, Any] = {"mediaType": "video", "provider": "replicate", "scene": "text-to-video", "prompt": "a city"}


def told(status: int, body: Any, mouth: str = "submit") -> Any:
    """What a reply with this JSON means."""
    reply = Reply(status=status, headers={}, body=json.dumps(body).encode())
    ask = ADAPTER.read_submit if mouth == "submit" else ADAPTER.read_poll
    return ask(reply, media=Kind.VIDEO, now=NOW)


def faults(model: str = MODEL, **changes: Any) -> list[tuple[str, Any]]:
    """Where and with which code a request is refused; a field set to None is left out."""
    sent = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return [(fault.path, fault.code) for fault in ADAPTER.check(model, sent)]


def test_a_submit_carries_the_input_beside_the_model() -> None:
    """The body is the caller's input with the model beside it, under our key, whatever the base URL ends in."""
    call = ADAPTER.submit(PROVIDER, MODEL, GOOD, "https://receiver.example/callbacks/reelbyte/token")

    assert (call.method, call.url) == ("POST", "https://reelbyte.video/api/v1/ai/generate")
    assert call.headers == {"authorization": "Bearer key-of-a-test", "content-type": "application/json"}
    assert json.loads(call.body or b"") == {"model": MODEL, **GOOD}


def test_a_poll_posts_the_task_id() -> None:
    """The query is a POST whose body is the id as it is, whatever characters are in it."""
    call = ADAPTER.poll(PROVIDER, 'a/b "c" é')

    assert (call.method, call.url) == ("POST", "https://reelbyte.video/api/v1/ai/query")
    assert json.loads(call.body or b"") == {"taskId": 'a/b "c" é'}
    assert call.headers["authorization"] == "Bearer key-of-a-test"


def test_a_key_is_not_shown_by_a_request() -> None:
    """A request can be logged: its headers, which carry the key, are not in its repr."""
    assert "key-of-a-test" not in repr(ADAPTER.submit(PROVIDER, MODEL, GOOD, None))


@pytest.mark.parametrize(
    ("model", "input", "paths"),
    [
        (MODEL, {}, []),
        ("m" * 200, {}, []),
        ("m" * 201, {}, ["model"]),
        ("", {}, ["model"]),
        (" ", {}, ["model"]),
        (None, {}, ["model"]),
        (MODEL, ["a"], ["input"]),
        (MODEL, None, ["input"]),
        (MODEL, {"model": "another"}, ["input.model"]),
        ("", {"model": "another"}, ["model", "input.model"]),
    ],
)
def test_a_shape_that_nobody_could_take_is_refused(model: Any, input: Any, paths: list[str]) -> None:
    """A model of 1 to 200 characters and an object beside it, without a second model that would override ours."""
    assert [fault.path for fault in ADAPTER.check_shape(model, input)] == paths


def test_a_second_model_is_refused_with_its_remedy() -> None:
    """The message says what to do about it."""
    (fault,) = ADAPTER.check_shape(MODEL, {"model": "another"})

    assert "remove it from `input`" in fault.message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scene": None},
        {"prompt": None, "options": {"image_input": ["https://cdn.reelbyte.video/uploads/a.png"]}},
        {"prompt": "", "options": {}},
        {"mediaType": "image", "scene": "image-to-image"},
        {"mediaType": "music", "scene": "text-to-music"},
        {"mediaType": "text", "scene": None},
        {"mediaType": "speech", "scene": None},
    ],
)
def test_what_the_documents_allow_passes(changes: dict[str, Any]) -> None:
    """Nothing is refused that the documents would take."""
    assert faults(**changes) == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"mediaType": None}, "input.mediaType"),
        ({"mediaType": "hologram"}, "input.mediaType"),
        ({"mediaType": ["video"]}, "input.mediaType"),
        ({"provider": None}, "input.provider"),
        ({"provider": " "}, "input.provider"),
        ({"provider": 7}, "input.provider"),
        ({"prompt": None}, "input.prompt"),
        ({"prompt": "  "}, "input.prompt"),
        ({"prompt": None, "options": "fast"}, "input.prompt"),
        ({"scene": "text-to-hologram"}, "input.scene"),
        ({"scene": ["text-to-video"]}, "input.scene"),
    ],
)
def test_invalid_params_are_refused_before_they_are_sent(changes: dict[str, Any], path: str) -> None:
    """Each documented mistake is one fault at its field, with the provider's own word, for any model."""
    assert faults(**changes) == [(path, "invalid params")]
    assert faults("a-model/of-tomorrow", **changes) == [(path, "invalid params")]


def test_a_refusal_begins_as_the_provider_would_say_it() -> None:
    """The message starts with the provider's own text and goes on with what is missing."""
    (fault,) = ADAPTER.check(MODEL, {**GOOD, "provider": ""})

    assert fault.message == "invalid params: provider is required, as in replicate"


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("video", Kind.VIDEO),
        ("image", Kind.IMAGE),
        ("Image ", Kind.IMAGE),
        ("music", Kind.AUDIO),
        ("audio", Kind.AUDIO),
        ("speech", Kind.AUDIO),
        ("text", Kind.TEXT),
        ("hologram", Kind.VIDEO),
        (["image"], Kind.VIDEO),
        (None, Kind.VIDEO),
    ],
)
def test_the_media_type_says_what_is_asked_for(word: Any, kind: Kind) -> None:
    """The result's kind is the request's mediaType, video where that is missing or odd."""
    assert ADAPTER.media(MODEL, {"mediaType": word}) is kind


def test_it_is_polled_and_never_calls_back() -> None:
    """Every 3 s in the first minute, 5 s to the tenth, then 30 s; an hour at most; no callbacks."""
    profile = ADAPTER.profile

    assert [(step.from_s, step.every_s) for step in profile.pace] == [(0, 3), (60, 5), (600, 30)]
    assert ADAPTER.deadline_seconds(MODEL, GOOD) == 3600
    assert not profile.takes_callback
    assert 60 <= profile.grace_s <= 120


@given(text=st.text(), code=st.integers(max_value=-1, min_value=-999))
def test_a_text_that_cannot_be_placed_is_never_called_safe(text: str, code: int) -> None:
    """The row is written after the task was created: an unknown error inside HTTP 200 may hide a paid task."""
    answer = told(200, {"code": code, "message": f"~{text}", "data": None})

    assert isinstance(answer, Ambiguous)
    assert not answer.failure.retryable


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 500])
@pytest.mark.parametrize("message", ["query ai task failed", "something new", "insufficient credits"])
def test_no_error_of_a_poll_ends_a_task(status: int, message: str) -> None:
    """Whatever is wrong with a query, it is not the task."""
    assert isinstance(told(status, {"code": -1, "message": message, "data": None}, "poll"), PollFailed)


def test_a_contradicted_refusal_keeps_the_task_id_in_a_long_message() -> None:
    """The id is what an operator needs to resolve the task: the text before it gives way."""
    answer = told(200, {"code": -1, "message": "invalid params " + "x" * 600, "data": {"taskId": "t-77"}})

    assert isinstance(answer, Ambiguous)
    assert answer.failure.message.endswith("(yet the answer names task t-77)")
    assert len(answer.failure.message) == 500


def test_the_task_id_of_a_poll_is_left_alone() -> None:
    """The public template answers a query with the upstream's id: it must not replace the id we ask with."""
    update = told(200, {"code": 0, "message": "ok", "data": {"taskId": "upstream-1", "status": "pending"}}, "poll")

    assert update.status is Status.SUBMITTED
    assert update.provider_task_id is None


def test_the_word_decides_before_the_status() -> None:
    """A known refusal is one inside HTTP 200 and inside HTTP 500 alike."""
    for status in (200, 429, 500):
        answer = told(status, {"code": -1, "message": "Insufficient Credits", "data": None})
        assert answer.failure.kind is FailureKind.QUOTA
        assert type(answer).__name__ == "Refused"

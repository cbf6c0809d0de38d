"""What Reve2img is asked, and what is refused before it is asked; its answers stand in samples/reve2img."""

import json
from typing import Any

import pytest

from adapters.base import Ambiguous, NotCreated, Refused
from adapters.reve2img import Reve2img
from adapters.reve2img_errors import ERRORS
from receiver.domain import Kind, Provider
from receiver.wire import Reply
from tests.adapters.plain import NOW

ADAPTER = Reve2img()
PROVIDER = Provider(name="reve2img", adapter="reve2img", base_url="https://reve2img.com//", api_key="key-of-a-test")
IMAGE = "reve-2.0"
VIDEO = "kling3-pro-image-to-video"


def test_a_submit_carries_the_input_beside_the_model() -> None:
    """The body is the caller's input with the model beside it, under our key, whatever the base URL ends in."""
    call = ADAPTER.submit(PROVIDER, IMAGE, {"prompt": "a red panda"}, "https://receiver.example/callbacks/x/y")

    assert (call.method, call.url) == ("POST", "https://reve2img.com/api/v1/generate")
    assert call.headers == {"authorization": "Bearer key-of-a-test", "content-type": "application/json"}
    assert json.loads(call.body or b"") == {"model": IMAGE, "prompt": "a red panda"}


def test_an_id_cannot_leave_its_place_in_the_query() -> None:
    """A task id is percent-encoded whole: it can neither end the value nor add another parameter."""
    call = ADAPTER.poll(PROVIDER, "a/b?c&d=é#f")

    assert call.method == "GET"
    assert call.url == "https://reve2img.com/api/v1/status?task_id=a%2Fb%3Fc%26d%3D%C3%A9%23f"
    assert call.headers == {"authorization": "Bearer key-of-a-test"}
    assert call.body is None


@pytest.mark.parametrize(
    ("model", "input", "faults"),
    [
        (IMAGE, {}, []),
        ("", {}, [("model", "INVALID_MODEL")]),
        (None, {}, [("model", "INVALID_MODEL")]),
        ("m" * 201, {}, [("model", "INVALID_MODEL")]),
        (IMAGE, "a red panda", [("input", None)]),
        (IMAGE, {"model": VIDEO}, [("input.model", None)]),
    ],
)
def test_a_shape_that_nobody_could_take_is_refused(model: Any, input: Any, faults: list[tuple[str, Any]]) -> None:
    """A model of 1 to 200 characters and an object beside it, without a second model that would override ours."""
    assert [(fault.path, fault.code) for fault in ADAPTER.check_shape(model, input)] == faults


@pytest.mark.parametrize(
    ("model", "input"),
    [
        (IMAGE, {"prompt": "a red panda"}),
        (IMAGE, {"prompt": "a red panda", "image_urls": ["https://cdn.example/a.png"]}),
        (VIDEO, {"image_urls": ["https://cdn.example/a.png"], "duration": 5}),
        ("a-model-of-tomorrow", {}),
    ],
)
def test_what_the_documents_allow_passes(model: str, input: dict[str, Any]) -> None:
    """A prompt is "usually" required: where seed 003 does not say so, its absence is the provider's to judge."""
    assert list(ADAPTER.check(model, input)) == []


@pytest.mark.parametrize(
    ("model", "input", "path", "code", "message"),
    [
        (IMAGE, {}, "input.prompt", "INVALID_PROMPT", "prompt is missing or empty."),
        ("Reve-3.0", {}, "input.prompt", "INVALID_PROMPT", "prompt is missing or empty."),
        (VIDEO, {"prompt": ""}, "input.prompt", "INVALID_PROMPT", "prompt is missing or empty."),
        (VIDEO, {"prompt": " \n"}, "input.prompt", "INVALID_PROMPT", "prompt is missing or empty."),
        (VIDEO, {"prompt": None}, "input.prompt", "INVALID_PROMPT", "prompt is missing or empty."),
        ("a-model-of-tomorrow", {"prompt": ["a"]}, "input.prompt", "INVALID_PROMPT", "prompt is missing or empty."),
        (" ", {"prompt": "a red panda"}, "model", "INVALID_MODEL", "Unknown or missing model."),
    ],
)
def test_documented_mistakes_are_refused_before_they_are_sent(
    model: str, input: dict[str, Any], path: str, code: str, message: str
) -> None:
    """Each is one fault at its field, with the provider's own word and meaning."""
    assert [(f.path, f.code, f.message) for f in ADAPTER.check(model, input)] == [(path, code, message)]


@pytest.mark.parametrize(
    ("model", "input", "kind"),
    [
        (IMAGE, {}, Kind.IMAGE),
        ("reve-2.0", {"duration": 5}, Kind.IMAGE),
        ("happyhorse-1.0-text-to-video", {}, Kind.VIDEO),
        ("Some-Video-Model", {}, Kind.VIDEO),
        ("a-model-of-tomorrow", {}, Kind.IMAGE),
        ("a-model-of-tomorrow", {"generate_audio": False}, Kind.VIDEO),
    ],
)
def test_the_model_says_what_is_asked_for_and_how_long_it_may_take(model: str, input: Any, kind: Kind) -> None:
    """A video's id says so, or its body has a field of videos; an image has half an hour, a video a whole one."""
    assert ADAPTER.media(model, input) is kind
    assert ADAPTER.deadline_seconds(model, input) == (1800 if kind is Kind.IMAGE else 3600)


def test_it_is_polled_and_never_calls_back() -> None:
    """Every 2 to 5 s (seed 003), however long it takes; no callbacks."""
    profile = ADAPTER.profile

    assert profile.pace[0].from_s == 0
    assert all(2 <= step.every_s <= 5 for step in profile.pace)
    assert not profile.takes_callback
    assert 60 <= profile.grace_s <= 120


@pytest.mark.parametrize("word", sorted(ERRORS))
def test_only_four_words_are_safe_to_send_again(word: str) -> None:
    """What may be resent costs twice if that is wrong: only the words that are known to have created nothing."""
    body = json.dumps({"code": ERRORS[word].number, "message": word}).encode()
    answer = ADAPTER.read_submit(Reply(status=ERRORS[word].number, headers={}, body=body), media=Kind.IMAGE, now=NOW)

    safe = word in {"RATE_LIMITED", "TOO_MANY_TASKS", "GENERATION_FAILED", "SERVICE_UNAVAILABLE"}
    assert type(answer) is (NotCreated if safe else Ambiguous if word == "TIMEOUT" else Refused)

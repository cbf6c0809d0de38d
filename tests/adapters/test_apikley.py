"""What is Apikley's alone: its one documented schema, its callback field, its clock and its credits."""

import json
from typing import Any

import pytest

from adapters.apikley import Apikley
from receiver.domain import Kind, Provider
from tests.adapters.plain import NOW, said

_MODEL = "bytedance/v1-pro-text-to-video"
_BOY = {"prompt": "A boy with curly hair"}
_PROVIDER = Provider(name="apikley", adapter="apikley", base_url="https://api.apikley.ru", api_key="k")
_DAY = 86_400_000


def _faults(input: dict[str, Any]) -> list[tuple[str, Any, str]]:
    return [(fault.path, fault.code, fault.message) for fault in Apikley().check(_MODEL, input)]


def _polled(**data: Any) -> dict[str, Any]:
    record = {"taskId": "t-1", "state": "success", "resultJson": '{"resultUrls":["https://a.example/v.mp4"]}', **data}
    update = said(Apikley(), "poll", json.dumps({"code": 200, "msg": "success", "data": record}).encode())["Update"]
    assert isinstance(update, dict)
    return update


@pytest.mark.parametrize(
    ("input", "at", "message"),
    [
        ({}, "prompt", "is required"),
        ({"prompt": None}, "prompt", "must be text"),
        ({"prompt": ["a"]}, "prompt", "must be text"),
        ({"prompt": "a" * 10_001}, "prompt", "must have at most 10000 characters, got 10001"),
        (
            {**_BOY, "aspect_ratio": "2:1"},
            "aspect_ratio",
            'must be one of the texts "21:9", "16:9", "4:3", "1:1", "3:4", "9:16", got "2:1"',
        ),
        (
            {**_BOY, "resolution": "720P"},
            "resolution",
            'must be one of the texts "480p", "720p", "1080p", got "720P"',
        ),
        ({**_BOY, "duration": 5}, "duration", 'must be one of the texts "5", "10", got 5'),
        ({**_BOY, "duration": None}, "duration", 'must be one of the texts "5", "10", got null'),
        ({**_BOY, "camera_fixed": "false"}, "camera_fixed", "must be true or false"),
        ({**_BOY, "enable_safety_checker": 1}, "enable_safety_checker", "must be true or false"),
        ({**_BOY, "seed": -2}, "seed", "must be a whole number from -1 to 2147483647"),
        ({**_BOY, "seed": 2_147_483_648}, "seed", "must be a whole number from -1 to 2147483647"),
        ({**_BOY, "seed": 1.5}, "seed", "must be a whole number from -1 to 2147483647"),
        ({**_BOY, "seed": True}, "seed", "must be a whole number from -1 to 2147483647"),
        ({**_BOY, "seed": "7"}, "seed", "must be a whole number from -1 to 2147483647"),
    ],
)
def test_what_the_schema_refuses_is_a_422(input: dict[str, Any], at: str, message: str) -> None:
    """Each limit of seed 002's schema gives one fault with the seed's code for validation errors."""
    assert _faults(input) == [(f"input.{at}", 422, message)]


@pytest.mark.parametrize(
    "input",
    [
        {"prompt": ""},
        {"prompt": "ü" * 10_000},
        {**_BOY, "duration": "10", "aspect_ratio": "21:9", "resolution": "1080p"},
        {**_BOY, "seed": -1},
        {**_BOY, "seed": 2_147_483_647},
        {**_BOY, "seed": 5.0},
        {**_BOY, "a_field_from_tomorrow": []},
    ],
)
def test_the_schema_s_edges_pass(input: dict[str, Any]) -> None:
    """What the schema does not refuse is the provider's business."""
    assert _faults(input) == []


def test_every_fault_of_a_request_is_named() -> None:
    """A caller mends a request once, not once per fault."""
    faults = _faults({"resolution": 1, "duration": 1, "camera_fixed": 1, "seed": "1"})

    assert [path for path, _, _ in faults] == [
        "input.prompt",
        "input.resolution",
        "input.duration",
        "input.camera_fixed",
        "input.seed",
    ]


def test_models_without_a_schema_are_not_judged() -> None:
    """The rest of the market may want anything: only its shape is checked."""
    assert list(Apikley().check("google/nano-banana", {"duration": 5})) == []


def test_a_callback_url_among_the_parameters_is_refused() -> None:
    """Nobody would honour it there: the fault names what does the same."""
    (fault,) = Apikley().check_shape(_MODEL, {**_BOY, "callBackUrl": "https://mine.example"})

    assert fault.path == "input.callBackUrl"
    assert "webhook_url" in fault.message


def test_the_callback_url_stands_beside_the_model() -> None:
    """The body is minified, model first; without a callback URL there is no such field."""
    with_one = Apikley().submit(_PROVIDER, "m", {"a": "é"}, "https://us.example/c")
    without = Apikley().submit(_PROVIDER, "m", {"a": "é"}, None)

    assert with_one.body == '{"model":"m","callBackUrl":"https://us.example/c","input":{"a":"é"}}'.encode()
    assert without.body == '{"model":"m","input":{"a":"é"}}'.encode()


def test_a_poll_is_a_get_with_the_id_in_its_query() -> None:
    """The poll of seed 002's Get Task Details, with the id percent-encoded."""
    call = Apikley().poll(_PROVIDER, "task/1 &x")

    assert (call.method, call.body) == ("GET", None)
    assert call.url == "https://api.apikley.ru/api/v1/jobs/recordInfo?taskId=task%2F1%20%26x"
    assert dict(call.headers) == {"authorization": "Bearer k"}


@pytest.mark.parametrize(
    ("completed", "counted_from"),
    [
        (NOW - 1000, NOW - 1000),
        (NOW - 8 * _DAY, NOW - 8 * _DAY),
        (NOW - 8 * _DAY - 1, NOW),
        (NOW + 300_000, NOW + 300_000),
        (NOW + 300_001, NOW),
        (NOW / 1000, NOW),
        (0, NOW),
        ("2025-12-08 10:30:00", NOW),
        (True, NOW),
        (None, NOW),
    ],
)
def test_a_url_lives_a_day_from_a_completion_that_can_be_true(completed: Any, counted_from: int) -> None:
    """A completion in the last 8 days is believed, five minutes of a wrong clock allowed; else we count from now."""
    (output,) = _polled(completeTime=completed)["outputs"]

    assert output["expires_at"] == counted_from + _DAY


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"creditsConsumed": 61}, {"amount": 61}),
        ({"consumeCredits": 61.5}, {"amount": 61.5}),
        ({"creditsConsumed": 1, "consumeCredits": 2}, {"amount": 1}),
        ({"creditsConsumed": 0}, {"amount": 0}),
        ({"creditsConsumed": -1}, None),
        ({"creditsConsumed": 10**13}, None),
        ({"creditsConsumed": "61"}, None),
        ({"creditsConsumed": True}, None),
        ({"state": "fail", "creditsConsumed": 0}, {"amount": 0, "phase": "refunded"}),
        ({"state": "fail", "creditsConsumed": 5}, {"amount": 5}),
        ({"state": "generating", "creditsConsumed": 5}, None),
    ],
)
def test_credits_are_those_of_the_outcome(told: dict[str, Any], usage: dict[str, Any] | None) -> None:
    """Only a plausible number beside an outcome is a cost; a failure that cost nothing was refunded."""
    assert _polled(**told).get("usage") == usage


@pytest.mark.parametrize(("told", "progress"), [(0, 0), (99.9, 99), (100, 100), (101, None), (-1, None), ("5", None)])
def test_progress_is_a_share_of_a_hundred(told: Any, progress: int | None) -> None:
    """Anything else is no progress; a finished task has none."""
    assert _polled(state="generating", progress=told).get("progress") == progress
    assert "progress" not in _polled(progress=told)


@pytest.mark.parametrize(
    "param",
    [
        None,
        "",
        "null",
        "[]",
        '"text"',
        5,
        ["callBackUrl"],
        {"callBackUrl": None},
        {"callBackUrl": 5},
        {"callBackUrl": ""},
        '{"input":{}}',
    ],
)
def test_a_param_without_a_callback_url_gives_none(param: Any) -> None:
    """Our URL is read from one place only, and not invented."""
    assert "callback_url" not in _polled(param=param, callBackUrl="https://other.example")


def test_a_long_message_is_cut() -> None:
    """A failure keeps 500 characters of the provider's text."""
    assert len(_polled(state="fail", failMsg="m" * 900)["error"]["message"]) == 500


@pytest.mark.parametrize(("task_id", "kept"), [("i" * 200, True), ("i" * 201, False), (42, True), ("  ", False)])
def test_an_id_is_text_of_some_length(task_id: Any, kept: bool) -> None:
    """What cannot be an id is none, so a submit that names it is not accepted."""
    body = json.dumps({"code": 200, "msg": "success", "data": {"taskId": task_id}}).encode()

    assert ("Accepted" in said(Apikley(), "submit", body)) is kept


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (_MODEL, Kind.VIDEO),
        ("google/imagen-text-to-image", Kind.IMAGE),
        ("kling/v2-image-to-video", Kind.VIDEO),
        ("elevenlabs/text-to-speech-turbo", Kind.AUDIO),
        ("sora-2", Kind.VIDEO),
    ],
)
def test_a_model_s_name_tells_what_it_makes(model: str, kind: Kind) -> None:
    """The last to-something in the name; video where there is none."""
    assert Apikley().media(model, {}) is kind


def test_the_ack_is_the_one_it_waits_for() -> None:
    """kie.ai's docs, callback responses: anything else counts as not received, and comes again."""
    assert Apikley().profile.ack == b'{"code":200,"msg":"success"}'


def test_polls_slow_down_as_its_page_advises() -> None:
    """get-task-detail: 2-3 s at first, 5-10 s after 30 s, 15-30 s after 2 min; then our tail until 24 h."""
    pace = {stage.from_s: stage.every_s for stage in Apikley().profile.pace}

    assert pace == {0: 3, 30: 8, 120: 20, 900: 60, 3600: 300}
    assert Apikley().profile.deadline_s == 86_400

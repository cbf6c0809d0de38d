"""What is reAPI's alone: its validation table row by row, its windows, its paths."""

from typing import Any

import pytest

from adapters.reapi import ReApi
from receiver.domain import Kind, Provider
from tests.adapters.plain import said

_FACE = "doubao-seedance-2.0-face"
_KITTEN = {"prompt": "A kitten yawning"}
_URL = "https://your-cdn.com/a"
_FRAME = {"url": _URL, "role": "first_frame"}
_PROVIDER = Provider(name="reapi", adapter="reapi", base_url="https://reapi.ai", api_key="k")


def _faults(input: dict[str, Any], model: str = _FACE) -> list[tuple[str, Any, str]]:
    return [(fault.path, fault.code, fault.message) for fault in ReApi().check(model, input)]


_ROWS: list[tuple[dict[str, Any], str, int, str]] = [
    ({}, "prompt", 20002, "prompt: Invalid input: expected string, received undefined"),
    ({"prompt": ""}, "prompt", 20002, "prompt: Too small: expected string to have >=3 characters"),
    ({"prompt": "ab"}, "prompt", 20003, "prompt: Too small: expected string to have >=3 characters"),
    ({"prompt": "a" * 4001}, "prompt", 20003, "prompt: Too big: expected string to have <=4000 characters"),
    ({"prompt": None}, "prompt", 20003, "prompt: Invalid input: expected string, received null"),
    ({"prompt": 5}, "prompt", 20003, "prompt: Invalid input: expected string, received number"),
    ({"prompt": ["abc"]}, "prompt", 20003, "prompt: Invalid input: expected string, received array"),
    ({"prompt": {"a": 1}}, "prompt", 20003, "prompt: Invalid input: expected string, received object"),
    ({"prompt": True}, "prompt", 20003, "prompt: Invalid input: expected string, received boolean"),
    (
        {**_KITTEN, "image_urls": [_URL], "image_with_roles": [_FRAME]},
        "image_with_roles",
        20003,
        "image_urls and image_with_roles cannot be used simultaneously",
    ),
    (
        {**_KITTEN, "image_with_roles": [_FRAME], "video_urls": [_URL]},
        "image_with_roles",
        20003,
        "image_with_roles cannot be combined with video_urls or audio_urls",
    ),
    (
        {**_KITTEN, "audio_urls": [_URL]},
        "audio_urls",
        20003,
        "audio_urls must be used together with image_urls or video_urls",
    ),
    ({**_KITTEN, "image_urls": [_URL] * 10}, "image_urls", 20003, "at most 9 image_urls allowed, got 10"),
    (
        {**_KITTEN, "image_with_roles": [_FRAME] * 10},
        "image_with_roles",
        20003,
        "at most 9 image_with_roles allowed, got 10",
    ),
    ({**_KITTEN, "video_urls": [_URL] * 4}, "video_urls", 20003, "at most 3 video_urls allowed, got 4"),
    (
        {**_KITTEN, "video_urls": [_URL], "audio_urls": [_URL] * 5},
        "audio_urls",
        20003,
        "at most 3 audio_urls allowed, got 5",
    ),
    (
        {**_KITTEN, "image_with_roles": [_FRAME, {"url": _URL, "role": "middle"}]},
        "image_with_roles[1].role",
        20003,
        'image_with_roles[1].role must be first_frame or last_frame, got "middle"',
    ),
    (
        {**_KITTEN, "image_with_roles": [{"url": _URL}]},
        "image_with_roles[0].role",
        20003,
        'image_with_roles[0].role must be first_frame or last_frame, got "undefined"',
    ),
    (
        {**_KITTEN, "image_with_roles": [{"role": "last_frame"}]},
        "image_with_roles[0].url",
        20003,
        "image_with_roles[0].url: Invalid input: expected string, received undefined",
    ),
    (
        {**_KITTEN, "image_with_roles": [_URL]},
        "image_with_roles[0]",
        20003,
        "image_with_roles[0]: Invalid input: expected object, received string",
    ),
    ({**_KITTEN, "duration": 3}, "duration", 20003, "duration must be 4-15 seconds, got 3"),
    ({**_KITTEN, "duration": 16.0}, "duration", 20003, "duration must be 4-15 seconds, got 16"),
    ({**_KITTEN, "duration": 4.5}, "duration", 20003, "duration: Invalid input: expected int, received number"),
    ({**_KITTEN, "duration": "5"}, "duration", 20003, "duration: Invalid input: expected number, received string"),
    ({**_KITTEN, "duration": True}, "duration", 20003, "duration: Invalid input: expected number, received boolean"),
    (
        {**_KITTEN, "size": "2:1"},
        "size",
        20005,
        'invalid size "2:1" (allowed: 16:9 / 9:16 / 1:1 / 4:3 / 3:4 / 21:9 / adaptive)',
    ),
    ({**_KITTEN, "size": 5}, "size", 20003, "size: Invalid input: expected string, received number"),
    (
        {**_KITTEN, "resolution": "1080P"},
        "resolution",
        20003,
        'invalid resolution "1080P" (allowed: 480p / 720p / 1080p / 4k)',
    ),
    ({**_KITTEN, "resolution": []}, "resolution", 20003, "resolution: Invalid input: expected string, received array"),
    (
        {**_KITTEN, "tools": [{"type": "web_search"}, {"type": "shell"}]},
        "tools[1].type",
        20003,
        'tools[1].type must be "web_search", got "shell"',
    ),
    ({**_KITTEN, "tools": [{}]}, "tools[0].type", 20003, 'tools[0].type must be "web_search", got "undefined"'),
    ({**_KITTEN, "tools": [{"type": 5}]}, "tools[0].type", 20003, 'tools[0].type must be "web_search", got "number"'),
    ({**_KITTEN, "tools": {}}, "tools", 20003, "tools: Invalid input: expected array, received object"),
    ({**_KITTEN, "tools": ["x"]}, "tools[0]", 20003, "tools[0]: Invalid input: expected object, received string"),
    (
        {**_KITTEN, "image_urls": [_URL, " DATA:image/png;base64,AAAA"]},
        "image_urls[1]",
        20003,
        "image_urls entries must be public URLs; base64 data URIs are not supported",
    ),
    (
        {**_KITTEN, "video_urls": ["data:video/mp4;base64,AAAA"]},
        "video_urls[0]",
        20003,
        "video_urls entries must be public URLs; base64 data URIs are not supported",
    ),
    (
        {**_KITTEN, "image_urls": [_URL], "audio_urls": ["data:audio/wav;base64,AAAA"]},
        "audio_urls[0]",
        20003,
        "audio_urls entries must be public URLs; base64 data URIs are not supported",
    ),
    (
        {**_KITTEN, "image_with_roles": [{"url": "data:image/png;base64,AAAA", "role": "first_frame"}]},
        "image_with_roles[0].url",
        20003,
        "image_with_roles entries must be public URLs; base64 data URIs are not supported",
    ),
    (
        {**_KITTEN, "image_urls": _URL},
        "image_urls",
        20003,
        "image_urls: Invalid input: expected array, received string",
    ),
    (
        {**_KITTEN, "image_urls": [None]},
        "image_urls[0]",
        20003,
        "image_urls[0]: Invalid input: expected string, received null",
    ),
    (
        {**_KITTEN, "generate_audio": "true"},
        "generate_audio",
        20003,
        "generate_audio: Invalid input: expected boolean, received string",
    ),
    (
        {**_KITTEN, "return_last_frame": 1},
        "return_last_frame",
        20003,
        "return_last_frame: Invalid input: expected boolean, received number",
    ),
    (
        {**_KITTEN, "nsfw_checker": None},
        "nsfw_checker",
        20003,
        "nsfw_checker: Invalid input: expected boolean, received null",
    ),
    ({**_KITTEN, "fallback": False}, "fallback", 20003, "fallback: Invalid input: expected object, received boolean"),
    (
        {**_KITTEN, "fallback": {"enabled": "no"}},
        "fallback.enabled",
        20003,
        "fallback.enabled: Invalid input: expected boolean, received string",
    ),
]


@pytest.mark.parametrize(("input", "at", "code", "message"), _ROWS)
def test_a_row_of_the_table_is_refused_in_its_words(input: dict[str, Any], at: str, code: int, message: str) -> None:
    """Each row of seed 001's validation table gives its code and message, and no other fault beside it."""
    assert _faults(input) == [(f"input.{at}", code, message)]


@pytest.mark.parametrize(
    "input",
    [
        {"prompt": "abc"},
        {"prompt": "ü" * 4000},
        {**_KITTEN, "duration": 4},
        {**_KITTEN, "duration": 15},
        {**_KITTEN, "duration": 5.0},
        {**_KITTEN, "size": "adaptive", "resolution": "4k"},
        {**_KITTEN, "image_urls": [_URL] * 9},
        {**_KITTEN, "image_with_roles": [_FRAME] * 9},
        {**_KITTEN, "image_urls": [_URL], "video_urls": [_URL] * 3, "audio_urls": [_URL] * 3},
        {**_KITTEN, "image_urls": [_URL], "audio_urls": [_URL]},
        {**_KITTEN, "image_urls": [], "image_with_roles": [_FRAME], "video_urls": []},
        {**_KITTEN, "tools": []},
        {**_KITTEN, "fallback": {}},
        {**_KITTEN, "a_field_from_tomorrow": {"any": 1}},
    ],
)
def test_the_table_s_edges_pass(input: dict[str, Any]) -> None:
    """What the table does not refuse is the provider's business, unknown fields and empty lists included."""
    assert _faults(input) == []


def test_every_fault_of_a_request_is_named() -> None:
    """A caller mends a request once, not once per fault."""
    parameters = {"prompt": "a", "duration": 99, "size": "x", "audio_urls": ["data:,"], "image_with_roles": [{}]}

    assert [(path, code) for path, code, _ in _faults(parameters)] == [
        ("input.prompt", 20003),
        ("input.duration", 20003),
        ("input.size", 20005),
        ("input.image_with_roles[0].url", 20003),
        ("input.image_with_roles[0].role", 20003),
        ("input.audio_urls[0]", 20003),
        ("input.image_with_roles", 20003),
        ("input.audio_urls", 20003),
    ]


@pytest.mark.parametrize("resolution", ["1080p", "4k"])
@pytest.mark.parametrize("suffix", ["", "-face", "-official", "-fast", "-fast-face", "-fast-official"])
def test_only_fast_variants_end_at_720p(suffix: str, resolution: str) -> None:
    """Above 720p an id with -fast in it is refused, with its own name and value in the message (seed 001)."""
    model = f"doubao-seedance-2.0{suffix}"
    message = (
        f"resolution={resolution} is not supported by {model} (use doubao-seedance-2.0 or doubao-seedance-2.0-face)"
    )
    expected = [("input.resolution", 20003, message)] if "-fast" in suffix else []

    assert _faults({**_KITTEN, "resolution": resolution}, model) == expected
    assert _faults({**_KITTEN, "resolution": "720p"}, model) == []


def test_models_without_a_page_are_not_judged() -> None:
    """Another model may want anything: only its shape is checked."""
    assert _faults({"duration": "forever", "image_urls": "data:,"}, "wan-2-7-video") == []


def test_a_model_among_the_parameters_is_refused() -> None:
    """Of two models one would silently win: the fault says where the other one belongs."""
    (fault,) = ReApi().check_shape(_FACE, {**_KITTEN, "model": "z-image"})

    assert fault.path == "input.model"
    assert "beside `input`" in fault.message


@pytest.mark.parametrize(
    ("input", "hours"),
    [
        ({}, 97),
        ({"fallback": {"enabled": True}}, 97),
        ({"fallback": {"enabled": 0}}, 97),
        ({"fallback": None, "nsfw_checker": True}, 97),
        ({"fallback": {"enabled": False}}, 49),
        ({"nsfw_checker": False}, 49),
    ],
)
def test_the_window_is_two_attempts_unless_no_fallback_is_attached(input: dict[str, Any], hours: int) -> None:
    """One attempt may take 48 h; `fallback.enabled: false` and `nsfw_checker: false` leave just one (seed 001)."""
    assert ReApi().deadline_seconds(_FACE, input) == hours * 3600


def test_image_models_go_to_the_images_path() -> None:
    """The models whose pages stand under Image are submitted there, and their results are images."""
    call = ReApi().submit(_PROVIDER, "z-image", {"prompt": "a fox"}, None)

    assert call.url == "https://reapi.ai/api/v1/images/generations"
    assert call.body == b'{"model":"z-image","prompt":"a fox"}'
    assert ReApi().media("z-image", {}) is Kind.IMAGE
    assert ReApi().media(_FACE, {}) is Kind.VIDEO


@pytest.mark.parametrize(
    ("task_id", "segment"), [("task_018f", "task_018f"), ("a/b", "a%2Fb"), ("..", "%252E%252E"), ("v1.2", "v1.2")]
)
def test_a_task_id_stays_one_segment(task_id: str, segment: str) -> None:
    """No id climbs the path, also not one of dots only, which URL libraries resolve even when percent-encoded."""
    assert ReApi().poll(_PROVIDER, task_id).url == f"https://reapi.ai/api/v1/tasks/{segment}"


def test_a_long_message_is_cut() -> None:
    """A failure keeps 500 characters of the provider's text."""
    body = b'{"error":{"code":20003,"message":"' + b"m" * 900 + b'"}}'

    assert len(said(ReApi(), "submit", body, 400)["Refused"]["failure"]["message"]) == 500


@pytest.mark.parametrize("code", ["²0003", "2000", "200031", "abcde"])
def test_only_five_digits_are_classed_by_the_first(code: str) -> None:
    """A code of another form is not in reAPI's catalogue: the HTTP status speaks."""
    given = said(ReApi(), "submit", ('{"error":{"code":"' + code + '"}}').encode(), 402)

    assert given["Refused"]["failure"]["kind"] == "quota"


@pytest.mark.parametrize(("length", "kept"), [(200, True), (201, False)])
def test_an_id_is_text_of_some_length(length: int, kept: bool) -> None:
    """What cannot be an id is none, so a submit that names it is not accepted."""
    given = said(ReApi(), "submit", ('{"id":"' + "i" * length + '","status":"processing"}').encode())

    assert ("Accepted" in given) is kept


def test_polls_slow_down_as_the_seed_advises() -> None:
    """Seed 001: every 5 s for 5 min, toward 1 min until 1 h, then every 3 min."""
    pace = {stage.from_s: stage.every_s for stage in ReApi().profile.pace}

    assert (pace[0], min(start for start in pace if start > 0)) == (5, 300)
    assert all(5 < wait <= 60 for start, wait in pace.items() if 300 <= start < 3600)
    assert pace[3600] == 180

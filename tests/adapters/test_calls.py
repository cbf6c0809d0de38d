"""What every adapter builds its requests with."""

import json
from typing import Any

import pytest

from adapters.calls import get_call, input_faults, path_segment, post_call, shape_faults
from receiver.domain import Provider
from receiver.errors import Fault

_PROVIDER = Provider(name="any", adapter="any", base_url="https://p.example/base/", api_key="k")
_TAKES = "what Example takes beside `model`"


@pytest.mark.parametrize("model", ["", "  ", "m" * 201, None, 5, []])
def test_a_model_is_a_name(model: Any) -> None:
    """Of 1 to 200 characters; what else is wrong is told beside it."""
    assert list(shape_faults("m" * 200, {}, takes=_TAKES)) == []
    assert [fault.path for fault in shape_faults(model, None, takes=_TAKES)] == ["model", "input"]


def test_input_is_an_object_without_what_the_adapter_sets() -> None:
    """A field that is not the caller's is named with what to do instead."""
    reserved = {"hook": "use `webhook_url`", "model": "stands beside"}

    assert list(input_faults({"prompt": "a", "hook": None}, takes=_TAKES)) == []
    assert list(input_faults({"prompt": "a", "hook": None}, takes=_TAKES, reserved=reserved)) == [
        Fault(path="input.hook", message="use `webhook_url`")
    ]
    assert list(input_faults(["hook"], takes=_TAKES, reserved=reserved)) == [
        Fault(path="input", message=f"must be an object: {_TAKES}")
    ]


def test_a_post_is_json_under_the_key() -> None:
    """Below the base URL, whether that ends in a slash or not."""
    call = post_call(_PROVIDER, "/jobs", {"model": "ü", "n": 1})

    assert (call.method, call.url) == ("POST", "https://p.example/base/jobs")
    assert call.headers == {"authorization": "Bearer k", "content-type": "application/json"}
    assert json.loads(call.body or b"") == {"model": "ü", "n": 1}


def test_a_get_encodes_its_query_and_has_no_body() -> None:
    """Every reserved character is encoded, a blank as %20; a path without a query stays as it is."""
    call = get_call(_PROVIDER, "/status", path="a b/c?d&e=+ü")

    assert (call.method, call.body) == ("GET", None)
    assert call.url == "https://p.example/base/status?path=a%20b%2Fc%3Fd%26e%3D%2B%C3%BC"
    assert call.headers == {"authorization": "Bearer k"}
    assert get_call(_PROVIDER, "/status").url == "https://p.example/base/status"


@pytest.mark.parametrize(
    ("task_id", "segment"),
    [("a.b", "a.b"), ("a/b?c#d", "a%2Fb%3Fc%23d"), (".", "%252E"), ("..", "%252E%252E"), ("%2e", "%252e")],
)
def test_a_task_id_is_one_segment_of_a_path(task_id: str, segment: str) -> None:
    """No id leads to another path, not even one of dots only, which URL libraries resolve when encoded, too."""
    assert path_segment(task_id) == segment

"""What `adapters/README.md` shows and lists to whoever writes the next adapter."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from adapters import base, calls, drop_in, flat_wire, reading
from adapters.base import Adapter
from receiver.domain import Provider
from tests.adapters import hostile
from tests.adapters.plain import HERE, said

README = (HERE.parent.parent / "adapters" / "README.md").read_text("utf-8")
_PROVIDER = Provider(name="example", adapter="example", base_url="https://e.example/", api_key="k")
_FINISHED = {"id": "7", "status": "done", "urls": ["https://f.example/1.mp4"]}


@pytest.fixture(scope="module")
def example() -> Adapter:
    """The adapter in the README, as whoever copies it has it."""
    [code] = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(Path("adapters/README.md")), "exec"), names)
    adapter = names["Example"]()
    assert isinstance(adapter, Adapter)
    return adapter


def test_the_example_asks(example: Adapter) -> None:
    """Its calls go below the base URL, under the key, and no task id leads elsewhere."""
    submit = example.submit(_PROVIDER, "m", {"prompt": "a"}, None)
    assert (submit.method, submit.url) == ("POST", "https://e.example/jobs")
    assert json.loads(submit.body or b"") == {"model": "m", "input": {"prompt": "a"}}
    assert example.poll(_PROVIDER, "../a").url == "https://e.example/jobs/..%2Fa"
    assert [fault.path for fault in example.check_shape("", {})] == ["model"]


@pytest.mark.parametrize(
    ("mouth", "status", "body", "given"),
    [
        ("submit", 201, {"id": 7}, "Accepted"),
        ("submit", 429, {"error": "slow down"}, "NotCreated"),
        ("submit", 422, {"error": "no prompt"}, "Refused"),
        ("submit", 422, {"error": "no prompt", "id": "7"}, "Ambiguous"),
        ("submit", 422, {}, "Ambiguous"),
        ("submit", 500, {"error": "oops"}, "Ambiguous"),
        ("poll", 200, _FINISHED, "Update"),
        ("poll", 500, _FINISHED, "PollFailed"),
        ("poll", 404, {"error": "no such job"}, "PollFailed"),
    ],
)
def test_the_example_reads(example: Adapter, mouth: str, status: int, body: Any, given: str) -> None:
    """As the rules below it say."""
    assert list(said(example, mouth, json.dumps(body).encode(), status)) == [given]


def test_the_example_tells_how_a_job_ended(example: Adapter) -> None:
    """A result, a reason, and a word from tomorrow, which is neither."""
    for word, told in (
        ("done", {"status": "succeeded", "outputs": [{"kind": "video", "url": "https://f.example/1.mp4"}]}),
        ("ERROR", {"status": "failed", "error": {"kind": "upstream", "message": "no reason given"}}),
        ("levitating", {}),
    ):
        body = json.dumps(_FINISHED | {"status": word}).encode()
        assert said(example, "poll", body) == {"Update": {"provider_status": word, "provider_task_id": "7"} | told}


def test_the_example_believes_no_gateway(example: Adapter) -> None:
    """Hostile bodies under any status: never a success, never a task that is not found, never an error of ours."""
    for body in hostile.BODIES.values():
        for status in (200, 201, 401, 404, 429, 500):
            polled, sent = said(example, "poll", body, status), said(example, "submit", body, status)
            assert polled.get("Update", {}).get("status") != "succeeded"
            assert polled.get("PollFailed", {}).get("failure", {}).get("kind") != "not_found"
            assert "Refused" not in sent


def test_every_helper_is_listed() -> None:
    """Whoever writes an adapter learns from the README what need not be written again."""
    for module in (base, calls, reading, drop_in, flat_wire):
        ours = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        made_here = [name for name in ours if vars(module)[name].__module__ == module.__name__]
        assert {name for name in made_here if not name.startswith("_") and f"`{name}`" not in README} == set()

"""Every request example of the providers' own pages goes over the wire as it is written there."""

import json
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Provider
from tests.adapters.plain import HERE, adapter_of

_KEY = "key-of-the-seed-tests"
_BEARER = {"authorization": "Bearer {key}"}


def _stored(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


_EXAMPLES = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in sorted(HERE.glob("seeds/*/*.json"))]


@pytest.mark.parametrize("path", _EXAMPLES)
def test_an_example_is_submitted_as_written(path: Path) -> None:
    """Method, path, headers and body are the page's own; a callback URL goes where the page has it."""
    stored, adapter = _stored(path), adapter_of(path.parent.name)
    wire, request = stored["wire"], stored["request"]
    provider = Provider(name="seed", adapter=path.parent.name, base_url=adapter.profile.base_url, api_key=_KEY)

    call = adapter.submit(provider, request["model"], request["input"], wire.get("callback_url"))

    assert call.method == wire["method"]
    assert call.url == adapter.profile.base_url + wire["path"]
    headers = {name: value.replace("{key}", _KEY) for name, value in wire.get("headers", _BEARER).items()}
    assert dict(call.headers) == headers | {"content-type": "application/json"}
    assert json.loads(call.body or b"") == wire["body"]


@pytest.mark.parametrize("path", _EXAMPLES)
def test_an_example_has_no_faults(path: Path) -> None:
    """Our checks refuse nothing that a provider's own page shows."""
    stored, adapter = _stored(path), adapter_of(path.parent.name)
    request = stored["request"]

    assert list(adapter.check_shape(request["model"], request["input"])) == []
    assert list(adapter.check(request["model"], request["input"])) == []


def test_every_folder_of_samples_has_examples() -> None:
    """No provider is tested on its answers alone."""
    folders = {path.parent.name for path in HERE.glob("samples/*/*.json")}

    assert folders == {path.parent.name for path in HERE.glob("seeds/*/*.json")}

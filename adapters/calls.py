"""What goes out to a provider: calls with its key, made only of what has a shape that it could accept."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from receiver import json_text
from receiver.domain import Provider
from receiver.errors import Fault
from receiver.wire import Call

MODEL_LIMIT = 200
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")


def shape_faults(
    model: object, input: object, *, takes: str, reserved: Mapping[str, str] | None = None
) -> Iterator[Fault]:
    """What a `check_shape` asks for at least: a model's name of 1 to 200 characters, and what `input_faults` does."""
    if not isinstance(model, str) or not model.strip() or len(model) > MODEL_LIMIT:
        yield Fault(path="model", message=f"must be a model's name, 1 to {MODEL_LIMIT} characters")
    yield from input_faults(input, takes=takes, reserved=reserved)


def input_faults(input: object, *, takes: str, reserved: Mapping[str, str] | None = None) -> Iterator[Fault]:
    """An object, without the fields that the adapter fills in itself.

    `takes` says what the object is, as in "what Example takes beside `model`"; `reserved` says for each field
    that is not the caller's what to do instead.
    """
    if not isinstance(input, Mapping):
        yield Fault(path="input", message=f"must be an object: {takes}")
        return
    for name, message in (reserved or {}).items():
        if name in input:
            yield Fault(path=f"input.{name}", message=message)


def post_call(provider: Provider, path: str, body: Mapping[str, Any]) -> Call:
    """A POST of JSON below the provider's base URL, with its key as bearer token."""
    headers = _authorization(provider) | {"content-type": "application/json"}
    return Call(method="POST", url=_url(provider, path), headers=headers, body=json_text.write(body).encode())


def get_call(provider: Provider, path: str, /, **query: str) -> Call:
    """A GET below the provider's base URL, with its key as bearer token.

    `query` is percent-encoded here; a task id in `path` is the caller's to encode (`path_segment`).
    """
    encoded = "&".join([f"{_encoded(name)}={_encoded(value)}" for name, value in query.items()])
    url = _url(provider, path)
    return Call(method="GET", url=f"{url}?{encoded}" if encoded else url, headers=_authorization(provider))


def path_segment(task_id: str) -> str:
    """A task id as one segment of a path; one of dots only is a step up the path to whoever sends it, even encoded."""
    quoted = _encoded(task_id)
    return quoted.replace(".", "%252E") if not quoted.strip(".") else quoted


def _encoded(text: str) -> str:
    """Percent-encoded, but for most ids, in which there is nothing to encode."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def _url(provider: Provider, path: str) -> str:
    return provider.base_url.rstrip("/") + path


def _authorization(provider: Provider) -> dict[str, str]:
    return {"authorization": f"Bearer {provider.api_key}"}

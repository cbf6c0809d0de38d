"""Reads what a webhook says, in whichever of our formats it came: anybody may post anything to a sink."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from receiver.cli.text import outcome_of, plain
from receiver.domain import Format

_CE = "ce-"
_STRUCTURED = "application/cloudevents"


def format_of(headers: Mapping[str, str], event: Mapping[str, Any]) -> Format | None:
    """Which of our formats a message is in, by its headers (names in small letters) and body; None: none of them."""
    if headers.get("content-type", "").startswith(_STRUCTURED):
        return Format.CLOUDEVENTS
    if f"{_CE}specversion" in headers:
        return Format.CLOUDEVENTS_BINARY
    if "data" in event:
        return Format.STANDARD
    return Format.FLAT if "task_id" in event else None


def event_in(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The event in a message, empty where its body is no JSON object; one whose attributes are headers is put together.

    What comes of `cloudevents-binary` looks as `cloudevents` does.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    if format_of(headers, value) is not Format.CLOUDEVENTS_BINARY:
        return value
    attributes = {name.removeprefix(_CE): unquote(text) for name, text in headers.items() if name.startswith(_CE)}
    return attributes | {"datacontenttype": headers.get("content-type"), "data": value}


def about(event: Mapping[str, Any]) -> list[str]:
    """What an event is about and what came of that, each on one line; nothing where it has not the shape of ours."""
    try:
        if "data" not in event:
            return _of_columns(event)
        data = event["data"]
        if "task" not in data:
            return _of_operators(data)
        task = data["task"]
        return [*(plain(task[name]) for name in ("id", "provider", "model")), outcome_of(task)]
    except (KeyError, TypeError, AttributeError):
        return []


def _of_columns(flat: Mapping[str, Any]) -> list[str]:
    urls = flat["output_urls"]
    more = f" and {len(urls) - 1} more" if len(urls) > 1 else ""
    failed = ": ".join(plain(flat[name]) for name in ("error_kind", "error_message") if flat[name])
    outcome = plain(flat["output_url"]) + more if flat["output_url"] else failed
    return [*(plain(flat[name]) for name in ("task_id", "provider", "model")), outcome]


def _of_operators(data: Mapping[str, Any]) -> list[str]:
    names = ("provider", "destination_id", "delivery_id", "url", "reason", "error")
    return [plain(data[name]) for name in names if data.get(name)]

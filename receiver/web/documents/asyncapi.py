"""What goes out, as AsyncAPI 3.0: webhooks to destinations, and the stream of events."""

from importlib.metadata import version
from typing import Any

from receiver.domain import Format
from receiver.web.documents.event_answers import (
    RecordedDeliveryEvent,
    RecordedDestinationEvent,
    RecordedProviderEvent,
    RecordedTaskEvent,
    Watched,
)
from receiver.web.documents.operation import JSON
from receiver.web.documents.samples import TYPES, sample, sample_as
from receiver.web.documents.schemas import components, model_of, narrowed, told_of

_ABOUT = """What Taskweir sends. Each event goes as a webhook to every destination that wants it, at least once, \
signed as Standard Webhooks 1.0.0 says; the stream gives the same events, in the order of `seq`, to whoever reads it. \
The HTTP API is in [/openapi.json](/openapi.json)."""
_RECORDED = (RecordedTaskEvent, RecordedProviderEvent, RecordedDestinationEvent, RecordedDeliveryEvent)
_SIGNED = {
    "webhook-id": "The event's id, the same on every attempt and replay.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "`v1,…`, or `v1a,…` where the destination asks for it; several, with a space between.",
}


def asyncapi() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Taskweir's events",
            "version": version("taskweir"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": JSON,
        "servers": _servers(),
        "channels": {"webhook": _webhook(), "stream": _stream(), "watch": _watch()},
        "operations": {
            "sendWebhook": {
                "action": "send",
                "channel": {"$ref": "#/channels/webhook"},
                "summary": "Bring an event to a destination.",
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            },
            "sendToReader": _told("stream", "Tell a reader of the stream an event, in the order of `seq`."),
            "sendToWatcher": _told("watch", "Tell whoever watches a task how it goes."),
        },
        "components": {
            "messages": {name_of(each): _message(each) for each in TYPES} | _streamed(),
            "schemas": components([*map(model_of, TYPES), *_RECORDED, Watched]),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _servers() -> dict[str, Any]:
    told = "Where a destination is: its own URL."
    host = {"default": "app.example", "description": "The host of a destination's URL."}
    here = {"default": "taskweir.example", "description": "Where this server is reached."}
    return {
        "destination": {"host": "{host}", "protocol": "https", "description": told, "variables": {"host": host}},
        "taskweir": {"host": "{host}", "protocol": "https", "description": "This server.", "variables": {"host": here}},
    }


def _webhook() -> dict[str, Any]:
    return {
        "address": None,
        "title": "Webhooks",
        "description": "The URL of a destination, or the `webhook_url` of a task.",
        "servers": [{"$ref": "#/servers/destination"}],
        "messages": {name_of(each): {"$ref": f"#/components/messages/{name_of(each)}"} for each in TYPES},
    }


def _stream() -> dict[str, Any]:
    return {
        "address": "/v1/events/stream",
        "title": "The stream",
        "description": "Server-sent events: `id:` is `seq`, `event:` the type. It takes a key with the scope `read`; "
        "the parameters are in OpenAPI.",
        "servers": [{"$ref": "#/servers/taskweir"}],
        "messages": {each.__name__: {"$ref": f"#/components/messages/{each.__name__}"} for each in _RECORDED},
    }


def _watch() -> dict[str, Any]:
    return {
        "address": "/v1/watch/{token}",
        "title": "One task",
        "description": "The `watch_url` of a submit's answer: server-sent events of that task. `id:` is the number "
        "of the event among those of its task, and `event: end` says that nothing more will come.",
        "servers": [{"$ref": "#/servers/taskweir"}],
        "parameters": {"token": {"description": "The signed token in `watch_url`."}},
        "messages": {"Watched": {"$ref": "#/components/messages/Watched"}},
    }


def _told(channel: str, summary: str) -> dict[str, Any]:
    security = [{"$ref": "#/components/securitySchemes/key"}]
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        **({"security": security} if channel == "stream" else {}),
        "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
    }


def _streamed() -> dict[str, Any]:
    """The messages of streams; each is the `data:` of one server-sent event."""
    return {
        each.__name__: {
            "name": each.__name__,
            "summary": (each.__doc__ or "").split("\n")[0],
            "contentType": JSON,
            "payload": {"$ref": f"#/components/schemas/{each.__name__}"},
        }
        for each in (*_RECORDED, Watched)
    }


def name_of(type: str) -> str:
    """The type of an event as a name without dots."""
    return "".join(word.capitalize() for word in type.split("."))


def _message(type: str) -> dict[str, Any]:
    """In the format `standard`; the others are told in OpenAPI's webhooks."""
    sent = sample_as(Format.STANDARD, type)
    return {
        "name": str(type),
        "title": str(type),
        "summary": told_of(type),
        "contentType": sent.headers["content-type"],
        "headers": {
            "type": "object",
            "required": [*_SIGNED],
            "properties": {name: {"type": "string", "description": told} for name, told in _SIGNED.items()},
        },
        "payload": {"allOf": [{"$ref": f"#/components/schemas/{model_of(type).__name__}"}, narrowed(type)]},
        "examples": [{"name": name_of(type), "payload": sample(type)}],
    }

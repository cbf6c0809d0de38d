"""What goes out, as OpenAPI's `webhooks`: one for each type of event, with an example in every format."""

from typing import Any

from receiver import json_text
from receiver.domain import Format
from receiver.ids import id_of
from receiver.web.documents.operation import JSON
from receiver.web.documents.samples import AT, TYPES, sample_as
from receiver.web.documents.schemas import model_of, narrowed, told_of

STRUCTURED = "application/cloudevents+json"
_SIGNED = {
    "webhook-id": ("The event's id, the same on every attempt and replay.", id_of("evt", "never happened")),
    "webhook-timestamp": ("When this attempt was made, in seconds since 1970.", str(AT // 1000)),
    "webhook-signature": (
        "`v1,…`, or `v1a,…` where the destination asks for it; several, with spaces between, during a rotation.",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
}


def webhooks() -> dict[str, Any]:
    """A path item for each type, by its name."""
    return {each: {"post": _webhook(each)} for each in TYPES}


def event_reference(type: str) -> dict[str, Any]:
    """The schema of an event of this type, out of the components."""
    return {"$ref": f"#/components/schemas/{model_of(type).__name__}", **narrowed(type)}


def _webhook(type: str) -> dict[str, Any]:
    return {
        "operationId": "on" + "".join(word.capitalize() for word in type.split(".")),
        "tags": ["Webhooks"],
        "summary": told_of(type),
        "security": [],
        "parameters": [_header(name, told, example) for name, (told, example) in _SIGNED.items()],
        "requestBody": {"required": True, "content": _content(type)},
        "responses": {
            "2XX": {"description": "It is taken; nothing else counts as success, and no redirect is followed."},
            "410": {"description": "The destination is gone: it is disabled."},
            "429": {"description": "Too much at once: `Retry-After` is kept to."},
        },
    }


def _header(name: str, told: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": True, "description": told, "schema": schema, "example": example}


def _content(type: str) -> dict[str, Any]:
    """By media type: three of the formats are sent as plain JSON."""
    event, data = event_reference(type), model_of(type).model_fields["data"].annotation
    told = {
        Format.STANDARD: event,
        Format.FLAT: {"$ref": "#/components/schemas/FlatEvent"},
        Format.CLOUDEVENTS_BINARY: {"$ref": f"#/components/schemas/{data.__name__}"} if data else {},
    }
    plain = {"schema": {"anyOf": list(told.values())}, "examples": {each.value: _example(each, type) for each in told}}
    structured = {"$ref": "#/components/schemas/CloudEvent"}
    whole = {"schema": structured, "examples": {Format.CLOUDEVENTS.value: _example(Format.CLOUDEVENTS, type)}}
    return {JSON: plain, STRUCTURED: whole}


def _example(format: Format, type: str) -> dict[str, Any]:
    sent = sample_as(format, type)
    attributes = ", ".join(f"`{name}: {value}`" for name, value in sent.headers.items() if name.startswith("ce-"))
    return {
        "summary": f"A destination with the format `{format.value}`",
        **({"description": f"With the headers {attributes}."} if attributes else {}),
        "value": json_text.read_strict(sent.body),
    }

"""JSON Schemas of the models: for the components of OpenAPI, and one for each type of event."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from receiver.domain import EventType, OperatorEvent, Status
from receiver.web.documents.event_answers import DeliveryEvent, DestinationEvent, PingEvent, ProviderEvent, TaskEvent
from receiver.web.documents.samples import PING, TYPES, VERSION, path_of, sample
from receiver.web.documents.texts import FIELDS

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_OF_KIND: Mapping[str, type[BaseModel]] = {
    "task": TaskEvent,
    "provider": ProviderEvent,
    "destination": DestinationEvent,
    "delivery": DeliveryEvent,
    PING: PingEvent,
}
# What of a task is certain at its end.
_ENDED = {f"task.{status}": status for status in Status if status.final}
_SAYS: Mapping[str, str] = {
    EventType.QUEUED: "Handing the task over is put off.",
    EventType.SUBMITTED: "The provider took the task.",
    EventType.RUNNING: "The provider works on the task.",
    EventType.PROGRESS: "The task came further; only for destinations that name this type.",
    EventType.UNCONFIRMED: "The task was sent, and nobody knows whether the provider took it.",
    EventType.SUCCEEDED: "The task has its results.",
    EventType.FAILED: "The task failed.",
    EventType.CANCELED: "The task was canceled.",
    EventType.EXPIRED: "The task was not finished at its deadline.",
    OperatorEvent.PROVIDER_PAUSED: "Nothing is handed over to a provider.",
    OperatorEvent.PROVIDER_RESUMED: "Tasks are handed over to a provider again.",
    OperatorEvent.DESTINATION_FAILING: "What is owed to a destination is held, for it fails.",
    OperatorEvent.DESTINATION_RECOVERED: "A destination takes events again.",
    OperatorEvent.DESTINATION_DISABLED: "A destination gets no more events until it is enabled.",
    OperatorEvent.DELIVERY_DEAD: "A delivery was given up.",
    PING: "The test call of a destination.",
}


def components(models: Iterable[type[BaseModel]], at: str = "#/components/schemas/") -> dict[str, Schema]:
    """The schema of each model, and of what it refers to, by name."""
    # An answer lacks nothing but the fields that have a default, as a request does.
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(each, "validation") for each in dict.fromkeys(models)]
    _, whole = models_json_schema(wanted, ref_template=at + "{model}")
    schemas: dict[str, Schema] = whole["$defs"]
    for name, schema in schemas.items():
        _tidy(name, schema)
    return dict(sorted(schemas.items()))


def _tidy(model: str, schema: Schema) -> None:
    """Without titles, which only repeat names; with what each field means."""
    schema.pop("title", None)
    for name, field in schema.get("properties", {}).items():
        field.pop("title", None)
        told = FIELDS.get(f"{model}.{name}", FIELDS.get(name))
        if told is not None:
            field.setdefault("description", told)


def model_of(type: str) -> type[BaseModel]:
    """The model of an event of this type."""
    return _OF_KIND[type.partition(".")[0]]


def told_of(type: str) -> str:
    """What an event of this type says, in a sentence."""
    return _SAYS[type]


def narrowed(type: str) -> Schema:
    """What is certain of an event of this type beyond its model."""
    certain: Schema = {"type": {"const": str(type)}}
    if type in _ENDED:
        status = {"properties": {"status": {"const": _ENDED[type].value}}}
        certain["data"] = {"properties": {"task": status}}
    return {"properties": certain}


def event_schema(type: str) -> Schema:
    """The JSON Schema of an event of this type, in the format `standard`, with all that it refers to."""
    definitions = components([model_of(type)], at="#/$defs/")
    return {
        "$schema": DIALECT,
        "$id": path_of(type),
        "title": str(type),
        "description": told_of(type),
        "$ref": f"#/$defs/{model_of(type).__name__}",
        **narrowed(type),
        "examples": [sample(type)],
        "$defs": definitions,
    }


def index() -> Schema:
    """Where the schema of each type of event is."""
    return {"version": VERSION, "schemas": {each: path_of(each) for each in TYPES}}

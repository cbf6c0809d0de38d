"""What users say of a destination: the shape of its fields, and the destination that they make."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from receiver.copying import replace
from receiver.delivery_policy import DEFAULT_EVENT_TYPES, GROUPS
from receiver.domain import Destination, EventType, Format, OperatorEvent, Scheme
from receiver.senders.kinds import KINDS
from receiver.web.task_filters import small_metadata

_EVENT_TYPES = frozenset({*EventType, *OperatorEvent, *GROUPS})
_CENTURY_DAYS = 36_500
TYPES = ("webhook", "sqlite", *KINDS)


def known_type(word: str) -> str:
    """An event's type, or a group of them; raises `ValueError` on another word."""
    if word not in _EVENT_TYPES:
        raise ValueError(f"no event type {word!r}; there are {', '.join(sorted(_EVENT_TYPES))}")
    return word


def _known(types: list[str]) -> list[str]:
    return [known_type(word) for word in types]


def _of_a_type(word: str) -> str:
    if word not in TYPES:
        raise ValueError(f"no type {word!r}; there are {', '.join(TYPES)}")
    return word


Type = Annotated[str, AfterValidator(_of_a_type), Field(json_schema_extra={"enum": list(TYPES)})]
Words = Annotated[list[str], Field(min_length=1, max_length=100)]
EventTypeName = Annotated[str, Field(json_schema_extra={"enum": sorted(_EVENT_TYPES)})]
Types = Annotated[list[EventTypeName], Field(min_length=1, max_length=100), AfterValidator(_known)]
Metadata = Annotated[dict[str, str], AfterValidator(small_metadata)]
FormatName = Literal["standard", "cloudevents", "cloudevents-binary", "flat"]
Text = Annotated[str, Field(max_length=500)]
Count = Annotated[int, Field(ge=1, le=1000)]
Rate = Annotated[float, Field(ge=0.0001, le=10_000, allow_inf_nan=False)]
Days = Annotated[int, Field(ge=1, le=_CENTURY_DAYS)]


class DestinationIn(BaseModel):
    """What a user says of a new destination; a filter left out lets everything through."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Type
    url: str | None = None
    name: str | None = None
    secret: str | None = None
    event_types: Types | None = None
    providers: Words | None = None
    models: Words | None = None
    metadata: Metadata | None = None
    format: FormatName = "standard"
    description: Text = ""
    headers: dict[str, str] | None = None
    signature: Literal["v1", "v1a"] = "v1"
    ordered: bool = False
    max_in_flight: Count = 32
    rate_per_second: Rate | None = None
    retention_days: Days | None = None
    enabled: bool = True


class ChangesIn(BaseModel):
    """A merge patch: what is left out stays, what is null has its default. `type` and a log's `name` stay anyhow."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: str | None = None
    url: str | None = None
    name: str | None = None
    secret: Any = None
    event_types: Types | None = None
    providers: Words | None = None
    models: Words | None = None
    metadata: Metadata | None = None
    format: FormatName | None = None
    description: Text | None = None
    headers: dict[str, str | None] | None = None
    signature: Literal["v1", "v1a"] | None = None
    ordered: bool | None = None
    max_in_flight: Count | None = None
    rate_per_second: Rate | None = None
    retention_days: Days | None = None
    enabled: bool | None = None


Asked = DestinationIn | ChangesIn

_DEFAULTS: Mapping[str, Any] = {
    "event_types": DEFAULT_EVENT_TYPES,
    "providers": None,
    "models": None,
    "metadata": None,
    "format": Format.STANDARD,
    "description": "",
    "signature": Scheme.V1,
    "ordered": False,
    "max_in_flight": 32,
    "rate_per_second": None,
    "retention_days": None,
    "enabled": True,
}


def wished(before: Destination, asked: Asked) -> Destination:
    """A destination with what was said of it; its headers and secret, which are to be sealed first, are not changed."""
    values = {name: _kept(name, getattr(asked, name)) for name in _DEFAULTS if name in asked.model_fields_set}
    target = asked.url if asked.url and before.type == "webhook" else before.target  # other URLs are to be sealed, too
    return replace(before, **values, target=target)


def _kept(name: str, value: Any) -> Any:
    if value in (None, {}):
        return _DEFAULTS[name]
    if name == "format":
        return Format(value)
    if name == "signature":
        return Scheme(value)
    return tuple(value) if isinstance(value, list) else value

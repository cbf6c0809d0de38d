"""Events as they are listed and as webhooks bring them, in every format."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from receiver.domain import EventType, Source, Verified
from receiver.web.documents.delivery_answers import Delivery
from receiver.web.documents.kinds import Count, Time, absent
from receiver.web.documents.task_answers import EventTask, WatchedTask

Reason = Literal["unreachable", "auth", "operator"]


class TaskNews(BaseModel):
    """What an event about a task tells."""

    task: EventTask
    sequence: Annotated[int, Field(ge=1)]
    source: Source
    verified_by: Verified | None
    late: bool


class TaskEvent(BaseModel):
    """Something happened to a task."""

    id: str
    type: EventType
    timestamp: Time
    data: TaskNews


class ProviderNews(BaseModel):
    """How a provider stands with us."""

    provider: str
    reason: Reason | None
    since: Time | None
    error: str | None


class ProviderEvent(BaseModel):
    """A provider was paused, or resumed."""

    id: str
    type: Literal["provider.paused", "provider.resumed"]
    timestamp: Time
    data: ProviderNews


class DestinationNews(BaseModel):
    """How a destination fares."""

    destination_id: str
    type: str
    url: str
    reason: str | None
    since: Time | None


class DestinationEvent(BaseModel):
    """A destination fails, is well again, or was disabled."""

    id: str
    type: Literal["destination.failing", "destination.recovered", "destination.disabled"]
    timestamp: Time
    data: DestinationNews


class DeadDelivery(BaseModel):
    """A delivery that will not be tried again by itself."""

    delivery_id: str
    destination_id: str
    event_id: str
    task_id: str
    attempts: Count
    status: int | None
    error: str | None


class DeliveryEvent(BaseModel):
    """A delivery was given up."""

    id: str
    type: Literal["delivery.dead"]
    timestamp: Time
    data: DeadDelivery


class PingNews(BaseModel):
    """Whom a ping was for."""

    destination_id: str


class PingEvent(BaseModel):
    """The test call of a destination; it is not recorded."""

    id: str
    type: Literal["ping"]
    timestamp: Time
    data: PingNews


class WatchedNews(BaseModel):
    """What a watcher is told; what is no event has no source."""

    task: WatchedTask
    sequence: Count
    source: Source = absent()
    verified_by: Verified | None = absent()
    late: bool = absent()


class Watched(BaseModel):
    """An event of a watched task, or how it stands: that has no id."""

    id: str = absent()
    type: str
    timestamp: Time
    data: WatchedNews


class RecordedTaskEvent(TaskEvent):
    """An event about a task, at its place in the one order of all events."""

    seq: Count


class RecordedProviderEvent(ProviderEvent):
    """An event about a provider, at its place in the one order of all events."""

    seq: Count


class RecordedDestinationEvent(DestinationEvent):
    """An event about a destination, at its place in the one order of all events."""

    seq: Count


class RecordedDeliveryEvent(DeliveryEvent):
    """An event about a delivery, at its place in the one order of all events."""

    seq: Count


class RecordedEvent(
    RootModel[RecordedTaskEvent | RecordedProviderEvent | RecordedDestinationEvent | RecordedDeliveryEvent]
):
    """An event at its place in the one order of all: `seq` only grows, and may have gaps."""


class Events(BaseModel):
    """A page of events: ascending from the cursor, unless newest first was asked for."""

    items: list[RecordedEvent]
    next_cursor: str
    has_more: bool


class Replayed(BaseModel):
    """The new deliveries of a past event."""

    count: Count
    deliveries: list[Delivery]


class FlatEvent(BaseModel):
    """Format `flat`: an event on one level; each key of the task's metadata is a column `metadata_<key>`."""

    model_config = ConfigDict(json_schema_extra={"patternProperties": {"^metadata_": {"type": "string"}}})

    id: str
    type: str
    timestamp: Time
    task_id: str | None
    provider: str | None
    provider_task_id: str | None
    model: str | None
    status: str | None
    prompt: str | None
    output_url: str | None
    output_urls: list[str]
    error_kind: str | None
    error_message: str | None
    credits: float | None
    late: bool
    expires_at: Time | None
    created_at: Time | None
    finished_at: Time | None


class CloudEvent(BaseModel):
    """Format `cloudevents`: CloudEvents 1.0.2, structured; `data` is that of the format `standard`."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str = absent()
    time: Time
    sequence: str = absent()
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]

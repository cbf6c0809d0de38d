"""Deliveries and destinations as they are answered."""

from typing import Literal

from pydantic import BaseModel

from receiver.domain import DeliveryState, Scheme
from receiver.web.destination_models import FormatName
from receiver.web.documents.kinds import Count, Time, absent


class Attempt(BaseModel):
    """One try of a delivery: an HTTP status, or an `error` where none came back."""

    number: Count
    at: Time
    status: int | None
    duration_ms: Count
    error: str | None
    response: str


class Delivery(BaseModel):
    """One event that is owed to one destination."""

    id: str
    event_id: str
    destination_id: str
    task_id: str | None
    state: DeliveryState
    attempts: Count
    next_attempt_at: Time | None
    created_at: Time


class Deliveries(BaseModel):
    """A page of deliveries, newest first."""

    items: list[Delivery]
    next_cursor: str | None


class DeliveryWhole(Delivery):
    """One delivery with its attempts."""

    blocked_reason: str | None
    attempt_log: list[Attempt]


class Failing(BaseModel):
    """Why what is owed to a destination is held, and when it is probed next."""

    since: Time | None
    reason: str | None
    next_probe_at: Time | None


class Destination(BaseModel):
    """Where a tenant wants events. A webhook has a `url`, a SQLite log a `name`; secrets are never in it."""

    id: str
    type: str
    url: str = absent()
    name: str = absent()
    event_types: list[str]
    providers: list[str] | None
    models: list[str] | None
    metadata: dict[str, str] | None
    format: FormatName
    description: str
    headers: dict[str, Literal["set"]] = absent()
    signature: Scheme = absent()
    public_key: str | None = absent()
    hook: str | None = absent()
    login: Literal["set"] | None = absent()
    rate_per_second: float | None = absent()
    retention_days: int | None = absent()
    ordered: bool
    max_in_flight: Count
    enabled: bool
    state: Literal["healthy", "failing", "disabled", "blocked"]
    disabled_reason: str | None
    blocked_reason: str | None
    failing: Failing | None
    created_at: Time


class NewDestination(Destination):
    """A destination as its creation answers it: a webhook's with its secret."""

    secret: str = absent()


class Destinations(BaseModel):
    """A page of destinations, newest first."""

    items: list[Destination]
    next_cursor: str | None


class Secret(BaseModel):
    """What a webhook's signature is verified with; the `public_key` where it is signed with ed25519."""

    secret: str
    public_key: str = absent()


class TenantSecret(BaseModel):
    """What the signatures of tasks' own webhooks are verified with."""

    secret: str

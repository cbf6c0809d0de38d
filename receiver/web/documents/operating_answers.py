"""What operators are answered."""

from typing import Literal

from pydantic import BaseModel

from receiver.domain import Trust
from receiver.web.documents.event_answers import Reason
from receiver.web.documents.kinds import Count, Time


class Me(BaseModel):
    """Who the key is."""

    tenant: str
    label: str
    scopes: list[Literal["read", "submit", "admin"]]


class Provider(BaseModel):
    """A configured account at a company whose API we call, and how it stands."""

    name: str
    adapter: str
    learns_by: Literal["callback", "poll"]
    trust: Trust
    paused: bool
    reason: Reason | None
    since: Time | None
    next_probe_at: Time | None
    in_flight: Count | None
    waiting: Count | None
    last_error: str | None


class ProviderList(BaseModel):
    """Every provider, in the order of names."""

    items: list[Provider]
    next_cursor: None


class Ticked(BaseModel):
    """What a heartbeat did, and when more is due."""

    submitted: Count
    polled: Count
    delivered: Count
    next_due_at: Time | None


class Resealed(BaseModel):
    """How many secrets were sealed anew, were so already, or need a key that we do not hold."""

    resealed: Count
    already: Count
    unreadable: Count


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"]


class LoopHealth(BaseModel):
    """When a loop last came round, and how long the oldest thing that it should have done has been due."""

    moved_s_ago: float
    oldest_due_s: float


class Ready(BaseModel):
    """Fit for work."""

    status: Literal["ready"]
    warnings: list[str]
    loops: dict[str, LoopHealth]


class Unready(BaseModel):
    """Not fit for work, and why."""

    status: Literal["unready"]
    reason: str
    warnings: list[str]
    loops: dict[str, LoopHealth]

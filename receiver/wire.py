"""What crosses the wire between us and anybody else, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request for us to send."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back; header names are lower case, the body is cut at the sender's cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReply:
    """Nothing usable came back. `sent` is False only when not one byte of the request can have left."""

    sent: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What a provider posted to us; header names are lower case, the body is cut at the door's cap."""

    headers: Mapping[str, str]
    body: bytes

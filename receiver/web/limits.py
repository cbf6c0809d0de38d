"""How long, how large and how odd a request may be, before any door sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

KIB = 1024
MIB = 1024 * KIB
ENDLESS = ("/v1/events/stream", "/v1/watch/")  # answers that go on for as long as they are read
TAKEN = "taskweir.taken"  # the extension by which a connection says when all that was written is taken
SPARE = 4 * MIB  # for the framing of a body, and for the rest of one that its door did not want


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveLimits:
    """Seconds and bytes of one connection. A deadline is kept to within two looks, and never ends early.

    `head_s`: from connecting, or a request's first byte, to the end of its headers. `body_s`: from there to the end of
    the body. `idle_s`: between an answer and the next request. `taking_s`: for every `taken_bytes` of an answer, or
    what is left of it. `goodbye_s`: for the other side to hang up after a refusal. `stopping_s`: for any of these once
    the server stops. `wire_bytes`: of one body with its framing, whether a door reads it or not. `connections`: at
    once; beyond it those that have not asked anything give way.
    """

    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 5.0
    taking_s: float = 30.0
    taken_bytes: int = 64 * KIB
    goodbye_s: float = 2.0
    stopping_s: float = 0.25
    look_every_s: float = 0.5
    url_bytes: int = 2 * KIB
    head_bytes: int = 32 * KIB
    fields: int = 100
    wire_bytes: int = 2 * MIB + SPARE
    connections: int = 16_384


class Wait(StrEnum):
    """What the other side of a connection has to do next."""

    HEAD = "head"
    BODY = "body"
    ASK = "ask"
    TAKE = "take"
    LEAVE = "leave"


def patience(limits: ReceiveLimits, wait: Wait) -> float:
    """How many seconds it has for that."""
    return {
        Wait.HEAD: limits.head_s,
        Wait.BODY: limits.body_s,
        Wait.ASK: limits.idle_s,
        Wait.TAKE: limits.taking_s,
        Wait.LEAVE: limits.goodbye_s,
    }[wait]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered instead of what a door would have said."""

    status: int
    detail: str


MALFORMED = Refusal(400, "this is not HTTP/1.1 as we read it")
LATE_HEAD = Refusal(408, "the headers did not come in time")
LATE_BODY = Refusal(408, "the body did not come in time")
STOPPING = Refusal(503, "the server is stopping; nothing was recorded")
TOO_LONG = Refusal(413, "the body and its framing are too long")


def too_large(limits: ReceiveLimits, url: bytes) -> Refusal:
    """Why a head of too many bytes is refused."""
    if len(url) > limits.url_bytes:
        return Refusal(414, f"the address has more than {limits.url_bytes} bytes")
    return Refusal(431, f"the headers have more than {limits.head_bytes} bytes")


def fault_of(
    limits: ReceiveLimits, url: bytes, headers: Sequence[tuple[bytes, bytes]], *, version: str, at_most: int
) -> Refusal | None:
    """What is wrong with a whole head, names in lower case; None where nothing is. It came in `at_most` bytes.

    Two servers in a row must not read one request as two: what could make them is refused here, or by the parser.
    """
    if len(url) > limits.url_bytes or (at_most > limits.head_bytes and _size(url, headers) > limits.head_bytes):
        return too_large(limits, url)
    if len(headers) > limits.fields:
        return Refusal(431, f"there are more than {limits.fields} headers")
    if version not in ("1.1", "1.0"):
        return MALFORMED
    names = [name for name, _ in headers]
    if names.count(b"host") > 1:
        return Refusal(400, "there is more than one Host")
    if b"transfer-encoding" in names:
        codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
        if codings != [b"chunked"] or version == "1.0":
            return Refusal(400, "the only Transfer-Encoding taken is chunked, and only of HTTP/1.1")
    return None


def _size(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)

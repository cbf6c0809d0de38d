"""The trace of a task: its ids, made of our own so that none is kept, and the W3C header that passes them on."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

TRACEPARENT = "traceparent"
_HEADER = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Place:
    """A span as others name it: its trace and its own id; `sampled` is whether its caller keeps the trace."""

    trace_id: int
    span_id: int
    sampled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that went on, in milliseconds; `link` names a span of another trace that belongs to it."""

    name: str
    place: Place
    parent: Place | None
    began: int
    ended: int
    facts: Mapping[str, str | int] = field(default_factory=dict)
    failed: bool = False
    client: bool = False
    link: Place | None = None


def root_of(task_id: str) -> Place:
    """The root span of a task's trace, the same in every process and after every start."""
    return Place(_number(16, "trace", task_id), _number(8, "task", task_id))


def within(parent: Place, *parts: str) -> Place:
    """The span in a parent's trace that these parts name."""
    return Place(parent.trace_id, _number(8, *parts))


def of_attempt(task_id: str, delivery_id: str, number: int) -> Place:
    """The span of one attempt of a delivery."""
    return within(root_of(task_id), "delivery", delivery_id, str(number))


def read_header(text: str | None) -> Place | None:
    """The caller's span of a `traceparent`; None where there is none that can be read."""
    found = _HEADER.fullmatch((text or "").strip())
    if found is None or ((text or "").strip().startswith("00") and found[4]):
        return None
    trace_id, span_id, flags = (int(found[group], 16) for group in (1, 2, 3))
    return Place(trace_id, span_id, bool(flags & _SAMPLED)) if trace_id and span_id else None


def header_of(place: Place) -> str:
    """The value of `traceparent` that names a span."""
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{int(place.sampled):02x}"


def _number(size: int, *parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:size]) or 1  # 0 is no id

"""Plain JSON for what adapters give, so that a sample can say it: defaults and empty fields are left out."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from adapters.base import (
    Accepted,
    Adapter,
    Ambiguous,
    NotCreated,
    PollFailed,
    Refused,
)
from receiver.domain import Failure, Kind, Output, Update, Usage
from receiver.errors import Malformed
from receiver.wire import Callback, Reply

NOW = 1_765_186_800_000
HERE = Path(__file__).parent
MOUTHS = ("submit", "poll", "callback")

_ANSWERS = {kind.__name__: kind for kind in (Accepted, Ambiguous, NotCreated, PollFailed, Refused, Update)}
_NESTED: Mapping[str, type] = {
    "update": Update,
    "failure": Failure,
    "error": Failure,
    "usage": Usage,
    "outputs": Output,
    "Updates": Update,
    **_ANSWERS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One recorded answer and what it means."""

    provider: str
    name: str
    mouth: str
    media: Kind
    status: int
    headers: Mapping[str, str]
    body: bytes
    gives: Mapping[str, Any]

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.name}"

    @property
    def outcome(self) -> str:
        """What a poll and a callback of the same task have in common in their file names."""
        return self.name.removeprefix(self.mouth).strip("_")


def entries() -> list[EntryPoint]:
    """Every installed adapter, by name."""
    return sorted(entry_points(group="taskweir.adapters"), key=lambda entry: entry.name)


def adapter_of(name: str) -> Adapter:
    """An installed adapter by its name."""
    (entry,) = entry_points(group="taskweir.adapters", name=name)
    adapter = entry.load()()
    assert isinstance(adapter, Adapter)
    return adapter


@cache
def samples(provider: str = "*") -> tuple[Sample, ...]:
    """The recorded samples of one provider, or of all."""
    return tuple(_sample(path) for path in sorted(HERE.glob(f"samples/{provider}/*.json")))


def read(adapter: Adapter, sample: Sample, *, now: int = NOW) -> dict[str, Any]:
    """What an adapter makes of a sample, in the plain form of its `gives`."""
    return said(adapter, sample.mouth, sample.body, sample.status, sample.headers, sample.media, now=now)


def said(
    adapter: Adapter,
    mouth: str,
    body: bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media: Kind = Kind.VIDEO,
    *,
    now: int = NOW,
) -> dict[str, Any]:
    """What an adapter makes of a body that came out of one of a provider's mouths."""
    headers = headers or {}
    if mouth == "callback":
        try:
            updates = adapter.read_callback(Callback(headers=headers, body=body), media=media, now=now)
        except Malformed:
            return {"Malformed": None}
        return {"Updates": [plain(update) for update in updates]}
    reply = Reply(status=status, headers=headers, body=body)
    ask = adapter.read_submit if mouth == "submit" else adapter.read_poll
    answer = ask(reply, media=media, now=now)
    return {type(answer).__name__: plain(answer)}


def plain(value: Any) -> Any:
    """A dataclass as JSON, less every field that is None, empty or at its default, at every depth."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    named = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return _trimmed(type(value), named)


def trimmed(gives: Mapping[str, Any]) -> dict[str, Any]:
    """What a sample says an adapter gives, less the same fields as in `plain`."""
    return {name: _trimmed_at(name, value) for name, value in gives.items()}


def _trimmed_at(name: str, value: Any) -> Any:
    kind = _NESTED.get(name)
    if kind is None or value is None:
        return value
    if isinstance(value, list):
        return [_trimmed_at(name, item) for item in value]
    unknown = value.keys() - {field.name for field in fields(kind)}
    assert not unknown, f"{kind.__name__} has no {', '.join(sorted(unknown))}"
    return _trimmed(kind, {key: _trimmed_at(key, item) for key, item in value.items()})


def _trimmed(kind: type, named: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {field.name: _default(field) for field in fields(kind)}
    return {
        name: value
        for name, value in named.items()
        if value is not None and value not in ("", [], {}) and value != defaults[name]
    }


def _default(field: Field[Any]) -> Any:
    return plain(field.default) if field.default is not MISSING else None


def _sample(path: Path) -> Sample:
    stored = json.loads(path.read_text("utf-8"))
    assert stored["source"], f"{path} does not say where it comes from"
    assert len(stored["gives"]) == 1, f"{path} gives more than one thing"
    reply = stored["reply"]
    text = reply["text"] if "text" in reply else json.dumps(reply["json"])
    return Sample(
        provider=path.parent.name,
        name=path.stem,
        mouth=stored["mouth"],
        media=Kind(stored.get("media", "video")),
        status=reply.get("status", 200),
        headers=reply.get("headers", {}),
        body=text.encode(),
        gives=stored["gives"],
    )

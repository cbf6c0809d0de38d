"""What one provider's side of the wire is: its paths, its envelopes, its words.

A sandbox file holds shapes only. Clocks, sockets, the ledger and the steering words belong to the server, so that a
further provider is one class and one entry point (group `taskweir.sandboxes`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any, ClassVar
from urllib.parse import urlsplit

from adapters.sandbox.steering import Word
from receiver import json_text

Json = Any

_WAITS_FOR_A_THIRD = 1 / 3


class Stage(StrEnum):
    """How far a task is. `ODD` stands for every unfinished moment of a task steered by `[odd]`."""

    WAITING = "waiting"
    WORKING = "working"
    ODD = "odd"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self in (Stage.SUCCEEDED, Stage.FAILED)


class Media(StrEnum):
    """What a task makes; the value is the suffix of its files."""

    VIDEO = "mp4"
    IMAGE = "png"
    AUDIO = "mp3"
    TEXT = "txt"


class Refusal(Enum):
    """Why a request is turned away; every provider has its own envelope for each."""

    NO_KEY = auto()
    BAD_KEY = auto()
    UNREADABLE = auto()
    REJECTED = auto()
    THROTTLED = auto()
    NO_TASK_ID = auto()
    UNKNOWN_TASK = auto()
    UNKNOWN_PATH = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer with a JSON body, and a `Retry-After` where there is one to give."""

    body: dict[str, Json]
    status: int = 200
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A submit that the provider would take.

    `input` is the provider's own parameters, `count` the number of results, and `instant` says that the model answers
    a submit with its result.
    """

    model: str
    prompt: str
    input: Json
    media: Media = Media.VIDEO
    count: int = 1
    callback_url: str | None = None
    instant: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """A task that the sandbox took: `created_at` in ms since 1970, `started_s` on the monotonic clock.

    `takes_s` is how long it runs, infinite where it never ends; `fails` how it ends. `base` is the sandbox's own URL
    as the caller wrote it, `path` the path below the provider's base URL, `body` what was received.
    """

    provider: str
    id: str
    order: Order
    words: frozenset[Word]
    method: str
    path: str
    headers: Mapping[str, str | None]
    body: Json
    base: str
    created_at: int
    started_s: float
    takes_s: float
    fails: bool
    polls: int = 0
    callbacks: list[Json] = field(default_factory=list)
    noted_final: bool = False

    def stage(self, now_s: float) -> Stage:
        age_s = now_s - self.started_s
        if age_s >= self.takes_s:
            return Stage.FAILED if self.fails else Stage.SUCCEEDED
        if Word.ODD in self.words:
            return Stage.ODD
        waits = math.isfinite(self.takes_s) and age_s < self.takes_s * _WAITS_FOR_A_THIRD
        return Stage.WAITING if waits else Stage.WORKING

    def finish(self, now_s: float) -> None:
        """Make the task final at `now_s` at the latest: timers and clocks disagree by a little, answers must not."""
        self.takes_s = min(self.takes_s, now_s - self.started_s)

    @property
    def cost_ms(self) -> int:
        """How long a finite task runs."""
        return round(self.takes_s * 1000)

    @property
    def finished_at(self) -> int:
        return self.created_at + self.cost_ms

    def files(self) -> list[str]:
        """The URLs of its results, on the sandbox itself."""
        numbers = ["", *(f"-{number}" for number in range(1, self.order.count))]
        return [f"{self.base}/_sandbox/files/{self.id}{number}.{self.order.media}" for number in numbers]


class ProviderSide(ABC):
    """One provider's side of the wire. Subclass it, fill in the class variables and the abstract methods.

    Paths are those below the provider's base URL; every one in `submit_paths` takes a POST. `poll_path` may hold
    `{id}`. See adapters/sandbox/README.md.
    """

    submit_paths: ClassVar[tuple[str, ...]]
    poll_method: ClassVar[str] = "GET"
    poll_path: ClassVar[str]

    def key_fault(self, headers: Mapping[str, str], keys: frozenset[str] | None) -> Answer | None:
        """The refusal of a request with no key, or with one that is not in `keys` (None: any will do)."""
        key = self.key(headers)
        if not key:
            return self.refuse(Refusal.NO_KEY)
        return None if keys is None or key in keys else self.refuse(Refusal.BAD_KEY)

    def key(self, headers: Mapping[str, str]) -> str:
        """The key of `Authorization: Bearer`, or '' where there is none."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    @abstractmethod
    def refuse(self, refusal: Refusal) -> Answer:
        """The provider's own envelope for a refusal."""

    @abstractmethod
    def read(self, path: str, body: dict[str, Json]) -> Order | Answer:
        """What a submit asks for, or the provider's refusal of it. The prompt in the `Order` is what steers."""

    @abstractmethod
    def new_id(self, order: Order, created_at: int) -> str:
        """A task id as the provider makes them, never the same twice."""

    @abstractmethod
    def accepted(self, task: Task, stage: Stage) -> Answer:
        """The answer to a submit that made `task`."""

    @abstractmethod
    def shown(self, task: Task, stage: Stage) -> Answer:
        """The answer to a poll of `task`."""

    def polled_id(self, query: Mapping[str, str], body: bytes | None) -> str | None:
        """Which task a poll asks for, where the path does not hold it; None where the poll names none."""
        return None


class CallingSide(ProviderSide):
    """One that calls back, where a submit names a URL for it."""

    @abstractmethod
    def callback(self, task: Task, stage: Stage) -> Json:
        """The body of the callback that says that `task` ended in `stage`."""


def has_url(fields: Mapping[str, Json]) -> bool:
    """Whether some input media is given: what makes a prompt needless for many models."""
    return "://" in json_text.write(fields)


def is_web_address(value: Json) -> bool:
    """Whether a callback URL is one that could be posted to: http(s), with a host, and a port that exists."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def text_or_none(value: Json) -> str | None:
    """A string with something in it, else None."""
    return value if isinstance(value, str) and value.strip() else None

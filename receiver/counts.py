"""What this process has done since it began, in plain numbers, for whoever asks for /metrics.

Each is raised where the thing is told anyway, after its commit. None is kept by an id, a tenant, a URL, a model or a
word of a provider's: there is no end to those.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from receiver.domain import FINAL_EVENTS, MINUTE, SECOND, Attempt, DeliveryState, Event, EventType, FailureKind, Ms

_BRIEF = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)
_WAITS = tuple(n * SECOND for n in (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600))
_TASKS = (*(n * SECOND for n in (1, 5, 15, 30)), *(n * MINUTE for n in (1, 2, 5, 10, 20, 30, 60, 180, 1440)))


class Handover(StrEnum):
    """What became of one request that hands a task over."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_CREATED = "not_created"
    AMBIGUOUS = "ambiguous"


class Came(StrEnum):
    """What a callback was: the first of its task, another body, or one that was kept already.

    `unsigned` ones carry a token that is none of ours, `forgotten` ones are of a task that is kept no longer.
    """

    FIRST = "first"
    FURTHER = "further"
    REPEATED = "repeated"
    UNSIGNED = "unsigned"
    FORGOTTEN = "forgotten"


class Result(StrEnum):
    """How an attempt ended: well, with a status that is none of success, or with no answer at all."""

    SUCCEEDED = "succeeded"
    STATUS_1XX = "status_1xx"
    STATUS_3XX = "status_3xx"
    STATUS_4XX = "status_4xx"
    STATUS_5XX = "status_5xx"
    NO_ANSWER = "no_answer"


_BY_CLASS = {1: Result.STATUS_1XX, 3: Result.STATUS_3XX, 4: Result.STATUS_4XX, 5: Result.STATUS_5XX}


class Spread:
    """How many of a size: `counts[i]` of up to `bounds[i]`, the last of more than all of them; `total` is their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total: float = 0

    def add(self, ms: float) -> None:
        self.counts[bisect_left(self.bounds, ms)] += 1
        self.total += ms


def _none(words: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(map(str, words), 0)


@dataclass(slots=True)
class ProviderCounts:
    """One provider's. Times are in milliseconds; `promised` are handovers that it took with a callback URL."""

    submits: dict[str, int] = field(default_factory=lambda: _none(Handover))
    outcomes: dict[str, int] = field(default_factory=lambda: _none(sorted(FINAL_EVENTS)))
    took: Spread = field(default_factory=lambda: Spread(_TASKS))
    polls: dict[str, int] = field(default_factory=lambda: _none(["answered", *FailureKind]))
    poll_lag: Spread = field(default_factory=lambda: Spread(_WAITS))
    promised: int = 0
    callbacks: dict[str, int] = field(default_factory=lambda: _none(Came))
    callback_lag: Spread = field(default_factory=lambda: Spread(_TASKS))
    unreadable: int = 0
    unknown_words: dict[str, int] = field(default_factory=lambda: _none(["callback", "poll"]))

    def submitted(self, handover: str, *, promised: bool) -> None:
        """A handover was recorded, as one of `Handover`; `promised` where its callback is to come."""
        self.submits[handover] += 1
        self.promised += promised

    def asked(self, lags: Iterable[Ms]) -> None:
        """Polls begin, so long after they were due."""
        for lag in lags:
            self.poll_lag.add(max(lag, 0))

    def polled(self, failure: FailureKind | None, *, unknown: bool) -> None:
        """A poll ended; `unknown` where its answer says a word that we do not know."""
        self.polls[failure or "answered"] += 1
        self.unknown_words["poll"] += unknown

    def called_back(self, came: Came, *, lag: Ms, unknown: int, unreadable: bool) -> None:
        """A callback was recorded, so long after its task was handed over."""
        self.callbacks[came] += 1
        if came is Came.FIRST:
            self.callback_lag.add(lag)
        self.unknown_words["callback"] += unknown
        self.unreadable += unreadable


@dataclass(slots=True)
class KindCounts:
    """Attempts at one kind of destination, and deliveries that ended with one."""

    attempts: dict[str, int] = field(default_factory=lambda: _none(Result))
    took: Spread = field(default_factory=lambda: Spread(_BRIEF))
    ended: dict[str, int] = field(default_factory=lambda: _none([DeliveryState.DELIVERED, DeliveryState.DEAD]))

    def attempted(self, attempt: Attempt, after: DeliveryState) -> None:
        if attempt.succeeded:
            result = Result.SUCCEEDED
        elif attempt.status is None:
            result = Result.NO_ANSWER
        else:
            result = _BY_CLASS.get(attempt.status // 100, Result.NO_ANSWER)
        self.attempts[result] += 1
        self.took.add(attempt.duration_ms)
        if after in self.ended:
            self.ended[after] += 1


@dataclass(slots=True)
class CommitCounts:
    """What the one writer did: transactions by how long the disk took, writes in them, those that failed.

    `waiting` tells how many writes wait for their transaction now, or are in the one that is open.
    """

    waiting: Callable[[], int]
    took: Spread = field(default_factory=lambda: Spread(_BRIEF))
    writes: int = 0
    failed: int = 0


@dataclass(slots=True)
class Counts:
    """All of them; `providers` and `kinds` by name."""

    providers: Mapping[str, ProviderCounts]
    kinds: Mapping[str, KindCounts]
    events: dict[str, int] = field(default_factory=lambda: _none(EventType))

    def recorded(self, provider: str, events: Sequence[Event]) -> None:
        """Events of one task were committed."""
        for event in events:
            self.events[event.type] += 1
            counts = self.providers.get(provider)
            if event.type in FINAL_EVENTS and counts is not None:
                counts.outcomes[event.type] += 1
                counts.took.add(event.at - event.task.created_at)

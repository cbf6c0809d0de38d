"""Which part of what all processes on one database may do together is one process's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.domain import Ms

# A process says that it is alive every second. What it was told holds for a while; then others may have taken it over.
BEAT_S = 1.0
HOLDS_FOR_S = 8.0
GONE_AFTER: Ms = 10_000
KNOWN_AFTER: Ms = 4_000


@dataclass(frozen=True, slots=True)
class Share:
    """The `rank`th part of `of`, from 0: the parts add up to the whole. None at all where `of` is 0."""

    rank: int
    of: int

    def whole(self, most: int) -> int:
        """This one's part of so many at once."""
        if self.of == 0:
            return 0
        return most // self.of + (self.rank < most % self.of)

    def rate(self, per_second: float | None) -> float | None:
        """This one's part of a rate; None is no limit."""
        return None if per_second is None else per_second / max(self.of, 1)


WHOLE = Share(0, 1)
NONE = Share(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a provider said to one process, or to any: until when to wait, and when it last refused; 0 is never."""

    wait_until: Ms = 0
    refused_at: Ms = 0

    def __or__(self, other: "Word") -> "Word":
        """The later of both."""
        return Word(
            wait_until=max(self.wait_until, other.wait_until), refused_at=max(self.refused_at, other.refused_at)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A process that works on the database, since when, when it last said so, and what each provider said to it."""

    id: str
    began_at: Ms
    seen_at: Ms
    words: Mapping[str, Word]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a sign of life is answered with: our part, and what each provider said to any of us."""

    share: Share
    words: Mapping[str, Word]


def heard_by(process: str, all_of_them: Sequence[Alive], now: Ms) -> Heard:
    """What a process hears of all, itself among them; also of one that is gone: what it was told still holds."""
    words: dict[str, Word] = {}
    for each in all_of_them:
        for provider, word in each.words.items():
            words[provider] = words.get(provider, Word()) | word
    return Heard(share=share_of(process, all_of_them, now), words=words)


def share_of(process: str, all_of_them: Sequence[Alive], now: Ms) -> Share:
    """A process's part: none until those before it have heard of it, and made room; the first need not wait.

    One that says nothing for too long is gone; until then its part is nobody else's.
    """
    alive = sorted((each.began_at, each.id) for each in all_of_them if now - each.seen_at < GONE_AFTER)
    names = [name for _, name in alive]
    if process not in names:
        return NONE
    rank = names.index(process)
    return Share(rank, len(names)) if rank == 0 or now - alive[rank][0] >= KNOWN_AFTER else NONE

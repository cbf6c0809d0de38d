"""The words in square brackets by which a prompt tells the sandbox how its task shall go."""

import re
from enum import StrEnum


class Word(StrEnum):
    """One word each, written `[fail]` in a prompt; upper and lower case are the same."""

    FAIL = "fail"
    SLOW = "slow"
    NEVER = "never"
    REJECT = "reject"
    THROTTLE = "429"
    BREAK = "500"
    HANG = "hang"
    NO_CALLBACK = "no-callback"
    TWICE = "twice"
    EARLY = "early"
    FORGE = "forge"
    ODD = "odd"


SLOW_FACTOR = 10
RETRY_AFTER_S = 1
TAKES_TIME = frozenset({Word.FAIL, Word.SLOW, Word.NEVER, Word.ODD})

_WORD = re.compile(r"\[(" + "|".join(re.escape(word) for word in Word) + r")\]", re.IGNORECASE)


def words_in(prompt: str) -> frozenset[Word]:
    """The steering words of a prompt; brackets around anything else mean nothing."""
    return frozenset(Word(found.lower()) for found in _WORD.findall(prompt))

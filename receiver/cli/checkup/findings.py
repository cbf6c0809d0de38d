"""What was found of one thing that was looked at."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands: `warning` is nothing that fails, `skipped` what could not be looked at for another's fault."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One look at the thing `check` names; `remedy` says what to do about it."""

    check: str
    state: State
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check=check, state=State.OK, text=text)


def skipped(check: str, text: str) -> Finding:
    return Finding(check=check, state=State.SKIPPED, text=text)


def warning(check: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, state=State.WARNING, text=text, remedy=remedy)


def wrong(check: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, state=State.WRONG, text=text, remedy=remedy)

"""Copies with something changed are those that `dataclasses` makes."""

import dataclasses
from dataclasses import dataclass, field

import pytest

from receiver import copying
from receiver.domain import Status, Timer
from tests.make import a_destination, a_task, a_timer, an_event

TIMER = a_timer()


@dataclass(frozen=True, slots=True)
class One:
    only: int


@dataclass(frozen=True, slots=True)
class Counted:
    """One that works something out when it is made."""

    text: str
    note: str = ""
    length: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.text))


@dataclass
class Open:
    first: int
    second: list[int]


@dataclass(frozen=True, slots=True)
class Wider(One):
    """Its fields lie in two classes."""

    other: int = 2


def test_the_same_as_that_of_dataclasses() -> None:
    """Of every kind that there is here: equal to it, of the same type, and the noun is as it was."""
    task = a_task()
    for noun, changes in (
        (task, {}),
        (task, {"status": Status.FAILED, "version": 7}),
        (TIMER, {"due_at": 1, "owner": "own_1"}),
        (an_event(), {"task": dataclasses.replace(task, version=2)}),
        (a_destination(), {"enabled": False}),
        (One(1), {"only": 2}),
        (Counted("abc"), {"text": "ab"}),
        (Open(1, []), {"first": 2}),
        (Wider(1), {"only": 3}),
    ):
        before = dataclasses.replace(noun)
        copy, wanted = copying.replace(noun, **changes), dataclasses.replace(noun, **changes)
        assert (type(copy), copy) == (type(wanted), wanted)
        assert noun == before
        assert copy is not noun


def test_a_copy_is_as_frozen_as_the_noun() -> None:
    copy = copying.replace(TIMER, tries=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        copy.tries = 2  # type: ignore[misc]
    assert hash(copy) == hash(dataclasses.replace(TIMER, tries=1))


@pytest.mark.parametrize("noun", [TIMER, One(1), Open(1, []), Wider(1)], ids=lambda noun: type(noun).__name__)
def test_a_field_that_is_not_there_is_refused(noun: Timer) -> None:
    with pytest.raises(TypeError, match="surprise"):
        copying.replace(noun, surprise=1)  # type: ignore[call-arg]

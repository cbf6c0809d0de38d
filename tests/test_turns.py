"""Turns: what is begun in one belongs to it, and is over when it is."""

import asyncio

import pytest

from receiver import turns
from receiver.crew import Crew
from receiver.turns import Did, Turns

pytestmark = pytest.mark.anyio


async def no_rest() -> None:
    return


async def test_what_was_begun_is_over_at_the_end_however_it_ends() -> None:
    """Work that began other work too, and where the block raised."""
    crew, ended = Crew(lambda _: None), list[str]()

    async def work(name: str, more: str | None = None) -> None:
        if more is not None:
            crew.start(more, work(more))
        await asyncio.sleep(0)
        ended.append(name)
        turns.did(Did.POLLED)

    async with Turns(no_rest).turn(60) as turn:
        crew.start("a", work("a", more="b"))
        assert not turns.idle()
    assert (sorted(ended), turn.done, turn.busy) == (["a", "b"], {Did.POLLED: 2}, False)

    async def broken() -> None:
        async with Turns(no_rest).turn(60):
            crew.start("c", work("c"))
            raise LookupError

    with pytest.raises(LookupError):
        await broken()
    assert ended[-1] == "c"


async def test_each_counts_its_own() -> None:
    """Two at once in one process."""
    both = Turns(no_rest)

    async def one(count: int) -> int:
        async with both.turn(60) as turn:
            for _ in range(count):
                turns.did(Did.SUBMITTED)
                await asyncio.sleep(0)
        return turn.done[Did.SUBMITTED]

    assert await asyncio.gather(one(3), one(5)) == [3, 5]


async def test_rest_comes_with_the_end_of_the_last() -> None:
    """Not while another one works, be it inside of this one."""
    rests: list[int] = []

    async def rest() -> None:
        rests.append(1)

    all_of_them = Turns(rest)
    async with all_of_them.turn(60):
        async with all_of_them.turn(60):
            assert rests == []
        assert rests == []
    assert rests == [1]


async def test_what_outlasts_a_turn_is_cut_and_what_has_its_own_end_is_not() -> None:
    """Outside of any turn there is no end but its own."""

    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    async def answer() -> str:
        return "at once"

    assert (turns.left_s(), turns.may_begin(), turns.idle()) == (turns.FOR_EVER, True, False)
    assert await turns.within(answer(), 15.0) == "at once"
    async with Turns(no_rest).turn(0.05):
        assert await turns.within(answer(), 15.0) == "at once"
        assert await turns.within(hang(), 15.0) is None
        assert (turns.left_s(), turns.may_begin()) == (0.0, False)
        assert await turns.within(hang(), 15.0) is None

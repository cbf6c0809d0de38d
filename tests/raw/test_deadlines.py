"""Nobody is waited for too long, whoever works is, and who is given up on hears why. Over sockets, in short."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.raw.talking import LARGE, LAST, SHORT, Door, chunked, get, post, problem, receiving, statuses
from tests.service.world import a_pair, created, scripted, soon

pytestmark = pytest.mark.anyio
LONG = 30.0


async def test_who_says_nothing_is_hung_up_on() -> None:
    """Without a word, for nothing was asked; not early, and soon after."""
    async with receiving(Door()) as server, server.caller() as caller:
        began = time.monotonic()
        assert await caller.hear() == b""
        assert SHORT <= time.monotonic() - began < SHORT + 1


@pytest.mark.parametrize("half", [b"G", b"POST / HT", get()[:-2], get("/" + "a" * 100)[:50], post()[:-4]])
async def test_a_head_that_does_not_end_is_408(half: bytes) -> None:
    """However little of it is missing; no door hears of it."""
    door = Door()
    async with receiving(door, idle_s=LONG) as server:
        began = time.monotonic()
        raw = await server.ask(half)
        assert problem(raw)["status"] == 408
        assert SHORT <= time.monotonic() - began < SHORT + 1
        assert door.begun == 0


async def test_a_dripping_head_has_no_more_time() -> None:
    """Each byte is not a beginning."""
    async with receiving(Door()) as server, server.caller() as caller:
        await caller.say(b"GET / HTTP/1.1\r\nX: ")
        assert statuses(await caller.drip(b"a")) == [408]


@pytest.mark.parametrize("half", [post("/", b"abc", length=10), chunked("/", b"3\r\nabc\r\n"), chunked("/", b"")])
async def test_a_body_that_does_not_end_is_408(half: bytes) -> None:
    """Its door learns that it was left alone, and nobody hears its answer."""
    door = Door()
    async with receiving(door) as server:
        began = time.monotonic()
        assert problem(await server.ask(half))["status"] == 408
        assert SHORT <= time.monotonic() - began < SHORT + 1
        await soon(lambda: [body for *_, body in door.seen] == [None])


async def test_a_dripping_body_has_no_more_time() -> None:
    """Neither in one piece nor in chunks."""
    async with receiving(Door()) as server:
        for head, drop in ((post("/", length=10**6), b"a"), (chunked("/", b""), b"1\r\na\r\n")):
            async with server.caller() as caller:
                await caller.say(head)
                assert statuses(await caller.drip(drop)) == [408]


async def test_who_takes_their_time_within_limits_is_served() -> None:
    """Each request has its own; a connection may live on for many times the limits."""
    door = Door()
    async with receiving(door, head_s=2, body_s=2, idle_s=2) as server, server.caller() as caller:
        for _ in range(3):
            raw = post("/", b"abcdef")
            await caller.say(*(raw[at : at + 9] for at in range(0, len(raw), 9)), pause_s=SHORT / 4)
            assert statuses(await caller.answer()) == [200]
    assert [body for *_, body in door.seen] == [b"abcdef"] * 3


async def test_an_idle_connection_is_closed() -> None:
    """After its answer, without a word; empty lines are no request."""
    async with receiving(Door(), head_s=LONG) as server, server.caller() as caller:
        await caller.say(get())
        assert statuses(await caller.answer()) == [200]
        assert await caller.drip(b"\r\n") == b""


async def test_our_own_time_is_not_theirs() -> None:
    """A door may take longer than every limit, while a body waits unread, too."""
    door = Door()
    async with receiving(door, taking_s=SHORT) as server, server.caller() as caller, server.caller() as other:
        await caller.say(get("/wait"))
        await other.say(post("/wait", bytes(200_000), length=300_000))
        await asyncio.sleep(4 * SHORT)
        door.go.set()
        assert statuses(await caller.answer()) == [200]
        await other.say(bytes(100_000))
        assert statuses(await other.answer()) == [200]
    assert [len(body or b"") for *_, body in door.seen] == [0, 300_000]


async def test_what_was_asked_before_is_answered_first() -> None:
    """Behind a request that is under way half a head and noise are refused, in their turn."""
    for rest, status in ((get()[:-2], 408), (b"\x00\x01\r\n", 400), (post("/", b"a", length=9), 408)):
        door = Door()
        async with receiving(door) as server, server.caller() as caller:
            await caller.say(get("/wait") + rest)
            await asyncio.sleep(3 * SHORT)
            door.go.set()
            raw = await caller.hear()
            assert statuses(raw) == [200, status]
            assert problem(raw)["status"] == status
            assert door.seen[0][1] == "/wait"


async def test_the_rest_of_a_body_that_nobody_wants_is_not_waited_for() -> None:
    """After its answer the connection is closed without another one."""
    async with receiving(Door(), idle_s=LONG) as server:
        assert statuses(await server.ask(post("/unread", b"abc", length=10))) == [200]


async def test_who_does_not_take_an_answer_is_dropped() -> None:
    """Together with what was left of it."""
    async with receiving(Door(), taking_s=SHORT) as server, server.caller(buffer=4096) as caller:
        await caller.say(get("/large"))
        await soon(lambda: any(each.transport.get_write_buffer_size() for each in server.state.connections))
        await soon(lambda: not server.state.connections)
        assert len(await caller.hear()) < LARGE


async def test_who_takes_an_answer_slowly_gets_it() -> None:
    """At more than the least speed, for many times the limit."""
    async with receiving(Door(), taking_s=SHORT) as server, server.caller(buffer=65_536) as caller:
        await caller.say(get("/large", "Connection: close"))
        began, heard = time.monotonic(), 0
        while part := await caller.reader.read(LARGE // 100):
            heard += len(part)
            await asyncio.sleep(SHORT / 20)
        assert heard > LARGE
        assert time.monotonic() - began > 2 * SHORT


async def test_a_callback_that_does_not_arrive_whole_is_hung_up_on(tmp_path: Path) -> None:
    """It is never answered 4xx: its provider sends it again. What came is kept, and makes us ask."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        path = await world.callback_url(task["id"])
        async with receiving(world.service.app) as server:
            assert await server.ask(post(path, b'{"half', length=100)) == b""
            assert await server.ask(chunked(path, b"3\r\nabcd\r\n")) == b""
        await world.turn()
        kinds = [line["kind"] for line in await world.story(task["id"])]
        assert kinds.count("callback") == 2


async def test_beyond_the_most_connections_those_that_ask_nothing_give_way() -> None:
    """Whoever asks is served, however many are silent; what is under way stays."""
    door = Door()
    async with receiving(door, connections=20, head_s=LONG) as server, server.caller() as busy:
        await busy.say(get("/wait"))
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
        assert statuses(await server.ask(LAST)) == [200]
        assert len(server.state.connections) <= 21
        door.go.set()
        assert statuses(await busy.answer()) == [200]
        for _, writer in silent:
            writer.transport.abort()


async def test_a_stop_waits_for_nobody_who_is_not_waited_for_by_us() -> None:
    """Half requests are 503 after a moment, who does not take an answer is dropped; what is under way is answered."""
    door = Door()
    limits = {"head_s": LONG, "body_s": LONG, "idle_s": LONG, "taking_s": LONG, "stopping_s": SHORT}
    async with receiving(door, **limits) as server, server.caller() as busy, server.caller(buffer=4096) as deaf:
        await busy.say(get("/wait"))
        await deaf.say(get("/large"))
        halves = [b"", get()[:-2], post("/", b"a", length=9), post("/callbacks/a/b", b"a", length=9)]
        waiting = [asyncio.ensure_future(server.ask(half)) for half in halves]
        await soon(lambda: door.begun == 4)
        server.sweep.hurry()
        nothing, head, body, callback = await asyncio.gather(*waiting)
        assert (nothing, callback) == (b"", b"")
        assert (problem(head)["status"], problem(body)["status"]) == (503, 503)
        await soon(lambda: len(server.state.connections) == 1)
        door.go.set()
        assert statuses(await busy.answer()) == [200]

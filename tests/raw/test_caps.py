"""What is too large is refused as it comes, before any door hears of it, and what fits is not."""

import pytest

from receiver.signing import CallbackTokens
from receiver.web.limits import ReceiveLimits
from tests.raw.talking import LAST, Door, chunked, get, post, problem, receiving, statuses
from tests.service.world import soon

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024
LIMITS = ReceiveLimits()
# Nothing here may be a matter of time.
PATIENT = {"head_s": 30, "body_s": 30, "idle_s": 30, "goodbye_s": 30}


def headers(count: int) -> list[str]:
    """So many, Host included."""
    return [f"x-{number}: a" for number in range(count - 1)]


def head_of(size: int) -> bytes:
    """A whole head of so many bytes, as they are counted: the address, and each header with its four."""
    empty = len("/") + len("host: x\r\n") + len("x: \r\n")
    return get("/", f"x: {'a' * (size - empty)}")


FITS = {
    "the longest address": get("/" + "a" * (LIMITS.url_bytes - 1)),
    "the most headers": get("/", *headers(LIMITS.fields)),
    "the largest head": head_of(LIMITS.head_bytes),
    "the largest header in an answer's own request": post("/", b"x" * 300_000, f"x: {'a' * 32_000}"),
}
TOO_LARGE = {
    "an address": (414, get("/" + "a" * LIMITS.url_bytes)),
    "half an address": (414, b"GET /" + b"a" * 40_000),
    "an address of a megabyte": (414, get("/" + "a" * MIB)),
    "one header more": (431, get("/", *headers(LIMITS.fields + 1))),
    "one byte more": (431, head_of(LIMITS.head_bytes + 1)),
    "a name": (431, get("/", f"{'a' * 40_000}: x")),
    "half a header": (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000),
    "half a name": (431, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * 40_000),
    "headers without end": (431, b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 10_000),
    "a megabyte": (431, get("/", f"x: {'a' * MIB}")),
    "an extension of a chunk": (413, chunked("/", b"1;" + b"a" * MIB + b"\r\nx\r\n0\r\n\r\n")),
    "trailers": (413, chunked("/", b"0\r\n" + b"x: a\r\n" * 200_000 + b"\r\n")),
    "chunks of one byte": (413, chunked("/", b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n")),
}


@pytest.mark.parametrize("name", FITS)
async def test_what_fits_is_served(name: str) -> None:
    """In one piece and in many."""
    raw = FITS[name]
    async with receiving(Door(), **PATIENT) as server:
        assert statuses(await server.ask(raw + LAST)) == [200, 200]
        pieces = [raw[at : at + 5000] for at in range(0, len(raw), 5000)]
        assert statuses(await server.ask(*pieces, LAST)) == [200, 200]


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_is_too_large_is_a_problem(name: str) -> None:
    """In one piece and in many, behind another request, too; nothing of it reaches a door.

    A head that begins behind another one's end is counted from the next read on.
    """
    status, raw = TOO_LARGE[name]
    door = Door()
    async with receiving(door, **PATIENT, wire_bytes=200_000) as server:
        pieces = [raw[at : at + 30_000] for at in range(0, len(raw), 30_000)]
        for said in ((raw,), pieces, (get("/first") + raw[:100], raw[100:])):
            heard = await server.ask(*said)
            assert statuses(heard)[-1] == status
            assert problem(heard)["status"] == status
    assert [path for _, path, _, body in door.seen if path != "/first" and body is not None] == []


async def test_a_long_body_before_it_is_not_counted_with_a_head() -> None:
    """Where one read brings the end of a request and the beginning of the next."""
    door = Door()
    async with receiving(door, **PATIENT) as server, server.caller() as caller:
        raw = post("/", bytes(120_000)) + LAST
        await caller.say(raw[:-10], raw[-10:], pause_s=0.1)
        assert statuses(await caller.hear()) == [200, 200]


async def test_what_a_door_did_not_want_is_read_on_for_a_while() -> None:
    """So that the connection stays of use; but not for ever: then it is closed."""
    async with receiving(Door(), **PATIENT | {"goodbye_s": 0.1}, wire_bytes=200_000) as server:
        assert statuses(await server.ask(post("/unread", bytes(190_000)) + LAST)) == [200, 200]
        assert statuses(await server.ask(post("/unread", bytes(MIB)), LAST)) == [200]


async def test_a_refusal_is_heard_by_who_is_still_talking() -> None:
    """Closing at once would reset the connection, and the answer with it."""
    async with receiving(Door(), **PATIENT) as server, server.caller() as caller:
        await caller.say(get("/", f"x: {'a' * 40_000}"))
        await caller.say(*[bytes(10_000)] * 20, pause_s=0.01)
        assert problem(await caller.hear())["status"] == 431


async def test_who_never_stops_talking_is_dropped() -> None:
    """After a refusal nobody is listened to for long."""
    async with receiving(Door(), **PATIENT | {"goodbye_s": 0.2}) as server, server.caller() as caller:
        await caller.say(b"GET / HTTP/9.9\r\n\r\n")
        assert statuses(await caller.answer()) == [400]
        await caller.drip(b"x")
        await soon(lambda: not server.state.connections)


def test_the_longest_callback_url_fits() -> None:
    """Four times, with the longest name that a provider may have."""
    token = CallbackTokens(["s" * 32]).issue("a" * 64, "task_" + "0" * 26)
    assert 4 * len(f"/callbacks/{'a' * 64}/{token}") < LIMITS.url_bytes


async def test_a_body_survives_the_offer_of_another_protocol() -> None:
    """As Java's client makes one with every first request in the clear; other words of that header stay."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "X-Own: 1")
    door = Door()
    async with receiving(door, **PATIENT) as server:
        for pieces in (
            (post("/", b"abc", *offer) + LAST,),
            (post("/", b"", *offer, length=3), b"abc", LAST),
            (chunked("/", b"3\r\nabc\r\n0\r\n\r\n", *offer) + LAST,),
            (get("/", *offer) + LAST,),
            (get("/", "Connection: upgrade", "Upgrade: websocket", "X-Own: 1") + LAST,),
        ):
            assert statuses(await server.ask(*pieces)) == [200, 200]
        many = get("/many", *offer)
        assert statuses(await server.ask(many * 2000 + LAST)) == [200] * 2001
        assert problem(await server.ask(b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"))["status"] == 400
        assert problem(await server.ask(get("/" + "a" * 3000, *offer)))["status"] == 414
    offered = [each for each in door.seen if each[1] == "/"]
    assert [body for *_, body in offered] == [b"abc", b"abc", b"abc", b"", b""]
    assert all(given["x-own"] == "1" and "upgrade" not in given for _, _, given, _ in offered)

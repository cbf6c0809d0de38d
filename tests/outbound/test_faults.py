"""Servers that drip, break off, flood or babble: one value comes back, in time."""

import asyncio
import random
import time

import pytest

from receiver.guard import Guard
from receiver.outbound import Audience, Outbound
from receiver.wire import NoReply, Reply
from tests.outbound.sending import POLL, SUBMIT, Reader, Writer, send
from tests.raw_servers import RawServer, Script, answer_all, raw_server, resets, says, silent

pytestmark = pytest.mark.anyio


def drips(start: bytes, drop: bytes) -> Script:
    """A server that begins an answer, and goes on with drops that never end it."""

    async def script(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.03)

    return script


DRIPS = {
    "silent": silent,
    "headers": drips(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"),
    "chunks": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "unframed": drips(b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    "interim": drips(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.mark.parametrize("what", DRIPS)
@pytest.mark.parametrize("kind", [SUBMIT, POLL])
async def test_one_deadline_covers_everything(outbound: Outbound, what: str, kind: Audience) -> None:
    """No drip of any part of an answer outlives the deadline; the request counts as sent."""
    deadline_s = 0.12 if what == "interim" else 0.5  # a longer one meets the limit on interim answers first
    started = time.monotonic()
    async with raw_server(DRIPS[what]) as server:
        got = await send(
            outbound, server.url(), deadline_s=deadline_s, kind=kind, method="GET" if kind is POLL else "POST"
        )
        elapsed = time.monotonic() - started
    assert got == NoReply(sent=True, reason=f"no answer within {deadline_s} s")
    assert deadline_s * 0.9 < elapsed < deadline_s + 0.5
    assert len(server.requests) == 1


async def test_the_deadline_covers_the_tls_handshake(outbound: Outbound) -> None:
    """A server that takes the connection and never speaks TLS was sent nothing."""

    async def mute(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.read()

    started = time.monotonic()
    async with raw_server(mute) as server:
        got = await send(outbound, server.url(scheme="https"), deadline_s=0.12)
    assert got == NoReply(sent=False, reason="no connection within 0.12 s")
    assert time.monotonic() - started < 0.75


async def test_waiting_for_a_connection_counts_against_the_deadline_and_sends_nothing() -> None:
    """With the pool used up, a request that never got its turn was not sent."""
    async with Outbound(Guard("loopback"), limit_per_host=1) as outbound, raw_server(silent) as server:
        first = asyncio.create_task(send(outbound, server.url(), deadline_s=0.5))
        await asyncio.sleep(0.1)
        second = await send(outbound, server.url(), deadline_s=0.2)
        assert second == NoReply(sent=False, reason="no connection within 0.2 s")
        assert (await first) == NoReply(sent=True, reason="no answer within 0.5 s")
        assert len(server.requests) == 1


async def test_a_deadline_in_the_past_sends_nothing(outbound: Outbound) -> None:
    """No time left means not sent."""
    async with raw_server(answer_all) as server:
        got = await send(outbound, server.url(), deadline_s=0)
    assert isinstance(got, NoReply)
    assert not got.sent
    assert server.requests == []


async def test_a_flood_of_interim_answers_ends_at_once(outbound: Outbound) -> None:
    """Endless 1xx answers are given up on, not parsed until the deadline."""

    async def flood(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 4000)
            await writer.drain()

    started = time.monotonic()
    async with raw_server(flood) as server:
        got = await send(outbound, server.url(), deadline_s=10)
    assert got == NoReply(sent=True, reason="the answer is not HTTP")
    assert time.monotonic() - started < 2


BROKEN = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half the body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "a chunk cut off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "a bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
    "a header too long": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 5000 + b"\r\n",
    "only an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_no_reply_and_counts_as_sent(outbound: Outbound, raw: bytes) -> None:
    """Whatever is not a whole answer is none; nothing is asked twice of a submit."""
    async with raw_server(says(raw)) as server:
        got = await send(outbound, server.url())
    assert isinstance(got, NoReply)
    assert got.sent
    assert len(server.requests) == 1


async def test_a_reset_instead_of_an_answer_counts_as_sent(outbound: Outbound) -> None:
    """RST after the request: it may have been acted on."""
    async with raw_server(resets(after_reading=True)) as server:
        got = await send(outbound, server.url())
    assert got == NoReply(sent=True, reason="the connection broke: Connection reset by peer")
    assert len(server.requests) == 1


async def test_a_reset_right_after_accept_is_a_value(outbound: Outbound) -> None:
    """A server that hangs up before it reads gets nothing from us twice, whatever the timing."""
    async with raw_server(resets(after_reading=False)) as server:
        for kind in Audience:
            assert isinstance(await send(outbound, server.url(), kind=kind), NoReply)


async def test_an_unasked_upgrade_is_an_answer(outbound: Outbound) -> None:
    """101 neither hangs nor leaves a connection that is used again."""
    raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc"
    async with raw_server(says(raw, then_close=False)) as server:
        for _ in range(2):
            got = await send(outbound, server.url())
            assert isinstance(got, Reply)
            assert got.status == 101
    assert server.connections == 2


async def test_mutated_answers_never_raise(outbound: Outbound) -> None:
    """Three hundred answers with bytes changed, cut or doubled: a `Reply` or a `NoReply`, each within the deadline."""
    chance = random.Random(20261120)
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
    mutants = iter([_mutated(whole, chance) for _ in range(300)])

    async def serve(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read(reader)
            writer.write(next(mutants))
            if chance.random() < 0.5:
                return

    async with raw_server(serve) as server:
        outcomes = [await send(outbound, server.url(), deadline_s=0.01) for _ in range(300)]
    assert {type(outcome) for outcome in outcomes} == {Reply, NoReply}


def _mutated(raw: bytes, chance: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 20)]
            case 2:
                data[at:at] = data[at : at + chance.randint(1, 30)]
            case _:
                data[at:at] = chance.choice([b"\r\n", b"\x00", b":", b"HTTP/1.1 100 x\r\n\r\n", b"\xff" * 9])
        data = data or bytearray(b"x")
    return bytes(data)

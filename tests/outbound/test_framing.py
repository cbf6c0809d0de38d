"""Where an answer ends, and what may follow it on its connection."""

import asyncio
import random
import socket

import pytest

from receiver.outbound import Outbound
from receiver.wire import NoReply, Reply
from tests.outbound.sending import Reader, Writer, send
from tests.raw_servers import RawServer, Script, answer, answers, raw_server, reset, says, silent

pytestmark = pytest.mark.anyio

NOT_HTTP = NoReply(sent=True, reason="the answer is not HTTP")
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (HEAD + b"\r\n", b""),
        (HEAD + b"\r\n", b"to the end"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"to the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n", b"four"),
    ],
)
async def test_a_body_without_a_length_ends_with_its_connection(outbound: Outbound, head: bytes, body: bytes) -> None:
    """As HTTP has it; a length, where there is one, counts."""
    async with raw_server(says(head + body)) as server:
        got = await send(outbound, server.url())
    assert isinstance(got, Reply)
    assert (got.status, got.body) == (200, body)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"Content-Length: 2\r\n\r\nok and more",
        HEAD + b"Content-Length: 2\r\n\r\nokHTT",
        HEAD + b"Content-Length: 2\r\n\r\nok" + answer(b"second"),
        CHUNKED + b"2\r\nok\r\n0\r\n\r\nx",
    ],
)
async def test_such_a_connection_serves_one_request(outbound: Outbound, raw: bytes) -> None:
    """Of an older protocol, told to end, or with something after the answer, which is whole all the same."""
    async with raw_server(answers(raw)) as server:
        for _ in range(2):
            got = await send(outbound, server.url())
            assert isinstance(got, Reply)
            assert (got.status, got.body) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"ok"),
        CHUNKED + b"1\r\no\r\n1;ext=1\r\nk\r\n0\r\nX-Trailer: 1\r\n\r\n",
        HEAD + b"X-Padded: a \t \r\nX-Empty:\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    ],
)
async def test_an_answer_is_the_same_however_it_is_cut(outbound: Outbound, raw: bytes) -> None:
    """Byte by byte, or in one piece; its connection serves them all. Trailers are no headers."""

    async def drip(server: RawServer, reader: Reader, writer: Writer) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await server.read(reader)
        writer.write(raw)
        await server.read(reader)
        for at in range(len(raw)):
            writer.write(raw[at : at + 1])
            await asyncio.sleep(0)
        await reader.read()

    async with raw_server(drip) as server:
        whole, dripped = await send(outbound, server.url()), await send(outbound, server.url())
    assert isinstance(whole, Reply)
    assert whole == dripped
    assert "x-trailer" not in whole.headers
    assert whole.headers.get("x-padded", "a") == "a"
    assert server.connections == 1


async def test_an_answer_to_head_has_no_body(outbound: Outbound) -> None:
    """Its length is that of what GET would get."""
    async with raw_server(says(HEAD + b"Content-Length: 99\r\n\r\n", then_close=False)) as server:
        got = await send(outbound, server.url(), method="HEAD", body=None, deadline_s=5)
    assert got == Reply(status=200, headers={"content-length": "99"}, body=b"")


@pytest.mark.parametrize("status", ["000", "099"])
async def test_a_status_below_100_is_no_answer(outbound: Outbound, status: str) -> None:
    """Neither one to pass over nor one to take."""
    async with raw_server(says(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())) as server:
        assert await send(outbound, server.url()) == NOT_HTTP


@pytest.mark.parametrize(("count", "size"), [(127, 1), (128, 1), (1, 16 * 1024 - 3), (1, 16 * 1024 - 2)])
async def test_headers_have_a_limit_each_and_together(outbound: Outbound, count: int, size: int) -> None:
    """128 of them, 16 KiB for each with its name: the limit holds, one more does not."""
    raw = HEAD + b"".join(b"X-%03d: %s\r\n" % (number, b"a" * (size - 2)) for number in range(count))
    async with raw_server(says(raw + b"Content-Length: 0\r\n\r\n")) as server:
        got = await send(outbound, server.url())
    assert isinstance(got, Reply if count == 127 or size == 16 * 1024 - 3 else NoReply)


def goes_on(start: bytes, piece: bytes) -> Script:
    """As fast as it is read, for ever."""

    async def script(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(start)
        while True:
            writer.write(piece * (16_384 // len(piece)))
            await writer.drain()

    return script


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 ", b"reason "),
        (HEAD, b"name"),
        (HEAD + b"X-A: ", b"value"),
        (HEAD, b"X-A: a\r\n"),
        (CHUNKED + b"0\r\nX-A: ", b"value"),
        (CHUNKED + b"0\r\n", b"X-A: a\r\n"),
        (CHUNKED + b"1;", b"extension"),
        (CHUNKED, b"0"),
    ],
)
async def test_a_line_without_an_end_is_given_up_on(outbound: Outbound, start: bytes, piece: bytes) -> None:
    """Whatever does not end costs its limit, not the deadline, and no memory."""
    async with raw_server(goes_on(start, piece)) as server:
        assert await send(outbound, server.url(), deadline_s=20) == NOT_HTTP


async def test_a_reset_inside_the_body_is_no_answer(outbound: Outbound) -> None:
    """Not even of a body that would end with its connection."""

    async def script(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(HEAD + b"\r\nhalf")
        await asyncio.sleep(0.05)
        reset(writer)

    async with raw_server(script) as server:
        got = await send(outbound, server.url())
    assert got == NoReply(sent=True, reason="the connection broke inside the answer")


async def test_an_early_refusal_is_heard_although_the_connection_breaks(outbound: Outbound) -> None:
    """A server that answers 413 and hangs up with most of the body unread: its word counts."""

    async def refuse(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"big", status="413 Too Large"))

    async with raw_server(refuse) as server:
        for _ in range(10):
            got = await send(outbound, server.url(), body=b"x" * 5_000_000, deadline_s=5)
            assert isinstance(got, Reply)
            assert (got.status, got.body) == (413, b"big")
    assert server.connections == 10


async def test_a_server_that_never_reads_ends_with_the_deadline(outbound: Outbound) -> None:
    """A body that cannot leave is cut with its connection."""
    over = asyncio.Event()

    async def deaf(server: RawServer, reader: Reader, writer: Writer) -> None:
        writer.transport.pause_reading()
        await over.wait()

    async with raw_server(deaf) as server:
        got = await send(outbound, server.url(), body=random.Random(1).randbytes(20_000_000), deadline_s=0.3)
        over.set()
    assert got == NoReply(sent=True, reason="no answer within 0.3 s")


async def test_a_second_answer_after_the_end_is_not_taken_for_the_next(outbound: Outbound) -> None:
    """However it is cut into reads."""

    async def twice(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            _, body = await server.read(reader)
            for piece in (answer(body), answer(b"stale")[:9], answer(b"stale")[9:]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    async with raw_server(twice) as server:
        for number in range(20):
            got = await send(outbound, server.url(), body=b"%d" % number)
            assert isinstance(got, Reply)
            assert got.body == b"%d" % number


async def test_what_ends_by_the_deadline_is_closed(outbound: Outbound) -> None:
    """The server sees its connection end, not only the caller its wait."""
    ended = asyncio.Event()

    async def script(server: RawServer, reader: Reader, writer: Writer) -> None:
        try:
            await silent(server, reader, writer)
        finally:
            ended.set()

    async with raw_server(script) as server:
        assert isinstance(await send(outbound, server.url(), deadline_s=0.3), NoReply)
        async with asyncio.timeout(2):
            await ended.wait()

"""TLS: who is trusted; connections under it are judged as those without."""

import asyncio
import os
import random
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from receiver.guard import Guard
from receiver.names import Found
from receiver.outbound import Audience, Outbound
from receiver.wire import NoReply, Reply
from tests.addresses import found
from tests.outbound.authority import Authority
from tests.outbound.sending import SUBMIT, Reader, Writer, send
from tests.raw_servers import RawServer, answer, answer_all, raw_server, reset, resets

pytestmark = pytest.mark.anyio


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted, the way an operator trusts one of his own."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    return authority


def at_home(host: str, port: int) -> Found:
    """Every name is this machine."""
    return found(["127.0.0.1"], port)


def an_outbound() -> Outbound:
    return Outbound(Guard("loopback"), look_up=at_home)


@pytest.mark.parametrize("kind", Audience)
async def test_requests_share_a_connection_under_tls(authority: Authority, kind: Audience) -> None:
    """Whatever TLS itself says in between, sessions to resume among it."""
    body = random.Random(3).randbytes(300_000)
    async with raw_server(answer_all, tls=authority.serving("hooks.example")) as server, an_outbound() as outbound:
        for _ in range(4):
            got = await send(outbound, server.url(host="hooks.example", scheme="https"), kind=kind, body=body)
            assert got == Reply(status=200, headers={"content-length": "2"}, body=b"ok")
    assert server.connections == 1
    assert [body for _, body in server.requests] == [body] * 4


async def test_a_server_knows_who_is_meant_and_in_which_protocol(authority: Authority) -> None:
    """Its name without the last dot, and HTTP/1.1, where the server could do better."""
    asked: list[str | None] = []
    spoken: list[str | None] = []
    context = authority.serving("hooks.example")
    context.sni_callback = lambda _, name, __: asked.append(name)

    async def note(server: RawServer, reader: Reader, writer: Writer) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answer_all(server, reader, writer)

    async with raw_server(note, tls=context) as server, an_outbound() as outbound:
        assert isinstance(await send(outbound, server.url(host="hooks.example.", scheme="https")), Reply)
    assert (asked, spoken) == (["hooks.example"], ["http/1.1"])
    assert f"Host: hooks.example:{server.port}\r\n".encode() in server.requests[0][0]


async def test_a_certificate_for_another_name_sends_nothing(authority: Authority) -> None:
    """Nor one for a name where an address is asked; each for its own is taken."""
    unsent = NoReply(sent=False, reason="the TLS certificate was not accepted")
    context = authority.serving("hooks.example", "127.0.0.2")
    async with raw_server(answer_all, tls=context, host="0.0.0.0") as server, an_outbound() as outbound:
        for host in ("other.example", "127.0.0.1"):
            assert await send(outbound, server.url(host=host, scheme="https")) == unsent
        assert server.requests == []
        for host in ("hooks.example", "127.0.0.2"):
            assert isinstance(await send(outbound, server.url(host=host, scheme="https")), Reply)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", ".example", "a..b"])
async def test_a_name_that_tls_cannot_ask_for_sends_nothing(authority: Authority, host: str) -> None:
    """A value, whoever refuses the name."""
    async with raw_server(answer_all, tls=authority.serving("hooks.example")) as server, an_outbound() as outbound:
        got = await send(outbound, server.url(host=host, scheme="https"))
    assert isinstance(got, NoReply)
    assert not got.sent
    assert server.requests == []


async def test_a_close_that_waits_unread_is_noticed_under_tls(authority: Authority) -> None:
    """A submit goes out on another connection, once."""
    ends: list[socket.socket] = []

    async def lend(server: RawServer, reader: Reader, writer: Writer) -> None:
        ends.append(socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())))
        await answer_all(server, reader, writer)

    async with raw_server(lend, tls=authority.serving("hooks.example")) as server, an_outbound() as outbound:
        url = server.url(host="hooks.example", scheme="https")
        assert isinstance(await send(outbound, url), Reply)
        ends[0].shutdown(socket.SHUT_WR)  # and no turn of the loop before the next line
        assert isinstance(await send(outbound, url), Reply)
        for end in ends:
            end.close()
    assert (len(server.requests), server.connections) == (2, 2)


@pytest.mark.parametrize("leaves", [False, True])
async def test_half_a_record_is_waited_for(authority: Authority, leaves: bool) -> None:
    """TLS may speak of itself at any time: the connection serves on, but not whoever leaves while it is looked at."""
    ends: list[socket.socket] = []

    async def lend(server: RawServer, reader: Reader, writer: Writer) -> None:
        ends.append(socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())))
        await answer_all(server, reader, writer)

    async with raw_server(lend, tls=authority.serving("hooks.example")) as server, an_outbound() as outbound:
        url = server.url(host="hooks.example", scheme="https")
        assert isinstance(await send(outbound, url), Reply)
        asyncio.get_running_loop().call_soon(ends[0].send, b"\x17\x03\x03")  # in the very turn in which it is looked at
        asking = asyncio.create_task(send(outbound, url, deadline_s=0.5))
        await asyncio.sleep(0)
        if leaves:
            asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert len(server.requests) == 2 - leaves
        assert isinstance(await send(outbound, url), Reply)
        for end in ends:
            end.close()
    assert server.connections == 2


@pytest.mark.parametrize("pause_s", [0, 0.03])
async def test_an_unasked_answer_is_not_taken_under_tls(authority: Authority, pause_s: float) -> None:
    """Read already, or waiting in the socket."""

    async def talk(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            _, body = await server.read(reader)
            writer.write(answer(body))
            await asyncio.sleep(0)
            writer.write(answer(b"stale", status="408 Request Timeout"))

    async with raw_server(talk, tls=authority.serving("hooks.example")) as server, an_outbound() as outbound:
        for body in (b"one", b"two", b"three"):
            got = await send(outbound, server.url(host="hooks.example", scheme="https"), body=body)
            assert isinstance(got, Reply)
            assert got.body == body
            await asyncio.sleep(pause_s)


async def test_a_reset_under_tls_is_a_value(authority: Authority) -> None:
    """In the handshake nothing was sent; after the request it may have been acted on."""
    async with raw_server(resets(after_reading=False)) as server, an_outbound() as outbound:
        for _ in range(20):
            got = await send(outbound, server.url(host="hooks.example", scheme="https"))
            assert isinstance(got, NoReply)
            assert not got.sent

    async def read_then_reset(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        reset(writer)

    async with raw_server(read_then_reset, tls=authority.serving("hooks.example")) as server, an_outbound() as outbound:
        got = await send(outbound, server.url(host="hooks.example", scheme="https"))
    assert isinstance(got, NoReply)
    assert got.sent


async def test_closing_and_deadlines_end_connections_under_tls(authority: Authority) -> None:
    """The server sees both end at once."""
    asked, ended = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def count(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        asked.release()
        with suppress(ssl.SSLError, ConnectionError):
            await reader.read()
        ended.release()

    async with raw_server(count, tls=authority.serving("hooks.example")) as server:
        async with an_outbound() as outbound:
            url = server.url(host="hooks.example", scheme="https")
            got = await send(outbound, url, deadline_s=0.3, kind=SUBMIT)
            assert got == NoReply(sent=True, reason="no answer within 0.3 s")
            flight = asyncio.create_task(send(outbound, url, deadline_s=9))
            for _ in range(2):
                await asked.acquire()
        got = await flight
        assert got == NoReply(sent=True, reason="cut before an answer: nothing is sent any more")
        async with asyncio.timeout(2):
            for _ in range(2):
                await ended.acquire()


TURNS = 40


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_it_may_be_cancelled_in_any_turn_of_the_loop(authority: Authority, scheme: str) -> None:
    """While it looks up, connects, shakes hands, waits; on a new connection or one that idled: nothing is left open."""
    context = authority.serving("hooks.example") if scheme == "https" else None
    async with raw_server(answer_all, tls=context) as server:
        for fresh in (True, False):
            for turns in range(TURNS):
                async with Outbound(Guard(), limit_per_host=1, look_up=at_home) as outbound:
                    url = server.url(host="hooks.example", scheme=scheme)
                    if not fresh:
                        assert isinstance(await send(outbound, url), Reply)
                    task = asyncio.create_task(send(outbound, url))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    assert isinstance(await send(outbound, url), Reply)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_it_may_be_closed_in_any_turn_of_the_loop(authority: Authority, scheme: str) -> None:
    """Whatever is under way ends as a value at once."""
    context = authority.serving("hooks.example") if scheme == "https" else None
    async with raw_server(answer_all, tls=context) as server:
        for turns in range(TURNS):
            async with Outbound(Guard(), look_up=at_home) as outbound:
                url = server.url(host="hooks.example", scheme=scheme)
                task = asyncio.create_task(send(outbound, url, deadline_s=60))
                for _ in range(turns):
                    await asyncio.sleep(0)
            async with asyncio.timeout(5):
                assert isinstance(await task, (Reply, NoReply))

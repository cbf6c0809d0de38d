"""Connections: none is used that is not fit, nothing is sent twice, none is lost to a cancelled request."""

import asyncio
import contextvars
import os
import random
import socket
from contextlib import suppress

import pytest

from receiver.guard import Guard
from receiver.names import Names
from receiver.outbound import Audience, Outbound
from receiver.wire import NoReply, Reply
from tests.outbound.sending import POLL, SUBMIT, WEBHOOK, Reader, Writer, send
from tests.raw_servers import RawServer, answer, answer_all, raw_server, resets, silent

pytestmark = pytest.mark.anyio


async def answer_once_then_hang_up(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Answers the first request of all; every later one is read, and the connection closed on it."""
    while True:
        await server.read(reader)
        if len(server.requests) > 1:
            return
        writer.write(answer())


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE", "PATCH"])
async def test_a_submit_is_never_sent_again_on_a_broken_connection(outbound: Outbound, method: str) -> None:
    """A reused connection that closes under a submit of any method: the server saw it once, and we say sent."""
    async with raw_server(answer_once_then_hang_up) as server:
        assert isinstance(await send(outbound, server.url(), method=method), Reply)
        got = await send(outbound, server.url(), method=method)
    assert got == NoReply(sent=True, reason="the connection was closed before an answer")
    assert len(server.requests) == 2
    assert server.connections == 1


async def test_a_webhook_is_not_sent_again_on_a_broken_connection(outbound: Outbound) -> None:
    """One attempt is one POST: repeating is the schedule's business."""
    async with raw_server(answer_once_then_hang_up) as server:
        await send(outbound, server.url(), kind=WEBHOOK)
        assert isinstance(await send(outbound, server.url(), kind=WEBHOOK), NoReply)
    assert len(server.requests) == 2


async def test_a_poll_survives_an_idle_connection_that_closed(outbound: Outbound) -> None:
    """A question that changes nothing is asked again on a new connection."""

    async def one_answer_each(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(answer())
        await server.read(reader)

    async with raw_server(one_answer_each) as server:
        for _ in range(3):
            assert isinstance(await send(outbound, server.url(), method="GET", body=None, kind=POLL), Reply)
    assert len(server.requests) == 5


async def test_an_idle_connection_that_the_server_closed_is_not_used(outbound: Outbound) -> None:
    """Where the close was seen in time, a submit goes out on a new connection, once."""

    async def close_later(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(answer())

    async with raw_server(close_later) as server:
        for _ in range(3):
            assert isinstance(await send(outbound, server.url()), Reply)
            await asyncio.sleep(0.02)
    assert len(server.requests) == server.connections == 3


@pytest.mark.parametrize("kind", Audience)
async def test_an_unasked_answer_is_not_taken_for_the_next_one(outbound: Outbound, kind: Audience) -> None:
    """What a server says on an idle connection belongs to no request, and that connection serves no other."""

    async def talk(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            _, body = await server.read(reader)
            writer.write(answer(body))
            await asyncio.sleep(0.02)
            writer.write(answer(b"stale", status="408 Request Timeout"))

    async with raw_server(talk) as server:
        for body in (b"one", b"two", b"three"):
            got = await send(outbound, server.url(), body=body, kind=kind)
            assert isinstance(got, Reply)
            assert got.body == body
            await asyncio.sleep(0.05)
    assert len(server.requests) == server.connections == 3


async def test_a_close_that_waits_unread_in_the_socket_is_noticed_before_a_submit_leaves(outbound: Outbound) -> None:
    """A connection that closed while the loop was busy does not cost a submit its answer."""
    ends: list[socket.socket] = []

    async def lend(server: RawServer, reader: Reader, writer: Writer) -> None:
        ends.append(socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())))
        await answer_all(server, reader, writer)

    async with raw_server(lend) as server:
        assert isinstance(await send(outbound, server.url()), Reply)
        ends[0].shutdown(socket.SHUT_WR)  # and no turn of the loop before the next line
        assert isinstance(await send(outbound, server.url()), Reply)
        for end in ends:
            end.close()
    assert len(server.requests) == 2
    assert server.connections == 2


async def test_a_server_that_always_hangs_up_first_is_not_dialled_for_ever(outbound: Outbound) -> None:
    """Dialling again is bounded, however fast the other side closes."""
    async with raw_server(resets(after_reading=False)) as server:
        assert isinstance(await send(outbound, server.url(), deadline_s=5), NoReply)
        assert server.connections <= 3


def test_a_submit_uses_no_connection_that_idled_more_than_two_seconds() -> None:
    """Contract: submits use no connection that has idled for more than 2 s; a poll may."""

    async def idle() -> tuple[int, int]:
        async with raw_server(answer_all) as submits, raw_server(answer_all) as polls, Outbound(Guard()) as outbound:
            for pause in (0.1, 2.1, 0):
                assert isinstance(await send(outbound, submits.url(), kind=SUBMIT), Reply)
                assert isinstance(await send(outbound, polls.url(), kind=POLL), Reply)
                await _idle(pause)
        return submits.connections, polls.connections

    assert asyncio.run(idle()) == (2, 1)


async def _idle(seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


async def test_cancellation_passes_through(outbound: Outbound) -> None:
    """Whoever cancels a request gets `CancelledError`, not a value."""
    async with raw_server(silent) as server:
        task = asyncio.create_task(send(outbound, server.url(), deadline_s=5))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nothing_of_a_request_stays_in_its_task(outbound: Outbound) -> None:
    """The context is as it was, after an answer and after a failure."""
    before = dict(contextvars.copy_context())
    async with raw_server(answer_all) as server:
        for host in ("127.0.0.1", "nowhere.invalid"):
            await send(outbound, server.url(host=host))
            assert dict(contextvars.copy_context()) == before


async def test_cancelled_requests_do_not_wedge_the_pool() -> None:
    """Four hundred requests cancelled at every stage, more at once than the pool has places: five good ones follow."""

    async def serve(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            head, _ = await server.read(reader)
            if b"/slow" in head:
                await asyncio.sleep(0.3)
            writer.write(answer())

    chance = random.Random(3)
    async with Outbound(Guard("loopback"), limit_per_host=8) as outbound, raw_server(serve) as server:

        async def churn() -> None:
            for _ in range(20):
                path = chance.choice(["/slow", "/slow", "/fast"])
                task = asyncio.create_task(send(outbound, server.url(path), deadline_s=chance.choice([0.01, 5])))
                await asyncio.sleep(chance.random() * 0.03)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(churn() for _ in range(20)))
        outcomes = await asyncio.gather(*(send(outbound, server.url("/fast")) for _ in range(5)))
    assert all(isinstance(outcome, Reply) for outcome in outcomes)


async def test_resolve_gives_every_address_once(outbound: Outbound) -> None:
    """Odd spellings of an address are what the resolver makes of them; no address is an empty list."""
    assert "127.0.0.1" in await outbound.resolve("localhost", 80)
    for spelling in ("127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1"):
        assert await outbound.resolve(spelling, 80) == ["127.0.0.1"]
    assert await outbound.resolve("nowhere.invalid", 80) == []
    assert await outbound.resolve("a..b", 80) == []


async def test_a_look_up_has_a_deadline() -> None:
    """A name server that does not answer in time is an `OSError`, and look-ups left behind give their places back."""
    names = Names()
    for _ in range(40):
        with pytest.raises(OSError, match="no name server"):
            await names.addresses("localhost", 80, deadline_s=0)
    assert "127.0.0.1" in await names.addresses("localhost", 80)


async def test_many_look_ups_at_once_wait_for_each_other() -> None:
    """More look-ups than threads all come to an answer."""
    names = Names()
    found = await asyncio.gather(*(names.addresses("127.0.0.1", port) for port in range(1, 101)))
    assert found == [["127.0.0.1"]] * 100


def test_an_answer_that_comes_after_the_loop_closed_is_dropped() -> None:
    """A look-up left behind ends with its thread, in silence."""

    async def leave() -> None:
        with pytest.raises(OSError, match="no name server"):
            await Names().addresses("nowhere.invalid", 80, deadline_s=0)

    asyncio.run(leave())

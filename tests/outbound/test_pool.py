"""The pool: who gets which connection, who waits, and what ends when."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from receiver.dialling import Dialler
from receiver.guard import Guard
from receiver.heads import Origin, target_of
from receiver.names import Found, KeptNames, Names
from receiver.outbound import Outbound
from receiver.pool import Pool
from receiver.wire import NoReply, Reply
from tests.addresses import found
from tests.outbound.sending import POLL, WEBHOOK, Reader, Writer, send
from tests.raw_servers import RawServer, answer, answer_all, raw_server, silent

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def a_pool(*, keepalive_s: float = 9, per_host: int = 0) -> AsyncIterator[Pool]:
    pool = Pool(Dialler(KeptNames(Names()), None), keepalive_s=keepalive_s, per_host=per_host)
    yield pool
    await pool.close()


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def at(server: RawServer) -> Origin:
    return target_of(server.url())[0]


@asynccontextmanager
async def counting_ends() -> AsyncIterator[tuple[RawServer, asyncio.Semaphore]]:
    """A server, and one place for every connection that has ended there."""
    ended = asyncio.Semaphore(0)

    async def script(server: RawServer, reader: Reader, writer: Writer) -> None:
        try:
            await answer_all(server, reader, writer)
        finally:
            ended.release()

    async with raw_server(script) as server:
        yield server, ended


async def test_what_idles_too_long_is_closed_though_nobody_asks() -> None:
    """A host that is never asked again holds no connection; one that is asked keeps those it uses."""
    async with counting_ends() as (server, ended), Outbound(Guard()) as outbound:
        await asyncio.gather(*(send(outbound, server.url()) for _ in range(3)))
        async with asyncio.timeout(6):
            for _ in range(3):
                await ended.acquire()
        assert isinstance(await send(outbound, server.url()), Reply)
        assert server.connections == 4


async def test_the_connection_given_back_last_is_lent_first() -> None:
    """Those that a burst needed go unused, and end."""
    order: list[int] = []
    begun, waiting = asyncio.Event(), asyncio.Event()

    async def script(server: RawServer, reader: Reader, writer: Writer) -> None:
        number = server.connections
        while True:
            head, _ = await server.read(reader)
            order.append(number)
            if b"/wait" in head:
                begun.set()
                await waiting.wait()
            writer.write(answer())

    async with raw_server(script) as server, Outbound(Guard()) as outbound:
        held = asyncio.create_task(send(outbound, server.url("/wait")))
        await begun.wait()
        await send(outbound, server.url("/second"))
        waiting.set()
        await held
        for _ in range(3):
            await send(outbound, server.url("/third"))
    assert order == [1, 2, 1, 1, 1]


async def test_whoever_waits_for_a_place_gets_it_in_order() -> None:
    """One after the other, on the same connection, and never two at once."""
    async with raw_server(answer_all) as server, Outbound(Guard(), limit_per_host=1) as outbound:
        bodies = [b"%d" % number for number in range(20)]
        got = await asyncio.gather(*(send(outbound, server.url(), body=body) for body in bodies))
    assert all(isinstance(each, Reply) for each in got)
    assert [body for _, body in server.requests] == bodies
    assert server.connections == 1


async def test_a_host_that_is_used_up_keeps_nobody_from_another() -> None:
    """Places are counted for each host."""
    async with (
        raw_server(silent) as slow,
        raw_server(answer_all) as quick,
        Outbound(Guard(), limit_per_host=1) as outbound,
    ):
        waiting = [asyncio.create_task(send(outbound, slow.url(), deadline_s=9)) for _ in range(3)]
        await asyncio.sleep(0)
        assert isinstance(await send(outbound, quick.url()), Reply)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_place_that_comes_with_a_cancellation_is_handed_on() -> None:
    """Nobody's place is lost, whoever leaves: while waiting, or in the very turn in which it came."""
    async with raw_server(answer_all) as server, a_pool(per_host=1) as pool:
        origin = at(server)
        for leave_first in (False, True):
            held = await pool.take(origin, soon())
            leaving, staying = (asyncio.create_task(pool.take(origin, soon())) for _ in range(2))
            await asyncio.sleep(0)
            if leave_first:
                leaving.cancel()
                await asyncio.sleep(0)
            pool.give_back(held)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            pool.give_back(await staying)
        assert pool.at_once(origin) is None
        pool.give_back(await pool.take(origin, soon()))


async def test_a_connection_given_back_unasked_is_not_kept() -> None:
    """Only one whose last answer was whole serves another request."""
    async with counting_ends() as (server, ended), a_pool() as pool:
        pool.give_back(await pool.take(at(server), soon()))
        async with asyncio.timeout(2):
            await ended.acquire()
        assert pool.at_once(at(server)) is None


class Unanswered:
    """A name server that does not answer before `over`."""

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()

    def look_up(self, host: str, port: int) -> Found:
        self.asked.set()
        self.over.wait(10)
        return found(["127.0.0.1"], port)


async def test_closing_ends_whatever_waits_for_a_connection() -> None:
    """For its name, for its place, for its handshake: none of them was sent, and none waits for its deadline."""
    names = Unanswered()
    unsent = NoReply(sent=False, reason="nothing can be sent: closed, or not started")
    mute, held = asyncio.Event(), asyncio.Event()

    async def says_nothing(server: RawServer, reader: Reader, writer: Writer) -> None:
        mute.set()
        await reader.read()

    async def holds(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        held.set()
        await reader.read()

    async with raw_server(says_nothing) as server, raw_server(holds) as busy:
        async with Outbound(Guard("loopback"), limit_per_host=1, look_up=names.look_up) as outbound:
            urls = [server.url(host="slow.example"), server.url(scheme="https")]
            waiting = [asyncio.create_task(send(outbound, url, deadline_s=60, kind=WEBHOOK)) for url in urls]
            busied = [asyncio.create_task(send(outbound, busy.url(), deadline_s=60)) for _ in range(2)]
            await mute.wait()
            await asyncio.to_thread(names.asked.wait, 10)
            await held.wait()
        async with asyncio.timeout(5):
            assert await asyncio.gather(*waiting, busied[1]) == [unsent] * 3
            assert await busied[0] == NoReply(sent=True, reason="cut before an answer: nothing is sent any more")
        names.over.set()


async def test_a_poll_asked_again_in_vain_was_sent_all_the_same() -> None:
    """The idle connection broke under it, and no other can be had."""
    closing = asyncio.Event()

    async def once(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(answer())
        await server.read(reader)
        closing.set()
        await asyncio.Event().wait()

    async with Outbound(Guard()) as outbound:
        async with raw_server(once) as server:
            url = server.url()
            assert isinstance(await send(outbound, url, method="GET", body=None, kind=POLL), Reply)
            second = asyncio.create_task(send(outbound, url, method="GET", body=None, kind=POLL))
            await closing.wait()
        got = await second
    assert got == NoReply(sent=True, reason="no connection: Connection refused")


async def test_at_rest_nothing_idles() -> None:
    """What idled is cut, what is lent is not; the pool goes on with new ones."""
    async with raw_server(answer_all) as server, a_pool() as pool:
        idle, lent = await pool.take(at(server), soon()), await pool.take(at(server), soon())
        idle.fit = True
        pool.give_back(idle)
        pool.rest()
        assert (idle.closed, lent.closed) == (True, False)
        assert pool.at_once(at(server)) is None
        lent.fit = True
        pool.give_back(lent)
        assert await pool.take(at(server), soon()) is lent
        pool.give_back(lent)

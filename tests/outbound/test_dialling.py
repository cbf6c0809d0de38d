"""Which addresses of a host are dialled, in which order, and how often its name is looked up."""

import asyncio
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from receiver.guard import Guard
from receiver.names import Found
from receiver.outbound import Outbound
from receiver.wire import NoReply, Reply
from tests.addresses import found
from tests.dials import dials
from tests.outbound.sending import POLL, SUBMIT, WEBHOOK, send
from tests.raw_servers import answer_all, raw_server
from tests.service.world import free_port

pytestmark = pytest.mark.anyio


class Book:
    """A name server that says the same of every host, and counts who asks."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def look_up(self, host: str, port: int) -> Found:
        self.asked += 1
        self.is_asked.set()
        self.may_answer.wait(10)
        return found(self.addresses, port)


@contextmanager
def full(address: str, port: int) -> Iterator[None]:
    """A socket that answers nobody: its queue is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield


async def test_the_families_are_dialled_by_turns() -> None:
    """The first one's first; a network may carry only one of them."""
    book = Book("127.0.0.2", "127.0.0.3", "127.0.0.4", "::1")
    async with Outbound(Guard(), look_up=book.look_up) as outbound:
        with dials() as dialled:
            got = await send(outbound, f"http://many.example:{free_port()}/")
    assert isinstance(got, NoReply)
    assert got.reason == "no connection: Connection refused"
    tried = [each.address[0] for each in dialled]
    assert [each for each in tried if ":" not in each] == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    assert tried in (
        ["127.0.0.2", "::1", "127.0.0.3", "127.0.0.4"],
        ["127.0.0.2", "127.0.0.3", "127.0.0.4"],  # where there is no IPv6
    )


async def test_a_host_with_a_hundred_addresses_is_not_a_list_of_targets() -> None:
    """Eight are dialled."""
    book = Book(*(f"127.0.1.{number}" for number in range(1, 101)))
    async with Outbound(Guard("loopback"), look_up=book.look_up) as outbound:
        with dials() as dialled:
            assert isinstance(await send(outbound, f"http://many.example:{free_port()}/", kind=WEBHOOK), NoReply)
    assert len(dialled) == 8


async def test_an_address_that_does_not_answer_costs_a_quarter_of_a_second() -> None:
    """The next one is dialled beside it; its own connection comes to nothing."""
    async with raw_server(answer_all, host="127.0.0.1") as server:
        with full("127.0.0.2", server.port):
            async with Outbound(Guard(), look_up=Book("127.0.0.2", "127.0.0.1").look_up) as outbound:
                began_s = time.monotonic()
                got = await send(outbound, server.url(host="slow.example"), deadline_s=10)
                assert isinstance(got, Reply)
                assert 0.2 < time.monotonic() - began_s < 2
    assert server.connections == 1


async def test_addresses_that_do_not_answer_end_with_the_deadline() -> None:
    """All of them together, and nothing was sent; no socket is left behind."""
    port = free_port()
    with full("127.0.0.2", port), full("127.0.0.3", port):
        async with Outbound(Guard(), look_up=Book("127.0.0.2", "127.0.0.3").look_up) as outbound:
            got = await send(outbound, f"http://slow.example:{port}/", deadline_s=0.5)
    assert got == NoReply(sent=False, reason="no connection within 0.5 s")


@pytest.mark.parametrize("address", ["255.255.255.255", "fe80::1"])
async def test_an_address_that_cannot_be_dialled_is_passed_over(address: str) -> None:
    """At once, and what is said in the end is what went wrong first."""
    book = Book(address, "127.0.0.1")
    async with raw_server(answer_all) as server, Outbound(Guard(), look_up=book.look_up) as outbound:
        assert isinstance(await send(outbound, server.url(host="odd.example")), Reply)
        got = await send(outbound, f"http://odd.example:{free_port()}/")
    assert isinstance(got, NoReply)
    assert re.fullmatch("no connection: (Permission denied|.* unreachable|Invalid argument)", got.reason)


async def test_a_process_without_free_descriptors_sends_nothing() -> None:
    """A value, and the next request goes out when there are some again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with raw_server(answer_all) as server, Outbound(Guard()) as outbound:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            got = await send(outbound, server.url())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert got == NoReply(sent=False, reason="no connection: Too many open files")
        assert isinstance(await send(outbound, server.url()), Reply)


async def test_an_address_for_a_host_is_not_looked_up() -> None:
    """It is dialled as it stands."""
    book = Book("203.0.113.1")
    async with raw_server(answer_all) as server, Outbound(Guard("loopback"), look_up=book.look_up) as outbound:
        for kind in (SUBMIT, POLL, WEBHOOK):
            assert isinstance(await send(outbound, server.url(), kind=kind), Reply)
        got = await send(outbound, f"http://[::1]:{free_port()}/")
        assert isinstance(got, NoReply)
        assert got.reason.startswith("no connection: ")
    assert book.asked == 0


async def test_a_name_is_looked_up_once_for_all_who_ask_at_once() -> None:
    """Whoever asked first may leave, the others are told; and the answer is kept."""
    book = Book("127.0.0.1")
    book.may_answer.clear()
    async with raw_server(answer_all) as server, Outbound(Guard("loopback"), look_up=book.look_up) as outbound:
        url = server.url(host="busy.example")
        asking = [asyncio.create_task(send(outbound, url, kind=WEBHOOK, deadline_s=9)) for _ in range(20)]
        await asyncio.to_thread(book.is_asked.wait, 10)
        asking[0].cancel()
        await asyncio.gather(asking[0], return_exceptions=True)
        book.may_answer.set()
        assert all(isinstance(each, Reply) for each in await asyncio.gather(*asking[1:]))
        assert isinstance(await send(outbound, url, kind=WEBHOOK, deadline_s=9), Reply)
    assert book.asked == 1


async def test_a_failed_look_up_is_not_kept() -> None:
    """A name that comes to life is found by the next request; nobody who left a failing one is missed."""
    book = Book()
    async with raw_server(answer_all) as server, Outbound(Guard("loopback"), look_up=book.look_up) as outbound:
        url = server.url(host="new.example")
        gone = asyncio.create_task(send(outbound, url))
        await asyncio.sleep(0)
        gone.cancel()
        unknown = NoReply(sent=False, reason="the host name does not resolve")
        assert await send(outbound, url) == unknown
        book.addresses = ["127.0.0.1"]
        assert isinstance(await send(outbound, url), Reply)

"""Webhooks at the address actually dialled: counted at a listening socket on loopback, and as they are dialled."""

import asyncio
import threading
import time
from itertools import cycle

import pytest

from receiver.dialling import is_here
from receiver.errors import AddressRefused
from receiver.guard import Guard
from receiver.names import Found, LookUp
from receiver.outbound import Audience, Outbound
from receiver.wire import Call, NoReply, Reply
from tests.addresses import Spelling, found, look_up, spellings
from tests.dials import dials
from tests.raw_servers import RawServer, answer_all, raw_server

pytestmark = pytest.mark.anyio

SPELLINGS = """
    127.0.0.1  localhost  LOCALHOST  localhost.  127.1  127.0.1  0x7f.1  0x7f000001  0177.0.0.1  2130706433  127.0.0.1.
    0  0.0.0.0  127.255.255.254  017700000001  ①②⑦.⓪.⓪.①  127。0。0。1  ⑫7.0.0.1
    [::1]  [::]  [::ffff:127.0.0.1]  [0:0:0:0:0:ffff:127.0.0.1]  [::ffff:7f00:1]  [::127.0.0.1]  [64:ff9b::127.0.0.1]
    [2002:7f00:1::]
"""


ADVICE = "the operator may allow it, beside what is allowed already: TASKWEIR_ALLOW_NETWORKS="


def refused(why: str) -> NoReply:
    return NoReply(sent=False, reason=f"{why}; {ADVICE}loopback")


async def post(outbound: Outbound, server: RawServer, host: str, kind: Audience = Audience.WEBHOOK) -> Reply | NoReply:
    return await outbound.send(Call(method="POST", url=server.url(host=host), body=b"{}"), deadline_s=2, kind=kind)


async def test_no_spelling_of_loopback_reaches_a_listening_socket() -> None:
    """Counted where it matters: the server on loopback sees no connection, and every refusal was before sending."""
    async with raw_server(answer_all) as server, Outbound(Guard("private, 8.8.8.8, h.example")) as outbound:
        for host in SPELLINGS.split():
            outcome = await post(outbound, server, host)
            assert isinstance(outcome, NoReply), host
            assert not outcome.sent, host
    assert server.connections == 0


async def test_the_refusal_names_the_range_and_prints_the_line() -> None:
    """Whoever reads the attempt learns why, and what would mend it: literals and names alike."""
    async with raw_server(answer_all) as server, Outbound(Guard()) as outbound:
        assert await post(outbound, server, "127.0.0.1") == refused("127.0.0.1 is loopback")
        named = await post(outbound, server, "localhost")
        assert isinstance(named, NoReply)
        assert named.reason.startswith("localhost is at ")
        assert named.reason.endswith(f", which is loopback; {ADVICE}loopback")


@pytest.mark.parametrize("setting", ["loopback", "127.0.0.0/8,::1", "10.0.0.0/8,loopback"])
async def test_what_the_operator_opened_is_dialled(setting: str) -> None:
    """By word or by network."""
    async with raw_server(answer_all) as server, Outbound(Guard(setting)) as outbound:
        assert isinstance(await post(outbound, server, "127.0.0.1"), Reply)
        assert isinstance(await post(outbound, server, "localhost"), Reply)


async def test_a_name_that_is_open_opens_no_other_way_in() -> None:
    """Requests to an open name and to the same address by another name, all at once: each for its own host."""
    async with raw_server(answer_all) as server, Outbound(Guard("localhost")) as outbound:
        hosts = ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "0x7f.1"] * 20
        outcomes = await asyncio.gather(*(post(outbound, server, host) for host in hosts))
    for host, outcome in zip(hosts, outcomes, strict=True):
        assert isinstance(outcome, Reply if host.startswith("localhost") else NoReply), (host, outcome)


@pytest.mark.parametrize("kind", [Audience.PROVIDER_SUBMIT, Audience.PROVIDER_POLL])
async def test_providers_are_not_guarded(kind: Audience) -> None:
    """Contract: base URLs of providers are the operator's."""
    async with raw_server(answer_all) as server, Outbound(Guard()) as outbound:
        assert isinstance(await post(outbound, server, "127.0.0.1", kind), Reply)
        assert isinstance(await post(outbound, server, "localhost", kind), Reply)


async def test_odd_spellings_are_judged_by_what_the_resolver_makes_of_them() -> None:
    """At saving: resolve, then judge; every spelling of loopback falls."""
    async with Outbound(Guard()) as outbound:
        for spelling in ("127.1", "0x7f.1", "0177.0.0.1", "2130706433", "localhost", "①②⑦.0.0.1"):
            url = f"http://{spelling}/"
            parsed = Guard.check_url(url)
            with pytest.raises(AddressRefused, match="loopback"):
                Guard().judge(url, await outbound.resolve(parsed.raw_host or "", parsed.port or 0))


def telling(*answers: str) -> LookUp:
    """A name server that says what it was told to, each look-up the next line; every host has lines of its own."""
    left: dict[str, list[str]] = {}

    def look_up(host: str, port: int) -> Found:
        return found(left.setdefault(host, list(answers)).pop(0).split(), port)

    return look_up


async def test_a_name_that_moves_after_saving_is_refused_when_dialled() -> None:
    """DNS rebinding: public when it was judged, loopback when it counts."""
    names, guard = telling("8.8.8.8", "127.0.0.1"), Guard()
    async with raw_server(answer_all) as server, Outbound(guard, look_up=names) as outbound:
        guard.judge("http://moving.example/", await outbound.resolve("moving.example", 80))
        got = await post(outbound, server, "moving.example")
    assert got == refused("moving.example is at 127.0.0.1, which is loopback")
    assert server.connections == 0


async def test_no_address_of_a_host_is_dialled_where_one_is_forbidden() -> None:
    """The open address of a mixed answer does not redeem the other."""
    for answer in ("127.0.0.1 127.0.0.2", "127.0.0.2 127.0.0.1"):
        async with raw_server(answer_all) as server, Outbound(Guard("127.0.0.1"), look_up=telling(answer)) as outbound:
            got = await post(outbound, server, "mixed.example")
        assert got == refused("mixed.example is at 127.0.0.2, which is loopback")
        assert server.connections == 0


@pytest.mark.parametrize(
    "addresses", ["127.0.0.1 127.0.0.2", "127.0.0.2 ::1 127.0.0.1", "127.0.0.3 127.0.0.2 127.0.0.1"]
)
async def test_an_open_name_is_known_wherever_its_addresses_are_dialled(addresses: str) -> None:
    """Several addresses are tried, each judged as it is dialled: the guard knows for which host."""
    async with (
        raw_server(answer_all) as server,
        Outbound(Guard("twin.example"), look_up=telling(addresses)) as outbound,
    ):
        assert isinstance(await post(outbound, server, "twin.example"), Reply)


async def test_what_was_refused_is_asked_again_next_time() -> None:
    """A refusal is not remembered: a name that becomes good is dialled."""
    names = telling("127.0.0.1 10.0.0.1", "127.0.0.1")
    async with raw_server(answer_all) as server, Outbound(Guard("loopback"), look_up=names) as outbound:
        assert isinstance(await post(outbound, server, "mended.example"), NoReply)
        assert isinstance(await post(outbound, server, "mended.example"), Reply)


FLIPS = [
    ("8.8.8.8", "127.0.0.1"),
    ("8.8.8.8 2606:4700::1111", "127.0.0.1 ::1"),
    ("8.8.8.8", "8.8.8.8 127.0.0.1"),
    ("2606:4700::1111", "2606:4700::1111 127.0.0.1"),
    ("8.8.8.8", "::ffff:127.0.0.1"),
    ("8.8.8.8", "0.0.0.0"),
    ("8.8.8.8", "64:ff9b::7f00:1 8.8.8.8"),
    ("8.8.8.8", "2606:4700::1111 ::1"),
    ("8.8.8.8", "::"),
    ("8.8.8.8", "fe80::1%lo"),
]


async def test_none_of_a_thousand_names_that_flip_is_dialled() -> None:
    """Public when they are saved, something else when they are dialled: alone, mixed, or in the other family."""
    guard, wanted = Guard(), {}
    answers = {f"flip-{number}.example": list(flip) for number, flip in zip(range(1000), cycle(FLIPS), strict=False)}

    def flip(host: str, port: int) -> Found:
        return found(answers[host].pop(0).split(), port)

    async with raw_server(answer_all) as server, Outbound(guard, look_up=flip) as outbound:
        with dials() as dialled:
            for host in answers:
                guard.judge(f"http://{host}:{server.port}/", await outbound.resolve(host, server.port))
                wanted[host] = await post(outbound, server, host)
    assert {outcome.sent for outcome in wanted.values() if isinstance(outcome, NoReply)} == {False}
    assert [
        host for host, outcome in wanted.items() if isinstance(outcome, Reply) or ADVICE not in outcome.reason
    ] == []
    assert [host for host, left in answers.items() if left] == []
    assert dialled == []
    assert server.connections == 0


async def test_a_name_that_flips_while_it_is_used_is_dialled_at_its_open_address_only() -> None:
    """Whatever it says in between, and however long an answer is kept."""
    answers = cycle(["127.0.0.2", "127.0.0.1", "127.0.0.2 127.0.0.1", "127.0.0.1 127.0.0.2", "::1 127.0.0.2"])

    def flip(host: str, port: int) -> Found:
        return found(next(answers).split(), port)

    for _ in range(20):
        async with raw_server(answer_all) as server, Outbound(Guard("127.0.0.2"), look_up=flip) as outbound:
            with dials() as dialled:
                for _ in range(5):
                    await post(outbound, server, "moving.example")
        assert {each.address[0] for each in dialled} <= {"127.0.0.2"}
        assert server.connections == 0


def _leads_to_loopback(spelling: Spelling) -> bool:
    """Whether a connection to it, once it is open, comes out at 127.0.0.1."""
    if spelling.range is None:
        return False
    addresses = {str(address[0]) for *_, address in look_up(Guard.check_url(spelling.url).raw_host or "", 80)}
    four = {"127.0.0.1"} if not is_here("::ffff:127.0.0.1") else {"127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1"}
    return bool(addresses & four) and addresses <= four | {"::1"}


async def test_the_printed_line_opens_the_way_for_every_spelling_of_loopback() -> None:
    """Refused, then set as printed: the request arrives. And what counts the dialling of all others does count."""
    async with raw_server(answer_all) as server:
        urls = [each.url for each in spellings(server.port) if _leads_to_loopback(each)]
        urls = [url for url in urls if url.startswith("http:") and f":{server.port}" in url]
        for number, url in enumerate(urls, 1):
            call = Call(method="POST", url=url, body=b"{}")
            async with Outbound(Guard(), look_up=look_up) as outbound:
                closed = await outbound.send(call, deadline_s=2, kind=Audience.WEBHOOK)
            assert isinstance(closed, NoReply), url
            line = closed.reason.rpartition("TASKWEIR_ALLOW_NETWORKS=")[2]
            async with Outbound(Guard(line), look_up=look_up) as outbound:
                with dials() as dialled:
                    opened = await outbound.send(call, deadline_s=2, kind=Audience.WEBHOOK)
            assert isinstance(opened, Reply), (url, line, opened)
            assert dialled, url
            assert server.connections == number
        assert len(urls) > 30


class Hanging:
    """A name server of which names that begin with `dead` never hear."""

    def __init__(self) -> None:
        self._asked = threading.Semaphore(0)
        self.over = threading.Event()

    def look_up(self, host: str, port: int) -> Found:
        if host.startswith("dead"):
            self._asked.release()
            self.over.wait(60)
        return found(["127.0.0.1"], port)

    async def asked(self, count: int) -> None:
        """Return when so many more have been asked for."""
        for _ in range(count):
            assert await asyncio.to_thread(self._asked.acquire, timeout=10)


async def _post_to(outbound: Outbound, server: RawServer, kind: str, count: int) -> list[Reply | NoReply]:
    calls = [Call(method="POST", url=server.url(host=f"{kind}-{number}.example")) for number in range(count)]
    return await asyncio.gather(*(outbound.send(call, deadline_s=15, kind=Audience.WEBHOOK) for call in calls))


def test_name_servers_that_do_not_answer_hold_up_nobody_else() -> None:
    """A look-up has 5 s; two hundred that hang, the first time as ever after, leave the way to healthy names free."""
    names = Hanging()

    async def healthy_in_time(outbound: Outbound, server: RawServer, kind: str) -> None:
        async with asyncio.timeout(2):
            outcomes = await _post_to(outbound, server, kind, 20)
        assert all(isinstance(outcome, Reply) for outcome in outcomes)

    async def webhooks() -> None:
        async with raw_server(answer_all) as server, Outbound(Guard("loopback"), look_up=names.look_up) as outbound:
            began_s = time.monotonic()
            dead = asyncio.create_task(_post_to(outbound, server, "dead", 200))
            await names.asked(200)
            await healthy_in_time(outbound, server, "well")
            assert set(await dead) == {NoReply(sent=False, reason="the host name does not resolve")}
            assert 5 <= time.monotonic() - began_s < 7
            again = asyncio.create_task(_post_to(outbound, server, "dead", 200))
            await names.asked(1)
            await healthy_in_time(outbound, server, "fine")
            again.cancel()

    try:
        asyncio.run(webhooks())
    finally:
        names.over.set()

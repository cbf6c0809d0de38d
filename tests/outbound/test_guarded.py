"""Webhooks at the address actually dialled: counted at a listening socket on loopback."""

import asyncio

import pytest

from receiver.connections import Names
from receiver.domain import Call, NoReply, Reply
from receiver.errors import AddressRefused
from receiver.guard import Guard
from receiver.outbound import Audience, Outbound
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


class Told(Names):
    """A name server that says what a test told it, each look-up the next line."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)

    async def addresses(self, host: str, port: int, *, deadline_s: float = 5.0) -> list[str]:
        return self.answers.pop(0).split()


async def test_a_name_that_moves_after_saving_is_refused_when_dialled() -> None:
    """DNS rebinding: public when it was judged, loopback when it counts."""
    names = Told("8.8.8.8", "127.0.0.1")
    guard = Guard()
    async with raw_server(answer_all) as server, Outbound(guard, names=names) as outbound:
        guard.judge("http://moving.example/", await outbound.resolve("moving.example", 80))
        got = await post(outbound, server, "moving.example")
    assert got == refused("moving.example is at 127.0.0.1, which is loopback")
    assert server.connections == 0


async def test_no_address_of_a_host_is_dialled_where_one_is_forbidden() -> None:
    """The open address of a mixed answer does not redeem the other."""
    for answer in ("127.0.0.1 127.0.0.2", "127.0.0.2 127.0.0.1"):
        async with raw_server(answer_all) as server, Outbound(Guard("127.0.0.1"), names=Told(answer)) as outbound:
            got = await post(outbound, server, "mixed.example")
        assert got == refused("mixed.example is at 127.0.0.2, which is loopback")
        assert server.connections == 0


@pytest.mark.parametrize(
    "addresses", ["127.0.0.1 127.0.0.2", "127.0.0.2 ::1 127.0.0.1", "127.0.0.3 127.0.0.2 127.0.0.1"]
)
async def test_an_open_name_is_known_wherever_its_addresses_are_dialled(addresses: str) -> None:
    """Several addresses are tried in tasks of aiohttp's own: the guard still knows for which host."""
    async with raw_server(answer_all) as server, Outbound(Guard("twin.example"), names=Told(addresses)) as outbound:
        assert isinstance(await post(outbound, server, "twin.example"), Reply)


async def test_what_was_refused_is_asked_again_next_time() -> None:
    """A refusal is not remembered: a name that becomes good is dialled."""
    names = Told("127.0.0.1 10.0.0.1", "127.0.0.1")
    async with raw_server(answer_all) as server, Outbound(Guard("loopback"), names=names) as outbound:
        assert isinstance(await post(outbound, server, "mended.example"), NoReply)
        assert isinstance(await post(outbound, server, "mended.example"), Reply)

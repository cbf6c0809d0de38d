"""What holds for every kind of server that events are sent to without HTTP, each a real one."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from receiver.store.records import Parcel
from tests.dials import dials
from tests.make import a_delivery
from tests.outbound.authority import Authority
from tests.raw_servers import RawServer, raw_server
from tests.senders.remotely import a_place, a_remote, an_owed, arrives, at, attempts, error_of, ids
from tests.senders.servers import PASSWORD, QUOTED, USER, Server
from tests.service.world import soon

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop of production; the standard one runs the other tests."""
    return "asyncio", {"use_uvloop": True}


async def mute(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes whatever comes, and answers nothing."""
    while await reader.read(4096):
        pass


# What is sent again


async def test_an_event_that_is_sent_again_is_there_once(server: Server) -> None:
    """By the process that sent it, and by the one after it, which never learnt that it arrived."""
    place = a_place(server.kind, server.url())
    for _ in range(2):
        async with a_remote(server.kind) as sender:
            for _ in range(2):
                await arrives(sender, place, an_owed(1))
    assert ids(await server.got()) == ["evt_1"]


async def test_events_arrive_in_the_order_in_which_they_are_sent(server: Server) -> None:
    """Of a batch, too."""
    place = a_place(server.kind, server.url())
    parcels = [an_owed(seq) for seq in range(1, 21)]
    async with a_remote(server.kind) as sender:
        for first in range(0, 20, 5):
            await arrives(sender, place, *parcels[first : first + 5])
    assert ids(await server.got()) == [f"evt_{seq}" for seq in range(1, 21)]


async def test_many_at_once_share_what_is_connected(server: Server) -> None:
    """However many attempts are under way, and whoever comes first has to dial."""
    place = a_place(server.kind, server.url())
    async with a_remote(server.kind) as sender:
        with dials() as dialled:
            await asyncio.gather(*(arrives(sender, place, an_owed(seq)) for seq in range(1, 33)))
        assert len(dialled) <= 4
    assert sorted(ids(await server.got())) == sorted(f"evt_{seq}" for seq in range(1, 33))


async def test_a_ping_shows_that_it_would_arrive(server: Server) -> None:
    """A log keeps nothing of it."""
    ping = Parcel(
        delivery=a_delivery(event_id="evt_ping"),
        seq=0,
        body='{"id":"evt_ping","type":"ping","timestamp":"2026-11-20T19:48:00.000Z","data":{}}',
        input=None,
        was_due_at=0,
    )
    async with a_remote(server.kind) as sender:
        await arrives(sender, a_place(server.kind, server.url()), ping)
    assert ids(await server.got()) == ([] if server.kind == "postgres" else ["evt_ping"])


# Servers that fail


async def test_a_login_that_is_refused_is_told_without_it(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A clear reason, and neither the user nor the password, as they are or as the URL spells them."""
    caplog.set_level(logging.DEBUG)
    wrong = "pass/wordless?of-nobody"
    word = {
        "nats": "Authorization Violation",
        "redis": "invalid username-password",
        "postgres": "authentication failed",
    }
    async with a_remote(server.kind) as sender:
        for user in (USER, "stranger"):
            place = a_place(server.kind, server.url(f"{user}:pass%2Fwordless%3Fof-nobody@"))
            error = await error_of(sender, place)
            assert word[server.kind] in error
            told = error + caplog.text + repr(place)
            assert [each for each in (wrong, "wordless", "stranger", USER) if each in told] == []
    assert await server.got() == []


async def test_a_server_that_is_away_costs_an_attempt_and_no_more(server: Server) -> None:
    """And what comes after it is back arrives, with what was there before."""
    place = a_place(server.kind, server.url())
    async with a_remote(server.kind) as sender:
        await arrives(sender, place, an_owed(1))
        server.kill()
        assert "refused" in (await error_of(sender, place, an_owed(2))).lower()
        server.start()
        await arrives(sender, place, an_owed(2))
    assert ids(await server.got()) == ["evt_1", "evt_2"]


async def test_a_connection_that_broke_while_nobody_used_it_costs_no_attempt(server: Server) -> None:
    """As after a restart: what is there already is known by its id, so it may be tried twice."""
    place = a_place(server.kind, server.url())
    async with a_remote(server.kind) as sender:
        await arrives(sender, place, an_owed(1))
        server.kill()
        server.start()
        await arrives(sender, place, an_owed(2))
    assert ids(await server.got()) == ["evt_1", "evt_2"]


async def test_a_server_that_hangs_costs_its_deadline_and_nobody_else(server: Server) -> None:
    """Before it says a word, or in the middle of its work; another destination has been served long before."""
    place = a_place(server.kind, server.url(), id="dst_well")
    loop = asyncio.get_running_loop()
    async with raw_server(mute) as hanging, a_remote(server.kind) as sender:
        _, _, port = hanging.url("").rstrip("/").rpartition(":")
        ill = a_place(server.kind, server.url().replace(f":{server.port}/", f":{port}/"))
        await arrives(sender, place, an_owed(1))
        sender.longest_attempt_s = 0.5
        began = loop.time()
        hung = asyncio.ensure_future(error_of(sender, ill))
        for seq in range(2, 12):
            await arrives(sender, place, an_owed(seq))
        assert not hung.done()
        assert await hung == "no answer within 0.5 s"
        with server.paused():
            assert await error_of(sender, place, an_owed(12)) == "no answer within 0.5 s"
        assert loop.time() - began < 5
        sender.longest_attempt_s = 10
        await arrives(sender, place, an_owed(12))
    assert ids(await server.got()) == [f"evt_{seq}" for seq in range(1, 13)]


async def test_what_answers_in_another_language_is_a_failed_attempt(server: Server) -> None:
    """A web server, say, or one that hangs up: no error of ours."""

    greetings = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""]

    async def greet(_: RawServer, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greetings[-1])
        await writer.drain()

    for _ in range(2):
        async with raw_server(greet) as other, a_remote(server.kind, deadline_s=2) as sender:
            _, _, port = other.url("").rstrip("/").rpartition(":")
            place = a_place(server.kind, server.url().replace(f":{server.port}/", f":{port}/"))
            assert await error_of(sender, place)
        greetings.pop()


_INFO = b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"headers":true}\r\n'
_LET_IN = b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"
ODD = {
    "redis": [b":5\r\n", b"$-1\r\n", b"*2\r\n:1\r\n:0\r\n", b"*1\r\n$1\r\na\r\n", b"$x\r\n", b"-\r\n", b"\xff\r\n"],
    "nats": [b"INFO []\r\n", b'INFO {"connect_urls":5}\r\n', _INFO + b"PONG\r\nINFO x\r\n", _INFO + b"-ERR\r\n"],
    "postgres": [b"NE\0\0\0\x10SFATAL\0Mx\0\0", _LET_IN + b"1\0\0\0\x04", _LET_IN + b"\xff\xff\xff\xff\xff"],
}


@pytest.mark.parametrize("kind", ODD)
async def test_an_odd_answer_is_a_failed_attempt_and_no_error_of_ours(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever the library makes of it; nor does the library print what it thinks."""
    for odd in ODD[kind]:

        async def say(
            _: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, odd: bytes = odd
        ) -> None:
            writer.write(odd)
            await reader.read(4096)

        async with raw_server(say) as server, a_remote(kind, deadline_s=0.5) as sender:
            address = server.url("").removeprefix("http://").rstrip("/")
            place = {"redis": "0", "nats": "events", "postgres": "shop"}[kind]
            scheme = {"postgres": "postgresql"}.get(kind, kind)
            assert await error_of(sender, a_place(kind, f"{scheme}://{USER}:{QUOTED}@{address}/{place}"))
    assert "Traceback" not in capfd.readouterr().err


FLOODS = {
    "a line without an end": b"x" * 65536,
    "lines without an end": b"PING\r\n" * 10_000,
    "a word of two gigabytes": b"$2000000000\r\n" + b"x" * 65536,
    "a list of a billion": b"*1000000000\r\n" + b":1\r\n" * 10_000,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("kind", ["nats", "redis"])
async def test_an_answer_without_an_end_is_not_read_to_it(kind: str, flood: bytes) -> None:
    """Nor kept, nor parsed: a failed attempt, long before its time is over."""
    sent = 0

    async def pour(_: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        if kind == "nats":
            writer.write(b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576}\r\n')
            await reader.readline()
            writer.write(b"PONG\r\n")
        while not writer.is_closing():
            writer.write(flood)
            sent += len(flood)
            await writer.drain()

    async with raw_server(pour) as server, a_remote(kind, deadline_s=8) as sender:
        address = server.url("").removeprefix("http://").rstrip("/")
        began = asyncio.get_running_loop().time()
        await error_of(sender, a_place(kind, f"{kind}://{address}/{'events' if kind == 'nats' else '0'}"))
        assert asyncio.get_running_loop().time() - began < 4
    assert sent < 64 * 1024 * 1024


# Where it may be


async def test_a_forbidden_address_is_never_dialled(server: Server) -> None:
    """Neither written out nor behind a name, and the refusal says what to set."""
    named = a_place(server.kind, server.url(host="db.example"), id="dst_2")
    async with a_remote(server.kind, allowed="10.0.0.0/8", look_up=at("127.0.0.1")) as sender:
        with dials() as dialled:
            for place in (a_place(server.kind, server.url()), named):
                assert (await error_of(sender, place)).endswith("TASKWEIR_ALLOW_NETWORKS=loopback")
        assert dialled == []
    assert await server.got() == []


async def test_the_address_that_was_judged_is_the_one_that_is_dialled(server: Server) -> None:
    """A name is looked up once; what it would be the next time does not matter."""
    asked: list[str] = []

    def look_up(host: str, port: int) -> Any:
        asked.append(host)
        return at("127.0.0.1" if len(asked) == 1 else "10.0.0.1")(host, port)

    async with a_remote(server.kind, look_up=look_up) as sender:
        await arrives(sender, a_place(server.kind, server.url(host="db.example")))
    assert asked == ["db.example"]


async def test_under_tls_the_name_is_checked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system's authorities, though what is dialled is an address."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    context = authority.serving("localhost")
    async with (
        server.under_tls(context, tmp_path / "localhost.pem") as secured,
        a_remote(server.kind, look_up=at("127.0.0.1")) as sender,
    ):
        await secured.empty()
        await arrives(sender, a_place(server.kind, secured.url(host="localhost", tls=True)))
        other = a_place(server.kind, secured.url(host="db.example", tls=True), id="dst_2")
        assert "certificate" in await error_of(sender, other)
        assert ids(await secured.got()) == ["evt_1"]


async def test_a_password_waits_for_tls_where_tls_was_asked_for() -> None:
    """A NATS server says itself whether it has TLS: one that has none learns nothing."""
    heard: list[bytes] = []

    async def no_tls(_: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"tls_required":false}\r\n')
        heard.append(await reader.read(4096))

    async with raw_server(no_tls) as server, a_remote("nats") as sender:
        _, _, port = server.url("").rstrip("/").rpartition(":")
        place = a_place("nats", f"tls://{USER}:{QUOTED}@127.0.0.1:{port}/events")
        assert "offers no TLS" in await error_of(sender, place)
    assert heard == [b""]


async def test_a_url_that_cannot_be_opened_is_a_failed_attempt() -> None:
    """The key that sealed it is gone; nothing else of it is told."""
    place = a_place("nats", f"nats://{USER}:{QUOTED}@127.0.0.1/events")
    other = a_place("nats", "nats://127.0.0.1/events", id="dst_2")
    async with a_remote("nats") as sender:
        [made] = await attempts(sender, type(place)(**{**_fields(place), "sealed_secret": other.sealed_secret}))
    assert made.error is not None
    assert "sealed" in made.error
    assert PASSWORD not in made.error


def _fields(place: Any) -> dict[str, Any]:
    return {name: getattr(place, name) for name in type(place).__slots__}


async def test_what_nobody_uses_is_closed(server: Server) -> None:
    """A while after the last event; the next one dials anew."""
    place = a_place(server.kind, server.url())
    async with a_remote(server.kind, idle_s=0.05) as sender:
        await arrives(sender, place, an_owed(1))
        await soon(lambda: not sender._kept and not sender._ending)
        await arrives(sender, place, an_owed(2))
    assert ids(await server.got()) == ["evt_1", "evt_2"]


async def test_a_stop_waits_for_nobody_who_hangs(server: Server) -> None:
    """Clients are closed, whatever they were in the middle of: of connecting, or of an event."""
    loop = asyncio.get_running_loop()
    async with a_remote(server.kind, deadline_s=30) as sender:
        await arrives(sender, a_place(server.kind, server.url()))
        with server.paused():
            places = [a_place(server.kind, server.url(), id=name) for name in ("dst_1", "dst_2")]
            hung = [asyncio.ensure_future(attempts(sender, place)) for place in places]
            done, _ = await asyncio.wait(hung, timeout=0.1)
            assert not done
            for each in hung:
                each.cancel()
            began = loop.time()
            await sender.close()
            assert loop.time() - began < 3
        assert sender._kept == {}

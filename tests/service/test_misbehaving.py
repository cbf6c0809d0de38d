"""One table of endpoints that misbehave: what is recorded of an attempt, and when the next one comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from socket import EAI_NONAME, gaierror
from typing import Any

import pytest

from receiver import formats
from receiver.delivery import DeliveryLimits
from receiver.guard import Guard
from receiver.names import Found, look_up
from receiver.outbound import Outbound
from tests.make import NOW
from tests.raw_servers import RawServer, Script, answer, raw_server, reset, says, silent
from tests.service.owing import attempt_log, change, due_at, happen, kept, quiet
from tests.service.world import LIMITS, World, a_world, free_port
from tests.tarpits import BOMB, body_drip, endless_interim, gzip_bomb, header_drip, never_closing

pytestmark = pytest.mark.anyio

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
NOT_HTTP, CLOSED = "the answer is not HTTP", "the connection was closed before an answer"
BROKEN, RESET = "the connection broke inside the answer", "the connection broke: Connection reset by peer"
UNASKED = "the connection was closed before the request"
TOO_LATE = "no answer within 0.3 s"
HOUR, DAY = 3600, 86_400
TEN_MEGABYTES = b"x" * 10_000_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """An endpoint, and what an attempt at it comes to: a status or an error; `after_s` is what `Retry-After` means.

    Where the network decides which of two errors it is, `error` names them with ` | ` between.
    """

    serves: Script
    status: int | None = None
    error: str | None = None
    response: str | None = None
    after_s: float | None = None

    @property
    def arrives(self) -> bool:
        return self.error is None and 200 <= (self.status or 0) < 300

    def check(self, entry: dict[str, Any], number: int) -> None:
        """Hold an attempt against what was expected of it."""
        assert (entry["number"], entry["status"]) == (number, self.status)
        assert entry["error"] in (self.error.split(" | ") if self.error else [None])
        assert len(entry["response"]) <= 4096
        if self.response is not None:
            assert entry["response"] == self.response


def status(code: int, *headers: str, body: bytes = b"no", after_s: float | None = None) -> Case:
    lines = "".join(f"{line}\r\n" for line in headers)
    return Case(serves=says(answer(body, status=f"{code} X", headers=lines)), status=code, after_s=after_s)


def breaks(raw: bytes, error: str) -> Case:
    return Case(serves=says(raw), error=error)


async def close_at_once(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Hangs up without reading."""


async def reset_after_request(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read(reader)
    reset(writer)


async def reset_in_body(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.01)
    reset(writer)


def waits(*lines: str, code: int = 429, after_s: float | None = None) -> Case:
    return status(code, *(f"Retry-After: {line}" for line in lines), after_s=after_s)


IN_AN_HOUR, AN_HOUR_AGO = formatdate(NOW / 1000 + HOUR, usegmt=True), formatdate(NOW / 1000 - HOUR, usegmt=True)
CASES = {
    "200": status(200),
    "201": status(201),
    "202": status(202),
    "204": Case(serves=says(b"HTTP/1.1 204 No Content\r\n\r\n"), status=204, response=""),
    "206": status(206),
    "299": status(299),
    "200 that says it failed": status(200, body=b'{"ok": false, "error": "boom"}'),
    "300": status(300, "Location: /elsewhere"),
    "301": status(301, "Location: /elsewhere"),
    "302": status(302, "Location: /elsewhere"),
    "303": status(303, "Location: /elsewhere"),
    "304": Case(serves=says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), status=304),
    "307": status(307, "Location: /elsewhere"),
    "308": status(308, "Location: /elsewhere"),
    "400": status(400),
    "401": status(401, 'WWW-Authenticate: Basic realm="x"'),
    "403": status(403),
    "404": status(404),
    "405": status(405),
    "408": status(408),
    "409": status(409),
    "413": status(413),
    "418": status(418),
    "422": status(422),
    "500": status(500),
    "502": status(502),
    "504": status(504),
    "599": status(599),
    "999": status(999),
    "101": Case(serves=says(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), status=101),
    "429": waits(),
    "429, seconds": waits("3600", after_s=HOUR),
    "429, fewer seconds than the schedule": waits("1"),
    "429, a date": waits(IN_AN_HOUR, after_s=HOUR),
    "429, a date in the past": waits(AN_HOUR_AGO),
    "429, negative": waits("-3600"),
    "429, absurd": waits("9" * 40, after_s=DAY),
    "429, a date in the next century": waits("Fri, 01 Jan 2100 00:00:00 GMT", after_s=DAY),
    "429, not a number": waits("soon"),
    "429, a fraction": waits("3600.5"),
    "429, nothing": waits(""),
    "429, other digits": waits("٣٦٠٠"),
    "503": waits(code=503),
    "503, seconds": waits("120", code=503, after_s=120),
    "503, a date": waits(IN_AN_HOUR, code=503, after_s=HOUR),
    "500, seconds": waits("3600", code=500),
    "301, seconds": waits("3600", code=301),
    "not HTTP": breaks(b"SSH-2.0-OpenSSH_9\r\n\r\n", NOT_HTTP),
    "HTTP/9": breaks(b"HTTP/9.9 200 OK\r\n\r\n", NOT_HTTP),
    "a TLS alert": breaks(b"\x15\x03\x01\x00\x02\x02\x46", NOT_HTTP),
    "empty": breaks(b"", CLOSED),
    "closes before it reads": Case(
        serves=close_at_once, error=f"{UNASKED} | {CLOSED} | {RESET} | the connection broke"
    ),
    "closes in the status line": breaks(b"HTTP/1.1 20", CLOSED),
    "closes in the headers": breaks(b"HTTP/1.1 200 OK\r\nContent-Le", CLOSED),
    "closes in the body": breaks(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", BROKEN),
    "closes in a chunk": breaks(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", BROKEN),
    "resets": Case(serves=reset_after_request, error=RESET),
    "resets in the body": Case(serves=reset_in_body, error=f"{BROKEN} | {RESET}"),
    "a body longer than it says": Case(
        serves=says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"), status=200, response="ok"
    ),
    "two lengths": breaks(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", NOT_HTTP),
    "a header of 70 KB": breaks(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n", NOT_HTTP),
    "5,000 headers": breaks(b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 5000 + b"\r\n", NOT_HTTP),
    "10 MB": Case(serves=says(answer(TEN_MEGABYTES)), status=200, response="x" * 4096),
    "10 MB of an error": Case(serves=says(answer(TEN_MEGABYTES, status="500 X")), status=500, response="x" * 4096),
    "a gzip bomb that ends": Case(
        serves=says(answer(BOMB, headers="Content-Encoding: gzip\r\n")), status=200, response=None
    ),
    "a gzip bomb that does not": Case(serves=gzip_bomb, status=500),
    "endless 1xx": Case(serves=endless_interim, error=NOT_HTTP),
    "1xx only": Case(serves=says(b"HTTP/1.1 103 X\r\n\r\n", then_close=False), error=TOO_LATE),
    "1xx, then closed": breaks(b"HTTP/1.1 103 X\r\n\r\n", CLOSED),
    "silent": Case(serves=silent, error=TOO_LATE),
    "header drip": Case(serves=header_drip, error=TOO_LATE),
    "body drip": Case(serves=body_drip, error=TOO_LATE),
    "never closing": Case(serves=never_closing, error=TOO_LATE),
    "never closing after a whole 200": Case(serves=says(answer(), then_close=False), status=200, response="ok"),
    "text that is none": Case(
        serves=says(answer(b"\x00\xff\xfe<script>", status="500 X")), status=500, response="\ufffd\ufffd\ufffd<script>"
    ),
}


@asynccontextmanager
async def owing(directory: Path, case: Case, url: str = "", **fields: Any) -> AsyncIterator[tuple[World, RawServer]]:
    """A world with one event owed to the endpoint, or to another URL."""
    limits = replace(LIMITS, delivery=DeliveryLimits(deadline_s=0.3 if case.error == TOO_LATE else 300, lease_s=600))
    async with raw_server(case.serves) as server, a_world(directory, limits=limits, **fields) as world:
        made = await world.destination(server.url("/hook"))
        if url:
            await change(world, made["id"], target=url.format(port=server.port))
        await happen(world, 1)
        yield world, server


async def check(world: World, case: Case) -> None:
    """One attempt, then its record; where it failed, a second one in its time, not earlier."""
    await quiet(world)
    [delivery] = await world.deliveries()
    [entry] = await attempt_log(world, delivery["id"])
    case.check(entry, 1)
    if case.arrives:
        assert (delivery["state"], delivery["next_attempt_at"]) == ("delivered", None)
        assert await quiet(world, 30 * DAY) == 60
        return
    assert delivery["state"] == "pending"
    pause_s = (formats.time_of(delivery["next_attempt_at"]) - NOW) / 1000
    if case.after_s is None:
        assert 4 <= pause_s <= 6
    else:
        assert pause_s == pytest.approx(case.after_s, abs=1.01)
    await quiet(world, pause_s - 0.001)
    assert len(await attempt_log(world, delivery["id"])) == 1
    await quiet(world, 0.001)
    [_, second] = await attempt_log(world, delivery["id"])
    case.check(second, 2)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_an_endpoint(tmp_path: Path, case: Case) -> None:
    """2xx is success, nothing else is; no redirect is followed; Retry-After delays 429 and 503, by a day at most."""
    async with owing(tmp_path, case) as (world, server):
        await check(world, case)
        paths = {head.split(b" ")[1] for head, _ in server.requests}
        assert paths <= {b"/hook"}
        assert len(server.requests) <= (1 if case.arrives else 2)


async def test_410(tmp_path: Path) -> None:
    """One attempt; the destination is disabled, the delivery pending on its schedule."""
    async with owing(tmp_path, status(410)) as (world, server):
        await quiet(world)
        [delivery] = await world.deliveries()
        assert (delivery["state"], delivery["attempts"]) == ("pending", 1)
        assert 4 <= ((await due_at(world, delivery["id"]) or 0) - NOW) / 1000 <= 6
        assert delivery["next_attempt_at"] is None
        assert (await kept(world, delivery["destination_id"])).disabled_reason == "gone"
        await quiet(world, 30 * DAY)
        assert len(server.requests) == 1


async def test_a_port_that_nobody_listens_on(tmp_path: Path) -> None:
    """Refused, and tried again."""
    case = Case(serves=silent, error="no connection: Connection refused")
    async with owing(tmp_path, case, f"http://127.0.0.1:{free_port()}/hook") as (world, _):
        await check(world, case)


async def test_tls_on_a_plain_port(tmp_path: Path) -> None:
    """The handshake fails; not one byte of the event leaves."""

    async def plain(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(answer(status="400 Bad Request"))

    case = Case(serves=plain, error="the TLS handshake failed")
    async with owing(tmp_path, case, "https://127.0.0.1:{port}/hook") as (world, server):
        await check(world, case)
        assert server.requests == []


async def test_a_host_that_does_not_resolve_any_more(tmp_path: Path) -> None:
    """Names come and go."""

    def nobody(host: str, port: int) -> Found:
        if host == "gone.example":
            raise gaierror(EAI_NONAME, "nobody")
        return look_up(host, port)

    case = Case(serves=silent, error="the host name does not resolve")
    outbound = Outbound(Guard("loopback"), look_up=nobody)
    async with owing(tmp_path, case, "http://gone.example/hook", outbound=outbound) as (world, _):
        await check(world, case)


@pytest.mark.parametrize("case", [CASES["header drip"], CASES["500"], CASES["not HTTP"]], ids=["drip", "500", "odd"])
async def test_five_events_to_one_that_misbehaves_open_its_breaker(tmp_path: Path, case: Case) -> None:
    """However it misbehaves: no more than five are tried at once, held after them, one probe after a minute."""
    async with owing(tmp_path, case) as (world, server):
        await happen(world, 9, first=100)
        await quiet(world)
        assert len(server.requests) == 5
        await happen(world, 5, first=200)
        await quiet(world, 59)
        assert len(server.requests) == 5
        await quiet(world, 1)
        assert len(server.requests) == 6
        assert sum(each["attempts"] for each in await world.deliveries()) == 6

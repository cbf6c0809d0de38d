"""What goes out, and what comes back where all is well."""

import asyncio
import gzip
import random
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from receiver.outbound import Audience, Outbound
from receiver.wire import Reply
from tests.outbound.sending import CANARY, WEBHOOK, Reader, Writer, send
from tests.raw_servers import RawServer, answer, answer_all, answers, raw_server, says, silent

pytestmark = pytest.mark.anyio


async def test_a_reply_has_status_lower_case_headers_and_body(outbound: Outbound) -> None:
    """Header names are lower case and the last of equal ones wins; nobody raises on a 500."""
    raw = answer(b"no", status="500 Oops", headers="X-Twice: 1\r\nx-TWICE: 2\r\nRetry-After: 7\r\n")
    async with raw_server(says(raw)) as server:
        got = await send(outbound, server.url())
    assert got == Reply(status=500, headers={"x-twice": "2", "retry-after": "7", "content-length": "2"}, body=b"no")


@pytest.mark.parametrize("kind", Audience)
async def test_the_request_goes_out_as_the_call_says(outbound: Outbound, kind: Audience) -> None:
    """Path and query are not touched, the body is whole, and only an identity body is asked for."""
    headers = {"Content-Type": "application/json", "accept-encoding": "gzip", "X-Team": "a b"}
    async with raw_server(answer_all) as server:
        await send(outbound, server.url("/A%2fb/%7Ec?x=%27%2B+&y=%C3%A4"), headers=headers, kind=kind, body=b"\x00\xff")
    head, body = server.requests[0]
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST /A%2fb/%7Ec?x=%27%2B+&y=%C3%A4&key={CANARY} HTTP/1.1"
    names = [line.lower() for line in lines]
    assert [line for line in names if line.startswith("accept-encoding")] == ["accept-encoding: identity"]
    assert {"content-type: application/json", "x-team: a b", "content-length: 2"} <= set(names)
    assert f"user-agent: taskweir/{version('taskweir')}" in names
    assert body == b"\x00\xff"


async def test_a_callers_user_agent_is_kept_and_no_content_type_is_invented(outbound: Outbound) -> None:
    """Nothing is added that the call did not ask for, but what HTTP needs."""
    async with raw_server(answer_all) as server:
        await send(outbound, server.url(), headers={"user-agent": "mine"})
    head = server.requests[0][0].lower()
    assert head.count(b"user-agent") == 1
    assert b"user-agent: mine" in head
    assert b"content-type" not in head


@pytest.mark.parametrize(("headers", "accepted"), [({}, b"*/*"), ({"accept": "text/plain"}, b"text/plain")])
async def test_what_is_accepted_is_said_once(outbound: Outbound, headers: dict[str, str], accepted: bytes) -> None:
    """Anything, unless the call knows better."""
    async with raw_server(answer_all) as server:
        await send(outbound, server.url(), headers=headers)
    lines = server.requests[0][0].lower().split(b"\r\n")
    assert [line for line in lines if line.startswith(b"accept:")] == [b"accept: " + accepted]


async def test_a_large_request_arrives_whole(outbound: Outbound) -> None:
    """A body that is written piece by piece is the same body."""
    body = random.Random(7).randbytes(3_000_000)
    async with raw_server(answer_all) as server:
        assert isinstance(await send(outbound, server.url(), body=body), Reply)
    assert server.requests[0][1] == body


async def test_an_early_refusal_of_a_large_body_is_not_lost(outbound: Outbound) -> None:
    """A 413 that comes before the body was taken is the answer, and is not waited for until the deadline."""

    async def refuse(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"big", status="413 Too Large"))
        await asyncio.Event().wait()

    started = time.monotonic()
    async with raw_server(refuse) as server:
        got = await send(outbound, server.url(), body=b"x" * 20_000_000, deadline_s=5)
    assert isinstance(got, Reply)
    assert got.status == 413
    assert time.monotonic() - started < 2


async def test_a_compressed_answer_stays_as_it_came(outbound: Outbound) -> None:
    """A small gzip body that would become huge is never unpacked."""
    bomb = gzip.compress(b"0" * 10_000_000)
    async with raw_server(says(answer(bomb, headers="Content-Encoding: gzip\r\n"))) as server:
        got = await send(outbound, server.url())
    assert isinstance(got, Reply)
    assert got.body == bomb


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_answers(outbound: Outbound, status: int) -> None:
    """No redirect is followed, whatever its kind."""
    async with raw_server(answer_all) as other:
        raw = answer(b"", status=f"{status} Moved", headers=f"Location: {other.url('/next')}\r\n")
        async with raw_server(says(raw)) as server:
            got = await send(outbound, server.url(), kind=WEBHOOK)
    assert isinstance(got, Reply)
    assert got.status == status
    assert (len(server.requests), other.connections) == (1, 0)


async def test_cookies_are_not_kept(outbound: Outbound) -> None:
    """What one answer sets, no later request carries."""

    async def give(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read(reader)
            writer.write(answer(headers="Set-Cookie: a=1; Path=/\r\n"))

    async with raw_server(give) as server:
        for _ in range(2):
            await send(outbound, server.url())
    assert len(server.requests) == 2
    assert not any(b"ookie" in head for head, _ in server.requests)


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The machine's own settings cannot send our requests elsewhere, nor add a password to them."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with raw_server(silent) as proxy, raw_server(answer_all) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        assert isinstance(await send(outbound, server.url(), headers={}), Reply)
    assert proxy.connections == 0
    assert b"uthorization" not in server.requests[0][0]


async def test_header_bytes_that_are_not_text_do_not_reach_the_store(outbound: Outbound) -> None:
    """Headers that are not UTF-8 come back as text that can be encoded again."""
    async with raw_server(says(b"HTTP/1.1 200 \xff\r\nX-B: \xff\xfe\r\nContent-Length: 0\r\n\r\n")) as server:
        got = await send(outbound, server.url())
    assert isinstance(got, Reply)
    assert got.headers["x-b"].encode().decode() == "\ufffd\ufffd"


async def test_a_body_over_the_cap_is_cut_and_its_connection_dropped(outbound: Outbound) -> None:
    """An endless body costs the cap and no more, and its rest is never read as another answer."""

    async def endless(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with raw_server(endless) as server:
        for _ in range(2):
            got = await send(outbound, server.url(), cap=1000)
            assert got == Reply(status=200, headers={"transfer-encoding": "chunked"}, body=b"x" * 1000)
    assert server.connections == 2


@pytest.mark.parametrize("size", [0, 999, 1000])
async def test_a_body_up_to_the_cap_is_whole_and_its_connection_used_again(outbound: Outbound, size: int) -> None:
    """The cap counts what is kept; below it a connection serves the next request."""
    async with raw_server(answers(answer(b"x" * size))) as server:
        for _ in range(3):
            got = await send(outbound, server.url(), cap=1000)
            assert isinstance(got, Reply)
            assert got.body == b"x" * size
    assert server.connections == 1


async def test_a_few_interim_answers_are_passed_over(outbound: Outbound) -> None:
    """100 and 103 are not the answer, on every request of a connection."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 15
    async with raw_server(answers(interim + answer())) as server:
        outcomes = [await send(outbound, server.url()) for _ in range(3)]
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Reply)] == [200, 200, 200]
    assert server.connections == 1

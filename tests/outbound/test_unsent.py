"""What is known not to have been sent: `sent` is False only where not one byte can have left."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from receiver.guard import Guard
from receiver.outbound import Audience, Outbound
from receiver.wire import NoReply, Reply
from tests.outbound.sending import Reader, Writer, send
from tests.raw_servers import RawServer, answer, answer_all, raw_server, silent

pytestmark = pytest.mark.anyio


async def test_a_refused_connection_sends_nothing(outbound: Outbound) -> None:
    """Nobody listens: not one byte left."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    got = await send(outbound, f"http://127.0.0.1:{port}/")
    assert got == NoReply(sent=False, reason="no connection: Connection refused")


@pytest.mark.parametrize("host", ["nowhere.invalid", "xn--" + "a" * 59 + ".invalid"])
async def test_a_host_that_does_not_resolve_sends_nothing(outbound: Outbound, host: str) -> None:
    """No address, no request."""
    got = await send(outbound, f"http://{host}/")
    assert got == NoReply(sent=False, reason="the host name does not resolve")


async def test_a_failed_tls_handshake_sends_nothing(outbound: Outbound) -> None:
    """A server that speaks plain HTTP where TLS was asked for was sent no request."""

    async def plain(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.read(10)
        writer.write(answer())

    async with raw_server(plain) as server:
        got = await send(outbound, server.url(scheme="https"))
    assert got == NoReply(sent=False, reason="the TLS handshake failed")


async def test_a_certificate_that_nobody_vouches_for_sends_nothing(outbound: Outbound, tmp_path: Path) -> None:
    """TLS is verified; an unknown issuer gets no request."""
    async with raw_server(answer_all, tls=_self_signed(tmp_path)) as server:
        got = await send(outbound, server.url(scheme="https"))
    assert got == NoReply(sent=False, reason="the TLS certificate was not accepted")
    assert server.requests == []


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-B: b"},
        {"X-A": "a\nb"},
        {"X-A": "a\x00"},
        {"X-A": "ä"},
        {"X-A": "\ud800"},
        {"X A": "a"},
        {"": "a"},
        {"X-A:": "a"},
        {"Host": "elsewhere.example"},
        {"Transfer-Encoding": "chunked"},
        {"content-length": "3"},
        {"Connection": "close"},
        {"Expect": "100-continue"},
    ],
)
async def test_a_header_that_cannot_be_written_sends_nothing(outbound: Outbound, headers: dict[str, str]) -> None:
    """Neither a second line nor another idea of where the request ends gets out."""
    async with raw_server(answer_all) as server:
        got = await send(outbound, server.url(), headers=headers)
    assert got == NoReply(sent=False, reason="a header cannot be sent as it is written")
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    ["", "/relative", "ftp://127.0.0.1/", "http://", "http://a b/", "http://h:99999/", "http://[::1/", "http://u:p@h/"],
)
@pytest.mark.parametrize("kind", Audience)
async def test_a_url_that_cannot_be_used_sends_nothing(outbound: Outbound, url: str, kind: Audience) -> None:
    """A bad URL is a value, for every audience."""
    got = await send(outbound, url, kind=kind)
    assert isinstance(got, NoReply)
    assert not got.sent


async def test_a_method_that_cannot_be_written_sends_nothing(outbound: Outbound) -> None:
    """No second line through the method either."""
    async with raw_server(answer_all) as server:
        got = await send(outbound, server.url(), method="GET / HTTP/1.1\r\nX: ")
    assert got == NoReply(sent=False, reason="the request cannot be written")
    assert server.requests == []


async def test_nothing_is_sent_before_start_or_after_close() -> None:
    """Both are values; closing twice, or without a start, is no error."""
    outbound = Outbound(Guard("loopback"))
    unsent = NoReply(sent=False, reason="nothing can be sent: closed, or not started")
    async with raw_server(answer_all) as server:
        await outbound.close()
        assert await send(outbound, server.url()) == unsent
        async with outbound:
            assert isinstance(await send(outbound, server.url()), Reply)
        assert await send(outbound, server.url()) == unsent
        await outbound.close()
    assert len(server.requests) == 1


async def test_closing_ends_what_is_in_flight(outbound: Outbound) -> None:
    """A request under way becomes a value that says it was sent."""
    async with raw_server(silent) as server:
        flight = asyncio.create_task(send(outbound, server.url(), deadline_s=5))
        await asyncio.sleep(0.1)
        await outbound.close()
        got = await flight
    assert isinstance(got, NoReply)
    assert got.sent

"""One attempt at a webhook: what goes out, who signs, what is kept of the answer, and when it ends."""

import asyncio
import json
import time
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest

from receiver.domain import Format, RetiredSecret, Scheme
from receiver.errors import NotVerified
from receiver.heads import USER_AGENT
from receiver.sealing import Seal, tenant_row
from receiver.senders.answers import HIDDEN, KEPT_BYTES, NOT_TEXT
from receiver.senders.webhook import DEADLINE_S
from receiver.signing import new_secret, public_key, verify
from tests.make import NOW, StoppedClock
from tests.outbound.test_faults import DRIPS
from tests.raw_servers import RawServer, answer, answer_all, raw_server, says
from tests.rendered.samples import FORMATS, body_of
from tests.senders.sending import SEAL, SECRET, a_parcel, a_sender, a_target, headers_of, sent

pytestmark = pytest.mark.anyio

OLD = new_secret(b"o" * 32)
OLDER = new_secret(b"p" * 32, Scheme.V1A)
SECOND = 1000


async def sent_headers(clock: StoppedClock | None = None, **fields: Any) -> dict[str, str]:
    """Send once to a target with these fields; the headers as they stood on the wire."""
    async with raw_server(answer_all) as server, a_sender(clock) as sender:
        outcome = await sent(sender, a_target(server.url(), **fields))
        assert outcome.attempt.status == 200
        [(head, _)] = server.requests
    return headers_of(head)


def is_signed(headers: dict[str, str], key: str, now: int = NOW) -> bool:
    try:
        verify(headers, a_parcel().body.encode(), [key], now=now)
    except NotVerified:
        return False
    return True


async def test_an_attempt_is_what_its_consumer_said() -> None:
    """Number, time, status and answer; the id is the event's, the time the attempt's."""
    clock = StoppedClock(NOW + 1234)
    async with raw_server(says(answer(b"thanks\r\n", status="202 Accepted"))) as server, a_sender(clock) as sender:
        outcome = await sent(sender, a_target(server.url()), a_parcel(event_id="evt_7"))
    made = outcome.attempt
    assert (made.number, made.at, made.status, made.response, made.error) == (3, NOW + 1234, 202, "thanks\n", None)
    assert made.succeeded
    headers = headers_of(server.requests[0][0])
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("evt_7", str((NOW + 1234) // SECOND))


async def test_it_says_who_sends() -> None:
    """With the version that is installed; a user's own word for it wins."""
    assert (await sent_headers())["user-agent"] == USER_AGENT == f"Taskweir/{version('taskweir')}"
    assert (await sent_headers(headers={"User-Agent": "Acme/2"}))["user-agent"] == "Acme/2"


@pytest.mark.parametrize("format", FORMATS)
async def test_the_users_own_headers_go_along(format: Format) -> None:
    """In every format, beside ours."""
    own = {"Authorization": "Bearer s3cr3t", "X-Team": "a b", "Cookie": "a=1; b=2"}
    headers = await sent_headers(headers=own, format=format)
    assert {name.lower(): value for name, value in own.items()}.items() <= headers.items()
    assert headers["content-type"].startswith("application/")
    assert headers["webhook-signature"].startswith("v1,")


OURS = [
    "webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE", "webhook-anything", "svix-id", "Svix-Signature", "ce-type",
    "CE-ID", "Content-Type", "Content-Length", "Transfer-Encoding", "Host", "Connection", "Accept-Encoding", "TE",
    "Expect", "Upgrade", "Proxy-Authorization", "Content-Encoding",
]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
async def test_no_header_of_ours_can_be_overridden(name: str) -> None:
    """Whatever was kept before the door learnt to refuse it; the message goes out as if it were not there."""
    usual = await sent_headers(format=Format.CLOUDEVENTS_BINARY)
    headers = await sent_headers(headers={name: "evil", "X-Team": "blue"}, format=Format.CLOUDEVENTS_BINARY)
    assert headers.pop("x-team") == "blue"
    assert headers | {"host": ""} == usual | {"host": ""}


async def test_a_value_that_would_leave_its_line_is_not_sent() -> None:
    """The same door: the others go out."""
    headers = await sent_headers(headers={"X-Evil": "a\r\nwebhook-id: evt_evil", "X-Team": "blue"})
    assert "x-evil" not in headers
    assert (headers["x-team"], headers["webhook-id"]) == ("blue", "evt_1")


async def test_retired_secrets_sign_along_until_their_time() -> None:
    """Each by its own scheme and for its own time; the one in use comes first."""
    clock = StoppedClock()
    retired = [(OLD, NOW + 2 * SECOND), (OLDER, NOW + SECOND)]
    signers = {SECRET: "v1", OLD: "v1", public_key(OLDER): "v1a"}
    for alive in ([SECRET, OLD, public_key(OLDER)], [SECRET, OLD], [SECRET]):
        headers = await sent_headers(clock, retired=retired)
        entries = [entry.partition(",")[0] for entry in headers["webhook-signature"].split(" ")]
        assert entries == [signers[key] for key in alive]
        assert [key for key in signers if is_signed(headers, key, clock.now())] == alive
        clock.advance(1)


async def test_a_key_pair_signs() -> None:
    """And nothing that a shared secret would verify beside it."""
    headers = await sent_headers(secret=OLDER, signature=Scheme.V1A)
    assert is_signed(headers, public_key(OLDER))
    assert headers["webhook-signature"].count(" ") == 0


async def test_a_tenants_secrets_sign_for_a_hidden_destination() -> None:
    """They are sealed for the tenant's row."""
    sealed = SEAL.seal(OLD, row=tenant_row("default"))
    assert is_signed(await sent_headers(hidden=True, sealed_secret=sealed), OLD)


@pytest.mark.parametrize("part", ["sealed_secret", "headers"])
async def test_what_cannot_be_unsealed_is_told(part: str) -> None:
    """An attempt that failed, with the reason; nothing goes out unsigned, or without a header that its owner wants."""
    foreign = Seal(["another key, of thirty-two letters"]).seal("whsec_", row="dst_1")
    fields: dict[str, Any] = {part: foreign if part == "sealed_secret" else {"X-Key": foreign}}
    async with raw_server(answer_all) as server, a_sender() as sender:
        outcome = await sent(sender, replace(a_target(server.url()), **fields))
    assert not outcome.attempt.succeeded
    assert "TASKWEIR_SECRET_KEY" in (outcome.attempt.error or "")
    assert server.requests == []


async def test_a_retired_secret_whose_key_is_gone_stops_nothing() -> None:
    """Rotating is the way out where a key was lost; what cannot be opened signs no longer, the others go on."""
    lost = Seal(["another key, of thirty-two letters"]).seal(OLDER, row="dst_1")
    sealed = (lost, SEAL.seal(OLD, row="dst_1"))
    retired = tuple(RetiredSecret(sealed=each, until=NOW + SECOND) for each in sealed)
    async with raw_server(answer_all) as server, a_sender() as sender:
        outcome = await sent(sender, replace(a_target(server.url()), retired=retired))
    assert outcome.attempt.succeeded
    [headers] = [headers_of(head) for head, _ in server.requests]
    assert is_signed(headers, SECRET)
    assert is_signed(headers, OLD)
    assert headers["webhook-signature"].count(" ") == 1


async def test_the_prompt_is_in_flat_only() -> None:
    """From the input as it is kept; of half a megabyte, whole."""
    prompt = "\U0001f43c" * 125_000
    parcel = a_parcel(body_of("task.succeeded"), input={"prompt": prompt})
    async with raw_server(answer_all) as server, a_sender() as sender:
        for each in FORMATS:
            await sent(sender, a_target(server.url(), format=each), parcel)
    bodies = dict(zip(FORMATS, [body for _, body in server.requests], strict=True))
    assert json.loads(bodies.pop(Format.FLAT))["prompt"] == prompt
    assert all(prompt[:2].encode() not in body for body in bodies.values())


# --- answers ----------------------------------------------------------------------------------------------------------


async def echo(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A consumer that shows what it got, headers and all."""
    head, body = await server.read(reader)
    writer.write(answer(json.dumps(headers_of(head)).encode() + body, status="400 Bad Request"))
    await writer.drain()


async def test_an_echo_gives_nothing_away() -> None:
    """Values of the user's headers are write-only; our signature may be seen, it is of no use to anybody."""
    own = {"Authorization": "Bearer c4n4ry", "X-Quoted": 'c4n4ry"/\\', "X-Team": "ab"}
    async with raw_server(echo) as server, a_sender() as sender:
        outcome = await sent(sender, a_target(server.url(), headers=own))
        text = outcome.attempt.response
    assert "c4n4ry" not in text
    shown = json.loads(text.partition("}")[0] + "}")
    assert (shown["authorization"], shown["x-quoted"], shown["x-team"]) == (HIDDEN, HIDDEN, "ab")
    assert shown["webhook-signature"].startswith("v1,")


async def test_secrets_that_sign_are_cut_out_of_an_answer() -> None:
    """The one in use and those that sign along."""
    tell = answer(f"I hold {SECRET}, {OLD[6:]} and {OLDER}".encode(), status="401 No")
    async with raw_server(says(tell)) as server, a_sender() as sender:
        outcome = await sent(sender, a_target(server.url(), retired=[(OLD, NOW + 1), (OLDER, NOW + 1)]))
    assert outcome.attempt.response == f"I hold {HIDDEN}, {HIDDEN} and {HIDDEN}"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (answer(b"x" * 9000), "x" * KEPT_BYTES),
        (answer(b"\x1b[2Jgone"), "\ufffd[2Jgone"),
        (answer(b"\x1f\x8b\x08 and so on", headers="Content-Encoding: gzip\r\n"), NOT_TEXT),
        (answer(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x00" + b"\xff" * 50, headers="Content-Type: image/png\r\n"), NOT_TEXT),
        (b"HTTP/1.1 500 X\r\n\r\nuntil I hang up", "until I hang up"),
        (answer(b""), ""),
    ],
    ids=["long", "escape sequences", "gzip", "an image", "without a length", "empty"],
)
async def test_of_an_answer_text_is_kept(raw: bytes, expected: str) -> None:
    """Its first 4 KiB, harmless."""
    async with raw_server(says(raw)) as server, a_sender() as sender:
        outcome = await sent(sender, a_target(server.url()))
    assert outcome.attempt.response == expected


async def test_an_answer_without_end_is_cut_off() -> None:
    """Its status counts, and its first 4 KiB are kept: nobody waits for the rest."""

    async def flood(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"spam" * 4096)
            await writer.drain()

    async with raw_server(flood) as server, a_sender() as sender:
        outcome = await sent(sender, a_target(server.url()))
    assert outcome.attempt.succeeded
    assert outcome.attempt.response == "spam" * (KEPT_BYTES // 4)


# --- time -------------------------------------------------------------------------------------------------------------


async def mute(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a connection, and says nothing at all."""
    await reader.read()


@pytest.mark.parametrize(
    ("script", "scheme"),
    [*((script, "http") for script in DRIPS.values()), (mute, "https")],
    ids=[*DRIPS, "tls"],
)
async def test_an_attempt_ends_in_time(script: Any, scheme: str) -> None:
    """One deadline over connection, TLS, headers and body, 15 s in production: a drip is a failure, 200 or not."""
    deadline_s = 0.12 if script is DRIPS["interim"] else 0.4
    async with raw_server(script) as server, a_sender(deadline_s=deadline_s) as sender:
        started = time.monotonic()
        outcome = await sent(sender, a_target(server.url(scheme=scheme)))
        elapsed_s = time.monotonic() - started
    assert (outcome.attempt.status, outcome.attempt.succeeded) == (None, False)
    assert "within" in (outcome.attempt.error or "")
    assert deadline_s * 0.9 < elapsed_s < deadline_s + 0.5
    assert (sender.longest_attempt_s, DEADLINE_S) == (deadline_s, 15.0)


async def test_a_target_that_is_not_there_is_an_attempt_too() -> None:
    """With the reason in a word, and no status."""
    async with raw_server(answer_all) as server:
        gone = server.url()
    async with a_sender() as sender:
        outcome = await sent(sender, a_target(gone))
    assert (outcome.attempt.status, outcome.attempt.response) == (None, "")
    assert "no connection" in (outcome.attempt.error or "")

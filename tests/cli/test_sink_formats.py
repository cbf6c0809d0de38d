"""The sink on every format and both ways to sign."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from receiver import signing
from receiver.cli.sink import PORT, json_line, line
from receiver.cli.sink_app import Heard, create_sink
from receiver.domain import EventType, Format, OperatorEvent, Scheme
from tests.cli.driving import Cli, read_until
from tests.rendered.samples import FORMATS, TYPES, body_of, rendered_as

SECRET = signing.new_secret(b"s" * 32)
PRIVATE = signing.new_secret(b"p" * 32, Scheme.V1A)
PUBLIC = signing.public_key(PRIVATE)
OTHER = signing.public_key(signing.new_secret(b"o" * 32, Scheme.V1A))


def heard_by(key: str | None, format: Format, type: str, *signed_with: str) -> Heard:
    """Post one event as our sender does to a sink that checks with this key."""
    message = rendered_as(format, type)
    at = time.time_ns() // 1_000_000
    signed = signing.sign(signed_with, message_id="evt_1", at=at, body=message.body)
    return posted(key, message.body, {**message.headers, **signed})


def posted(key: str | None, body: bytes, headers: Mapping[str, str]) -> Heard:
    """Post this; what the sink heard, of which it told the sender no more than it must."""
    heard: list[Heard] = []

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_sink(key, heard.append))
        async with httpx.AsyncClient(transport=transport, base_url="http://sink.test") as client:
            return await client.post("/", content=body, headers=headers)

    answer = asyncio.run(post())
    [only] = heard
    assert (answer.status_code, answer.text) == (401 if only.fault else 204, only.fault or "")
    return only


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("key", "good"), [(PUBLIC, True), (PRIVATE, True), (SECRET, True), (OTHER, False)])
def test_either_signature_is_verified(format: Format, key: str, good: bool) -> None:
    """While a destination changes from one to the other, by the old secret and by the new public key."""
    heard = heard_by(key, format, EventType.SUCCEEDED, SECRET, PRIVATE)
    assert heard.verified is good
    assert heard.fault == (None if good else "no signature matches")


def test_a_key_pair_alone_is_not_verified_by_a_shared_secret() -> None:
    """Nor the other way round."""
    assert heard_by(SECRET, Format.FLAT, "ping", PRIVATE).verified is False
    assert heard_by(PUBLIC, Format.FLAT, "ping", SECRET).verified is False


TELLING = ["task_1", "apikley", "bytedance/v1-pro-text-to-video", "https://files.example/1.mp4?a=1&b=ü", "and"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_line_tells_the_same_in_every_format(format: Format) -> None:
    """Type, task, provider, model and result; a format that is not the usual one is named."""
    heard = heard_by(None, format, EventType.SUCCEEDED)
    words = line(heard).plain.split()
    assert words[1:3] == ["unverified", "task.succeeded"]
    assert words[3:8] == TELLING
    assert words[-1] == ("more" if format is Format.STANDARD else f"({format})")
    assert heard.format is format


@pytest.mark.parametrize("format", FORMATS)
def test_a_line_tells_what_failed(format: Format) -> None:
    """On one line, whatever the provider wrote."""
    text = line(heard_by(None, format, EventType.FAILED)).plain
    assert "content_policy" in text
    assert 'refused: "no" sorry' in text
    assert "\n" not in text


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("format", FORMATS)
def test_every_event_has_a_line(format: Format, type: str) -> None:
    """Named by its type, in either form, and as the JSON that programs read."""
    heard = heard_by(SECRET, format, type, SECRET)
    assert line(heard).plain.split()[1:3] == ["verified", type]
    told = json.loads(json_line(heard))
    assert (told["format"], told["event"]["type"], told["verified"]) == (format, type, True)


@pytest.mark.parametrize("format", [Format.STANDARD, Format.CLOUDEVENTS, Format.CLOUDEVENTS_BINARY])
def test_operators_events_say_what_about_and_why(format: Format) -> None:
    """A provider that is paused, a destination that fails."""
    assert "apikley  auth  401 from polls" in line(heard_by(None, format, OperatorEvent.PROVIDER_PAUSED)).plain
    failing = line(heard_by(None, format, OperatorEvent.DESTINATION_FAILING)).plain
    assert "dst_1  https://example.com/hook  no answer within 15 s" in failing


def test_binary_mode_is_put_together() -> None:
    """Its attributes are headers: what is printed is the event that the other mode would have been."""
    binary = heard_by(None, Format.CLOUDEVENTS_BINARY, EventType.RUNNING).event
    assert binary == heard_by(None, Format.CLOUDEVENTS, EventType.RUNNING).event
    assert binary["data"] == json.loads(body_of(EventType.RUNNING))["data"]


@pytest.mark.parametrize(
    "event",
    [
        {"task_id": "t"},
        {"task_id": "t", "provider": "p", "model": "m", "output_urls": 7, "output_url": None},
        {"task_id": 7, "provider": [], "model": {}, "output_urls": [], "output_url": {}, "error_kind": 1},
        {"type": "x", "data": []},
        {"type": "x", "data": {"provider": {"a": 1}, "reason": ["\x1b[2J"]}},
        {"type": "x", "data": {"task": None}},
        {"type": "x", "data": "task"},
    ],
)
@pytest.mark.parametrize("headers", [{}, {"content-type": "application/cloudevents+json"}, {"ce-specversion": "1.0"}])
def test_what_only_looks_like_ours_breaks_nothing(event: dict[str, Any], headers: dict[str, str]) -> None:
    """Anybody may post anything: a line comes of it, that steers no terminal."""
    text = line(posted(None, json.dumps(event).encode(), headers)).plain
    assert "unverified" in text
    assert "\x1b" not in text


def test_the_hint_can_be_pasted(cli: Cli) -> None:
    """With this sink's own address, and its port where that is not the usual one."""
    with cli.process("sink", "--port", "0") as sink:
        told = read_until(sink.stdout, "checks.")
        os.kill(sink.pid, signal.SIGINT)
    url = told.split()[2]
    port = url.rpartition(":")[2]
    assert f"`taskweir destinations add {url}`" in told
    assert f"`taskweir sink --port {port} --secret whsec_" in told
    assert int(port) != PORT


def test_a_public_key_will_do(cli: Cli) -> None:
    """For whoever verifies without being able to sign; what is no key is wrong usage."""
    with cli.process("sink", "--port", "0", "--secret", PUBLIC) as sink:
        told = read_until(sink.stdout, "printed here")
        os.kill(sink.pid, signal.SIGINT)
    assert "no signature is checked" not in told
    for wrong in ("whpk_", "whpk_AAAA", "whsk_AAAA"):
        result = cli("sink", "--secret", wrong)
        assert (result.code, "--secret" in result.err) == (2, True)

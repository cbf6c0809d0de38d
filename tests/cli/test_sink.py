"""`taskweir sink`, and the application behind it."""

import json
import os
import signal
import socket
import time
from typing import Any

import httpx
import pytest

from receiver import signing
from receiver.cli.sink import json_line, line
from receiver.cli.sink_app import MOST_READ, Heard, create_sink, running, url_of
from tests.cli.driving import Cli, read_until
from tests.processes import eventually
from tests.service.world import free_port

SECRET = signing.new_secret(b"s" * 32)
OTHER = signing.new_secret(b"o" * 32)
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "type": "task.succeeded",
    "timestamp": "2026-11-20T19:48:00.123Z",
    "data": {
        "task": {
            "id": "task_1",
            "provider": "apikley",
            "model": "m",
            "status": "succeeded",
            "outputs": [{"role": "main", "url": "https://example.com/1.mp4"}],
            "error": None,
        },
        "source": "callback",
    },
}
BODY = json.dumps(EVENT).encode()


def signed(secret: str = SECRET, body: bytes = BODY, *, age_s: float = 0) -> dict[str, str]:
    return signing.sign([secret], message_id="evt_1", at=round((time.time() - age_s) * 1000), body=body)


def heard_by(secret: str | None, headers: dict[str, str], body: bytes = BODY) -> tuple[int, Heard]:
    """Post once to a sink; the status it answered with, and what it heard."""
    heard: list[Heard] = []
    with running(create_sink(secret, heard.append)) as url:
        status = httpx.post(f"{url}/any/path", content=body, headers=headers, trust_env=False, verify=False).status_code
    return status, heard[0]


def test_a_good_signature_is_verified() -> None:
    """204, and the event as it came."""
    status, heard = heard_by(SECRET, signed())
    assert status == 204
    assert (heard.verified, heard.fault, heard.webhook_id, heard.event) == (True, None, "evt_1", EVENT)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(OTHER),
        signed(body=BODY + b" "),
        signed(age_s=3600),
        {**signed(), "webhook-id": "evt_2"},
        {**signed(), "webhook-signature": "v1,AAAA"},
    ],
    ids=["missing", "another secret", "another body", "old", "another id", "garbage"],
)
def test_any_other_signature_is_not(headers: dict[str, str]) -> None:
    """401 with the reason, so that the sender knows too."""
    status, heard = heard_by(SECRET, headers)
    assert status == 401
    assert heard.verified is False
    assert heard.fault


def test_without_a_secret_nothing_is_claimed() -> None:
    """204, and neither verified nor refused."""
    status, heard = heard_by(None, signed())
    assert (status, heard.verified, heard.fault) == (204, None, None)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_body_of_any_kind_is_heard(body: bytes) -> None:
    """What is no JSON object has no event, and breaks nothing."""
    status, heard = heard_by(SECRET, signed(body=body), body)
    assert (status, heard.verified, heard.event) == (204, True, {})


def test_a_body_without_end_is_cut_off() -> None:
    """Beyond the limit it is refused and not heard."""
    heard: list[Heard] = []
    with running(create_sink(None, heard.append)) as url:
        reply = httpx.post(url, content=b"x" * (MOST_READ + 1), trust_env=False, verify=False)
    assert (reply.status_code, heard) == (413, [])


def test_a_sender_that_goes_away_is_not_heard() -> None:
    """Half a body is no event."""
    heard: list[Heard] = []
    with running(create_sink(None, heard.append)) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
        httpx.post(url, content=BODY, trust_env=False, verify=False)
    assert [each.event for each in heard] == [EVENT]


def test_only_posts_are_taken() -> None:
    """A sink is a webhook target, not a page."""
    with running(create_sink(None, lambda heard: None)) as url:
        assert httpx.get(url, trust_env=False, verify=False).status_code == 405


def test_ipv6_addresses_are_bracketed() -> None:
    """As URLs want them."""
    assert url_of(("::1", 9500, 0, 0)) == "http://[::1]:9500"
    assert url_of(("127.0.0.1", 9500)) == "http://127.0.0.1:9500"


def heard(verified: bool | None = True, fault: str | None = None, **event: Any) -> Heard:
    return Heard(at=1_795_204_080_123, verified=verified, fault=fault, webhook_id="evt_1", event=event)


def test_a_line_has_all_that_matters() -> None:
    """Time, verdict, type, task, provider, model, URL."""
    assert line(heard(**EVENT)).plain.split() == [
        *("19:48:00.123", "verified", "task.succeeded", "task_1", "apikley", "m", "https://example.com/1.mp4"),
    ]


def test_a_line_tells_why_a_signature_was_refused() -> None:
    """In the verifier's words."""
    text = line(heard(False, "no signature matches", **EVENT)).plain
    assert "NOT verified" in text
    assert text.endswith("no signature matches")


@pytest.mark.parametrize(
    "event",
    [{}, {"type": "ping"}, {"type": 7, "data": 7}, {"data": {"task": {"id": "x"}}}, {"data": {"task": {"outputs": 1}}}],
)
def test_a_line_of_something_else_names_what_it_can(event: dict[str, Any]) -> None:
    """Anybody may post anything: the line has the type, else the webhook's id."""
    text = line(heard(None, None, **event)).plain
    assert "unverified" in text
    assert str(event.get("type") or "evt_1") in text


def test_a_body_cannot_steer_the_terminal() -> None:
    """Escape sequences in an event are taken out."""
    assert "\x1b" not in line(heard(None, None, type="\x1b[2Jx")).plain


def test_the_json_line_is_one_object() -> None:
    """With the verdict beside the event."""
    told = json.loads(json_line(heard(**EVENT)))
    assert told["at"] == "2026-11-20T19:48:00.123Z"
    assert (told["verified"], told["fault"], told["webhook_id"], told["event"]) == (True, None, "evt_1", EVENT)


def test_the_command_verifies_what_the_server_sends(cli: Cli) -> None:
    """From a destination's secret to a verified line, and Ctrl-C is the normal end."""
    with cli.process("sink", "--port", "0") as probe:
        url = read_until(probe.stdout, "http").split()[2]
    port = url.rpartition(":")[2]
    made = cli("destinations", "add", f"{url}/hook", "--json").json
    with cli.process("sink", "--port", port, "--secret", made["secret"]) as sink:
        greeting = read_until(sink.stdout, "printed here")
        assert url in greeting
        task = cli("submit", "reve2img", "reve-2.0", "--input", '{"prompt": "a lighthouse"}', "--json").json
        seen = read_until(sink.stdout, task["id"])
        os.kill(sink.pid, signal.SIGINT)
        _, err = sink.communicate(timeout=20)
    cli("destinations", "delete", made["id"])
    assert "  verified" in seen
    assert task["outputs"][0]["url"] in seen
    assert (sink.returncode, err) == (0, "")


def test_the_command_prints_json_lines(cli: Cli) -> None:
    """--json prints nothing else, not even a greeting."""
    port = free_port()
    with cli.process("sink", "--port", str(port), "--json") as sink:
        eventually(lambda: _heard(f"http://127.0.0.1:{port}"), lambda: "nobody listens", within_s=20)
        told = json.loads(read_until(sink.stdout, "webhook_id"))
    assert (told["verified"], told["event"]) == (None, EVENT)


def _heard(url: str) -> bool:
    try:
        httpx.post(url, content=BODY, trust_env=False, verify=False)
    except httpx.ConnectError:
        return False
    return True


def test_a_sink_without_a_secret_says_what_that_means(cli: Cli) -> None:
    """Nobody shall take unverified for verified."""
    with cli.process("sink", "--port", "0") as sink:
        assert "no signature is checked" in read_until(sink.stdout, "checked")


def test_a_secret_that_is_none_is_wrong_usage(cli: Cli) -> None:
    """Exit status 2 before anything listens."""
    result = cli("sink", "--secret", "swordfish")
    assert result.code == 2
    assert "--secret" in result.err


@pytest.mark.parametrize("command", ["sink", "sandbox"])
def test_a_port_that_is_taken_is_told(cli: Cli, command: str) -> None:
    """Exit status 1 and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = cli(command, "--port", str(taken.getsockname()[1]))
    assert result.code == 1
    assert "Choose another --port." in result.err

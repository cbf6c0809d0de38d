"""What a consumer is given by `verify_webhook`, judged beside the official library."""

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from receiver import signing
from receiver.client import Malformed, NotVerified, verify_webhook
from receiver.domain import Scheme

SECRET = signing.new_secret(b"s" * 32)
OTHER = signing.new_secret(b"o" * 32)
PAIR = signing.new_secret(b"k" * 32, Scheme.V1A)
PUBLIC = signing.public_key(PAIR)
AT = 1_700_000_000
TASK = {"id": "task_1", "status": "succeeded", "outputs": [{"role": "main", "url": "https://x.example/a.mp4"}]}
BODY = json.dumps({"id": "evt_1", "type": "task.succeeded", "data": {"task": TASK, "sequence": 2}})


def headers(*secrets: str, body: str = BODY) -> dict[str, str]:
    return signing.sign(secrets or [SECRET], message_id="evt_1", at=AT * 1000, body=body.encode())


def test_what_verifies_is_the_event() -> None:
    """Whether the body comes as bytes or as text, and whatever case the headers' names have."""
    for body in (BODY, BODY.encode()):
        event = verify_webhook({name.title(): text for name, text in headers().items()}, body, SECRET, now=AT)
        assert (event.id, event.type, event.data.sequence) == ("evt_1", "task.succeeded", 2)
        assert event.task is not None
        assert (event.task.succeeded, event.task.urls) == (True, ["https://x.example/a.mp4"])


def test_the_official_library_signs_what_we_verify() -> None:
    """And the clock is this machine's where none is given."""
    at = datetime.now(UTC)
    signed = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", at, BODY),
    }
    assert verify_webhook(signed, BODY, SECRET).id == "evt_1"


def test_a_rotation_breaks_nobody() -> None:
    """One of several signatures is enough, by one of several secrets."""
    assert verify_webhook(headers(OTHER, SECRET), BODY, SECRET, now=AT).id == "evt_1"
    assert verify_webhook(headers(SECRET), BODY, [OTHER, SECRET], now=AT).id == "evt_1"


def test_a_key_pair_is_verified_by_its_public_half() -> None:
    """v1a; beside a shared secret's signature, too."""
    assert verify_webhook(headers(PAIR), BODY, PUBLIC, now=AT).id == "evt_1"
    assert verify_webhook(headers(SECRET, PAIR), BODY, PUBLIC, now=AT).id == "evt_1"
    with pytest.raises(NotVerified):
        verify_webhook(headers(SECRET), BODY, PUBLIC, now=AT)


@pytest.mark.parametrize("away", [-301, 301])
def test_an_old_message_is_refused(away: int) -> None:
    """Five minutes to either side, or as many as the consumer says."""
    with pytest.raises(NotVerified, match="300 s away"):
        verify_webhook(headers(), BODY, SECRET, now=AT + away)
    assert verify_webhook(headers(), BODY, SECRET, now=AT + away, tolerance_s=400).id == "evt_1"


def test_another_body_or_secret_is_refused() -> None:
    """So are headers that are missing."""
    for signed, body, secret in (
        (headers(), BODY + " ", SECRET),
        (headers(), BODY, OTHER),
        ({}, BODY, SECRET),
        (headers(), "\ud800", SECRET),
    ):
        with pytest.raises(NotVerified):
            verify_webhook(signed, body, secret, now=AT)


def test_a_consumers_own_mistake_is_told_as_one() -> None:
    """A secret that is none would refuse everything; what was signed may be no event."""
    with pytest.raises(Malformed, match="24 to 64 bytes"):
        verify_webhook(headers(), BODY, "whsec_", now=AT)
    for body in ("[]", "{"):
        with pytest.raises(Malformed, match="no JSON object"):
            verify_webhook(headers(body=body), body, SECRET, now=AT)

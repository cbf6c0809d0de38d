"""Signing: our signatures are the standard's, our tokens ours alone, and hostile input gets one answer."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from receiver.errors import Malformed, NotVerified
from receiver.signing import new_secret, secret_bytes, sign, verify

# the test vector of Standard Webhooks, as in its C#, Go, Java, JavaScript and PHP test suites
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, SECONDS, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = SECONDS * 1000
OTHER = new_secret(bytes(range(32)))
GOOD = {"webhook-id": ID, "webhook-timestamp": str(SECONDS), "webhook-signature": SIGNATURE}


def is_ours(
    headers: Mapping[str, str], body: bytes = BODY, secrets: Sequence[str] = (SECRET,), *, now: int = NOW
) -> bool:
    try:
        verify(headers, body, secrets, now=now)
    except NotVerified:
        return False
    return True


def test_the_official_vector() -> None:
    """Byte for byte what every other library makes of the same message."""
    assert sign([SECRET], message_id=ID, at=NOW + 999, body=BODY) == GOOD
    assert is_ours(GOOD)


@given(st.binary(min_size=24, max_size=64), st.from_regex(r"evt_[a-z0-9]{1,26}", fullmatch=True), st.text(max_size=200))
def test_the_reference_library_signs_the_same(key: bytes, message_id: str, text: str) -> None:
    """What it signs we verify, and it is what we would have signed."""
    secret = "whsec_" + base64.b64encode(key).decode()
    text = text.encode("utf-8", "replace").decode()
    theirs = Webhook(secret).sign(message_id, datetime.fromtimestamp(SECONDS, UTC), text)
    ours = sign([secret], message_id=message_id, at=NOW, body=text.encode())
    assert ours["webhook-signature"] == theirs
    verify(ours | {"webhook-signature": theirs}, text.encode(), [secret], now=NOW)


@given(st.dictionaries(st.text(max_size=5), st.integers()), st.binary(min_size=24, max_size=64))
def test_the_reference_library_accepts_our_json(value: dict[str, int], key: bytes) -> None:
    """Its `verify`, which reads the body as JSON, with its own clock."""
    body = json.dumps(value).encode()
    secret = "whsec_" + base64.b64encode(key).decode()
    now = int(datetime.now(UTC).timestamp() * 1000)
    assert Webhook(secret).verify(body, sign([secret], message_id="evt_1", at=now, body=body)) == value


def test_a_rotation_signs_with_both_and_either_verifies() -> None:
    """While two secrets overlap, a receiver that holds one of them is content; ours may hold both."""
    headers = sign([OTHER, SECRET], message_id=ID, at=NOW, body=BODY)
    assert headers["webhook-signature"].split(" ")[1] == SIGNATURE
    assert is_ours(headers, secrets=[OTHER])
    assert is_ours(headers, secrets=[SECRET])
    assert is_ours(GOOD, secrets=[OTHER, SECRET])
    assert not is_ours(GOOD, secrets=[OTHER])
    assert not is_ours(GOOD, secrets=[])


def test_other_versions_and_names_are_understood() -> None:
    """Unknown entries are passed over; Svix's names and any case are accepted, but never half of each."""
    assert is_ours(GOOD | {"webhook-signature": f"v1a,AAAA v2,x garbage {SIGNATURE} v1,x"})
    assert is_ours({name.upper(): value for name, value in GOOD.items()})
    svix = {name.replace("webhook", "svix"): value for name, value in GOOD.items()}
    assert is_ours(svix)
    assert not is_ours({"webhook-id": ID, "svix-timestamp": str(SECONDS), "svix-signature": SIGNATURE})
    assert not is_ours(GOOD | {"webhook-signature": SIGNATURE.replace("v1,", "v1a,")})


@pytest.mark.parametrize(("offset_s", "good"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_the_timestamp_may_be_five_minutes_off(offset_s: int, good: bool) -> None:
    """Either way, and no further: an old message is not played again."""
    assert is_ours(GOOD, now=NOW + offset_s * 1000) is good


def test_every_part_is_signed() -> None:
    """Another id, time or body is another message."""
    assert not is_ours(GOOD | {"webhook-id": ID + "x"})
    assert not is_ours(GOOD | {"webhook-timestamp": str(SECONDS + 1)})
    assert not is_ours(GOOD, BODY + b" ")
    assert not is_ours(GOOD | {"webhook-id": f"{ID}.1"})


HOSTILE_SIGNATURES = [
    "", " ", ",", "v1", "v1,", "v1,=", "v1,a", "v1,a,b", "garbage", "v1,\x00", "v1,ä", "v1,\ud800",
    "v1;" + SIGNATURE[3:],
    SIGNATURE[:-1], SIGNATURE + "=", SIGNATURE + "\n", "\n" + SIGNATURE, SIGNATURE.lower(), SIGNATURE.upper(),
    SIGNATURE[3:], "v1," + SIGNATURE, "v2," + SIGNATURE[3:], "v1a," + SIGNATURE[3:], SIGNATURE.replace("+", "-"),
    SIGNATURE.replace(",", ", "), SIGNATURE.replace(",", "\t"), "v1," + "A" * 44, "v1," * 10_000, "x" * 100_000,
    SIGNATURE.replace("E=", "F="), "V1" + SIGNATURE[2:], f'"{SIGNATURE}"', f"{SIGNATURE},{SIGNATURE}",
]  # fmt: skip
HOSTILE_TIMESTAMPS = [
    "", " ", "x", "-1614265330", "+1614265330", "1614265330.0", "1.614265330e9", "1614265330 ", "\n1614265330",
    "1_614265330", "١٦١٤٢٦٥٣٣٠", "0", "9" * 12, "9" * 13, "9" * 5000, "0x60379972", "nan", "inf", "\ud800", "²",
]  # fmt: skip


@pytest.mark.parametrize("signature", HOSTILE_SIGNATURES)
def test_hostile_signatures_are_not_verified(signature: str) -> None:
    """`NotVerified`, whatever the text."""
    with pytest.raises(NotVerified):
        verify(GOOD | {"webhook-signature": signature}, BODY, [SECRET], now=NOW)


@pytest.mark.parametrize("timestamp", HOSTILE_TIMESTAMPS)
def test_hostile_timestamps_are_not_verified(timestamp: str) -> None:
    """Only whole seconds in ASCII digits are a time."""
    with pytest.raises(NotVerified):
        verify(GOOD | {"webhook-timestamp": timestamp}, BODY, [SECRET], now=NOW)


@pytest.mark.parametrize("missing", GOOD)
def test_missing_headers_are_not_verified(missing: str) -> None:
    """All three, and none of them empty."""
    with pytest.raises(NotVerified):
        verify({name: value for name, value in GOOD.items() if name != missing}, BODY, [SECRET], now=NOW)
    with pytest.raises(NotVerified):
        verify(GOOD | {missing: ""}, BODY, [SECRET], now=NOW)


@given(st.dictionaries(st.sampled_from([*GOOD, "svix-id", "x"]), st.text(st.characters())), st.binary(), st.text())
def test_nothing_else_is_ever_raised(headers: dict[str, str], body: bytes, secret: str) -> None:
    """Any headers, body and even secrets: `NotVerified` only."""
    with pytest.raises(NotVerified):
        verify(headers, body, [secret], now=NOW)
    with pytest.raises(NotVerified):
        verify(GOOD | headers, body + b"x", [secret, SECRET], now=NOW)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_a_new_secret_is_32_bytes_behind_its_prefix() -> None:
    """Shown as `whsec_` and base64; the key is the decoded bytes."""
    assert secret_bytes(new_secret(bytes(32))) == bytes(32)
    assert new_secret(bytes(32)).startswith("whsec_")


@pytest.mark.parametrize("size", [24, 25, 26, 32, 63, 64])
def test_secrets_are_read_with_or_without_prefix_and_padding(size: int) -> None:
    """However a user pastes it, line end and all."""
    key = bytes(range(size))
    text = base64.b64encode(key).decode()
    for form in (text, text.rstrip("="), f"whsec_{text}", f" whsec_{text.rstrip('=')}\n"):
        assert secret_bytes(form) == key


NO_SECRETS = [
    "", "whsec_", "whsec_*", "whsec_ä", "whsec_\ud800", "whsec_A", "whsk_" + "A" * 32, "v1,whsec_" + "A" * 32,
    "A" * 16 + "=" + "A" * 16, "A" * 31, "A" * 88, "A" * 10_000, "-" * 32, "AAAA AAAA " * 4,
]  # fmt: skip


@pytest.mark.parametrize("secret", NO_SECRETS)
def test_what_is_no_secret_is_malformed(secret: str) -> None:
    """The message tells the rule, never the secret."""
    for use in (lambda: secret_bytes(secret), lambda: sign([secret], message_id=ID, at=NOW, body=BODY)):
        with pytest.raises(Malformed, match=r"base64|24 to 64 bytes") as error:
            use()
        assert not secret or secret not in str(error.value).replace("whsec_ and", "")

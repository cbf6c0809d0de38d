"""Signing: our signatures are the standard's, our tokens ours alone, and hostile input gets one answer."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from receiver.errors import ConfigurationError, Malformed, NotVerified
from receiver.signing import CallbackTokens, new_secret, redact, secret_bytes, sign, token_in, verify

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
def test_the_reference_library_agrees_both_ways(key: bytes, message_id: str, text: str) -> None:
    """What we sign it verifies, what it signs we verify."""
    secret = "whsec_" + base64.b64encode(key).decode()
    text = text.encode("utf-8", "replace").decode()
    at = datetime.now(UTC).replace(microsecond=0)
    now = int(at.timestamp()) * 1000
    theirs = Webhook(secret)
    ours = sign([secret], message_id=message_id, at=now, body=text.encode())
    assert ours["webhook-signature"] == theirs.sign(message_id, at, text)
    theirs._verify_signature(text, ours) if hasattr(theirs, "_verify_signature") else None
    headers = dict(ours)
    headers["webhook-signature"] = theirs.sign(message_id, at, text)
    verify(headers, text.encode(), [secret], now=now)


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
    "", " ", ",", "v1", "v1,", "v1,=", "v1,a", "v1,a,b", "garbage", "v1,\x00", "v1,ä", "v1,\ud800", "v1;" + SIGNATURE[3:],
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


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_*", "whsec_ä", "whsec_\ud800", "whsec_A", "whsk_" + "A" * 32, "v1,whsec_" + "A" * 32]
    + ["A" * 16 + "=" + "A" * 16, "A" * 31, "A" * 88, "A" * 10_000, "-" * 32, "AAAA AAAA " * 4],
)
def test_what_is_no_secret_is_malformed(secret: str) -> None:
    """The message tells the rule, never the secret."""
    for use in (lambda: secret_bytes(secret), lambda: sign([secret], message_id=ID, at=NOW, body=BODY)):
        with pytest.raises(Malformed, match="base64|24 to 64 bytes") as error:
            use()
        assert not secret or secret not in str(error.value).replace("whsec_ and", "")


# --- callback tokens --------------------------------------------------------------------------------------------------

OLD, NEW = "old-" + "k" * 40, "new-" + "k" * 40
TASK = "task_01k9zq3v7x5m8c4b2n6p0r1t3w"
TOKENS = CallbackTokens([NEW])
TOKEN = TOKENS.issue("apikley", TASK)


def test_a_token_names_its_task_and_is_a_path_segment() -> None:
    """Readable back, and safe in a URL as it is."""
    assert TOKENS.read("apikley", TOKEN) == TASK
    assert quote(TOKEN, safe="") == TOKEN
    assert len(TOKEN) < 100


def test_a_token_is_an_hmac_of_sha_256_under_its_own_purpose() -> None:
    """Derivation is pinned: tokens out in the world must verify after every release."""
    derived = hmac.digest(NEW.encode(), b"taskweir callback apikley", hashlib.sha256)
    signature = base64.urlsafe_b64encode(hmac.digest(derived, TASK.encode(), hashlib.sha256)).rstrip(b"=")
    assert f"{TASK}.{signature.decode()}" == TOKEN


def test_a_token_is_bound_to_its_provider_its_task_and_its_key() -> None:
    """Nobody makes one from another."""
    _, _, signature = TOKEN.rpartition(".")
    for provider, token in (
        ("reapi", TOKEN),
        ("apikley", f"task_other.{signature}"),
        ("apikley", CallbackTokens([OLD]).issue("apikley", TASK)),
    ):
        with pytest.raises(NotVerified):
            TOKENS.read(provider, token)


def test_token_keys_rotate() -> None:
    """The first key signs, all verify; a key taken out verifies nothing more."""
    both = CallbackTokens([NEW, OLD])
    assert both.issue("apikley", TASK) == TOKEN
    assert both.read("apikley", CallbackTokens([OLD]).issue("apikley", TASK)) == TASK
    with pytest.raises(NotVerified):
        CallbackTokens([OLD]).read("apikley", TOKEN)


def test_without_a_key_there_are_no_tokens() -> None:
    """An empty setting is the operator's mistake, told at the start."""
    with pytest.raises(ConfigurationError):
        CallbackTokens([])


def test_the_text_of_a_token_is_malleable_but_never_its_task() -> None:
    """Other last characters and padding verify too, so a token's text tells no repeats apart; the task it names does."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    variants = [TOKEN[:-1] + last for last in alphabet] + [TOKEN + "=", TOKEN + "=="]
    read = []
    for variant in variants:
        try:
            read.append(TOKENS.read("apikley", variant))
        except NotVerified:
            continue
    assert len(read) > 1
    assert set(read) == {TASK}


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        TASK,
        f"{TASK}.",
        f".{TOKEN}",
        TOKEN[:-2],
        TOKEN + "A",
        f" {TOKEN}",
        TOKEN.upper(),
        "ä",
        "\ud800",
        "\x00",
    ]
    + [
        f"{TASK}.{'A' * 43}",
        f"{TASK}.ä",
        f"{TASK}.\ud800",
        "a." * 10_000,
        TOKEN.replace(".", ""),
        TOKEN.replace(".", "/"),
    ],
)
def test_hostile_tokens_are_not_verified(token: str) -> None:
    """One error, which holds neither the token nor what it claims."""
    with pytest.raises(NotVerified) as error:
        TOKENS.read("apikley", token)
    assert TASK not in str(error.value)
    assert error.value.__cause__ is None


@given(st.text(st.characters()), st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_raises_anything_else_or_verifies(token: str, provider: str) -> None:
    """Fuzz of both arguments."""
    with pytest.raises(NotVerified):
        TOKENS.read(provider, token)


@pytest.mark.parametrize(
    "url",
    [
        f"https://weir.example/callbacks/apikley/{TOKEN}",
        f"http://127.0.0.1:8080/callbacks/apikley/{TOKEN}/",
        f"https://weir.example/base/path/callbacks/apikley/{TOKEN}?x=1#y",
        f"/callbacks/apikley/{TOKEN}",
        f"https://weir.example/callbacks/apikley/{TOKEN.replace('.', '%2E')}",
        f"https://weir.example%2Fcallbacks%2Fapikley%2F{TOKEN}",
    ],
)
def test_the_token_is_found_in_an_echoed_url(url: str) -> None:
    """Host and path before `callbacks` are not compared."""
    assert token_in(url) == TOKEN or "%2F" in url


@pytest.mark.parametrize(
    "url",
    ["", "x", "https://weir.example/", "https://weir.example/callbacks/apikley", "https://weir.example/callbacks/a/"]
    + [f"https://weir.example/callbacks/{TOKEN}", "http://[::1/callbacks/a/b", "https://x/callbacks/a/b/c"]
    + [f"https://weir.example/?u=/callbacks/a/{TOKEN}", f"https://weir.example/mycallbacks/apikley/{TOKEN}"],
)
def test_other_urls_hold_no_token(url: str) -> None:
    """None, never an error."""
    assert token_in(url) is None


# --- redaction --------------------------------------------------------------------------------------------------------

URL = f"https://weir.example/callbacks/apikley/{TOKEN}"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        json.dumps({"callBackUrl": URL}),
        json.dumps({"callBackUrl": URL}).replace("/", "\\/"),
        json.dumps({"param": json.dumps({"callBackUrl": URL})}).replace("/", "\\\\\\/"),
        json.dumps({"callBackUrl": URL}).replace("/", "\\u002f"),
        json.dumps({"callBackUrl": URL}).replace("/", "\\u002F").replace(".", "\\u002e").replace("_", "\\u005f"),
        f"url={quote(URL, safe='')}&x=1",
        f"url={quote(quote(URL, safe=''), safe='')}&x=1",
        f"url={quote(URL, safe='').lower()}".replace(quote(TOKEN).lower(), TOKEN),
        f"url={quote(URL, safe='').replace('.', '%2E').replace('_', '%5F').replace('-', '%2D')}",
        f"<a href='{URL}'>",
        f"{URL}=",
        f"token {TOKEN} alone",
        f'{{"a":"{URL}","b":"{URL}"}}',
    ],
)
def test_no_encoding_of_a_callback_url_keeps_its_token(text: str) -> None:
    """Neither the token nor the tail of its signature survives; the provider's name does where it stood."""
    redacted = redact(text.encode())
    signature = TOKEN.rpartition(".")[2]
    for part in (signature, signature[-12:], signature.replace("_", "%5F"), signature[:12]):
        assert part.encode() not in redacted
    assert b"[callback token]" in redacted
    assert (b"apikley" in redacted) == ("apikley" in text)


def test_redacted_json_is_still_json() -> None:
    """Only the token goes; what stands around it is untouched."""
    body = {"data": {"callBackUrl": f"{URL}?a=1", "n": [1, "é"]}, "next": "x/callbacks"}
    redacted = redact(json.dumps(body).encode())
    assert json.loads(redacted) == {
        "data": {"callBackUrl": "https://weir.example/callbacks/apikley/[callback token]?a=1", "n": [1, "é"]},
        "next": "x/callbacks",
    }


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00\xff\xfe", b'{"taskId":"task_bytedance_1765186736545"}', b'{"url":"https://x/results/callbacks.mp4"}']
    + [b"eyJhbGciOi.eyJzdWIiOi." + b"A" * 43, b"task_12345.jpg"],
)
def test_what_holds_no_token_is_left_alone(raw: bytes) -> None:
    """Bytes that are no callback URL stay as they came."""
    assert redact(raw) == raw


def test_redaction_is_linear() -> None:
    """64 KiB built to make a pattern start over and over take no time."""
    for unit in (
        b"\\",
        b"/",
        b"%25",
        b"callbacks/",
        b"callbacks/a/",
        b"callbacks\\\\\\\\",
        b"task_",
        b"task_a.",
        b"%2Fcallbacks",
    ):
        redact(unit * (65536 // len(unit)))
        token_in((unit * (65536 // len(unit))).decode())

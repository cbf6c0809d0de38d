"""Callback tokens: ours alone, bound to a task and a provider, and never left in what is stored."""

import base64
import hashlib
import hmac
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import ConfigurationError, NotVerified
from receiver.signing import CallbackTokens, redact, token_in

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


def test_made_up_providers_leave_nothing_behind() -> None:
    """However many names are tried, tokens stay what they are, and what is remembered of names stays small."""
    tokens = CallbackTokens([NEW])
    issued = tokens.issue("apikley", "task_1")
    for number in range(1000):
        with pytest.raises(NotVerified):
            tokens.read(f"nobody{number}", issued)
    assert tokens.read("apikley", issued) == "task_1"
    assert tokens.issue("apikley", "task_1") == CallbackTokens([NEW]).issue("apikley", "task_1") == issued
    assert len(tokens._signers) <= 64


def test_without_a_key_there_are_no_tokens() -> None:
    """An empty setting is the operator's mistake, told at the start."""
    with pytest.raises(ConfigurationError):
        CallbackTokens([])


def test_the_text_of_a_token_is_malleable_but_never_its_task() -> None:
    """Other last characters and padding verify too: a token's text tells no repeats apart, the task it names does."""
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


HOSTILE_TOKENS = [
    "", ".", "..", TASK, f"{TASK}.", f".{TOKEN}", TOKEN[:-2], TOKEN + "A", f" {TOKEN}", TOKEN.upper(), "ä", "\ud800",
    "\x00", f"{TASK}.{'A' * 43}", f"{TASK}.ä", f"{TASK}.\ud800", "a." * 10_000, TOKEN.replace(".", ""),
    TOKEN.replace(".", "/"),
]  # fmt: skip


@pytest.mark.parametrize("token", HOSTILE_TOKENS)
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
    ],
)
def test_the_token_is_found_in_an_echoed_url(url: str) -> None:
    """Host and path before `callbacks` are not compared."""
    assert token_in(url) == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "https://weir.example/",
        "https://weir.example/callbacks/apikley",
        "https://weir.example/callbacks/a/",
        f"https://weir.example/callbacks/{TOKEN}",
        f"https://weir.example/mycallbacks/apikley/{TOKEN}",
        f"https://weir.example/?u=/callbacks/a/{TOKEN}",
        "https://x/callbacks/a/b/c",
        "http://[::1/callbacks/a/b",
    ],
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
    [
        b"",
        b"\x00\xff\xfe",
        b'{"taskId":"task_bytedance_1765186736545"}',
        b'{"url":"https://x/results/callbacks.mp4"}',
        b"eyJhbGciOi.eyJzdWIiOi." + b"A" * 43,
        b"task_12345.jpg",
    ],
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

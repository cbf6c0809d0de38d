"""What is kept of a consumer's answer: text, 4 KiB of it, that steers nothing and gives nothing away."""

import base64
import gzip
import html
import json
import random
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.senders.answers import HIDDEN, KEPT_BYTES, NOT_TEXT, kept_text

KEY = 'Bearer c4n4ry/Key+"A&B"=='
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def kept(body: bytes | str, *secrets: str, **headers: str) -> str:
    raw = body.encode() if isinstance(body, str) else body
    return kept_text(raw, {name.replace("_", "-"): value for name, value in headers.items()}, secrets)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        '{"error":"no such order"}',
        "a\nb\tc",
        "Überraschung",
        "ошибка",
        "エラー",
        "خطأ",
        "\U0001f43c",
        "<b>no</b>",
    ],
)
def test_text_stays_as_it_is(text: str) -> None:
    """In any language, and whatever it looks like in a page: that is for the page to mind."""
    assert kept(text) == text
    assert kept(text, content_type="text/plain", content_encoding="identity") == text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        (b"red: \x1b[31mno\x1b[0m", "red: \ufffd[31mno\ufffd[0m"),
        (b"a title \x1b]0;owned\x07", "a title \ufffd]0;owned\ufffd"),
        ("C1 too: \x9b2J, \x90 and \x9d".encode(), "C1 too: \ufffd2J, \ufffd and \ufffd"),
        (b"back\x08\x08 and NUL\x00, DEL\x7f", "back\ufffd\ufffd and NUL\ufffd, DEL\ufffd"),
        ("from \u202eright to left\u2066, \u2028line".encode(), "from \ufffdright to left\ufffd, \ufffdline"),
        ("Entrée refusée".encode("latin-1"), "Entr\ufffde refus\ufffde"),
        (b"half a letter \xe2\x82", "half a letter \ufffd"),
    ],
)
def test_what_steers_a_terminal_is_replaced(raw: bytes, expected: str) -> None:
    """Escape sequences, in seven bits and in eight, line ends that overwrite, and turned writing."""
    assert kept(raw) == expected


BINARIES = {
    "noise": random.Random(1).randbytes(9000),
    "an image": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + random.Random(2).randbytes(500),
    "zeros": bytes(100),
    "an archive": gzip.compress(b"an error page " * 100),
    "UTF-16": "an error page".encode("utf-16"),
    "a video": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + random.Random(3).randbytes(2000),
}


@pytest.mark.parametrize("raw", BINARIES.values(), ids=BINARIES.keys())
def test_what_is_no_text_is_told_to_be_none(raw: bytes) -> None:
    """Not shown as a page of question marks."""
    assert kept(raw) == NOT_TEXT


@pytest.mark.parametrize("encoding", ["gzip", " GZIP ", "br", "deflate, gzip"])
def test_a_compressed_answer_is_no_text(encoding: str) -> None:
    """We asked for plain bytes, and unpack nothing; an empty answer is empty, however it is labelled."""
    assert kept("looks like text", content_encoding=encoding) == NOT_TEXT
    assert kept("", content_encoding=encoding) == ""


def test_the_first_4_kib_are_kept() -> None:
    """A letter that is cut in two is left out, not replaced."""
    assert kept("x" * 9000) == "x" * KEPT_BYTES
    assert kept("x" * (KEPT_BYTES - 1) + "ü" * 10) == "x" * (KEPT_BYTES - 1)
    assert kept("ü" * 9000) == "ü" * (KEPT_BYTES // 2)
    assert len(kept("x" * 4000 + "abcd" * 24, *["abcd"])) <= KEPT_BYTES


ECHOES = {
    "as it is": KEY,
    "JSON": json.dumps({"headers": {"authorization": KEY}}),
    "PHP's JSON": json.dumps({"authorization": KEY}).replace("/", "\\/"),
    "percent-encoded": quote(KEY, safe=""),
    "percent-encoded in small letters": quote(KEY, safe="").lower(),
    "a form": "key=" + quote(KEY, safe="").replace("%20", "+"),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 without its end": base64.b64encode(KEY.encode()).decode().rstrip("="),
    "base64 for URLs": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "JSON within JSON": json.dumps(json.dumps({"authorization": KEY})),
    "PHP's JSON within JSON": json.dumps(json.dumps({"authorization": KEY}).replace("/", "\\/")),
    "Go's JSON": json.dumps({"authorization": KEY}).replace("&", "\\u0026"),
    "Java's JSON": json.dumps({"authorization": KEY}).replace("&", "\\u0026").replace("=", "\\u003d"),
    "Python": repr({"authorization": KEY}),
    "Python's bytes": repr(KEY.encode()),
    "Python's quotes": repr([f"it's {KEY}"]),
    "HTML": f"<td>{html.escape(KEY)}</td>",
    "without its scheme": 'no such key: c4n4ry/Key+"A&B"==',
    "in capitals": KEY.upper(),
    "twice": f"{KEY} {KEY}",
    "among others": f"x{KEY}{SECRET}x",
}


@pytest.mark.parametrize("answer", ECHOES.values(), ids=ECHOES.keys())
def test_a_headers_value_is_cut_out_of_an_echo(answer: str) -> None:
    """However the consumer writes what it got."""
    text = kept(f"before {answer} after", KEY, SECRET)
    assert "c4n4ry" not in text.lower()
    assert "MfKQ" not in text
    assert HIDDEN in text
    assert text.startswith("before ")
    assert text.endswith(" after")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "x", "xy"])
@pytest.mark.parametrize("after", ["", "z", "zz"])
@pytest.mark.parametrize("secret", ["abcd", "abcde", "abcdef", "?>?>?>~~", KEY])
def test_a_value_is_cut_out_of_a_longer_text_in_base64(
    encode: Callable[[bytes], bytes], before: str, after: str, secret: str
) -> None:
    """Wherever it begins: a consumer that logs what it got in base64 logs our headers in the midst of it."""
    text = kept(encode(f"{before}{secret}{after}".encode()), secret)
    shown = "".join(text.split(HIDDEN))
    assert HIDDEN in text
    assert len(shown) <= len(encode(f"{before}{after}".encode())) + 4


def test_a_value_with_quotes_of_both_kinds_is_cut_out() -> None:
    """As Python writes it, and as JSON and JavaScript do."""
    key = 'it\'s a "key" with a \\ in it'
    for written in (repr(key), repr({"x": key}), json.dumps(key), json.dumps(json.dumps(key)), repr(json.dumps(key))):
        assert "key" not in kept(f"got {written}", key), written


@pytest.mark.parametrize("echo", [SECRET, SECRET.removeprefix("whsec_"), SECRET[6:].lower()])
def test_a_signing_secret_is_cut_out(echo: str) -> None:
    """With its prefix and without: both sides hold it, so a consumer may well print it."""
    assert kept(f"expected a signature by {echo}!", SECRET) == f"expected a signature by {HIDDEN}!"


@pytest.mark.parametrize("shown", range(1, len(KEY)))
def test_half_a_secret_at_the_end_is_cut_off(shown: int) -> None:
    """Where the answer goes on, the rest would have followed; three letters give nothing away."""
    answer = "x" * (KEPT_BYTES - shown) + KEY + "x" * 100
    text = kept(answer, KEY)
    assert KEY[:shown] not in text or shown < 4
    assert text.startswith("x" * (KEPT_BYTES - len(KEY) - len(HIDDEN)))
    assert "Bear" in kept("x" * 100 + KEY[:6], KEY), "an answer that ends here is no cut"


def test_short_values_are_no_secrets() -> None:
    """An answer stays readable beside `x-retry: on`."""
    assert kept("on and on, 42 times", "on", "42", "") == "on and on, 42 times"


_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@given(st.binary(max_size=6000) | st.text(max_size=3000).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_become_harmless_text(raw: bytes) -> None:
    """Of any answer whatever."""
    text = kept(raw, KEY, SECRET)
    assert _ODD.search(text) is None
    assert len(text) <= KEPT_BYTES
    assert text.encode().decode() == text


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=8, max_size=40),
    st.text(max_size=40),
    st.text(max_size=40),
    st.sampled_from([str, json.dumps, html.escape, lambda value: quote(value, safe="")]),
)
def test_any_secret_is_cut_out(secret: str, before: str, after: str, write: object) -> None:
    """In each of the ways to write it."""
    assert callable(write)
    answer = (before + write(secret) + after).encode("utf-8", "replace")
    text = kept(answer, secret)
    assert text == NOT_TEXT or (secret not in text.replace(HIDDEN, "\n") and HIDDEN in text)

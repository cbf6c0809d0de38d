"""The helpers that every adapter reads provider text with."""

import json
from typing import Any

import pytest

from adapters.base import (
    Adapter,
    enum_fault,
    failure_of_status,
    kind_of,
    number_at,
    object_at,
    object_in,
    outputs_of,
    retry_after_seconds,
    text_at,
    urls_at,
)
from receiver.domain import Callback, FailureKind, Kind, Output
from receiver.errors import Fault, Malformed
from tests.adapters.plain import NOW, adapter_of


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b" {} ", {}),
        (b'{"a":"\\ud800\\u0000"}', {"a": "\ufffd\ufffd"}),
        (b"[]", None),
        (b'"text"', None),
        (b"null", None),
        (b"", None),
        (b"\xff", None),
        (b'{"a":NaN}', None),
        (b"[" * 100_000, None),
    ],
)
def test_a_body_is_an_object_or_nothing(raw: bytes, value: Any) -> None:
    """Only a JSON object counts as a body of a provider's."""
    assert object_in(raw) == value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a":1}', {"a": 1}),
        ('{"a":"ü"}', {"a": "ü"}),
        ("[1]", {}),
        ("{", {}),
        ("", {}),
        ("\ud800", {}),
        (None, {}),
        ([{"a": 1}], {}),
        (5, {}),
    ],
)
def test_a_field_may_hold_an_object_or_its_text(value: Any, found: dict[str, Any]) -> None:
    """Objects and their JSON text are the same; anything else is an empty object."""
    assert object_at(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a", "a"),
        ("", None),
        (0, "0"),
        (501, "501"),
        (1.5, "1.5"),
        (True, None),
        (False, None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_text_is_text_or_a_number(value: Any, found: str | None) -> None:
    """A number is its digits; a truth value is no text."""
    assert text_at(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("https://a.example/1", ["https://a.example/1"]),
        (["http://a.example", "https://b.example"], ["http://a.example", "https://b.example"]),
        ([None, 5, {"url": "https://a.example"}, ["https://a.example"], "https://b.example"], ["https://b.example"]),
        ("ftp://a.example", []),
        ("data:image/png;base64,AAAA", []),
        ("", []),
        (None, []),
        ({"url": "https://a.example"}, []),
    ],
)
def test_urls_are_http_ones(value: Any, found: list[str]) -> None:
    """One URL, or those of a list; everything else in it is passed over."""
    assert urls_at(value) == found


@pytest.mark.parametrize(
    ("value", "found"), [(5, 5), (0.5, 0.5), (0, 0), (True, None), ("5", None), (None, None), ([], None)]
)
def test_numbers_are_numbers(value: Any, found: float | None) -> None:
    """Neither digits in a text nor truth values count."""
    assert number_at(value) == found


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://a.example/v.mp4", Kind.VIDEO),
        ("https://a.example/V.MOV?sig=a.png#x.mp3", Kind.VIDEO),
        ("https://a.example/i.webp", Kind.IMAGE),
        ("https://a.example/s.mp3", Kind.AUDIO),
        ("https://a.example/t.srt", Kind.TEXT),
        ("https://a.example/mp4", Kind.FILE),
        ("https://a.example/", Kind.FILE),
        ("https://[broken/v.mp4", Kind.FILE),
    ],
)
def test_a_url_s_suffix_tells_the_kind(url: str, kind: Kind) -> None:
    """The path decides, whatever the query says; without a suffix, what the request asked for."""
    assert kind_of(url, Kind.FILE) is kind


def test_outputs_are_numbered_and_each_url_stands_once() -> None:
    """Main outputs in the order given, all with the same end of life."""
    outputs = outputs_of(["https://a.example/1", "https://a.example/2.png", "https://a.example/1"], Kind.VIDEO)

    assert outputs == (
        Output(kind=Kind.VIDEO, url="https://a.example/1", index=0),
        Output(kind=Kind.IMAGE, url="https://a.example/2.png", index=1),
    )
    assert outputs_of(["https://a.example/1"], Kind.VIDEO, expires_at=NOW)[0].expires_at == NOW
    assert outputs_of([], Kind.VIDEO) == ()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("86401", 86_400.0),
        ("9" * 5000, 86_400.0),
        ("Mon, 08 Dec 2025 09:41:00 GMT", 60.0),
        ("Mon, 08 Dec 2025 09:39:00 GMT", 0.0),
        ("Tue, 08 Dec 2026 09:40:00 GMT", 86_400.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u0667", None),
        ("Mon, 99 Foo 99999 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Both forms of RFC 9110, 10.2.3, from 0 to 24 h; anything else is as if it were not there."""
    assert retry_after_seconds({"retry-after": value}, NOW) == seconds


def test_no_retry_after_is_none() -> None:
    """Most answers carry none."""
    assert retry_after_seconds({}, NOW) is None


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, FailureKind.INVALID_REQUEST, False),
        (401, FailureKind.AUTH, False),
        (402, FailureKind.QUOTA, False),
        (403, FailureKind.AUTH, False),
        (404, FailureKind.NOT_FOUND, False),
        (422, FailureKind.INVALID_REQUEST, False),
        (429, FailureKind.RATE_LIMITED, True),
        (418, FailureKind.UNKNOWN, False),
        (200, FailureKind.UNKNOWN, False),
        (500, FailureKind.UNAVAILABLE, True),
        (599, FailureKind.UNAVAILABLE, True),
    ],
)
def test_an_http_status_alone_has_a_kind(status: int, kind: FailureKind, retryable: bool) -> None:
    """Its digits are the code, the message the caller's."""
    failure = failure_of_status(status, "why")

    assert (failure.kind, failure.retryable, failure.code, failure.message) == (kind, retryable, str(status), "why")


def test_a_word_outside_its_list_is_a_fault() -> None:
    """An optional field that is absent passes; a wrong one is named with what is allowed and what came."""
    assert list(enum_fault("input.size", None, ("a", "b"))) == []
    assert list(enum_fault("input.size", "a", ("a", "b"))) == []
    assert list(enum_fault("input.size", ["a"], ("a", "b"), code=7)) == [
        Fault(path="input.size", code=7, message="must be one of a, b, got ['a']")
    ]


def test_an_adapter_s_defaults_are_those_of_a_polled_video() -> None:
    """Without words of its own an adapter checks nothing further, reads no callbacks and expects a video."""
    adapter = adapter_of("reapi")

    assert list(Adapter.check(adapter, "m", {})) == []
    assert Adapter.media(adapter, "m", {}) is Kind.VIDEO
    assert Adapter.deadline_seconds(adapter, "m", {}) == adapter.profile.deadline_s
    with pytest.raises(Malformed, match="sends no callbacks"):
        Adapter.read_callback(adapter, Callback(headers={}, body=b"{}"), media=Kind.VIDEO, now=NOW)


def test_the_default_ack_is_json() -> None:
    """A provider that names no ack gets one that any parser takes."""
    assert json.loads(adapter_of("reapi").profile.ack) == {"ok": True}

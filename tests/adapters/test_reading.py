"""What every adapter reads a provider's fields with."""

from typing import Any

import pytest

from adapters.reading import (
    credits_at,
    filled,
    id_at,
    kind_of,
    number_at,
    numbered,
    object_at,
    object_in,
    objects_at,
    outputs_of,
    results_at,
    speaks_of_moderation,
    text_at,
    urls_at,
    word_at,
)
from receiver.domain import Kind, Output, Role
from tests.adapters.plain import NOW


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
    ("value", "task_id", "word"),
    [
        (" task_1 ", "task_1", "task_1"),
        (501, "501", "501"),
        ("w" * 100, "w" * 100, "w" * 100),
        ("w" * 101, "w" * 101, "w" * 100),
        ("w" * 200, "w" * 200, "w" * 100),
        ("w" * 201, None, "w" * 100),
        ("  ", None, None),
        ("", None, None),
        (True, None, None),
        (None, None, None),
        ({"id": "a"}, None, None),
    ],
)
def test_an_id_is_whole_or_nothing_and_a_word_is_cut(value: Any, task_id: str | None, word: str | None) -> None:
    """An id of which something is missing is another id; of a word the beginning tells enough."""
    assert (id_at(value), word_at(value)) == (task_id, word)


@pytest.mark.parametrize(
    ("value", "found"),
    [(0, 0), (0.5, 0.5), (10**12, 10**12), (10**12 + 1, None), (-1, None), (True, None), ("5", None), (None, None)],
)
def test_credits_can_have_been_paid(value: Any, found: float | None) -> None:
    """Neither less than nothing nor more than anybody has."""
    assert credits_at(value) == found


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


def test_results_of_other_fields_and_roles_are_numbered_apart() -> None:
    """A URL of two fields stands once, where it was first told, as what it was told last; each role counts from 0."""
    found = [
        *results_at(Kind.VIDEO, "https://a.example/1", None, ["https://a.example/2.mp4", 5]),
        *results_at(Kind.AUDIO, "https://a.example/1"),
    ]

    assert numbered(found) == (
        Output(kind=Kind.AUDIO, url="https://a.example/1", index=0),
        Output(kind=Kind.VIDEO, url="https://a.example/2.mp4", index=1),
    )
    [frame] = numbered([("https://a.example/f", Kind.IMAGE)], role=Role.LAST_FRAME, expires_at=NOW)
    assert frame == Output(kind=Kind.IMAGE, url="https://a.example/f", role=Role.LAST_FRAME, expires_at=NOW)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([{"a": 1}, 5, None, {"b": 2}, [{"c": 3}]], [{"a": 1}, {"b": 2}]),
        ([], []),
        ({"a": 1}, []),
        ('[{"a": 1}]', []),
        (None, []),
    ],
)
def test_objects_are_those_of_a_list(value: Any, found: list[dict[str, Any]]) -> None:
    """Everything else in it is passed over; what is no list has none."""
    assert objects_at(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [("a", True), (" a ", True), (" \t\n", False), ("", False), (5, False), (None, False), (["a"], False)],
)
def test_a_field_is_filled_with_text(value: Any, found: bool) -> None:
    """Blanks are nothing, and a number is no text."""
    assert filled(value) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Blocked by content Moderation", True),
        ("violates our policies", True),
        ("NSFW", True),
        ("the prompt is polite", False),
        ("internal error", False),
        ("", False),
    ],
)
def test_moderation_is_told_in_prose(text: str, found: bool) -> None:
    """In whatever case; words that only begin alike say nothing."""
    assert speaks_of_moderation(text) is found

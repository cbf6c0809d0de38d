"""One parser for every door, one writer for all that is stored or sent."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver import json_text
from receiver.errors import Malformed
from receiver.json_text import MAX_DEPTH, read_strict, read_tolerant, write

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)

both_readers = pytest.mark.parametrize("read", [read_strict, read_tolerant])


@both_readers
@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"{", "line 1 column 2"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON"),
        (b'"\xff"', "the text is not UTF-8"),
        (b'"\xed\xa0\x80"', "the text is not UTF-8"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "the number 1e999 is out of range"),
        (b"[-1e999]", "the number -1e999 is out of range"),
        (b"9" * 100_000, "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
    ],
)
def test_what_no_two_parsers_agree_on_is_malformed(read: Any, raw: bytes, why: str) -> None:
    """Neither door takes it, and the reason says what is wrong without repeating the text."""
    with pytest.raises(Malformed, match=r"^(not JSON|nested)") as caught:
        read(raw)

    assert why in str(caught.value)
    assert len(str(caught.value)) < 200


@both_readers
@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b' {"a" : [1, 2.5, true, "\xc3\xbc"]} ', {"a": [1, 2.5, True, "ü"]}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\u0000"', "\\u0000"),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    ],
)
def test_both_doors_take_plain_json(read: Any, raw: bytes, value: Any) -> None:
    """Pairs of surrogates, escaped backslashes and long integers are JSON like any other."""
    assert read(raw) == (value if value is not None else json.loads(raw))


@pytest.mark.parametrize(
    "raw", [b'"\\ud800"', b'{"a":["\\udfff"]}', b'{"\\ud800":1}', b'"\\u0000"', b'"\\uD83D\\u0041"', b'{"\\u0000":{}}']
)
def test_a_caller_may_not_send_what_utf_8_or_sql_cannot_hold(raw: bytes) -> None:
    """A lone surrogate or a NUL, in a key as in a value, is the caller's fault."""
    with pytest.raises(Malformed, match="lone surrogate or a NUL"):
        read_strict(raw)


def test_a_provider_s_lone_surrogates_and_nuls_become_a_mark() -> None:
    """They must not cost a task its result."""
    value = read_tolerant(b'{"\\ud800k":["a\\u0000b",{"c":"\\udfff"},5,null]}')

    assert value == {"\ufffdk": ["a\ufffdb", {"c": "\ufffd"}, 5, None]}


@pytest.mark.parametrize("raw", [b'{"a":1,"a":2}', b'[{"b":{"a":null,"a":null}}]'])
def test_a_caller_may_not_say_a_key_twice(raw: bytes) -> None:
    """Parsers differ in which of the two counts."""
    with pytest.raises(Malformed, match="the key 'a' stands twice"):
        read_strict(raw)


def test_the_last_of_a_provider_s_keys_counts() -> None:
    """What the sender's own library most likely meant."""
    assert read_tolerant(b'{"a":1,"b":0,"a":2}') == {"a": 2, "b": 0}


def test_text_is_minified_and_keeps_its_order() -> None:
    """No spaces, no escapes that UTF-8 does not need, keys as they were given."""
    assert write({"b": [1, 2.5, None, True], "a": 'ü"\n'}) == '{"b":[1,2.5,null,true],"a":"ü\\"\\n"}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_json_are_never_written(number: float) -> None:
    """Nothing that is read here holds one; one of our own making is null, not a text that nobody can read."""
    assert write({"a": number}) == '{"a":null}'


def test_integers_of_any_length_are_written_as_they_are() -> None:
    """Callers' inputs may hold them."""
    assert write({"a": 2**64, "b": -(2**70)}) == '{"a":18446744073709551616,"b":-1180591620717411303424}'


def test_what_is_no_json_is_not_written() -> None:
    """Whatever it is."""
    with pytest.raises(TypeError):
        write({"a": object()})


@given(_JSON)
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_what_is_written_is_read_back(value: Any) -> None:
    """Both doors read our own text as it was."""
    text = write(value).encode()

    assert read_strict(text) == value
    assert read_tolerant(text) == value


@given(st.binary(max_size=80))
@settings(max_examples=100, deadline=None, database=None, derandomize=True)
def test_any_bytes_are_json_or_malformed(raw: bytes) -> None:
    """No byte string gives another error, and what one door refuses for its form the other refuses as well."""
    try:
        read_strict(raw)
    except Malformed:
        return
    read_tolerant(raw)


_SPELT = st.sampled_from(
    [
        *(str(sign * (2**bits + more)) for bits in (53, 63, 64) for more in (-1, 0, 1) for sign in (1, -1)),
        *(
            "-0",
            "1E2",
            "1e22",
            "0.1e-400",
            "1e308",
            "1.7976931348623159e308",
            "123456789012345678.5",
            "-1234567890123456789.5",
            "0.12345678901234567890123456789",
            "1e0000000000000000000002",
            "9" * 30,
            "1" * 400,
        ),
        *('"task_1234567890123456789012"', '" 1234567890123456789012"'),
        *('"\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"', '"\x7f"', '"\u2028"', '{"a":1,"a":2}', " [ ] ", "[1,]", "NaN"),
    ]
)


@settings(max_examples=500)
@given(
    st.one_of(
        _SPELT,
        st.lists(_SPELT, max_size=3).map(lambda each: f"[{','.join(each)}]"),
        _SPELT.map(lambda each: f'{{"a":{each},"b":\t{each}\n}}'),
        _JSON.map(json.dumps),
    )
)
def test_both_parsers_read_alike(text: str) -> None:
    """What a provider sent is read as by the slower parser alone, to the type of each number."""
    raw = text.encode()
    try:
        slowly = json_text._TOLERANT.decode(text)
    except ValueError:
        with pytest.raises(Malformed):
            read_tolerant(raw)
    else:
        assert repr(read_tolerant(raw)) == repr(json_text._clean(slowly))

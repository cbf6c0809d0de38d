"""JSON in and out: one parser for every door, one writer for everything stored or sent.

Parsers disagree about duplicate keys, NaN, lone surrogates and long integers; what enters here is read once, by the
same rules, and written again by us, so that no second parser ever sees the sender's own text.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from receiver.errors import Malformed

MAX_DEPTH = 64
_ESCAPED_SURROGATE_OR_NUL = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_DIGITS_ALIKE = bytes(ord("0") if chr(each) in "0123456789" else each for each in range(256))
_LONG = b"0" * 19  # digits: the shortest integers beyond 64 bits have so many
_BEFORE_NUMBER = frozenset(b"-:,[ \t\r\n")
_LONE = re.compile("[\ud800-\udfff\x00]")

Json = Any


def read_strict(raw: bytes) -> Json:
    """Parse what a caller of our API sent; raises `Malformed` on anything two parsers could read differently.

    That is: not UTF-8, not JSON, NaN or infinite numbers, a duplicate key, a lone surrogate, a NUL, or nesting
    deeper than `MAX_DEPTH`.
    """
    value = _parse(raw, _strictly)
    if _has_unsafe_text(raw, value):
        raise Malformed("a string holds a lone surrogate or a NUL")
    return value


def read_tolerant(raw: bytes) -> Json:
    """Parse what a provider sent; raises `Malformed` and nothing else.

    The last of duplicate keys wins; lone surrogates and NULs become U+FFFD, because a prompt that we passed on may
    come back with them and must not cost the task its result.
    """
    value = _parse(raw, _tolerantly)
    return _clean(value) if _has_unsafe_text(raw, value) else value


def read_own(text: str) -> Json:
    """What `write` wrote."""
    return _tolerantly(text.encode())


def write(value: Json) -> str:
    """The one text we store, sign and send: minified, UTF-8, keys in the order given.

    NaN, which nothing that is read here holds, is null; what is no JSON raises `TypeError`.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, which callers may have sent
        return _ENCODER.encode(value)


class Unread(Mapping[str, Json]):
    """A JSON object that we wrote ourselves, parsed when somebody looks into it: most that is stored nobody does."""

    __slots__ = ("_text", "_value")

    def __init__(self, text: str) -> None:
        self._text = text
        self._value: dict[str, Json] | None = None

    @classmethod
    def of(cls, value: dict[str, Json]) -> "Unread":
        """One that was read already: what it is when it is read again."""
        written = cls(write(value))
        written._value = value
        return written

    @property
    def text(self) -> str:
        """What `write` wrote."""
        return self._text

    def _read(self) -> dict[str, Json]:
        if self._value is None:
            self._value = read_own(self._text)
        return self._value

    def __getitem__(self, key: str) -> Json:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def _parse(raw: bytes, read: Callable[[bytes], Json]) -> Json:
    try:
        value = read(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {_reason(error)}") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise Malformed(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _strictly(raw: bytes) -> Json:
    return _STRICT.decode(raw.decode("utf-8"))


def _tolerantly(raw: bytes) -> Json:
    """By orjson, in a fifth of the time, unless it would round an integer; what it refuses, the other one may mend."""
    if not _may_hold_long_integer(raw):
        try:
            return orjson.loads(raw)
        except ValueError:
            pass
    return _TOLERANT.decode(raw.decode("utf-8"))


def _may_hold_long_integer(raw: bytes) -> bool:
    """Whether so many digits stand anywhere that a number may begin; ids have as many, behind a letter or a quote."""
    alike = raw.translate(_DIGITS_ALIKE)
    at = alike.find(_LONG)
    while at > 0 and alike[at - 1] not in _BEFORE_NUMBER:
        at = alike.find(_LONG, at + len(_LONG))
    return at >= 0


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno} column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _unique_pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _refuse_constant(word: str) -> Json:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def _deeper_than(value: Json, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _has_unsafe_text(raw: bytes, value: Json) -> bool:
    return _ESCAPED_SURROGATE_OR_NUL.search(raw) is not None and _clean(value) != value


def _clean(value: Json) -> Json:
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


_STRICT = json.JSONDecoder(object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant, parse_float=_finite)
_TOLERANT = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)

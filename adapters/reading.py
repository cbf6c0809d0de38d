"""What the fields of a provider's answer may hold, read tolerantly.

Nothing that a provider says may crash its adapter: each reader takes any value, gives what it looks for, and None or
nothing where it finds something else.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from receiver import json_text
from receiver.domain import Kind, Ms, Output, Role
from receiver.errors import Malformed

ID_LIMIT = 200
WORD_LIMIT = 100
MESSAGE_LIMIT = 500  # of a provider's text for a person, wherever an adapter keeps one
_CREDITS_LIMIT = 10**12
_MODERATION = re.compile(r"moderat|sensitiv|polic(?:y|ies)|prohibit|nsfw|inappropriate|violat|flagged", re.IGNORECASE)
# What `urlsplit`, which takes three times as long, reads no other way.
_PLAIN_URL = re.compile(r"https?://[\w.:-]+((?:/[\w.~!$&'()*+,;=:@%/-]*)?)(?:[?#][!-~]*)?", re.ASCII)
_SUFFIXES = {
    Kind.VIDEO: (".mp4", ".mov", ".webm", ".mkv", ".m4v"),
    Kind.IMAGE: (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp"),
    Kind.AUDIO: (".mp3", ".wav", ".m4a", ".flac", ".ogg", ".aac"),
    Kind.TEXT: (".txt", ".json", ".srt", ".vtt"),
}


def object_in(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in a provider's body, or None where it is anything else."""
    try:
        value = json_text.read_tolerant(raw)
    except Malformed:
        return None
    return value if isinstance(value, dict) else None


def object_at(value: Any) -> dict[str, Any]:
    """A field that may be an object, a JSON string of one, null or garbage: the object, else an empty one."""
    if isinstance(value, str):
        return object_in(value.encode("utf-8", "replace")) or {}
    return value if isinstance(value, dict) else {}


def objects_at(value: Any) -> list[dict[str, Any]]:
    """A field that may be a list with objects in it, or garbage: the objects, in order."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_at(value: Any) -> str | None:
    """A field that may be text, a number or missing: its text, or None where there is nothing in it."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def filled(value: Any) -> bool:
    """Whether a field is text with more than blanks in it."""
    return isinstance(value, str) and bool(value.strip())


def speaks_of_moderation(text: str) -> bool:
    """Whether a reason in prose is that content was not allowed: providers have no code for it that could be relied on.

    Which words tell it is our choice.
    """
    return _MODERATION.search(text) is not None


def id_at(value: Any) -> str | None:
    """A task id of at most 200 characters, without the blanks around it; None where there is none, or a longer one."""
    text = (text_at(value) or "").strip()
    return text if 0 < len(text) <= ID_LIMIT else None


def word_at(value: Any) -> str | None:
    """A status word or an error code without the blanks around it, at most 100 characters of it, or None."""
    return (text_at(value) or "").strip()[:WORD_LIMIT] or None


def urls_at(value: Any) -> list[str]:
    """A field that may be a URL, a list with URLs in it, or garbage: the http(s) URLs, in order."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item.startswith(("http://", "https://"))]


def number_at(value: Any) -> float | None:
    """A field that may be a number or missing."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def credits_at(value: Any) -> float | None:
    """An amount that can have been paid, 0 to 10**12, or None."""
    number = number_at(value)
    return number if number is not None and 0 <= number <= _CREDITS_LIMIT else None


def kind_of(url: str, default: Kind) -> Kind:
    """What a result is: by the suffix of its URL's path, else what the request asked for."""
    plain = _PLAIN_URL.fullmatch(url)
    try:
        path = (plain[1] if plain else urlsplit(url).path).lower()
    except ValueError:
        return default
    return next((kind for kind, suffixes in _SUFFIXES.items() if path.endswith(suffixes)), default)


def results_at(default: Kind, *values: Any) -> list[tuple[str, Kind]]:
    """The URLs in any of these fields (`urls_at`), in order, each with what it is (`kind_of`)."""
    return [(url, kind_of(url, default)) for value in values for url in urls_at(value)]


def outputs_of(urls: Iterable[str], media: Kind, *, expires_at: Ms | None = None) -> tuple[Output, ...]:
    """Main outputs in the order given, numbered from 0, each URL once; `media` is what the request asked for."""
    return numbered(((url, kind_of(url, media)) for url in urls), expires_at=expires_at)


def numbered(
    results: Iterable[tuple[str, Kind]], *, role: Role = Role.MAIN, expires_at: Ms | None = None
) -> tuple[Output, ...]:
    """Outputs of one role in the order given, numbered from 0, each URL once; of two kinds of it the last holds."""
    return tuple(
        Output(kind=kind, url=url, role=role, index=index, expires_at=expires_at)
        for index, (url, kind) in enumerate(dict(results).items())
    )

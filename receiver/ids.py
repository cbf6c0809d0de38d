"""Ids of everything we record: unguessable, and sorted by the time they were made."""

import hashlib
import os
from functools import lru_cache

from receiver.domain import Ms

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_LETTERS = bytes(ord(_ALPHABET[each & 31]) for each in range(256))  # five bits of each byte


def new_id(prefix: str, now: Ms) -> str:
    """`<prefix>_` and 26 characters: 48 bits of time, 80 of chance; never reused, not even after a restore."""
    return f"{prefix}_{_time(now)}{os.urandom(16).translate(_LETTERS).decode()}"


def first_id(prefix: str, at: Ms) -> str:
    """What every id made at this time or later is at or above, and every earlier one below."""
    return f"{prefix}_{_text(max(at, 0) << 80)}"


def made_at(object_id: str) -> Ms:
    """When an id of `new_id` or `first_id` was made."""
    return sum(_ALPHABET.index(each) << 5 * place for place, each in enumerate(reversed(object_id[-26:-16])))


def id_of(prefix: str, *parts: str) -> str:
    """The same id for the same parts, for what there is once of: as long as any other, but of no time."""
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:16])
    return f"{prefix}_{_text(number)}"


@lru_cache(maxsize=64)
def _time(at: Ms) -> str:
    return "".join([_ALPHABET[at >> shift & 31] for shift in range(45, -1, -5)])


def _text(number: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

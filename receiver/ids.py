"""Ids of everything we record: unguessable, and sorted by the time they were made."""

import os

from receiver.domain import Ms

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread


def new_id(prefix: str, now: Ms) -> str:
    """`<prefix>_` and 26 characters: 48 bits of time, 80 of chance; never reused, not even after a restore."""
    number = now << 80 | int.from_bytes(os.urandom(10))
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

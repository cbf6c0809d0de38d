"""API keys: what one looks like, what it may do, and what is kept of it, which is not itself."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from receiver.domain import Ms

PREFIX = "tw_"
RANDOM_CHARACTERS = 43  # letters and digits: 256 bits
_FORM = re.compile(rb"tw_[0-9A-Za-z]{43}")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Scope(StrEnum):
    """What a key may do; each includes the ones before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def covers(self, other: "Scope") -> bool:
        """Whether whoever has this one needs the other no more."""
        return _ORDER.index(self) >= _ORDER.index(other)


_ORDER = tuple(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key that was handed out. `hint` is its beginning and its end, by which people know it again."""

    id: str
    tenant: str
    label: str
    scopes: tuple[Scope, ...]
    hint: str
    created_at: Ms
    last_used_at: Ms | None = None


def digest_of(key: bytes) -> str | None:
    """What a key is kept and found by; None of a text that is none of ours, which need not be looked for.

    A plain digest will do: nobody guesses 256 random bits.
    """
    return hashlib.sha256(key).hexdigest() if _FORM.fullmatch(key) else None


def hint_of(key: str) -> str:
    return f"{key[: len(PREFIX) + 4]}…{key[-4:]}"


def names_tenant(text: str) -> bool:
    """Whether a tenant may have this name, which is a folder's, too: `logs/<tenant>/`."""
    return _TENANT.fullmatch(text) is not None

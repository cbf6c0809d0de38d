"""What a webhook is signed with: a secret that both sides hold, or a private key whose public one verifies.

Written as Standard Webhooks 1.0.0 has it, the prefix telling which: `whsec_` a shared secret of 24 to 64 bytes,
`whsk_` an ed25519 private key, `whpk_` its public key, each followed by base64. A text without a prefix is a secret.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from receiver.domain import Scheme
from receiver.errors import Malformed

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every shared secret starts with, not a secret
PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
_SECRET_BYTES = range(24, 65)  # Standard Webhooks 1.0.0, "Signature scheme"
_SEED_BYTES = 32
_PRIVATE_RULE = f"a private key is {PRIVATE_PREFIX} and base64 of 32 bytes, or of 64 with its public key behind"
_PUBLIC_RULE = f"a public key is {PUBLIC_PREFIX} and base64 of 32 bytes"
_MOST_TRIED = 20  # of the entries in one message: each costs a curve operation, and anybody may write thousands


class Judge(Protocol):
    """Tells whether one of a message's signature entries, `<version>,<base64>`, was made with the key it holds."""

    def accepts(self, entries: Sequence[bytes], content: bytes) -> bool: ...


def new_secret(random: bytes, scheme: Scheme = Scheme.V1) -> str:
    """What signs by a scheme, `whsec_…` or `whsk_…`, made of 32 random bytes."""
    return (SECRET_PREFIX if scheme is Scheme.V1 else PRIVATE_PREFIX) + base64.b64encode(random).decode()


def scheme_of(secret: str) -> Scheme:
    """How a secret signs, by its prefix."""
    return Scheme.V1A if secret.strip().startswith(PRIVATE_PREFIX) else Scheme.V1


def check_secret(secret: str, scheme: Scheme) -> None:
    """Raises `Malformed`, naming the rule and never the secret, where this cannot sign by that scheme."""
    if scheme is Scheme.V1A:
        _private_key(secret)
    elif scheme_of(secret) is Scheme.V1A:
        raise Malformed(f"a private key signs as v1a; what signs as v1 is {SECRET_PREFIX} and base64")
    else:
        secret_bytes(secret)


def secret_bytes(secret: str) -> bytes:
    """The key in a shared secret, with or without `whsec_` and base64 padding; raises `Malformed` on anything else."""
    key = _decoded(secret.strip().removeprefix(SECRET_PREFIX), f"a secret is {SECRET_PREFIX} and base64")
    if len(key) not in _SECRET_BYTES:
        raise Malformed(f"a secret holds 24 to 64 bytes, this one {len(key)}")
    return key


def public_key(secret: str) -> str:
    """What verifies the signatures of a private key: `whpk_…`; raises `Malformed` on a secret that has none."""
    return PUBLIC_PREFIX + base64.b64encode(_private_key(secret).public_key().public_bytes_raw()).decode()


def entry(secret: str, content: bytes) -> str:
    """The signature of a content in its header's form, by the secret's own scheme; raises `Malformed`."""
    return _maker(secret)(content)


@lru_cache(maxsize=1024)  # every webhook needs its own again
def _maker(secret: str) -> Callable[[bytes], str]:
    if scheme_of(secret) is Scheme.V1A:
        return partial(_signed_entry, _private_key(secret))
    return partial(_hmac_entry, secret_bytes(secret))


def _signed_entry(key: Ed25519PrivateKey, content: bytes) -> str:
    return "v1a," + base64.b64encode(key.sign(content)).decode()


def judge(key: str) -> Judge:
    """Who verifies by a `whsec_…`, a `whpk_…` or a `whsk_…`; raises `Malformed` on what is none.

    A key judges entries of its own version only: a public key is known to everybody, and no HMAC is made with it.
    """
    text = key.strip()
    if text.startswith(PUBLIC_PREFIX):
        return _PublicKey(_public_key(text))
    if text.startswith(PRIVATE_PREFIX):
        return _PublicKey(_private_key(text).public_key())
    return _SharedSecret(secret_bytes(text))


class _SharedSecret:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def accepts(self, entries: Sequence[bytes], content: bytes) -> bool:
        expected = _hmac_entry(self._key, content).encode()
        return any(hmac.compare_digest(expected, each) for each in entries)


class _PublicKey:
    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    def accepts(self, entries: Sequence[bytes], content: bytes) -> bool:
        candidates = [each.removeprefix(b"v1a,") for each in entries if each.startswith(b"v1a,")]
        return any(self._made(each, content) for each in candidates[:_MOST_TRIED])

    def _made(self, text: bytes, content: bytes) -> bool:
        try:
            signature = base64.b64decode(text, validate=True)
            if base64.b64encode(signature) != text:  # its last character has bits to spare, and one text is enough
                return False
            self._key.verify(signature, content)
        except (binascii.Error, InvalidSignature):
            return False
        return True


def _hmac_entry(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()


@lru_cache(maxsize=1024)
def _private_key(secret: str) -> Ed25519PrivateKey:
    text = secret.strip()
    if not text.startswith(PRIVATE_PREFIX):
        raise Malformed(_PRIVATE_RULE)
    raw = _decoded(text.removeprefix(PRIVATE_PREFIX), _PRIVATE_RULE)
    if len(raw) not in (_SEED_BYTES, 2 * _SEED_BYTES):
        raise Malformed(f"{_PRIVATE_RULE}; this one holds {len(raw)}")
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    if raw[_SEED_BYTES:] and raw[_SEED_BYTES:] != key.public_key().public_bytes_raw():
        raise Malformed(f"{_PRIVATE_RULE}; the second half of this one is not its public key")
    return key


def _public_key(text: str) -> Ed25519PublicKey:
    raw = _decoded(text.removeprefix(PUBLIC_PREFIX), _PUBLIC_RULE)
    if len(raw) != _SEED_BYTES:
        raise Malformed(f"{_PUBLIC_RULE}; this one holds {len(raw)}")
    return Ed25519PublicKey.from_public_bytes(raw)


def _decoded(text: str, rule: str) -> bytes:
    text = text.rstrip("=")
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise Malformed(rule) from None

"""Secrets at rest: sealed so that a copy of the store gives none of them away, nor lets one take another's place.

AES-256-GCM; the row a secret belongs to is authenticated with it. The text is `v1:<key id>:<base64>`, the base64 that
of a 12-byte nonce and the ciphertext.
"""

import base64
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from receiver.errors import ConfigurationError, NotVerified

_VERSION = "v1"
_NONCE_BYTES = 12
_ID_BYTES = 6
_MOST_OPENED = 4096


class Seal:
    """Seals and opens; `keys` are the strings of `TASKWEIR_SECRET_KEY`: the first seals, all open."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ConfigurationError("there is no secret key", hint="Set TASKWEIR_SECRET_KEY.")
        ids = [_derived(key, b"taskweir seal key id", _ID_BYTES).hex() for key in keys]
        self._id = ids[0]
        self._opened: dict[tuple[str, str], str] = {}  # every webhook needs its own again
        self._ciphers = {
            key_id: AESGCM(_derived(key, b"taskweir seal", 32)) for key_id, key in zip(ids, keys, strict=True)
        }

    def seal(self, secret: str, *, row: str) -> str:
        """The sealed text of a secret, for the row with this id only; never the same twice."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[self._id].encrypt(nonce, secret.encode(), row.encode())
        return f"{_VERSION}:{self._id}:{base64.b64encode(sealed).decode()}"

    def sealed_now(self, sealed: str) -> bool:
        """Whether this was sealed with the first key, so that no other is needed to open it."""
        return sealed.startswith(f"{_VERSION}:{self._id}:")

    def open(self, sealed: str, *, row: str) -> str:
        """The secret; raises `NotVerified` on another row, a key that we do not hold, or a text that was changed."""
        secret = self._opened.get((sealed, row))
        if secret is None:
            if len(self._opened) >= _MOST_OPENED:
                self._opened.clear()
            secret = self._opened[sealed, row] = self._open(sealed, row)
        return secret

    def _open(self, sealed: str, row: str) -> str:
        version, _, rest = sealed.partition(":")
        key_id, _, text = rest.partition(":")
        cipher = self._ciphers.get(key_id)
        if version != _VERSION or cipher is None:
            raise NotVerified("a sealed secret needs a key that TASKWEIR_SECRET_KEY does not hold")
        try:
            raw = base64.b64decode(text, validate=True)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], row.encode()).decode()
        except (InvalidTag, ValueError):
            raise NotVerified("a sealed secret was changed, or belongs to another row") from None


def tenant_row(tenant: str) -> str:
    """The row that a tenant's own secret is sealed for."""
    return f"tenant:{tenant}"


def _derived(key: str, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(key.encode())

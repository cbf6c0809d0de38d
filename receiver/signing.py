"""Signatures that travel: Standard Webhooks on what we send, our own tokens in the URLs that we give away.

Texts of signatures and tokens are malleable, so none is ever a key for telling repeats apart: the event id and the
task id are.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

from itsdangerous import BadSignature, Signer
from itsdangerous.signer import SigningAlgorithm

from receiver.domain import Ms
from receiver.errors import ConfigurationError, Malformed, NotVerified
from receiver.signing_keys import (
    check_secret,
    entry,
    judge,
    new_secret,
    public_key,
    scheme_of,
    secret_bytes,
)

__all__ = [
    "CallbackTokens",
    "WatchTokens",
    "check_secret",
    "judge",
    "new_secret",
    "public_key",
    "redact",
    "scheme_of",
    "secret_bytes",
    "sign",
    "token_in",
    "verify",
]

TOLERANCE_S = 300
_MOST_SIGNERS = 64
_FAMILIES = ("webhook-", "svix-")  # Svix sends the same values under its own names

_SLASH = rb"(?:\\{0,4}/|%(?:25){0,4}2[fF]|\\{1,4}u002[fF])"
_TOKEN_BYTE = rb"(?:[A-Za-z0-9._~=-]|%(?:25){0,4}(?:2[dDeE]|3[dD]|5[fF]|7[eE])|\\{1,4}u00(?:2[dDeE]|3[dD]|5[fF]))"
_IN_URL = re.compile(rb"(callbacks" + _SLASH + rb"[^/\\%\s\"'<>?#]{1,200}" + _SLASH + rb")" + _TOKEN_BYTE + rb"+")
_ALONE = re.compile(rb"task_[0-9A-Za-z]+\.[A-Za-z0-9_-]{43}=*")
_REDACTED = b"[callback token]"
_CALLBACK_PATH = re.compile(r".*/callbacks/[^/]+/([^/]+)/?", re.DOTALL)


def sign(secrets: Sequence[str], *, message_id: str, at: Ms, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks; with several secrets a receiver may check any of the signatures.

    Each secret signs by its own scheme: `whsk_…` gives a `v1a` entry, any other a `v1` one. `at` is the time of this
    attempt; `message_id` is the event's id and holds no full stop. Raises `Malformed` on a secret that is none.
    """
    timestamp = str(at // 1000)
    content = _content(message_id, timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(entry(secret, content) for secret in secrets),
    }


def verify(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now: Ms, tolerance_s: int = TOLERANCE_S
) -> None:
    """Check a message's signatures against each of our keys; raises `NotVerified` and nothing else.

    A `whsec_…` judges `v1` entries, a `whpk_…` or `whsk_…` those of `v1a`; entries of other versions are passed over.
    Header names may be in any case, and `svix-…` as well as `webhook-…`.
    """
    message_id, timestamp, signatures = _signed_values(headers)
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotVerified("the timestamp is not a number of seconds")
    if abs(now - int(timestamp) * 1000) > tolerance_s * 1000:
        raise NotVerified(f"the timestamp is more than {tolerance_s} s away")
    content = _content(message_id, timestamp, body)
    entries = [_bytes(each) for each in signatures.split(" ")]
    for secret in secrets:
        try:
            accepted = judge(secret).accepts(entries, content)
        except Malformed:
            continue
        if accepted:
            return
    raise NotVerified("no signature matches")


def _signed_values(headers: Mapping[str, str]) -> tuple[str, str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    for family in _FAMILIES:
        values = [lower.get(family + name) for name in ("id", "timestamp", "signature")]
        if all(values):
            return values[0] or "", values[1] or "", values[2] or ""
    raise NotVerified("webhook-id, webhook-timestamp or webhook-signature is missing")


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((_bytes(message_id), timestamp.encode(), body))


def _bytes(text: str) -> bytes:
    """Any text as bytes, different texts as different bytes; hostile headers may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


class CallbackTokens:
    """Makes and reads the token in a callback URL, which names the task and proves that we asked.

    `keys` are the strings of `TASKWEIR_SECRET_KEY`: the first signs, all verify. A token never expires; it is bound to
    its provider, and as unguessable as an HMAC of 256 bits.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ConfigurationError("there is no secret key", hint="Set TASKWEIR_SECRET_KEY.")
        self._keys = tuple(reversed(keys))  # itsdangerous signs with the last
        self._signers: dict[str, Signer] = {}

    def issue(self, provider_name: str, task_id: str) -> str:
        """The token of one task at one provider: safe in a URL's path."""
        return self._signer(provider_name).sign(task_id).decode()

    def read(self, provider_name: str, token: str) -> str:
        """The id of the task that a token names; raises `NotVerified` on any token that we did not make."""
        try:
            return self._signer(provider_name).unsign(_bytes(token)).decode()
        except BadSignature:
            raise NotVerified("the callback token is not ours") from None

    def _signer(self, provider_name: str) -> Signer:
        signer = self._signers.get(provider_name)
        if signer is None:
            if len(self._signers) >= _MOST_SIGNERS:  # names come from the address: anybody can make some up
                self._signers.clear()
            signer = self._signers[provider_name] = _signer_of(self._keys, f"taskweir callback {provider_name}")
        return signer


class WatchTokens:
    """Makes and reads the token by which anybody may watch one task. `keys` are as those of callback tokens.

    It says nothing of when it ends: that depends on when the task does.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._signer = _signer_of(tuple(reversed(keys)), "taskweir watch")

    def issue(self, task_id: str) -> str:
        """The token of one task: safe in a URL's path."""
        return self._signer.sign(task_id).decode()

    def read(self, token: str) -> str:
        """The id of the task that a token names; raises `NotVerified` on any token that we did not make."""
        try:
            return self._signer.unsign(_bytes(token)).decode()
        except BadSignature:
            raise NotVerified("the token is not ours") from None


def _signer_of(keys: Sequence[str], purpose: str) -> Signer:
    """The last of the keys signs, all verify, and nothing that was signed for another purpose."""
    # What itsdangerous derives by "hmac", once and not for every token.
    derived = [hmac.digest(key.encode(), purpose.encode(), "sha256") for key in keys]
    return Signer(derived, key_derivation="none", algorithm=_HmacSha256())


class _HmacSha256(SigningAlgorithm):
    """What itsdangerous makes of hashlib's sha256, by one call of OpenSSL in the place of an object and three."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


def token_in(url: str) -> str | None:
    """The token in a callback URL of ours, whatever its host and the path before `callbacks`; None in other URLs."""
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        return None
    found = _CALLBACK_PATH.fullmatch(path)
    return found[1] if found else None


def may_hold_token(text: str) -> bool:
    """Whether `redact` could find anything in it, quickly."""
    return "callbacks" in text or ("task_" in text and "." in text)


def redact(raw: bytes) -> bytes:
    """A body without callback tokens, so that it may be stored: in URLs, JSON- or percent-encoded, and alone."""
    if b"callbacks" in raw:
        raw = _IN_URL.sub(rb"\1" + _REDACTED, raw)
    return _ALONE.sub(_REDACTED, raw) if b"task_" in raw else raw

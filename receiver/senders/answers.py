"""What a consumer answered, as text that may be kept and shown: it steers no terminal and gives away no secret.

An answer is whatever somebody else wrote, our own headers among it: consumers that show what they got show the values
of headers that their owner gave us, and those are to be seen nowhere.
"""

import codecs
import html
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

KEPT_BYTES = 4096
NOT_TEXT = "[not text]"
HIDDEN = "[secret]"
_SHORTEST = 4  # nothing shorter is a secret, and without "on" or "42" many an answer would be unreadable
_MOST_ODD = 0.3  # of what bytes read as UTF-8 hold, in text of any language; in images and archives it is over half
# Line ends and tabs aside: C0, DEL, C1, line separators, and what turns the direction of writing.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def kept_text(body: bytes, headers: Mapping[str, str], secrets: Iterable[str]) -> str:
    """The first 4 KiB of an answer; header names are in small letters.

    What steers a terminal, and what is not UTF-8, is U+FFFD; line ends are `\\n`. Where that is a third of it, or the
    answer is compressed though we asked for plain bytes, it is `NOT_TEXT`. `secrets`, as they are, JSON-, percent- or
    HTML-encoded, whole or cut off at the end, are `HIDDEN`.
    """
    kept = body[:KEPT_BYTES]
    if kept and headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return NOT_TEXT
    cut_off = len(body) >= KEPT_BYTES
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(kept, final=not cut_off)
    text = _STEERING.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.count("\ufffd") > _MOST_ODD * len(text):
        return NOT_TEXT
    return _without(text, secrets, cut_off=cut_off)[:KEPT_BYTES]


def _without(text: str, secrets: Iterable[str], *, cut_off: bool) -> str:
    forms = sorted({form for secret in secrets for part in _parts(secret) for form in _forms(part)}, key=len)
    if not forms:
        return text
    either = re.compile("|".join(re.escape(form) for form in reversed(forms)), re.IGNORECASE)
    text = either.sub(HIDDEN, text)
    begun = max((_begun(text, form) for form in forms), default=0) if cut_off else 0
    return text[: len(text) - begun] + HIDDEN if begun else text


def _parts(secret: str) -> list[str]:
    """The whole, and what stands behind its scheme (`Bearer …`) or prefix (`whsec_…`): it may be told alone."""
    behind = re.split(r"[ _]", secret, maxsplit=1)
    return [part for part in {secret, behind[-1]} if len(part) >= _SHORTEST]


def _forms(secret: str) -> set[str]:
    as_json = json.dumps(secret)[1:-1]
    return {
        secret,
        as_json,
        as_json.replace("/", "\\/"),
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
    }


def _begun(text: str, form: str) -> int:
    """How much of a form the text ends with: the rest of it was cut off."""
    end, form = text[-len(form) :].lower(), form.lower()
    return next((length for length in range(len(form) - 1, _SHORTEST - 1, -1) if end.endswith(form[:length])), 0)

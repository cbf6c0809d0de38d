"""What a consumer answered, as text that may be kept and shown: it steers no terminal and gives away no secret.

An answer is whatever somebody else wrote, our own headers among it: consumers that show what they got show the values
of headers that their owner gave us, and those are to be seen nowhere.
"""

import base64
import codecs
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
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
    answer is compressed though we asked for plain bytes, it is `NOT_TEXT`. `secrets`, as they are, as JSON or a program
    quotes them, percent-, HTML- or base64-encoded, whole or cut off at the end, are `HIDDEN`; not those of less than
    four characters.
    """
    kept = body[:KEPT_BYTES]
    if not kept:
        return ""
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return NOT_TEXT
    cut_off = len(body) >= KEPT_BYTES
    text = _text(kept, cut_off=cut_off)
    if text.count("\ufffd") > _MOST_ODD * len(text):
        return NOT_TEXT
    return _without(text, secrets, cut_off=cut_off)[:KEPT_BYTES]


def _text(kept: bytes, *, cut_off: bool) -> str:
    """Without what steers; where it was cut off, without the letter that it was cut off in."""
    text = codecs.utf_8_decode(kept, "replace", not cut_off)[0]
    if text.isprintable():  # most are one short line
        return text
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _without(text: str, secrets: Iterable[str], *, cut_off: bool) -> str:
    forms, either = _sought(tuple(secrets)) if text else ((), None)
    if either is None:
        return text
    text = either.sub(HIDDEN, text)
    begun = max((_begun(text, form) for form in forms), default=0) if cut_off else 0
    return text[: len(text) - begun] + HIDDEN if begun else text


@lru_cache(maxsize=256)  # every answer is looked through, and hundreds of forms are made of a few secrets
def _sought(secrets: tuple[str, ...]) -> tuple[Sequence[str], re.Pattern[str] | None]:
    """All that may stand for a secret, the longest first, and what finds any of it; None where there is nothing."""
    forms = {form for secret in secrets for part in _parts(secret) for form in _forms(part)}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    either = "|".join(re.escape(form) for form in longest_first)
    return longest_first, re.compile(either, re.IGNORECASE) if forms else None


def _parts(secret: str) -> list[str]:
    """The whole, and what stands behind its scheme (`Bearer …`) or prefix (`whsec_…`): it may be told alone."""
    behind = re.split(r"[ _]", secret, maxsplit=1)
    return [part for part in {secret, behind[-1]} if len(part) >= _SHORTEST]


def _forms(secret: str) -> set[str]:
    return {
        secret,
        *_quoted(secret),
        *_based(secret.encode()),
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
    }


def _quoted(secret: str) -> set[str]:
    """As it stands in JSON, by the habits of several languages, in JSON within JSON, and between a program's quotes."""
    as_json = json.dumps(secret)[1:-1]
    go, gson = (as_json.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in signs}) for signs in ("<>&", "<>&'="))
    slashed = as_json.replace("/", "\\/")
    within = (json.dumps(each)[1:-1] for each in (as_json, slashed))
    # With a quote of each kind in it Python escapes the single ones, else none.
    python = (written for each in (secret, as_json) for written in (repr(each)[1:-1], repr(each + "'\"")[1:-4]))
    return {as_json, slashed, go, gson, *within, *python}


def _based(secret: bytes) -> set[str]:
    """In base64, alone or wherever in a longer text: of its first and last letter some bits may be its neighbours'."""
    forms = set()
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret).decode()
        whole = (before + len(secret)) * 8 // 6
        forms.add(text[(before * 8 + 5) // 6 : whole])
    alone = base64.b64encode(secret).decode()
    forms |= {alone, alone.rstrip("=")}
    return forms | {form.replace("+", "-").replace("/", "_") for form in forms}


def _begun(text: str, form: str) -> int:
    """How much of a form the text ends with: the rest of it was cut off."""
    end, form = text[-len(form) :].lower(), form.lower()
    return next((length for length in range(len(form) - 1, _SHORTEST - 1, -1) if end.endswith(form[:length])), 0)

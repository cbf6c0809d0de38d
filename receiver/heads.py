"""The head of a request as it goes out: where to, and which headers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

from yarl import URL

from receiver.errors import Malformed
from receiver.guard import MAX_URL, Guard
from receiver.wire import Call

USER_AGENT = f"Taskweir/{version('taskweir')}"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# What certainly needs no quoting; whatever else there is goes to `Guard.check_url` whole.
_PLAIN_URL = re.compile(r"(https?://[^/?#]+)([/?][!\"$-\[\]-~]*)?", re.IGNORECASE)
# Framing is ours: a second opinion about where a request ends lets one request be read as two.
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
_UNWRITABLE = "a header cannot be sent as it is written"
_UNLESS_NAMED = {"user-agent": f"User-Agent: {USER_AGENT}\r\n", "accept": "Accept: */*\r\n"}
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Whom a connection leads to; `key` is equal for all URLs that may share one."""

    url: URL
    host: str
    port: int
    tls: bool
    key: tuple[bool, str, int]


def target_of(url: str) -> tuple[Origin, str]:
    """Whom a URL leads to, and what to ask for there; raises `Malformed` as `Guard.check_url` does."""
    plain = _PLAIN_URL.fullmatch(url) if len(url) <= MAX_URL else None
    if plain is not None:
        asked = plain[2] or "/"
        return _origin(plain[1]), asked if asked[0] == "/" else f"/{asked}"
    parsed = Guard.check_url(url)
    return _origin(str(parsed.origin())), parsed.raw_path_qs


@lru_cache(maxsize=1024)
def _origin(url: str) -> Origin:
    parsed = Guard.check_url(url)
    tls, host, port = parsed.scheme == "https", parsed.raw_host or "", parsed.port or 0
    return Origin(parsed, host, port, tls, (tls, host, port))


def head_of(call: Call, origin: Origin, asked: str) -> bytes:
    """The request up to its body.

    Raises `Malformed` on a header that would break out of its line or of the request, `ValueError` on such a method.
    """
    method = call.method
    if not method.isalpha() or not method.isascii():
        raise ValueError("not a method")
    lines = [f"{method} {asked} HTTP/1.1\r\nHost: {origin.url.host_port_subcomponent}\r\n"]
    lines += _lines(call.headers)
    if call.body:
        lines.append(f"Content-Length: {len(call.body)}\r\n\r\n")
    else:
        lines.append("\r\n" if method in _WITHOUT_BODY else "Content-Length: 0\r\n\r\n")
    return "".join(lines).encode("ascii")


def _lines(headers: Mapping[str, str]) -> list[str]:
    begins, unnamed = _frame(tuple(headers))
    lines = ["Accept-Encoding: identity\r\n"]
    for begin, value in zip(begins, headers.values(), strict=True):
        if not ((value.isascii() and value.isprintable()) or _VALUE.fullmatch(value)):
            raise Malformed(_UNWRITABLE)
        if begin:
            lines.append(f"{begin}{value}\r\n")
    lines.append(unnamed)
    return lines


@lru_cache(maxsize=1024)  # the same few names are sent again and again
def _frame(names: Sequence[str]) -> tuple[Sequence[str], str]:
    """What stands before the value of each of these headers, nothing where it is not sent; what else goes along."""
    lower = [name.lower() for name in names]
    if not all(_NAME.fullmatch(name) and known not in _FRAMING for name, known in zip(names, lower, strict=True)):
        raise Malformed(_UNWRITABLE)
    begins = ["" if known == "accept-encoding" else f"{name}: " for name, known in zip(names, lower, strict=True)]
    unnamed = [line for known, line in _UNLESS_NAMED.items() if known not in lower]
    return begins, "".join(unnamed)

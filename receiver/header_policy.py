"""Which headers of their own users may have on their webhooks, pure: none of ours, none that frames a request."""

import re
from collections.abc import Mapping, Sequence

from receiver.errors import Fault

MOST = 50
MOST_BYTES = 4 * 1024

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, 5.6.2
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_HOPS = frozenset({"connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_OURS = frozenset({"accept-encoding", "content-encoding", "content-length", "content-type", "host"})
_FAMILIES = {
    "proxy-": "is for proxies",
    "webhook-": "is part of the signature",
    "svix-": "is part of a signature",
    "ce-": "is part of the CloudEvents format",
}


def header_faults(headers: Mapping[str, str]) -> Sequence[Fault]:
    """What is wrong with headers that shall go with every webhook, at `headers.<name>`; values are never told.

    A name is a token and stands once, whatever its letters' case; a value is visible ASCII, with spaces inside it.
    """
    faults = [Fault(path=f"headers.{name}", message=why) for name, why in _wrong(headers)]
    size = sum(len(name) + len(value) for name, value in headers.items())
    if len(headers) > MOST or size > MOST_BYTES:
        faults.append(Fault(path="headers", message=f"at most {MOST} headers and {MOST_BYTES} bytes in all"))
    return faults


def _wrong(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    seen: set[str] = set()
    found = []
    for name, value in headers.items():
        why = _why_not(name, value) or ("stands here twice, in other letters" if name.lower() in seen else None)
        seen.add(name.lower())
        if why:
            found.append((name, why))
    return found


def _why_not(name: str, value: str) -> str | None:
    lower = name.lower()
    if not _NAME.fullmatch(name):
        return "is no header's name: letters, digits and !#$%&'*+-.^_`|~ only"
    if lower in _HOPS:
        return "is between us and the next hop: remove it"
    if lower in _OURS:
        return "is set by us: remove it"
    family = next((why for prefix, why in _FAMILIES.items() if lower.startswith(prefix)), None)
    if family:
        return f"{family}: remove it, or choose another name"
    return None if _VALUE.fullmatch(value) else "the value must be visible ASCII, with spaces inside it only"


def merged(kept: Mapping[str, str], given: Mapping[str, str | None]) -> dict[str, str]:
    """Headers after a merge patch: what is None goes, whatever is not named stays; case makes no other name."""
    named = {name.lower() for name in given}
    stays = {name: value for name, value in kept.items() if name.lower() not in named}
    return stays | {name: value for name, value in given.items() if value is not None}

"""URLs of users' own servers that speak no HTTP: where they lead, who logs in there, and what is wrong with them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from receiver.errors import Malformed
from receiver.guard import MAX_URL, Guard

_UNUSABLE = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(?:/([^?]*))?(?:\?(.*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a part of a URL may be, in a pattern and in words; without it, its `default` (None: it must be there)."""

    pattern: str
    told: str
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The URLs of one kind: its schemes, and whether each means TLS; its port; its path, and what may follow `?`.

    `user` is what to write where somebody must log in, and nobody is named; None where nobody must.
    """

    schemes: Mapping[str, bool]
    port: int
    path: Rule
    options: Mapping[str, Rule] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL that was read.

    `origin` is its host and port as `http://host:port/`, for whoever judges and dials; `shown` the URL without who logs
    in. `path` and `options` are decoded and whole: what was left out has its default.
    """

    origin: str
    host: str
    port: int
    tls: bool
    path: str
    options: Mapping[str, str]
    shown: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> list[str]:
        """What nobody may be shown."""
        return [each for each in (self.user, self.password) if each]


def read_target(url: str, shape: Shape) -> Target:
    """Raises `Malformed`, whose text says what to write instead and repeats nothing that may be secret."""
    if len(url) > MAX_URL:
        raise Malformed(f"the URL is longer than {MAX_URL} characters")
    if _UNUSABLE.search(url):
        raise Malformed("the URL holds a control character, a space or a backslash")
    if "#" in url:
        raise Malformed("the URL holds a #: in a user name or password write it as %23")
    parts = _PARTS.fullmatch(url)
    if parts is None or parts[1].lower() not in shape.schemes:
        raise Malformed(f"the URL must start with {' or '.join(f'{each}://' for each in shape.schemes)}")
    if "@" in (parts[3] or "") + (parts[4] or ""):
        raise Malformed("the URL has an @ behind its host: in a user name or password write / as %2F, ? as %3F")
    scheme, (login, _, where) = parts[1].lower(), parts[2].rpartition("@")
    if "@" in login:
        raise Malformed("the URL has more than one @: in a user name or password write it as %40")
    user, _, password = login.partition(":")
    if shape.user is not None and not user:
        raise Malformed(f"the URL does not say who logs in: {shape.user}")
    origin = _origin(where, shape.port)
    return Target(
        origin=origin,
        host=Guard.check_url(origin).raw_host or "",
        port=Guard.check_url(origin).port or 0,
        tls=shape.schemes[scheme],
        path=_ruled("path", _decoded(parts[3] or ""), shape.path),
        options=_options(parts[4] or "", shape.options),
        shown=url[: parts.start(2)] + where + url[parts.end(2) :],
        user=_decoded(user) or None,
        password=_decoded(password) or None,
    )


def _origin(where: str, port: int) -> str:
    """Whatever host and port are, they are for HTTP as well; raises `Malformed` where they are none, or several."""
    if "," in where:
        raise Malformed("the URL names several hosts: name one")
    parsed = Guard.check_url(f"http://{where}/")
    named = re.search(r":[0-9]+\Z", where) is not None
    return f"http://{parsed.host_subcomponent}:{parsed.port if named else port}/"


def _options(query: str, rules: Mapping[str, Rule]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in rules:
            known = ", ".join(rules) or "none"
            raise Malformed(f"the URL has an option that is not known here: behind its ? there may be {known}")
        if name in given:
            raise Malformed(f"the URL has the option {name} more than once: give one")
        given[name] = value
    return {name: _ruled(name, given.get(name, ""), rule) for name, rule in rules.items()}


def _ruled(name: str, value: str, rule: Rule) -> str:
    if not value and rule.default is not None:
        return rule.default
    if not re.fullmatch(rule.pattern, value):
        raise Malformed(f"the URL's {name} must be {rule.told}")
    return value


def _decoded(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("the URL is percent-encoded, and not as UTF-8") from None
    if _CONTROL.search(decoded):
        raise Malformed("the URL holds a control character")
    return decoded

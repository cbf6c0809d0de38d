"""Which addresses may be dialled for a webhook: the public ones, and what the operator opens beside them.

Nothing here opens a socket or asks a name server.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from yarl import URL

from receiver.addresses import Address, carried, numeric, range_of, read, spelled
from receiver.errors import AddressRefused, ConfigurationError, Malformed, Unresolved
from receiver.itself import Itself

SETTING = "TASKWEIR_ALLOW_NETWORKS"
MAX_URL = 2048
_MOST_IN_A_LINE = 8

_Network = IPv4Network | IPv6Network

_WORDS = frozenset({"loopback", "private"})  # names of ranges that the setting may open by name

_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\s\\\ud800-\udfff]")
_AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:%]+)(?::([0-9]{0,5}))?")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


class Guard:
    """The judge of webhook targets; `allowed` is the text of `TASKWEIR_ALLOW_NETWORKS`.

    Its entries, separated by commas, are CIDRs, single addresses, host names, `loopback` and `private`; any other
    raises `ConfigurationError`. A host name opens whatever that name resolves to. Nothing opens `itself`.
    """

    def __init__(self, allowed: str = "", *, itself: Itself | None = None) -> None:
        entries = [entry.strip() for entry in allowed.split(",") if entry.strip()]
        self._words = {entry.lower() for entry in entries if entry.lower() in _WORDS}
        others = [entry for entry in entries if entry.lower() not in _WORDS]
        self._hosts = {_folded(entry) for entry in others if _is_host_name(entry)}
        self._networks = tuple(_network(entry) for entry in others if not _is_host_name(entry))
        self._itself = itself

    def refusal(self, address: str, host: str) -> str | None:
        """The name of the forbidden range that `address`, dialled for `host`, lies in; None where it may be dialled.

        An address that carries another one (IPv4-mapped, NAT64, 6to4, Teredo) must be allowed in both roles.
        """
        if _folded(host) in self._hosts:
            return None
        ip = read(address)
        if ip is None:
            return "not an address"
        return next((name for name, each in _forbidden(ip) if not self._opens(name, each)), None)

    def judge(self, url: str, addresses: Iterable[str]) -> None:
        """Check a target before it is saved; `addresses` is all that its host resolves to.

        Raises `Malformed` where the URL cannot be used, `Unresolved` where its host has no address, and
        `AddressRefused` where it is this server, or any address is forbidden.
        """
        parsed = self.check_url(url)
        host, found = parsed.raw_host or "", tuple(addresses)
        self.judge_name(parsed)
        if not found:
            raise Unresolved(f"the host {host} does not resolve")
        self.judge_host(host, found, parsed.port or 0)

    def judge_name(self, url: URL) -> None:
        """Raise `AddressRefused` where a URL is this server's own, wherever its name leads to."""
        if self._itself is not None and self._itself.is_named(url):
            raise _own(url.raw_host or "", url.port or 0)

    def judge_host(self, host: str, addresses: Sequence[str], port: int) -> None:
        """Raise `AddressRefused` where any of a host's addresses is this server, or forbidden; then it has the line."""
        if self._itself is not None and any(self._itself.is_at(address, port) for address in addresses):
            raise _own(host, port)
        for address in addresses:
            name = self.refusal(address, host)
            if name is not None:
                where = address if address == host else f"{host} is at {address}, which"
                raise AddressRefused(f"{where} is {name}", remedy=f"{SETTING}={_line(addresses, host)}")

    @staticmethod
    def check_url(url: str) -> URL:
        """The URL as it will be dialled; raises `Malformed` on one that cannot be, or whose parsing is disputed.

        http and https only, a host, no user name, a port from 1 to 65535, no control character, space or backslash,
        at most 2048 characters. A number for a host is IPv4 (`127.1`, `0x7f000001`), and comes back as such; path and
        query stay exactly as written where they are ASCII.
        """
        if len(url) > MAX_URL:
            raise Malformed(f"the URL is longer than {MAX_URL} characters")
        if _UNUSABLE.search(url):
            raise Malformed("the URL holds a control character, a space or a backslash")
        scheme = _AUTHORITY.match(url)
        if scheme is None:
            raise Malformed("the URL must start with http:// or https://")
        _check_authority(scheme[1])
        try:
            parsed = URL(url, encoded=url.isascii())
        except ValueError:
            raise Malformed("the URL cannot be read") from None
        return _with_plain_host(parsed)

    def _opens(self, name: str, ip: Address) -> bool:
        return name in self._words or any(ip in network for network in self._networks)


def _forbidden(ip: Address) -> list[tuple[str, Address]]:
    """The address and what it carries, as far as they are not public, each with the name of its range."""
    return [(name, each) for each in (ip, *carried(ip)) if (name := range_of(each)) is not None]


def _own(host: str, port: int) -> AddressRefused:
    return AddressRefused(f"{host} port {port} is this server itself: its events would come back to it")


def _line(addresses: Iterable[str], host: str) -> str:
    """The entries that open all these addresses of a host, whatever else is open; its name where they are too many."""
    entries: dict[str, None] = {}
    for address in addresses:
        ip = read(address)
        if ip is None or len(entries) > _MOST_IN_A_LINE:
            return host
        for name, each in _forbidden(ip):
            entries["loopback" if name == "loopback" else f"{each}/{each.max_prefixlen}"] = None
    return ",".join(entries)


def _check_authority(authority: str) -> None:
    if "@" in authority:
        raise Malformed("the URL may not carry a user name or password")
    parts = _HOST_AND_PORT.fullmatch(authority)
    if parts is None:
        raise Malformed("the URL has no usable host")
    if parts[1] and not 0 < int(parts[1]) < 65536:
        raise Malformed("the port of the URL must be from 1 to 65535")


def _with_plain_host(url: URL) -> URL:
    host = url.raw_host or ""
    if ":" in host:
        usable = read(host) is not None
    elif numeric(host):
        ip = spelled(host)
        usable = ip is not None
        url = url if ip is None or str(ip) == host else url.with_host(str(ip))
    else:
        usable = _HOST_NAME.fullmatch(host) is not None
    if not usable:
        raise Malformed("the URL has no usable host")
    return url


def _is_host_name(entry: str) -> bool:
    """Not of something that a resolver would read as a number: `10.1`, `0x7f.1`."""
    return _HOST_NAME.fullmatch(entry) is not None and not numeric(entry)


def _folded(host: str) -> str:
    return host.rstrip(".").lower()


def _network(entry: str) -> _Network:
    network = _parsed(entry, strict=True)
    if network is not None:
        return network
    near = _parsed(entry, strict=False)
    hint = (
        f"Replace {entry!r} by a CIDR, an address, a host name, `loopback` or `private`; separate by commas."
        if near is None
        else f"Write {near} instead of {entry}."
    )
    raise ConfigurationError(f"{SETTING} holds {entry!r}, which names no network", hint=hint)


def _parsed(entry: str, *, strict: bool) -> _Network | None:
    try:
        return None if "%" in entry else ip_network(entry, strict=strict)  # a zone is not a network
    except ValueError:
        return None

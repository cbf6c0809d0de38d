"""Which addresses may be dialled for a webhook: a table of ranges, and the operator's exceptions to it.

Nothing here opens a socket or asks a name server. `ipaddress.is_global` is not used: on Python 3.11 it lets NAT64,
6to4, IPv4-compatible, multicast and a cloud host's own address through.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

from receiver.errors import AddressRefused, ConfigurationError, Malformed

SETTING = "TASKWEIR_ALLOW_NETWORKS"
MAX_URL = 2048

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

# The first row that holds an address names it, so an exception stands above the wider range it lies in.
_RANGES = tuple(
    (name, ip_network(network))
    for name, networks in (
        ("metadata", "169.254.169.254/32 fd00:ec2::/32 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32"),
        ("loopback", "127.0.0.0/8 ::1/128"),
        ("private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"),
        ("link-local", "169.254.0.0/16 fe80::/10"),
        ("site-local", "fec0::/10"),
        ("unspecified", "0.0.0.0/8 ::/128"),
        ("shared by a carrier", "100.64.0.0/10"),
        ("documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
        ("6to4", "192.88.99.0/24 2002::/16"),
        ("Teredo", "2001::/32"),
        ("benchmarking", "198.18.0.0/15"),
        ("multicast", "224.0.0.0/4 ff00::/8"),
        ("reserved", "192.0.0.0/24 240.0.0.0/4 2001::/23 100::/64 5f00::/16"),
        ("IPv4-mapped", "::ffff:0:0/96"),
        ("IPv4-compatible", "::/96"),
        ("IPv4-translated", "::ffff:0:0:0/96"),
        ("NAT64", "64:ff9b::/96 64:ff9b:1::/48"),
    )
    for network in networks.split()
)
_GLOBAL_V6 = ip_network("2000::/3")
_LOW_32_BITS = frozenset({"IPv4-mapped", "IPv4-compatible", "IPv4-translated", "NAT64"})
_WORDS = frozenset({"loopback", "private"})  # names of ranges that the setting may open by name

_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\s\\\ud800-\udfff]")
_AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:%]+)(?::([0-9]{0,5}))?")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_NUMERIC_LABEL = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")


class Guard:
    """The judge of webhook targets; `allowed` is the text of `TASKWEIR_ALLOW_NETWORKS`.

    Its entries, separated by commas, are CIDRs, single addresses, host names, `loopback` and `private`; any other
    raises `ConfigurationError`. A host name opens whatever that name resolves to.
    """

    def __init__(self, allowed: str = "") -> None:
        entries = [entry.strip() for entry in allowed.split(",") if entry.strip()]
        self._words = {entry.lower() for entry in entries if entry.lower() in _WORDS}
        others = [entry for entry in entries if entry.lower() not in _WORDS]
        self._hosts = {_folded(entry) for entry in others if _is_host_name(entry)}
        self._networks = tuple(_network(entry) for entry in others if not _is_host_name(entry))

    def refusal(self, address: str, host: str) -> str | None:
        """The name of the forbidden range that `address`, dialled for `host`, lies in; None where it may be dialled.

        An address that carries another one (IPv4-mapped, NAT64, 6to4, Teredo) must be allowed in both roles.
        """
        if _folded(host) in self._hosts:
            return None
        ip = _read(address)
        if ip is None:
            return "not an address"
        return next((name for name, _ in self._closed(ip)), None)

    def judge(self, url: str, addresses: Iterable[str]) -> None:
        """Check a target before it is saved; `addresses` is all that its host resolves to.

        Raises `Malformed` where the URL cannot be used or its host has no address, and `AddressRefused` where any
        address is forbidden.
        """
        host = self.check_url(url).raw_host or ""
        found = tuple(addresses)
        if not found:
            raise Malformed(f"the host {host} does not resolve")
        self.judge_host(host, found)

    def judge_host(self, host: str, addresses: Iterable[str]) -> None:
        """Raise `AddressRefused` where any of a host's addresses is forbidden; its remedy is the line to set."""
        for address in addresses:
            name = self.refusal(address, host)
            if name is not None:
                what = address if address == host else f"{host} is at {address}, which"
                raise AddressRefused(f"{what} is {name}", remedy=f"{SETTING}={self._remedy(address, host)}")

    @staticmethod
    def check_url(url: str) -> URL:
        """The URL as it will be dialled; raises `Malformed` on one that cannot be, or whose parsing is disputed.

        http and https only, a host, no user name, a port from 1 to 65535, no control character, space or backslash,
        at most 2048 characters. Path and query stay exactly as written where they are ASCII.
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
        if not _is_host(parsed.raw_host or ""):
            raise Malformed("the URL has no usable host")
        return parsed

    def _closed(self, ip: _Address) -> list[tuple[str, _Address]]:
        """The address and what it carries, as far as they are forbidden, each with the name of its range."""
        return [
            (name, address)
            for address in (ip, *_carried(ip))
            if (name := _range_of(address)) is not None
            and name not in self._words
            and not any(address in network for network in self._networks)
        ]

    def _remedy(self, address: str, host: str) -> str:
        ip = _read(address)
        if ip is None:
            return host
        return ",".join(
            "loopback" if name == "loopback" else f"{closed}/{closed.max_prefixlen}"
            for name, closed in self._closed(ip)
        )


def _check_authority(authority: str) -> None:
    if "@" in authority:
        raise Malformed("the URL may not carry a user name or password")
    parts = _HOST_AND_PORT.fullmatch(authority)
    if parts is None:
        raise Malformed("the URL has no usable host")
    if parts[1] and not 0 < int(parts[1]) < 65536:
        raise Malformed("the port of the URL must be from 1 to 65535")


def _is_host(host: str) -> bool:
    if ":" in host:
        return _read(host) is not None
    return _HOST_NAME.fullmatch(host) is not None


def _is_host_name(entry: str) -> bool:
    """Not of something that a resolver would read as a number: `10.1`, `0x7f.1`."""
    return _HOST_NAME.fullmatch(entry) is not None and _NUMERIC_LABEL.fullmatch(entry) is None


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


def _read(address: str) -> _Address | None:
    """An address as the resolver or the socket writes it; a zone (`fe80::1%eth0`) says nothing about its range."""
    try:
        return ip_address(address.partition("%")[0])
    except ValueError:
        return None


def _range_of(ip: _Address) -> str | None:
    name = next((name for name, network in _RANGES if ip in network), None)
    if name is None and ip.version == 6 and ip not in _GLOBAL_V6:
        return "unallocated"
    return name


def _carried(ip: _Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address that a gateway would dial for this one, where it is of a kind that carries one."""
    if isinstance(ip, IPv4Address):
        return ()
    if _range_of(ip) in _LOW_32_BITS:
        return (IPv4Address(int(ip) & 0xFFFFFFFF),)
    if ip.teredo is not None:
        return (ip.teredo[1],)
    return () if ip.sixtofour is None else (ip.sixtofour,)

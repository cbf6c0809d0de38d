"""Hundreds of ways to write an address that nobody may dial for us, and a resolver that knows names for them.

The ranges and their names stand here a second time, by hand: this is what the guard's own table is held against.
"""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from receiver.names import Found

V4 = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "shared by a carrier",
    "100.100.100.200": "metadata",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "metadata",
    "169.254.0.1": "link-local",
    "169.254.169.254": "metadata",
    "172.16.0.1": "private",
    "172.31.255.254": "private",
    "192.0.0.8": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4",
    "192.168.0.1": "private",
    "198.18.0.1": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
}
V6 = {
    "::": "unspecified",
    "::1": "loopback",
    "1::1": "unallocated",
    "100::1": "reserved",
    "2001::1": "Teredo",
    "2001:2::1": "reserved",
    "2001:10::1": "reserved",  # ORCHID
    "2001:2f::1": "reserved",  # ORCHIDv2
    "2001:db8::1": "documentation",
    "2002:808:808::1": "6to4",
    "3fff::1": "documentation",
    "4000::1": "unallocated",
    "5f00::1": "reserved",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::1": "NAT64",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "febf::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
}
CARRIED = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "8.8.8.8")
LOOPBACK_NAMES = ("localhost", "ip6-localhost", "localhost.localdomain", "a.localhost", "127.0.0.1.nip.example")
NAMES = {
    **dict.fromkeys(LOOPBACK_NAMES, ("127.0.0.1", "::1")),
    **{f"at-{address.replace('.', '-')}.example": (address,) for address in V4},
    **{f"at-{IPv6Address(address).exploded.replace(':', '-')}.example": (address,) for address in V6},
    "metadata.google.internal": ("169.254.169.254",),
    "first-public.example": ("8.8.8.8", "2606:4700::1111", "10.0.0.1"),
    "first-private.example": ("10.0.0.1", "8.8.8.8"),
    "private-by-6.example": ("8.8.8.8", "fd12:3456::1"),
    "all-kinds.example": ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "64:ff9b::7f00:1"),
    "xn--bcher-kva.example": ("192.168.0.1",),
    "crowd.example": tuple(f"10.0.0.{number}" for number in range(1, 41)),
    "open.example": ("8.8.8.8",),
}


@dataclass(frozen=True, slots=True)
class Spelling:
    """One URL, and the range that its refusal must name; None where it must be refused as one that cannot be read."""

    url: str
    range: str | None = None


def spellings(port: int) -> list[Spelling]:
    """All of them, with one port, so that whatever reaches loopback after all is seen by who listens there."""
    makers = (_v4, _v6, _carrying, _named, _dressed)
    readable = {spelling.url: spelling for make in makers for spelling in make(port)}
    return [*readable.values(), *map(Spelling, _unreadable(port))]


def look_up(host: str, port: int) -> Found:
    """A resolver that knows our names, and reads numbers as the system does; no name server is asked."""
    known = NAMES.get(host.rstrip(".").lower())
    if known is None:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    return found(known, port)


def found(addresses: Iterable[str], port: int) -> Found:
    """These addresses, in the resolver's own words."""
    return [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in addresses
    ]


def _v4(port: int) -> Iterator[Spelling]:
    for address, name in V4.items():
        for host in _v4_hosts(address):
            yield Spelling(f"http://{host}:{port}/", name)


def _v4_hosts(address: str) -> Iterator[str]:
    whole = int(IPv4Address(address))
    a, b, c, d = (int(part) for part in address.split("."))
    yield address
    yield f"{a}.{whole & 0xFFFFFF}"
    yield f"{a}.{b}.{whole & 0xFFFF}"
    yield f"{whole}"
    yield f"{whole:#x}"
    yield f"{whole:#X}"
    yield f"0x{whole:016x}"
    yield f"0{whole:o}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"000{a:o}.0{b:05o}.0{c:o}.0{d:o}"
    yield f"{a:#x}.{b:#x}.{c:#x}.{d:#x}"
    yield f"{a:#X}.{b}.0{c:o}.{d:#x}"
    yield f"{a:#x}.{whole & 0xFFFFFF}"
    yield "".join(_wide(sign) for sign in address)
    for dot in "\u3002\uff0e\uff61":  # ideographic, full-width, half-width
        yield address.replace(".", dot)
    yield "".join(_circled(sign) for sign in address)


def _wide(sign: str) -> str:
    return sign if sign == "." else chr(ord(sign) - ord("0") + 0xFF10)


def _circled(sign: str) -> str:
    return sign if sign in ".0" else chr(ord(sign) - ord("1") + 0x2460)


def _v6(port: int) -> Iterator[Spelling]:
    for address, name in V6.items():
        ip = IPv6Address(address)
        groups = [int(group, 16) for group in ip.exploded.split(":")]
        bare = ":".join(f"{group:x}" for group in groups)
        tail = str(IPv4Address(int(ip) & 0xFFFFFFFF))
        dotted = ":".join(f"{group:x}" for group in groups[:6]) + f":{tail}"
        for host in (address, address.upper(), ip.exploded, ip.exploded.upper(), bare, dotted):
            yield Spelling(f"http://[{host}]:{port}/", name)


def _carrying(port: int) -> Iterator[Spelling]:
    """IPv6 addresses that a gateway, or this machine itself, would dial as IPv4."""
    for address in CARRIED:
        whole = int(IPv4Address(address))
        low = f"{whole >> 16:x}:{whole & 0xFFFF:x}"
        hidden = whole ^ 0xFFFFFFFF
        for host, name in {
            f"::ffff:{address}": "IPv4-mapped",
            f"::FFFF:{low.upper()}": "IPv4-mapped",
            f"0:0:0:0:0:ffff:{low}": "IPv4-mapped",
            f"0000:0000:0000:0000:0000:ffff:{address}": "IPv4-mapped",
            f"::{address}": "IPv4-compatible",
            f"0:0:0:0:0:0:{low}": "IPv4-compatible",
            f"::ffff:0:{address}": "IPv4-translated",
            f"64:ff9b::{address}": "NAT64",
            f"64:FF9B:0:0:0:0:{low}": "NAT64",
            f"64:ff9b:1::{address}": "NAT64",
            f"2002:{low}::": "6to4",
            f"2002:{low}::{address}": "6to4",
            f"2001:0:4136:e378:8000:63bf:{hidden >> 16:x}:{hidden & 0xFFFF:x}": "Teredo",
        }.items():
            yield Spelling(f"http://[{host}]:{port}/", name)


def _named(port: int) -> Iterator[Spelling]:
    """Names that lead there, written as they may be."""
    for name, addresses in NAMES.items():
        ranges = [(V4 | V6)[address] for address in addresses if address in V4 | V6]
        if ranges:
            yield Spelling(f"http://{name}:{port}/", ranges[0])
    for host in (
        "LOCALHOST",
        "LocalHost",
        "localhost.",
        "\u24dbocalhost",
        "\uff4c\uff4fcalhost",
        "b\u00fccher.example",
    ):
        yield Spelling(f"http://{host}:{port}/", "private" if "cher" in host else "loopback")


def _dressed(port: int) -> Iterator[Spelling]:
    """What stands around an address, and makes some readers look elsewhere."""
    for host, name in {"127.0.0.1": "loopback", "169.254.169.254": "metadata", "[::1]": "loopback"}.items():
        for url in (
            f"HTTP://{host}:{port}/",
            f"hTtP://{host}:{port}",
            f"https://{host}:{port}/",
            f"http://{host}:0{port}/" if port < 10_000 else f"http://{host}:{port}/x",
            f"http://{host}/",
            f"http://{host}:/",
            f"http://{host}:{port}?@open.example/",
            f"http://{host}:{port}#@open.example/",
            f"http://{host}:{port}/@open.example/",
            f"http://{host}:{port}/#https://open.example/",
            f"http://{host}:{port}/latest/meta-data/",
            f"http://{host}:{port}/%2e%2e/x",
        ):
            yield Spelling(url, name)


def _unreadable(port: int) -> list[str]:
    """URLs that two readers could take for two targets, and what is no web address at all."""
    end = f":{port}/"
    return [
        *_disputed_authorities(end),
        *(f"http://{host}{end}" for host in _BAD_HOSTS),
        *(f"http://127.0.0{odd}.1{end}" for odd in "\t\n\r\x01\x1f \u00a0\u3000\u2028\x85\x7f"),
        *(f"{odd}http://127.0.0.1{end}" for odd in (" ", "\t", "\n", "\x01", "\ufeff", "url:")),
        *(f"{scheme}://127.0.0.1{end}" for scheme in _SCHEMES),
        *(f"http{slashes}127.0.0.1{end}" for slashes in (":", ":/", ":///", ":\\\\", ":/\\", "://\\", "//")),
        *(f"http://127.0.0.1:{bad}/" for bad in ("0", "65536", "-1", "8o", "\uff18\uff10", f"{port}:{port}", "000080")),
    ]


_SCHEMES = ("ftp", "file", "gopher", "dict", "ldap", "ws", "jar:http", "unix", "httpx", "\uff48ttp", "data", "tftp")
_BAD_HOSTS = (
    *("127.0.0.1.", "127.0.0.1..", "127..1", ".127.0.0.1", "127.0.0.1.0", "256.0.0.1", "127.0.0.256", "383.0.0.1"),
    *("4294967296", "6425673729", "0x17f000001", "127.16777216", "127.0.65536", "0x7f.0.0.0x1g", "0x", "127.0.0.0x"),
    *("089.0.0.1", "127.0.0.08", "+127.0.0.1", "-127.0.0.1", "127.0.0.-1", "127,0,0,1", "127.0.0.1%00", "\uff10x7f.1."),
    *(
        "%31%32%37.0.0.1",
        "127%2e0%2e0%2e1",
        "127.0.0.1%2f",
        "%6c%6fcalhost",
        "local%68ost",
        "%5b::1%5d",
        "localhost%20",
    ),
    *(
        "[127.0.0.1]",
        "[::1",
        "::1]",
        "::1",
        "[::1]]",
        "[[::1]]",
        "[::1]x",
        "[localhost]",
        "[]",
        "[::1%25lo]",
        "[::1%lo]",
    ),
    *("[fe80::1%25eth0]", "[fe80::1%eth0]", "[v1.x]", "[::g]", "[1::2::3]", "[::ffff:127.0.0.256]", "[::ffff:127.1]"),
    *("[0x7f::1]", "[::127.0.0.01]", "[00000::1]", "localhost..", "local\u00adhost", "local\u200bhost", "-localhost"),
)


def _disputed_authorities(end: str) -> list[str]:
    return [
        f"http://open.example@127.0.0.1{end}",
        f"http://open.example:80@127.0.0.1{end}",
        f"http://127.0.0.1@open.example{end}",
        f"http://user:password@127.0.0.1{end}",
        f"http://@127.0.0.1{end}",
        f"http://127.0.0.1@{end}",
        f"http://a@b@127.0.0.1{end}",
        f"http://open.example%40127.0.0.1{end}",
        f"http://open.example\\@127.0.0.1{end}",
        f"http://127.0.0.1\\@open.example{end}",
        f"http://open.example\\.127.0.0.1{end}",
        f"http://127.0.0.1\\{end}",
        f"http://open.example\uff20127.0.0.1{end}",
        f"http://open.example\uff0f@127.0.0.1{end}",
        f"http://open.example\uff03@127.0.0.1{end}",
        f"http://open.example:80:127.0.0.1{end}",
        f"http://open.example 127.0.0.1{end}",
        f"http://open.example&@127.0.0.1#@open.example{end}",
        f"http://open.example|127.0.0.1{end}",
        f"http://<127.0.0.1>{end}",
        f"http://$127.0.0.1{end}",
        f"http://*.127.0.0.1{end}",
        f"http://127.0.0.1;open.example{end}",
        f"http://{{127.0.0.1}}{end}",
    ]

"""What an IP address is: the range that it lies in, the address that it carries, the ways to write it.

`ipaddress.is_global` is not used: on Python 3.11 it lets NAT64, 6to4, IPv4-compatible, multicast and a cloud host's own
address through.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

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

_NUMBER = re.compile(r"0[xX]([0-9A-Fa-f]+)|0([0-7]*)|([1-9][0-9]*)")
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")


def read(address: str) -> Address | None:
    """An address as the resolver or the socket writes it; a zone (`fe80::1%eth0`) says nothing about its range."""
    try:
        return ip_address(address.partition("%")[0])
    except ValueError:
        return None


def range_of(ip: Address) -> str | None:
    """The name of the forbidden range that holds an address; None for a public one."""
    name = next((name for name, network in _RANGES if ip in network), None)
    if name is None and ip.version == 6 and ip not in _GLOBAL_V6:
        return "unallocated"
    return name


def carried(ip: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address that a gateway would dial for this one, where it is of a kind that carries one."""
    if isinstance(ip, IPv4Address):
        return ()
    if range_of(ip) in _LOW_32_BITS:
        return (IPv4Address(int(ip) & 0xFFFFFFFF),)
    if ip.teredo is not None:
        return (ip.teredo[1],)
    return () if ip.sixtofour is None else (ip.sixtofour,)


def numeric(host: str) -> bool:
    """Whether a host ends in a number (`10.1`, `0x7f.1`): browsers and resolvers then read IPv4, not a name."""
    return _NUMERIC.fullmatch(host) is not None


def spelled(host: str) -> IPv4Address | None:
    """The IPv4 address that a numeric host spells, as `inet_aton` and browsers read it; None where they would not.

    One to four numbers, each decimal, octal (leading 0) or hexadecimal (0x); the last one fills what is left.
    """
    numbers = [_number(label) for label in host.split(".")]
    if len(numbers) > 4 or None in numbers:
        return None
    *first, last = (number or 0 for number in numbers)
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return IPv4Address(last + sum(number << 8 * (3 - place) for place, number in enumerate(first)))


def _number(label: str) -> int | None:
    parts = _NUMBER.fullmatch(label)
    if parts is None:
        return None
    hexadecimal, octal, decimal = parts.groups()
    if hexadecimal:
        return int(hexadecimal, 16)
    return int(decimal) if decimal else int(octal or "0", 8)

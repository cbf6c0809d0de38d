"""Numbers for hosts are read as the system reads them, and as the same on every system."""

import socket
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.addresses import numeric, spelled


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0", "0.0.0.0"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.65535", "127.0.255.255"),
        ("10.1.65535", "10.1.255.255"),
        ("0177.0.0.01", "127.0.0.1"),
        ("0X7F.0x0.0.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("4294967295", "255.255.255.255"),
        ("000000000000000000000000000000000177.1", "127.0.0.1"),
        ("4294967296", None),
        ("256.1", None),
        ("1.256.1", None),
        ("1.2.65536", None),
        ("1.2.3.256", None),
        ("1.2.3.4.5", None),
        ("08", None),
        ("0x", None),
        ("1.", None),
        ("a.1", None),
    ],
)
def test_a_number_is_the_address_that_it_fills(host: str, address: str | None) -> None:
    """One to four parts in any base, the last one as long as it needs to be; nothing wraps round."""
    assert numeric(host)
    assert spelled(host) == (address and IPv4Address(address))


@pytest.mark.parametrize("host", ["example.com", "1.example", "0x7g", "1e3", "", ".", "1-1", "\u0661"])
def test_names_are_no_numbers(host: str) -> None:
    """Nor is a digit of another script, which the URL's own reading turns into ours before."""
    assert not numeric(host)


PART = st.one_of(
    st.integers(0, 2**33).map(str),
    st.integers(0, 2**33).map(hex),
    st.integers(0, 2**33).map("0{:o}".format),
    st.integers(0, 300).map(str),
)


@given(st.lists(PART, min_size=1, max_size=5).map(".".join))
def test_the_system_reads_the_same(host: str) -> None:
    """Where `inet_aton` reads an address, it is this one; where it reads none, there is none."""
    try:
        address = IPv4Address(socket.inet_aton(host))
    except OSError:
        address = None
    assert spelled(host) == address

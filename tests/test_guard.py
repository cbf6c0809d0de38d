"""The guard: which addresses may be dialled, whatever they are spelled like, and what the operator may open."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import AddressRefused, ConfigurationError, Malformed
from receiver.guard import Guard
from receiver.settings import read_settings
from tests.addresses import look_up, spellings

pytestmark = pytest.mark.anyio

FORBIDDEN = {
    "metadata": "169.254.169.254 fd00:ec2::254 fd00:ec2::23 100.100.100.200 168.63.129.16 192.0.0.192",
    "loopback": "127.0.0.1 127.0.0.0 127.1.2.3 127.255.255.255 ::1 0:0:0:0:0:0:0:1",
    "private": "10.0.0.0 10.1.2.3 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.1.1 192.168.255.255"
    " fc00:: fc00::1 fd12:3456::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "link-local": "169.254.0.0 169.254.0.1 169.254.170.2 169.254.255.255 fe80::1 fe80::1%eth0 fe80::1%1"
    " febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "site-local": "fec0:: fec0::1 feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "unspecified": "0.0.0.0 0.0.0.1 0.255.255.255 ::",
    "shared by a carrier": "100.64.0.0 100.64.0.1 100.127.255.255",
    "documentation": "192.0.2.1 198.51.100.1 203.0.113.255 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 3fff::"
    " 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "6to4": "192.88.99.1 2002:: 2002:7f00:1::1 2002:808:808::1 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "Teredo": "2001:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
    "benchmarking": "198.18.0.0 198.19.255.255",
    "multicast": "224.0.0.0 224.0.0.1 239.255.255.255 ff00:: ff02::1 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "reserved": "192.0.0.0 192.0.0.8 192.0.0.255 240.0.0.0 255.255.255.255 2001:2::1 2001:20::1 2001:1ff:ffff::"
    " 100:: 100::1 5f00:: 5f00::1",
    "IPv4-mapped": "::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8 ::ffff:0:0 ::ffff:169.254.169.254",
    "IPv4-compatible": "::7f00:1 ::127.0.0.1 ::8.8.8.8 ::2",
    "IPv4-translated": "::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8",
    "NAT64": "64:ff9b:: 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b::169.254.169.254 64:ff9b:1::1",
    "unallocated": "1::1 100:0:0:1:: 400::1 1fff:: 4000:: 4000::1 8000::1 e000::1 fe00::1 64:ff9b:2::1 64:ff9a::1",
    "not an address": "example.com 1.2.3 2130706433 0x7f.1 127.0.0.1. 1.2.3.4.5 ::g fe80: 01.2.3.4",
}
ALLOWED = """
    1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0
    192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0
    203.0.112.255 203.0.114.0 223.255.255.255 2000:: 2001:200:: 2001:4860:4860::8888 2001:db7:ffff:: 2001:db9::
    2003:: 2606:4700::1111 2a00:1450::1 3ffe:: 3fff:1000:: 3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
"""
CASES = [(address, name) for name, addresses in FORBIDDEN.items() for address in addresses.split()]


@pytest.mark.parametrize(("address", "name"), CASES)
def test_forbidden_addresses_are_refused_by_the_name_of_their_range(address: str, name: str) -> None:
    """Every range of the table, at its edges and in every way to write it."""
    assert Guard().refusal(address, "hooks.example") == name


@pytest.mark.parametrize("address", ALLOWED.split())
def test_public_addresses_may_be_dialled(address: str) -> None:
    """The neighbours of every forbidden range are open."""
    assert Guard().refusal(address, "hooks.example") is None


@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_is_never_open(address: object) -> None:
    """The table is stricter than `ipaddress`, never laxer."""
    ip = ip_address(str(address))
    if ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_link_local or ip.is_loopback or ip.is_unspecified:
        assert Guard().refusal(str(ip), "hooks.example") is not None


@pytest.mark.parametrize(("address", "name"), [case for case in CASES if case[1] != "not an address"])
def test_the_remedy_opens_exactly_what_was_refused(address: str, name: str) -> None:
    """The line that a refusal prints, set as printed, lets the same target through and no neighbour range."""
    with pytest.raises(AddressRefused) as refused:
        Guard().judge("https://hooks.example/x", [address])
    variable, _, line = refused.value.remedy.partition("=")
    assert variable == "TASKWEIR_ALLOW_NETWORKS"
    assert name in str(refused.value)
    opened = Guard(line)
    opened.judge("https://hooks.example/x", [address])
    assert opened.refusal("172.20.20.20", "hooks.example") == "private"


def test_remedies_read_as_the_contract_says() -> None:
    """One address as a CIDR, loopback by its word."""
    for address, line in {
        "10.1.2.3": "TASKWEIR_ALLOW_NETWORKS=10.1.2.3/32",
        "127.0.0.1": "TASKWEIR_ALLOW_NETWORKS=loopback",
        "::1": "TASKWEIR_ALLOW_NETWORKS=loopback",
        "fd12::1": "TASKWEIR_ALLOW_NETWORKS=fd12::1/128",
        "64:ff9b::10.0.0.1": "TASKWEIR_ALLOW_NETWORKS=64:ff9b::a00:1/128,10.0.0.1/32",
        "what?": "TASKWEIR_ALLOW_NETWORKS=hooks.example",
    }.items():
        with pytest.raises(AddressRefused) as refused:
            Guard().judge("https://hooks.example/", [address])
        assert refused.value.remedy == line


def _line(allowed: str, url: str, addresses: list[str]) -> str | None:
    try:
        Guard(allowed).judge(url, addresses)
    except AddressRefused as refused:
        return refused.remedy
    return None


def test_the_printed_line_alone_opens_every_spelling_of_the_corpus() -> None:
    """Put into the environment as it is printed, whatever was set before, it opens all that stood in the way."""
    keys = {"TASKWEIR_API_KEY": "k" * 16, "TASKWEIR_SECRET_KEY": "s" * 32}
    urls = [spelling.url for spelling in spellings(4000) if spelling.range is not None]
    assert len(urls) > 400
    for url in urls:
        addresses = [str(address[0]) for *_, address in look_up(Guard.check_url(url).raw_host or "", 4000)]
        lines = {_line(before, url, addresses) for before in ("", "64:ff9b::/96,::ffff:0:0/96,2002::/16,10.0.0.1")}
        assert lines - {None}, url
        for line in lines - {None}:
            name, _, value = (line or "").partition("=")
            settings = read_settings({**keys, name: value}, {})
            assert _line(settings.allow_networks, url, addresses) is None, (url, line)


def test_a_crowd_of_addresses_is_opened_by_its_name() -> None:
    """A line with forty networks would be cut where it is shown; the others name each address."""
    for count, line in ((8, ",".join(f"10.0.0.{number}/32" for number in range(8))), (40, "hooks.example")):
        with pytest.raises(AddressRefused) as refused:
            Guard().judge("https://hooks.example/", ["8.8.8.8", *(f"10.0.0.{number}" for number in range(count))])
        assert refused.value.remedy == f"TASKWEIR_ALLOW_NETWORKS={line}"


def test_a_refusal_for_people_ends_with_the_line() -> None:
    """Why, and what the operator would add."""
    with pytest.raises(AddressRefused) as refused:
        Guard().judge("http://hooks.example/", ["10.0.0.9", "127.0.0.1"])
    assert refused.value.told == (
        "hooks.example is at 10.0.0.9, which is private; the operator may allow it, beside what is allowed already: "
        "TASKWEIR_ALLOW_NETWORKS=10.0.0.9/32,loopback"
    )
    assert AddressRefused("no way").told == "no way"


def test_one_forbidden_address_among_many_refuses_the_host() -> None:
    """A name with a public and a private address could be dialled at either."""
    with pytest.raises(AddressRefused, match=r"^hooks\.example is at 10\.0\.0\.9, which is private$"):
        Guard().judge("https://hooks.example/", ["8.8.8.8", "2606:4700::1111", "10.0.0.9"])
    Guard().judge("https://hooks.example/", ["8.8.8.8", "2606:4700::1111"])


def test_a_host_without_an_address_is_malformed() -> None:
    """Contract: a host that does not resolve when saved is 422."""
    with pytest.raises(Malformed, match=r"hooks\.example does not resolve"):
        Guard().judge("https://hooks.example/", [])


# --- what the operator opens ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "opened", "closed"),
    [
        ("loopback", ["127.0.0.1", "127.9.9.9", "::1"], ["10.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"]),
        ("LOOPBACK", ["127.0.0.1"], ["10.0.0.1"]),
        ("private", ["10.0.0.1", "172.16.0.1", "192.168.0.1", "fd12::1"], ["127.0.0.1", "169.254.169.254"]),
        ("private", [], ["fd00:ec2::254", "100.64.0.1", "100.100.100.200", "fe80::1"]),
        ("10.1.0.0/16", ["10.1.2.3"], ["10.2.0.1", "127.0.0.1"]),
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.4"]),
        ("fd12::/16", ["fd12::1"], ["fd13::1"]),
        ("::1", ["::1"], ["127.0.0.1"]),
        (" 10.1.2.3 ,, loopback, ", ["10.1.2.3", "127.0.0.1"], ["10.1.2.4"]),
        ("0.0.0.0/0", ["10.1.2.3", "127.0.0.1", "169.254.169.254", "8.8.8.8"], ["::1"]),
        ("64:ff9b::/96", ["64:ff9b::8.8.8.8"], ["64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254"]),
        ("64:ff9b::/96,private", ["64:ff9b::10.0.0.1"], ["64:ff9b::127.0.0.1"]),
        ("::ffff:0:0/96", ["::ffff:8.8.8.8"], ["::ffff:127.0.0.1"]),
        ("2002::/16", ["2002:808:808::1"], ["2002:7f00:1::1", "2002:a00:1::"]),
        ("2001::/32", ["2001:0:4136:e378:8000:63bf:f7f7:f7f7"], ["2001:0:4136:e378:8000:63bf:80ff:fffe"]),
        ("", ["8.8.8.8"], ["10.0.0.1"]),
    ],
)
def test_settings_open_what_they_name_and_nothing_else(setting: str, opened: list[str], closed: list[str]) -> None:
    """Words, networks and single addresses; an address inside another one is judged for itself."""
    guard = Guard(setting)
    assert [address for address in opened if guard.refusal(address, "h.example") is not None] == []
    assert [address for address in closed if guard.refusal(address, "h.example") is None] == []


@pytest.mark.parametrize("entry", ["Intern.Example", "intern.example."])
def test_a_host_name_opens_whatever_it_resolves_to(entry: str) -> None:
    """By name, in any case, with or without the root's dot; no other name gains by it."""
    guard = Guard(f"8.8.8.8, {entry}")
    for host in ("intern.example", "INTERN.EXAMPLE", "intern.example."):
        guard.judge(f"http://{host}:8080/x", ["10.0.0.1", "127.0.0.1", "169.254.169.254"])
    for host in ("x.intern.example", "example", "intern.example.org", "10.0.0.1"):
        assert guard.refusal("10.0.0.1", host) == "private"


BAD_ENTRIES = """
    10.1.2.3/8  10.1.2  10.1.2.300  10.0.0.0/33  0x7f.1  2130706433  127.1  *.intern.example  a;b  http://intern.example
    intern.example:80  -a.example  a..b  [::1]  fe80::1%eth0  fe80::%1/10  ::1/129  ü.example
"""


@pytest.mark.parametrize("entry", [*BAD_ENTRIES.split(), "a b"])
def test_a_bad_entry_stops_the_start_and_is_named(entry: str) -> None:
    """The operator's mistake is told with the entry, not guessed at."""
    with pytest.raises(ConfigurationError, match="TASKWEIR_ALLOW_NETWORKS") as error:
        Guard(f"loopback,{entry}")
    assert entry in error.value.hint


def test_a_network_with_host_bits_is_spelled_out() -> None:
    """10.1.2.3/8 may mean an address or a network: the hint says which network it would be."""
    with pytest.raises(ConfigurationError) as error:
        Guard("10.1.2.3/8")
    assert error.value.hint == "Write 10.0.0.0/8 instead of 10.1.2.3/8."


# --- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "target"),
    [
        ("https://hooks.example/a%2Fb?x=%27#frag", "https", "hooks.example", 443, "/a%2Fb?x=%27"),
        ("HTTP://Hooks.Example:8080", "http", "Hooks.Example", 8080, "/"),
        ("http://hooks.example?x=1", "http", "hooks.example", 80, "/?x=1"),
        ("http://hooks.example:/x", "http", "hooks.example", 80, "/x"),
        ("http://hooks.example./", "http", "hooks.example.", 80, "/"),
        ("http://[2606:4700::1111]:81/", "http", "2606:4700::1111", 81, "/"),
        ("http://a_b.example:65535/@x", "http", "a_b.example", 65535, "/@x"),
        ("http://faß.example/ü", "http", "xn--fa-hia.example", 80, "/%C3%BC"),
        ("http://①②⑦.⓪.⓪.①/", "http", "127.0.0.1", 80, "/"),
        ("http://127。0。0。1/", "http", "127.0.0.1", 80, "/"),
        ("http://0x7f.1:81/%7e", "http", "127.0.0.1", 81, "/%7e"),
        ("http://2130706433/?x=%27", "http", "127.0.0.1", 80, "/?x=%27"),
        ("http://08.example/", "http", "08.example", 80, "/"),
        ("https://x.example/" + "a" * (2048 - 18), "https", "x.example", 443, "/" + "a" * (2048 - 18)),
    ],
)
def test_usable_urls(url: str, scheme: str, host: str, port: int, target: str) -> None:
    """What is dialled is what was read, path and query as written."""
    parsed = Guard.check_url(url)
    assert (parsed.scheme, parsed.raw_host, parsed.port, parsed.raw_path_qs) == (scheme, host, port, target)


UNUSABLE = r"""
    x  /x  //h/x  http:  http:x  http:/x  http://  http:///x  http://?x  http://#x  http://:80/
    ftp://h/  file:///etc/passwd  gopher://h/  javascript:1  httpx://h/  ws://h/
    http://u@h/  http://u:p@h/  http://@h/  http://h@/  http://8.8.8.8@127.0.0.1/
    http://h:0/  http://h:65536/  http://h:99999/  http://h:8o/  http://h:-1/  http://h:+80/  http://h:8_0/
    http://h:٨٠/  http://h:80:90/  http://h:000080/  http://h\x/  http://h/\x
    http://[::1  http://::1/  http://[::g]/  http://[::1]x/  http://[fe80::1%25eth0]/  http://[fe80::1%eth0]/
    http://[127.0.0.1]/  http://[v1.a]/  http://[]/  http://h%2e/  http://ex%61mple.com/  http://a%00b/
    http://1.2.3.4.5/  http://256.1.1.1/  http://1.2.3.4./  http://08/  http://0x/  http://a.1/  http://4294967296/
    http://a..b/  http://./  http://.../  http://-a/  http://a!b/  http://a,b/  http://a|b/  http://<x>/
"""
UNUSABLE_CHARACTERS = [f"http://h/{odd}" for odd in " \t\n\r\x00\x1f\x7f\x85\u00a0\u2028\u3000\ud800"]
UNUSABLE_HOSTS = [f"http://a{odd}b.example/" for odd in " \t\n\u3000\uff20\uff0f\uff03\uff1f\uff1a\u2100\u00ad\ud800"]
TOO_LONG = ["http://" + "a" * 64 + ".example/", "http://h/" + "a" * 2040]


@pytest.mark.parametrize("url", ["", " http://h/", *UNUSABLE.split(), *UNUSABLE_CHARACTERS, *UNUSABLE_HOSTS, *TOO_LONG])
def test_unusable_urls_are_malformed(url: str) -> None:
    """A URL that two readers could take for two targets is refused outright."""
    with pytest.raises(Malformed):
        Guard.check_url(url)


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_malformed(text: str) -> None:
    """Nothing but `Malformed` comes of hostile text, and what passes has one readable host."""
    for url in (text, f"http://{text}", f"http://h.example/{text}"):
        try:
            parsed = Guard.check_url(url)
        except Malformed:
            continue
        assert parsed.raw_host
        assert parsed.raw_host.isascii()

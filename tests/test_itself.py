"""Which targets are this server itself: events sent there would come back."""

import pytest
from yarl import URL

from receiver.itself import Itself


def listening(
    host: str, *, public_url: str | None = None, here: str = "127.0.0.1 127.9.9.9 192.0.2.2 ::1 fd00::2"
) -> Itself:
    return Itself(host=host, port=8080, public_url=public_url, is_here=lambda address: address in here.split())


@pytest.mark.parametrize(
    ("host", "itself", "others"),
    [
        (
            "127.0.0.1",
            "127.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 0.0.0.0 ::",
            "127.0.0.2 192.0.2.2 ::1 8.8.8.8 10.0.0.1",
        ),
        ("::1", "::1 :: 0.0.0.0", "127.0.0.1 fd00::2 fe80::1%lo"),
        ("192.0.2.2", "192.0.2.2 ::ffff:192.0.2.2 0.0.0.0", "127.0.0.1 192.0.2.3"),
        ("0.0.0.0", "127.0.0.1 127.9.9.9 192.0.2.2 ::1 fd00::2 0.0.0.0 :: 64:ff9b::192.0.2.2", "192.0.2.3 8.8.8.8"),
        ("::", "127.0.0.1 192.0.2.2 ::1 fd00::2 ::ffff:192.0.2.2", "fd00::3 172.17.0.2"),
        ("localhost", "127.0.0.1 ::1", "192.0.2.3 not-an-address"),
    ],
)
def test_where_the_listening_socket_is_reached(host: str, itself: str, others: str) -> None:
    """At its own address however it is written; at all of this machine's where it listens on all, or on a name."""
    here = listening(host)
    assert [address for address in itself.split() if not here.is_at(address, 8080)] == []
    assert [address for address in others.split() if here.is_at(address, 8080)] == []
    assert [address for address in itself.split() if here.is_at(address, 8081)] == []


@pytest.mark.parametrize(
    ("public_url", "named", "others"),
    [
        (
            "https://Tasks.Example",
            "https://tasks.example/ https://TASKS.example.:443/callbacks/x https://tasks.example?x",
            "http://tasks.example/ https://tasks.example:8443/ https://x.tasks.example/ https://tasks.example.org/",
        ),
        (
            "http://tasks.example:8080",
            "http://tasks.example:8080/hook https://tasks.example:8080/",
            "http://tasks.example/",
        ),
        (
            "https://b\u00fccher.example",
            "https://xn--bcher-kva.example/ https://B\u00dcCHER.example/",
            "https://bucher.example/",
        ),
        (
            "http://203.0.113.9",
            "http://203.0.113.9/ http://203.0.113.9:80/x",
            "http://203.0.113.8/ https://203.0.113.9/",
        ),
        ("http://0xcb007109", "http://203.0.113.9/", "http://203.0.113.10/"),
        ("http://[2001:DB8:0::1]:80", "http://[2001:db8::1]/", "http://[2001:db8::2]/"),
        (None, "", "http://127.0.0.1:8080/ http://tasks.example/"),
        ("http://[", "", "http://127.0.0.1:8080/ http://tasks.example/"),
    ],
)
def test_the_public_url_names_this_server(public_url: str | None, named: str, others: str) -> None:
    """By host and port, however they are written; another port or another host is another server."""
    here = listening("127.0.0.1", public_url=public_url)
    assert [url for url in named.split() if not here.is_named(URL(url))] == []
    assert [url for url in others.split() if here.is_named(URL(url))] == []

"""Users' own headers: what may go with a webhook, and what would change who reads it, and how."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.header_policy import MOST, MOST_BYTES, header_faults, merged

FORBIDDEN = (
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "TE",
    "Upgrade",
    "Expect",
    "Trailer",
    "Keep-Alive",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Proxy-",
    "webhook-id",
    "Webhook-Signature",
    "webhook-anything",
    "svix-id",
    "SVIX-SIGNATURE",
    "ce-id",
    "CE-Type",
    "Content-Type",
    "Content-Encoding",
    "Accept-Encoding",
)
TAKEN = ("X-Team", "Authorization", "User-Agent", "Accept", "Cookie", "x_1", "!#$%&'*+-.^_`|~", "Host-Name", "Cell")
TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def paths(headers: dict[str, str]) -> list[str]:
    return [fault.path for fault in header_faults(headers)]


@pytest.mark.parametrize("name", [*FORBIDDEN, *(name.swapcase() for name in FORBIDDEN)])
def test_what_is_ours_cannot_be_set(name: str) -> None:
    """Framing, hops, signature and format, in whatever case; the name is told."""
    assert paths({name: "x"}) == [f"headers.{name}"]
    assert paths({"X-Team": "blue", name: "x"}) == [f"headers.{name}"]


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_the_users_can_be_set(name: str) -> None:
    """Authorization and User-Agent among them."""
    assert paths({name: "Bearer a b"}) == []


@pytest.mark.parametrize("name", ["", " ", "a b", "a:b", "a\r\nb", "a\n", "a\x00", "ä", "(x)", "a/b", '"a"', "X-Ä"])
def test_a_name_is_a_token(name: str) -> None:
    """Nothing that would end its line or read as another name."""
    assert paths({name: "x"}) == [f"headers.{name}"]


@pytest.mark.parametrize(
    "value", ["", " ", " a", "a ", "a\r\nX-Evil: 1", "a\nb", "a\tb", "a\x00", "ä", "\x7f", "a\u2028b", "😀"]
)
def test_a_value_is_visible_ascii(value: str) -> None:
    """It stays in its line; and it is never told again."""
    [fault] = header_faults({"X-Team": value})
    assert fault.path == "headers.X-Team"
    assert not value.strip() or value not in fault.message


def test_a_name_stands_once() -> None:
    """Whatever its case: a server would join the two, or take one of them."""
    assert paths({"X-Team": "a", "x-team": "b"}) == ["headers.x-team"]


def test_there_are_not_too_many() -> None:
    """Fifty, and 4 KiB with their names."""
    assert paths({f"x-{number}": "v" for number in range(MOST)}) == []
    assert paths({f"x-{number}": "v" for number in range(MOST + 1)}) == ["headers"]
    assert paths({"x-long": "v" * (MOST_BYTES - 6)}) == []
    assert paths({"x-long": "v" * (MOST_BYTES - 5)}) == ["headers"]


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4))
def test_whatever_passes_cannot_leave_its_line(headers: dict[str, str]) -> None:
    """Of any text at all, only tokens and printable ASCII come through, and no name of ours."""
    wrong = {path.removeprefix("headers.") for path in paths(headers)}
    for name, value in headers.items():
        if name not in wrong:
            assert name
            assert set(name) <= set(TOKEN)
            assert value.strip() == value != ""
            assert value.isascii()
            assert value.isprintable()
            assert name.lower() not in {each.lower() for each in FORBIDDEN}
            assert not name.lower().startswith(("proxy-", "webhook-", "svix-", "ce-"))


def test_a_merge_patch_names_what_it_changes() -> None:
    """The rest stays; None deletes, in whatever case the name is written; the new spelling counts."""
    kept = {"X-Team": "1", "X-Key": "2"}
    assert merged(kept, {}) == kept
    assert merged(kept, {"x-team": None}) == {"X-Key": "2"}
    assert merged(kept, {"x-team": "3", "X-New": "4"}) == {"X-Key": "2", "x-team": "3", "X-New": "4"}
    assert merged(kept, {"X-Absent": None}) == kept

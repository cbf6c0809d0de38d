"""Sealing: what a stolen or shuffled store gives away, which is nothing."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import ConfigurationError, NotVerified
from receiver.sealing import Seal

OLD, NEW = "old-" + "k" * 40, "new-" + "k" * 40
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SEAL = Seal([NEW])


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_secret_comes_back(secret: str) -> None:
    """Any text, under the row it was sealed for."""
    assert SEAL.open(SEAL.seal(secret, row="dst_1"), row="dst_1") == secret


def test_the_sealed_text_shows_nothing() -> None:
    """Not the secret, not whether two secrets are equal; the form is `v1:<key id>:<base64>`."""
    first, second = SEAL.seal(SECRET, row="dst_1"), SEAL.seal(SECRET, row="dst_1")
    version, key_id, text = first.split(":")
    assert version == "v1"
    assert len(base64.b64decode(text, validate=True)) == 12 + len(SECRET) + 16
    assert first != second
    assert key_id == second.split(":")[1]
    assert SECRET not in first
    assert SECRET.encode() not in base64.b64decode(text)
    assert NEW not in repr(vars(SEAL))


def test_another_row_cannot_use_it() -> None:
    """A ciphertext copied between rows does not open."""
    with pytest.raises(NotVerified):
        SEAL.open(SEAL.seal(SECRET, row="dst_1"), row="dst_2")


def test_every_changed_character_is_noticed() -> None:
    """Each character of the text stands under the tag, or under the choice of the key."""
    sealed = SEAL.seal(SECRET, row="dst_1")
    for at in range(len(sealed)):
        other = "B" if sealed[at] != "B" else "C"
        with pytest.raises(NotVerified):
            SEAL.open(sealed[:at] + other + sealed[at + 1 :], row="dst_1")


@pytest.mark.parametrize(
    "text", ["", "v1", "v1:", "v1::", "v2:{id}:AAAA", "v1:{id}", "v1:{id}:", "v1:{id}:AAAA", "v1:{id}:*", "v1:{id}:ä"]
)
def test_garbage_is_not_verified(text: str) -> None:
    """Whatever a damaged column holds, there is one error."""
    key_id = SEAL.seal("x", row="r").split(":")[1]
    with pytest.raises(NotVerified):
        SEAL.open(text.replace("{id}", key_id), row="dst_1")


@given(st.text(max_size=80))
def test_no_text_raises_anything_else(text: str) -> None:
    """Fuzz behind a key id that is known."""
    key_id = SEAL.seal("x", row="r").split(":")[1]
    with pytest.raises(NotVerified):
        SEAL.open(f"v1:{key_id}:{text}", row="dst_1")


def test_keys_rotate() -> None:
    """The first key seals, all open; a key taken out opens nothing more."""
    before = Seal([OLD]).seal(SECRET, row="dst_1")
    both = Seal([NEW, OLD])
    assert both.open(before, row="dst_1") == SECRET
    after = both.seal(SECRET, row="dst_1")
    assert Seal([NEW]).open(after, row="dst_1") == SECRET
    for seal, sealed in ((Seal([NEW]), before), (Seal([OLD]), after)):
        with pytest.raises(NotVerified, match="TASKWEIR_SECRET_KEY"):
            seal.open(sealed, row="dst_1")


def test_without_a_key_there_is_no_seal() -> None:
    """An empty setting is the operator's mistake, told at the start."""
    with pytest.raises(ConfigurationError):
        Seal([])


def test_the_text_of_an_older_release_still_opens() -> None:
    """What was sealed once must open for ever: derivation and form are pinned."""
    sealed = "v1:c3f4d93ad3ae:B2C07ZtjW1jr2Oi8arvltr994pEWcN/3ixjXrsDt8erd8UFjY3MprQ=="
    assert Seal(["a" * 32]).open(sealed, row="dst_pinned") == "whsec_pinned"

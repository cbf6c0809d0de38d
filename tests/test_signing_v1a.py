"""Signing with key pairs: ed25519 as the rest of the world has it, and no way from one scheme into the other."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.domain import Scheme
from receiver.errors import Malformed, NotVerified
from receiver.signing import check_secret, new_secret, public_key, scheme_of, sign, verify

# The key pair of RFC 8032, section 7.1, test 1; the signature was made by OpenSSL through Node's `crypto.sign`.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
POINT = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
PRIVATE = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
PUBLIC = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
ID, SECONDS, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
CONTENT = f"{ID}.{SECONDS}.".encode() + BODY
SIGNATURE = "v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw=="
GOOD = {"webhook-id": ID, "webhook-timestamp": str(SECONDS), "webhook-signature": SIGNATURE}
NOW = SECONDS * 1000
SHARED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = new_secret(bytes(range(32)), Scheme.V1A)
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the curve's group
RAW = base64.b64decode(SIGNATURE[4:])


def is_ours(headers: Mapping[str, str], *keys: str, body: bytes = BODY, now: int = NOW) -> bool:
    try:
        verify(headers, body, keys, now=now)
    except NotVerified:
        return False
    return True


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_the_known_key_signs_as_openssl_does() -> None:
    """Ed25519 is deterministic: the same key and message give the same bytes everywhere."""
    assert sign([PRIVATE], message_id=ID, at=NOW + 999, body=BODY) == GOOD
    assert public_key(PRIVATE) == PUBLIC
    assert is_ours(GOOD, PUBLIC)
    assert is_ours(GOOD, PRIVATE)


@pytest.mark.parametrize(
    "form",
    [PRIVATE, PRIVATE.rstrip("="), f" {PRIVATE}\n", f"whsk_{encoded(SEED + POINT)}"],
    ids=["as shown", "unpadded", "pasted", "64 bytes"],
)
def test_private_keys_are_read_in_every_usual_form(form: str) -> None:
    """With or without padding and spaces around; libraries that keep seed and public key together write 64 bytes."""
    check_secret(form, Scheme.V1A)
    assert public_key(form) == PUBLIC
    assert sign([form], message_id=ID, at=NOW, body=BODY) == GOOD


@pytest.mark.parametrize("form", [PUBLIC, PUBLIC.rstrip("="), f" {PUBLIC}\n"])
def test_public_keys_are_read_in_every_usual_form(form: str) -> None:
    """However a consumer pastes it."""
    assert is_ours(GOOD, form)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_whatever_is_signed_verifies_and_nothing_else(seed: bytes, body: bytes) -> None:
    """Any key, any bytes; with the public key alone, and with no other one."""
    secret = new_secret(seed, Scheme.V1A)
    headers = sign([secret], message_id=ID, at=NOW, body=body)
    assert is_ours(headers, public_key(secret), body=body)
    assert not is_ours(headers, public_key(secret), body=body + b"x")
    assert not is_ours(headers, PUBLIC, body=body)


def test_each_secret_signs_by_its_own_scheme() -> None:
    """While a destination changes from one scheme to the other, either side of the change verifies."""
    headers = sign([PRIVATE, SHARED, OTHER], message_id=ID, at=NOW, body=BODY)
    assert [each.partition(",")[0] for each in headers["webhook-signature"].split(" ")] == ["v1a", "v1", "v1a"]
    for key in (PUBLIC, PRIVATE, SHARED, OTHER, public_key(OTHER)):
        assert is_ours(headers, key)
    assert (scheme_of(PRIVATE), scheme_of(SHARED), scheme_of(SHARED[6:])) == (Scheme.V1A, Scheme.V1, Scheme.V1)


def test_every_part_is_signed() -> None:
    """Another id, time or body is another message, and an old one is not played again."""
    assert not is_ours(GOOD | {"webhook-id": ID + "x"}, PUBLIC)
    assert not is_ours(GOOD | {"webhook-timestamp": str(SECONDS + 1)}, PUBLIC)
    assert not is_ours(GOOD, PUBLIC, body=BODY + b" ")
    assert not is_ours(GOOD, PUBLIC, now=NOW + 301_000)


def hmac_entry(key: bytes) -> str:
    return "v1," + encoded(hmac.digest(key, CONTENT, hashlib.sha256))


@pytest.mark.parametrize(
    "key",
    [POINT, PUBLIC.encode(), PUBLIC[5:].encode(), SEED, PRIVATE.encode(), b""],
    ids=["the point", "its text", "its base64", "the seed", "the seed's text", "nothing"],
)
@pytest.mark.parametrize("held", [PUBLIC, PRIVATE])
def test_a_public_key_is_never_an_hmac_key(held: str, key: bytes) -> None:
    """Whoever knows the public key could make such entries; `v1` is not judged by key pairs, under no name."""
    for entry in (hmac_entry(key), hmac_entry(key).replace("v1,", "v1a,"), f"v1a,x {hmac_entry(key)}"):
        assert not is_ours(GOOD | {"webhook-signature": entry}, held)
    with pytest.raises(Malformed):
        check_secret(PUBLIC, Scheme.V1)
    with pytest.raises(Malformed):
        sign([PUBLIC], message_id=ID, at=NOW, body=BODY)


def test_a_shared_secret_judges_no_key_pairs_entries() -> None:
    """Not even where its bytes are those of a public key."""
    same_bytes = f"whsec_{encoded(POINT)}"
    assert not is_ours(GOOD, same_bytes)
    assert not is_ours(GOOD | {"webhook-signature": SIGNATURE.replace("v1a,", "v1,")}, same_bytes)
    assert is_ours(GOOD | {"webhook-signature": hmac_entry(POINT)}, same_bytes)


def malleated() -> bytes:
    """The same signature with the group's order added to its second half, which a careless verifier accepts."""
    return RAW[:32] + (int.from_bytes(RAW[32:], "little") + ORDER).to_bytes(32, "little")


HOSTILE = {
    "no entry": "", "a comma": ",", "the version alone": "v1a", "nothing behind it": "v1a,", "padding": "v1a,====",
    "one character": "v1a,A", "not base64": "v1a,*", "not ASCII": "v1a,ä", "a lone surrogate": "v1a,\ud800",
    "NUL": "v1a,\x00", "as v1": SIGNATURE.replace("v1a", "v1"), "as v2": SIGNATURE.replace("v1a", "v2"),
    "in capitals": SIGNATURE.replace("v1a", "V1A"), "no version": SIGNATURE[4:], "two versions": "v1a," + SIGNATURE,
    "a semicolon": SIGNATURE.replace(",", ";"), "a space inside": SIGNATURE.replace(",", ", "),
    "a line end": SIGNATURE + "\n", "unpadded": SIGNATURE.rstrip("="), "padded twice": SIGNATURE + "==",
    "base64url": SIGNATURE.replace("z", "_"),
    "spare bits set": SIGNATURE.replace("Aw==", "Ax=="), "hex": "v1a," + RAW.hex(),
    "cut": "v1a," + encoded(RAW[:63]), "longer": "v1a," + encoded(RAW + b"\x00"), "half": "v1a," + encoded(RAW[:32]),
    "zeros": "v1a," + encoded(bytes(64)), "ones": "v1a," + encoded(b"\xff" * 64),
    "R of zeros": "v1a," + encoded(bytes(32) + RAW[32:]), "S of zeros": "v1a," + encoded(RAW[:32] + bytes(32)),
    "S and the order": "v1a," + encoded(malleated()), "R and S swapped": "v1a," + encoded(RAW[32:] + RAW[:32]),
    "one bit of R": "v1a," + encoded(bytes([RAW[0] ^ 1]) + RAW[1:]),
    "one bit of S": "v1a," + encoded(RAW[:63] + bytes([RAW[63] ^ 128])),
    "very many": " ".join(["v1a," + encoded(bytes(64))] * 5000), "very long": "v1a," + "A" * 400_000,
}  # fmt: skip


@pytest.mark.parametrize("signature", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_signatures_are_not_verified(signature: str) -> None:
    """`NotVerified`, whatever the text, by the public key and by the private one."""
    for key in (PUBLIC, PRIVATE):
        with pytest.raises(NotVerified):
            verify(GOOD | {"webhook-signature": signature}, BODY, [key], now=NOW)


def test_a_good_entry_is_found_among_others() -> None:
    """Whatever stands before it, within reason: of thousands only the first twenty are tried."""
    wrong = "v1a," + encoded(bytes(64))
    assert is_ours(GOOD | {"webhook-signature": f"v1,x v1a garbage v1a,x {wrong} {SIGNATURE}"}, PUBLIC)
    assert not is_ours(GOOD | {"webhook-signature": " ".join([wrong] * 20 + [SIGNATURE])}, PUBLIC)


@given(st.text(st.characters(), max_size=200), st.sampled_from([PUBLIC, PRIVATE]))
def test_nothing_but_not_verified_is_raised(text: str, key: str) -> None:
    """Any text where the signature stands, and any key that is none."""
    for signature in (text, f"v1a,{text}"):
        with pytest.raises(NotVerified):
            verify(GOOD | {"webhook-signature": signature}, BODY, [key], now=NOW)
    for prefix in ("whpk_", "whsk_", "whsec_"):
        with pytest.raises(NotVerified):
            verify(GOOD, BODY, [prefix + text], now=NOW)


# --- keys -------------------------------------------------------------------------------------------------------------

KEY = encoded(bytes(range(32)))
NO_PRIVATE_KEYS = [
    "", "whsk_", "whsk_*", "whsk_ä", "whsk_\ud800", "whsk_A", "whsk_" + encoded(bytes(31)),
    "whsk_" + encoded(bytes(33)), "whsk_" + encoded(bytes(63)), "whsk_" + encoded(bytes(65)),
    "whsk_" + encoded(SEED + SEED), "whsk_" + "A" * 10_000, KEY, f"whsec_{KEY}", f"whpk_{KEY}", f"v1a,whsk_{KEY}",
    f"WHSK_{KEY}", f"whsk_{KEY[:8]} {KEY[8:]}",
]  # fmt: skip


@pytest.mark.parametrize("secret", NO_PRIVATE_KEYS)
def test_what_is_no_private_key_is_malformed(secret: str) -> None:
    """The message tells the rule, never the key."""
    uses: list[Callable[[], object]] = [lambda: check_secret(secret, Scheme.V1A), lambda: public_key(secret)]
    for use in uses:
        with pytest.raises(Malformed, match=r"whsk_ and base64 of 32 bytes") as error:
            use()
        assert len(secret) < 6 or secret not in str(error.value)


@pytest.mark.parametrize("secret", [PRIVATE, PUBLIC, "swordfish", "whsec_" + encoded(bytes(23))])
def test_what_cannot_sign_as_v1_is_malformed(secret: str) -> None:
    """A private key is told to be one; the remedy is the other scheme."""
    with pytest.raises(Malformed, match=r"whsec_ and base64|24 to 64 bytes") as error:
        check_secret(secret, Scheme.V1)
    assert secret not in str(error.value)
    assert ("v1a" in str(error.value)) is (secret == PRIVATE)


@pytest.mark.parametrize("scheme", Scheme)
def test_a_new_secret_signs_by_its_scheme(scheme: Scheme) -> None:
    """What is generated passes the check that a user's own does."""
    secret = new_secret(SEED, scheme)
    check_secret(secret, scheme)
    assert scheme_of(secret) is scheme
    assert is_ours(sign([secret], message_id=ID, at=NOW, body=BODY), secret)

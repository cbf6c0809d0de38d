"""The secrets of destinations: made, sealed, merged, and opened where one must be shown."""

import os
from collections.abc import Sequence

from receiver import signing
from receiver.domain import Destination, Scheme
from receiver.errors import Fault, NotVerified, Unavailable, Unknown
from receiver.header_policy import header_faults, merged
from receiver.sealing import Seal
from receiver.web.destination_models import ChangesIn


def new_secret(scheme: Scheme) -> str:
    """A signing secret of our making."""
    return signing.new_secret(os.urandom(32), scheme)


def secret_fields(seal: Seal, destination: Destination) -> dict[str, str]:
    """The secret of a webhook, and the public key that verifies it where there is one."""
    if destination.type != "webhook":
        raise Unknown("only a webhook has a secret to be verified with")
    secret = opened(seal, destination.sealed_secret, row=destination.id)
    if destination.signature is Scheme.V1:
        return {"secret": secret}
    return {"secret": secret, "public_key": signing.public_key(secret)}


def opened(seal: Seal, sealed: str, *, row: str) -> str:
    """A secret that must be shown; raises `Unavailable` where it cannot be."""
    try:
        return seal.open(sealed, row=row)
    except NotVerified as error:  # the operator's doing: as it is, it would read as if the caller's key were wrong
        raise Unavailable(str(error)) from None


def merged_headers(seal: Seal, before: Destination, asked: ChangesIn) -> dict[str, str]:
    """The headers of a destination after a merge patch, their values sealed."""
    if asked.headers is None:
        return {} if "headers" in asked.model_fields_set else dict(before.headers)
    given = {name: value and seal.seal(value, row=before.id) for name, value in asked.headers.items()}
    return merged(before.headers, given)


def faults_of_merge(seal: Seal, before: Destination, asked: ChangesIn) -> Sequence[Fault]:
    """What is wrong with the headers that a merge patch makes, old and new ones together."""
    if not asked.headers:
        return []
    kept = {name: _value(seal, sealed, before.id) for name, sealed in before.headers.items()}
    return header_faults(merged(kept, asked.headers))


def _value(seal: Seal, sealed: str, row: str) -> str:
    try:
        return seal.open(sealed, row=row)
    except NotVerified:
        return "?"  # it cannot be read, nor sent; it may still be replaced

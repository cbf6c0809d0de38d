"""Opens what a destination is sent to with, secrets, headers, a URL, and says why where that cannot be done."""

from contextlib import suppress

from receiver.domain import Destination, Ms
from receiver.errors import NotVerified
from receiver.header_policy import header_faults
from receiver.sealing import Seal, tenant_row

REMEDY = "put the key that sealed it back into TASKWEIR_SECRET_KEY and restart"


def secrets_of(seal: Seal, destination: Destination, at: Ms) -> list[str]:
    """What signs for a destination now: the secret, and while a rotation overlaps those before it.

    Raises `NotVerified`. One before it whose key is gone signs no longer: where the key was lost, rotating is the way
    out.
    """
    row = tenant_row(destination.tenant) if destination.hidden else destination.id
    secrets = [seal.open(destination.sealed_secret, row=row)]
    for each in destination.retired:
        with suppress(NotVerified):
            secrets += [seal.open(each.sealed, row=row)] if at < each.until else []
    return secrets


def own_headers(seal: Seal, destination: Destination) -> dict[str, str]:
    """What the user wants to go along; whatever is kept, no header that would be refused today is sent.

    Raises `NotVerified`.
    """
    opened = {name: seal.open(text, row=destination.id) for name, text in destination.headers.items()}
    return {name: value for name, value in opened.items() if not header_faults({name: value})}


def blocked_reason(seal: Seal, destination: Destination) -> str | None:
    """Why nothing can be sent to a destination, and the remedy; None where it can.

    Of a hidden one, its tenant's secret is in the place of its own. What is sealed for a webhook signs; for a server of
    another kind it is the URL with who logs in there.
    """
    if destination.type == "sqlite":
        return None
    if destination.type != "webhook":
        return _unreadable_url(seal, destination)
    try:
        secrets_of(seal, destination, destination.created_at)
    except NotVerified as error:
        whose = "its tenant's secret (POST /v1/webhook-secret/rotate)" if destination.hidden else "its secret"
        return f"nothing can be signed: {error}; {REMEDY}, or rotate {whose}"
    try:
        own_headers(seal, destination)
    except NotVerified as error:
        return f"its own headers cannot be read: {error}; {REMEDY}, or set them anew"
    return None


def _unreadable_url(seal: Seal, destination: Destination) -> str | None:
    try:
        seal.open(destination.sealed_secret, row=destination.id)
    except NotVerified as error:
        return f"its URL cannot be read: {error}; {REMEDY}, or set its url anew, with who logs in"
    return None


def has_login(seal: Seal, destination: Destination) -> bool:
    """Whether the URL of a server says who logs in there; where it cannot be read it may."""
    try:
        return seal.open(destination.sealed_secret, row=destination.id) != destination.target
    except NotVerified:
        return True

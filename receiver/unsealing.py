"""Opens what a webhook is sent with, its secrets and its own headers, and says why where that cannot be done."""

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
    """Why nothing can be sent to a webhook, and the remedy; None where it can.

    Of a hidden one, its tenant's secret is in the place of its own.
    """
    if destination.type != "webhook":
        return None
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

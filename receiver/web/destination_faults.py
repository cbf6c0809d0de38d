"""What is wrong with a destination that a user asks for, beyond the shape of its fields; each fault with its remedy."""

import re
from collections.abc import Iterable

from receiver import signing
from receiver.domain import Destination, Scheme
from receiver.errors import Fault, Malformed
from receiver.header_policy import header_faults
from receiver.senders.kinds import KINDS
from receiver.web.destination_models import Asked, ChangesIn, DestinationIn

_LOG_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CALLED = {"webhook": "a webhook", "sqlite": "a SQLite log"} | {name: f"a {name} destination" for name in KINDS}
_SIGNING = ("secret", "headers", "signature")
_FOREIGN = {
    "webhook": ("retention_days",),
    "sqlite": ("url", *_SIGNING, "rate_per_second"),
} | {
    name: ("name", *_SIGNING, "retention_days", *(("rate_per_second",) if kind.batch > 1 else ()))
    for name, kind in KINDS.items()
}  # the fields that a type does not have
_OWN_COLUMNS = {"sqlite", *(name for name, kind in KINDS.items() if not kind.formats)}


def faults_of_new(asked: DestinationIn, providers: Iterable[str], adapters: Iterable[str]) -> list[Fault]:
    """What is wrong with a new destination beyond the shape of its fields; where its URL leads is not looked at."""
    faults = _foreign(asked, asked.type) + _provider_faults(asked, (), providers, adapters)
    if asked.type == "sqlite":
        if not _LOG_NAME.fullmatch(asked.name or ""):
            faults.append(Fault(path="name", message="required: 1 to 64 letters, digits, _ and -"))
        return faults
    if not asked.url:
        faults.append(Fault(path="url", message=f"required for {_CALLED[asked.type]}"))
    if asked.type != "webhook":
        return faults
    if asked.name is not None:
        faults.append(Fault(path="name", message="only a SQLite log has a name: remove it"))
    return [*faults, *header_faults(asked.headers or {}), *secret_faults(asked.secret, Scheme(asked.signature))]


def faults_of_changes(
    asked: ChangesIn, before: Destination, providers: Iterable[str], adapters: Iterable[str]
) -> list[Fault]:
    """What is wrong with changes of this destination; its headers are looked at when they are merged."""
    faults = _foreign(asked, before.type) + _provider_faults(asked, before.providers or (), providers, adapters)
    if asked.secret is not None and before.type == "webhook":
        faults.append(Fault(path="secret", message=f"POST /v1/destinations/{before.id}/rotate-secret changes it"))
    if asked.type not in (None, before.type):
        faults.append(Fault(path="type", message=f"a {before.type} destination stays one: make another"))
    if asked.name is not None and before.type == "webhook":
        faults.append(Fault(path="name", message="only a SQLite log has a name: remove it"))
    if asked.name is not None and before.type == "sqlite" and asked.name != before.target:
        faults.append(Fault(path="name", message="a log keeps its name: make another"))
    if before.hook is not None:
        faults += _hook_faults(asked)
    if "url" in asked.model_fields_set and not asked.url and before.type != "sqlite":
        faults.append(Fault(path="url", message=f"required for {_CALLED[before.type]}"))
    return faults


def _hook_faults(asked: ChangesIn) -> list[Fault]:
    """What a REST hook was made by stays: whoever subscribed knows it by that, and reads one format."""
    told = "a REST hook keeps it: DELETE /v1/hooks/{id}, and subscribe again"
    return [
        Fault(path=name, message=told) for name in ("url", "event_types", "format") if name in asked.model_fields_set
    ]


def _foreign(asked: Asked, type: str) -> list[Fault]:
    """Fields that this type of destination does not have."""
    fields = [name for name in _FOREIGN[type] if name in asked.model_fields_set and getattr(asked, name) is not None]
    told = "only a SQLite log has it: remove it" if type == "webhook" else f"{_CALLED[type]} has none: remove it"
    faults = [Fault(path=name, message=told) for name in fields]
    if type in _OWN_COLUMNS and asked.format not in (None, "standard"):
        faults.append(Fault(path="format", message=f"{_CALLED[type]} has its own columns: remove it"))
    return faults


def _provider_faults(
    asked: Asked, kept: Iterable[str], configured: Iterable[str], adapters: Iterable[str]
) -> list[Fault]:
    """A provider that nobody could mean: a filter with a typo in it would let nothing through, and never say so.

    One that is installed may yet be configured; one that the filter has already may have been.
    """
    names = sorted(configured)
    possible = {*names, *kept, *adapters}
    known = ", ".join(names) or "none: set TASKWEIR_<NAME>_API_KEY"
    return [
        Fault(path=f"providers[{number}]", message=f"no provider {name!r} is configured; configured: {known}")
        for number, name in enumerate(asked.providers or ())
        if name not in possible
    ]


def secret_faults(secret: str | None, scheme: Scheme) -> list[Fault]:
    """What is wrong with a secret that a user brings."""
    if secret is None:
        return []
    try:
        signing.check_secret(secret, scheme)
    except Malformed as error:
        return [Fault(path="secret", message=f"signature is {scheme}: {error}")]
    return []

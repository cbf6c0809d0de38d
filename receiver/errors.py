"""The error tree, each named for whose fault it is.

TaskweirError
├── ConfigurationError   the operator's: a setting is missing, wrong or contradicts another
├── Malformed            the sender's: bytes that are not what they claim to be
│   └── Unresolved       the caller's: a webhook target whose host has no address now
├── NotVerified          the sender's: a signature or token that we did not make or cannot confirm
├── Forbidden            the caller's: a key that is known, and not allowed to do this (403)
├── Invalid              the caller's: a well-formed request that asks for something impossible (422)
├── Unknown              the caller's: an id that does not exist, or is another tenant's (404)
├── Conflict             the caller's: right request, wrong state (409)
│   └── Busy             the same, of a moment: sent again, it is answered
├── Gone                 the caller's: a place in history that is kept no longer (410)
├── TooLarge             the caller's: a body over its limit (413)
├── AddressRefused       the caller's: a webhook target that may not be dialled
└── Unavailable          ours: the store cannot take a write now (503)

What a provider or a consumer answers is never an exception: it is a value (`receiver.domain`, `adapters.base`).
"""

from collections.abc import Sequence
from dataclasses import dataclass


class TaskweirError(Exception):
    """Base of everything that Taskweir raises on purpose."""


class ConfigurationError(TaskweirError):
    """A setting is missing, wrong or contradicts another; `hint` is the line or action that mends it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Malformed(TaskweirError):
    """Bytes that are not what they claim to be."""


class Unresolved(Malformed):
    """A webhook target whose host has no address now."""


class NotVerified(TaskweirError):
    """A signature or token that we did not make, or cannot confirm."""


class Forbidden(TaskweirError):
    """A key that is known, and not allowed to do this; says what it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with a request.

    `path` is where, as `input.image_with_roles[0].role`; `code` the provider's own code where it documents one.
    """

    path: str
    message: str
    code: str | int | None = None


class Invalid(TaskweirError):
    """A well-formed request that asks for something impossible; `faults` names each field."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)


class Unknown(TaskweirError):
    """An id that does not exist, or belongs to another tenant: the caller cannot tell which."""


class Conflict(TaskweirError):
    """Right request, wrong state."""


class Busy(Conflict):
    """What is asked for is being done by another request right now: send it again in a moment."""


class Gone(TaskweirError):
    """A place in history that is kept no longer."""


class TooLarge(TaskweirError):
    """A body over its limit."""


class AddressRefused(TaskweirError):
    """A webhook target that may not be dialled; `remedy` is the setting that would allow it, where one can."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    @property
    def told(self) -> str:
        """The refusal for people, its last word the line to set."""
        advice = f"; the operator may allow it, beside what is allowed already: {self.remedy}"
        return f"{self}{advice if self.remedy else ''}"


class Unavailable(TaskweirError):
    """The store cannot take a write now: disk full, locked, or shutting down."""

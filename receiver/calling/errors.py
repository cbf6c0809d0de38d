"""What can go wrong with a call, each kind of refusal by its name.

ClientError
├── Unreachable    no answer came: nothing listens there, or the connection broke
├── NotTaskweir    something answered, and not as Taskweir does
├── TimedOut       what was waited for did not happen in time; a `TimeoutError`, too
└── ApiError       the server refused: what its problem says
    ├── BadRequest 400 · Unauthorized 401 · Forbidden 403 · NotFound 404 · Conflict 409 · Gone 410 · TooLarge 413
    └── Invalid 422 · RateLimited 429 · Unavailable 503
"""

from collections.abc import Iterator, Mapping
from typing import Any

from receiver.errors import Fault, TaskweirError


class ClientError(TaskweirError):
    """Base of all that a call can fail with; `lines` say more about it, for people."""

    def __init__(self, message: str, *lines: str) -> None:
        super().__init__(message)
        self.lines = lines


class Unreachable(ClientError):
    """No answer came: nothing listens there, or the connection broke."""


class NotTaskweir(ClientError):
    """Something answered, and not as Taskweir does."""


class TimedOut(ClientError, TimeoutError):
    """What was waited for did not happen in time."""


class ApiError(ClientError):
    """The server refused: the fields of its problem (RFC 9457), and when to come again where it says so.

    `errors` names each bad field; `retry_after` is in seconds.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after: float | None = None, hint: str = ""):
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem["detail"])
        self.errors = tuple(_faults(problem))
        self.retry_after = retry_after
        told = [_told(fault) for fault in self.errors if fault.message != self.detail]
        super().__init__(self.detail, *told, *([hint] if hint else []))


class BadRequest(ApiError):
    """400: the body is not JSON, or the request not HTTP as it should be."""


class Unauthorized(ApiError):
    """401: no key, or an unknown one."""


class Forbidden(ApiError):
    """403: the key's scopes do not allow it."""


class NotFound(ApiError):
    """404: an id that does not exist, or another tenant's."""


class Conflict(ApiError):
    """409: right request, wrong state."""


class Gone(ApiError):
    """410: a place in the stream that retention has deleted: read on with `after=0`."""


class TooLarge(ApiError):
    """413: a body over its limit."""


class Invalid(ApiError):
    """422: what `errors` says of each field."""


class RateLimited(ApiError):
    """429: after `retry_after` seconds."""


class Unavailable(ApiError):
    """503: the server is stopping, or its store cannot take a write now."""


# What may be over in a moment: the server is started anew, or has no time.
MOMENTARY = (Unreachable, Unavailable, RateLimited)

_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
    429: RateLimited,
    503: Unavailable,
}


def error_of(status: int, problem: Mapping[str, Any], *, retry_after: float | None, hint: str = "") -> ApiError:
    """The error that a refusal is; `problem` has a `detail`."""
    return _BY_STATUS.get(status, ApiError)(status, problem, retry_after=retry_after, hint=hint)


def _faults(problem: Mapping[str, Any]) -> Iterator[Fault]:
    faults = problem.get("errors")
    for fault in faults if isinstance(faults, list) else ():
        if isinstance(fault, dict):
            yield Fault(path=str(fault.get("path")), message=str(fault.get("message")), code=fault.get("code"))


def _told(fault: Fault) -> str:
    return f"{fault.path}: {fault.message}" + ("" if fault.code is None else f" (code {fault.code})")

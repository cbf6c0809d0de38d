"""What the doors answer: JSON, pages of lists, and problems (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from receiver import json_text
from receiver.errors import (
    AddressRefused,
    Busy,
    Conflict,
    Fault,
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    NotVerified,
    TaskweirError,
    TooLarge,
    Unavailable,
    Unknown,
)

# The one table from what went wrong to what is answered.
STATUS_OF: dict[type[TaskweirError], int] = {
    Malformed: 400,
    NotVerified: 401,
    Forbidden: 403,
    Unknown: 404,
    Conflict: 409,
    Gone: 410,
    TooLarge: 413,
    Invalid: 422,
    AddressRefused: 422,
    Unavailable: 503,
}
_RETRY_AFTER_S = 5
# Inputs, secrets and results are for who asked, and for no cache on the way.
_FOR_NO_CACHE = {"cache-control": "no-store"}
# What is wrong is told in the sender's own words, which may be long.
_LONGEST_PATH = 200
_LONGEST_TEXT = 1000


def json_answer(value: Any, status: int = 200) -> Response:
    """A JSON body."""
    return text_answer(json_text.write(value), status)


def text_answer(text: str, status: int = 200) -> Response:
    """A JSON body that is text already."""
    return Response(text, status, _FOR_NO_CACHE, "application/json")


def page_answer(items: Sequence[Any], limit: int, cursors: Sequence[str], searched_to: str | None = None) -> Response:
    """A list, newest first; give one item more than `limit`, where there is one, for the cursor to be right.

    `searched_to` is where looking for more was broken off: whoever wants them goes on there.
    """
    more = len(items) > limit
    return json_answer({"items": items[:limit], "next_cursor": cursors[limit - 1] if more else searched_to})


def problem(status: int, detail: str, *, faults: Sequence[Fault] = ()) -> Response:
    """`application/problem+json`, with `errors` for bad fields."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:_LONGEST_TEXT],
    }
    if faults:
        body["errors"] = [_fault_fields(fault) for fault in faults]
    response = Response(json_text.write(body), status, _FOR_NO_CACHE, "application/problem+json")
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if status in (429, 503):
        response.headers["retry-after"] = str(_RETRY_AFTER_S)
    return response


def status_of(error: TaskweirError) -> int:
    """The status that an error of ours is answered with."""
    return next((status for kind, status in STATUS_OF.items() if isinstance(error, kind)), 500)


def problem_of(error: TaskweirError) -> Response:
    """The problem that an error of ours is to its caller."""
    status = status_of(error)
    if isinstance(error, Invalid):
        return problem(status, "The request is well-formed, but some fields are not.", faults=error.faults)
    if isinstance(error, AddressRefused):
        return problem(status, error.told, faults=[Fault(path="url", message=error.told)])
    response = problem(status, str(error))
    if isinstance(error, Busy):
        response.headers["retry-after"] = "1"
    return response


def _fault_fields(fault: Fault) -> dict[str, Any]:
    code = {} if fault.code is None else {"code": fault.code}
    return {"path": fault.path[:_LONGEST_PATH], **code, "message": fault.message[:_LONGEST_TEXT]}

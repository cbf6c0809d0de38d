"""Refusals as they are documented: one schema, and why each status is answered."""

from typing import Literal

from pydantic import BaseModel

from receiver.web.documents.kinds import absent

MEDIA = "application/problem+json"
WHY = {
    400: "This is no HTTP request that we read, or its body is not JSON.",
    401: "There is no API key, or it is not known here.",
    403: "The key lacks the scope that this takes.",
    404: "There is nothing of that id, or it is another tenant's.",
    408: "The headers or the body did not come in time.",
    409: "The right request in the wrong state, or the first request with this key is still being recorded.",
    410: "What is asked for is kept no longer.",
    413: "The body is over its limit (`TASKWEIR_MAX_BODY`).",
    414: "The address is over its limit.",
    422: "The request is well-formed, but some of it cannot be done: `errors` tells what.",
    429: "Too much at once: ask again after `Retry-After` seconds.",
    431: "The headers are over their limits.",
    503: "The server is stopping, or cannot write: ask again after `Retry-After` seconds.",
}
RETRIED = (429, 503)


class BadField(BaseModel):
    """One thing that is wrong with a request."""

    path: str
    message: str
    code: str | int = absent()


class Problem(BaseModel):
    """A refusal (RFC 9457). Its `type` is always `about:blank`: the status tells what kind of refusal it is."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    errors: list[BadField] = absent()

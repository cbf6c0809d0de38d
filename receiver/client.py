"""The Python client: `Taskweir` calls a server, `verify_webhook` reads what a server posts to you.

    from receiver.client import Taskweir

    with Taskweir() as client:
        task = client.submit("reapi", "doubao-seedance-2.0-face", {"prompt": "A kitten yawning"}).wait(timeout=600)
        print(task.status, task.urls)

What the API answers comes as dicts whose fields are attributes, too; what it refuses is raised as an `ApiError`.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from receiver import signing
from receiver.calling.answers import (
    Answer,
    Attempt,
    Delivery,
    Destination,
    Event,
    EventData,
    Failure,
    Key,
    Output,
    ProviderStanding,
    TaskFields,
    Usage,
)
from receiver.calling.destinations import DestinationFields, Destinations
from receiver.calling.errors import (
    ApiError,
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    NotTaskweir,
    RateLimited,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from receiver.calling.events import Events
from receiver.calling.http import Http
from receiver.calling.operating import Operating
from receiver.calling.patience import Patience, Patient
from receiver.calling.server import Server, server_of
from receiver.calling.tasks import Task, Tasks
from receiver.errors import ConfigurationError, Malformed, NotVerified, TaskweirError

__all__ = [
    "Answer",
    "ApiError",
    "Attempt",
    "BadRequest",
    "ClientError",
    "ConfigurationError",
    "Conflict",
    "Delivery",
    "Destination",
    "DestinationFields",
    "Event",
    "EventData",
    "Failure",
    "Forbidden",
    "Gone",
    "Invalid",
    "Key",
    "Malformed",
    "NotFound",
    "NotTaskweir",
    "NotVerified",
    "Output",
    "Patience",
    "Patient",
    "ProviderStanding",
    "RateLimited",
    "Task",
    "TaskFields",
    "Taskweir",
    "TaskweirError",
    "TimedOut",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Usage",
    "verify_webhook",
]


class Taskweir(Tasks, Events, Destinations, Operating):
    """One server's API, over connections that are kept.

    Without `url` and `api_key` it is the server that TASKWEIR_URL names (default http://127.0.0.1:8080), with the key
    in TASKWEIR_API_KEY, in the file that TASKWEIR_API_KEY_FILE names, or that the server made and keeps in
    TASKWEIR_DATA_DIR. Raises `ConfigurationError` where that leads nowhere.

    What is safe to repeat is, `retries` times, where no answer came or the server has no time: every GET, and every
    submit, adoption and resubmit, for which the server knows a repeat from a second one.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, retries: int = 2) -> None:
        self._http = Http(server_of(os.environ, url, api_key), retries=retries)

    @property
    def server(self) -> Server:
        """Which server that is."""
        return self._http.server

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes | str,
    secret: str | Sequence[str],
    *,
    tolerance_s: int = signing.TOLERANCE_S,
    now: float | None = None,
) -> Event:
    """The event in a webhook, once its signature is verified: the first thing that a consumer does with one.

    `body` is what arrived, to the byte, not parsed and written anew. `secret` is the destination's `whsec_…`, for
    signatures of ed25519 its public key `whpk_…`; several where you rotate them. Any of the signatures that came may be
    the one that matches. `now` is in seconds since 1970, this machine's clock where it is left out; a message that is
    more than `tolerance_s` away from it may be an old one, sent again by somebody else.

    Raises `NotVerified`, whatever came; `Malformed` where a secret is none, or what was signed is no JSON object.
    Answer 401 to the first. A repeat of an event has the same `id`: keep those you are done with.
    """
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    secrets = [secret] if isinstance(secret, str) else list(secret)
    for each in secrets:
        signing.judge(each)
    at = round((time.time() if now is None else now) * 1000)
    signing.verify(headers, raw, secrets, now=at, tolerance_s=tolerance_s)
    try:
        value: Any = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Malformed("what was signed is no JSON object")
    return Event(value)

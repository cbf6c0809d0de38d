"""The wire that Reelbyte and Reve2img share: parameters beside `model`, answers as `{"code", "message", "data"}`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters.base import Accepted, Ambiguous, in_doubt
from adapters.calls import MODEL_LIMIT, input_faults
from adapters.reading import MESSAGE_LIMIT, object_at, object_in, text_at
from receiver.domain import Failure, Status, Update, Usage
from receiver.errors import Fault
from receiver.wire import Reply

NO_ENVELOPE = "without the provider's own envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One answer; `status` is the HTTP status, or the one that the code spells; `data` is empty where it is null."""

    code: str
    message: str
    detail: str | None
    data: Mapping[str, Any]
    status: int

    @property
    def text(self) -> str:
        """What to show a person, at most `MESSAGE_LIMIT` characters."""
        return (self.detail or self.message or f"code {self.code} without a message")[:MESSAGE_LIMIT]


def envelope_in(reply: Reply) -> Envelope | None:
    """The provider's own envelope, or None where somebody else answered (a gateway's page)."""
    body = object_in(reply.body) or {}
    code = text_at(body.get("code")) or ""
    message, data = body.get("message"), body.get("data")
    if not re.fullmatch(r"-?[0-9]{1,9}", code) or not (isinstance(message, str) or isinstance(data, dict)):
        return None
    return Envelope(
        code=code,
        message=(text_at(message) or "").strip(),
        detail=text_at(body.get("detail")),
        data=object_at(data),
        status=int(code) if re.fullmatch(r"[45][0-9]{2}", code) else reply.status,
    )


def shape_faults(model: object, input: object, *, code: str, message: str) -> Iterator[Fault]:
    """A model of 1 to 200 characters, an object beside it, and no second `model` in that object.

    `code` and `message` are the provider's own for a model that is missing.
    """
    if not isinstance(model, str) or not model.strip():
        yield Fault(path="model", code=code, message=message)
    elif len(model) > MODEL_LIMIT:
        yield Fault(path="model", code=code, message=f"must have at most {MODEL_LIMIT} characters")
    beside = {"model": "`model` stands beside `input`: remove it from `input`"}
    yield from input_faults(input, takes="what the provider takes beside `model`", reserved=beside)


def accepted(update: Update, *, reserved: Usage | None) -> Accepted:
    """The provider took the task. Without a word, or with a success that has no result yet, it waits there.

    The poll tells more then; `reserved` is what such a task has cost so far.
    """
    if update.provider_status is None or (update.status is Status.SUCCEEDED and not update.outputs):
        update = replace(update, status=Status.SUBMITTED, usage=reserved)
    return Accepted(update=update)


def contradicted(failure: Failure, task_id: str) -> Ambiguous:
    """An error that names a task all the same: neither is believed, and the id is kept for whoever resolves it."""
    named = f" (yet the answer names task {task_id})"[:MESSAGE_LIMIT]
    message = failure.message[: MESSAGE_LIMIT - len(named)] + named
    return in_doubt(replace(failure, message=message))

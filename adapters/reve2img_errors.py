"""Reve2img's error words: what each means, in answers and in a failed task (seed 003, "Errors")."""

from dataclasses import replace
from typing import Any, NamedTuple

from adapters.base import failure_of_status
from adapters.flat_wire import Envelope
from adapters.reading import MESSAGE_LIMIT, object_at, text_at, word_at
from receiver.domain import Failure, FailureKind


class Known(NamedTuple):
    number: int
    kind: FailureKind
    meaning: str
    retryable: bool = False


# Seed 003, "Errors"; the first word of a number is what that number alone means.
ERRORS = {
    "INVALID_PARAMETER": Known(400, FailureKind.INVALID_REQUEST, "Invalid JSON, or a parameter is invalid / missing."),
    "INVALID_PROMPT": Known(400, FailureKind.INVALID_REQUEST, "prompt is missing or empty."),
    "INVALID_MODEL": Known(400, FailureKind.INVALID_REQUEST, "Unknown or missing model."),
    "CONTENT_POLICY_VIOLATION": Known(
        400, FailureKind.CONTENT_POLICY, "Prompt or output rejected by content moderation."
    ),
    "INVALID_API_KEY": Known(401, FailureKind.AUTH, "Missing, malformed, unknown, or revoked API key."),
    "INSUFFICIENT_CREDITS": Known(402, FailureKind.QUOTA, "Not enough credits for this request."),
    "TASK_NOT_FOUND": Known(404, FailureKind.NOT_FOUND, "No task with that task_id belongs to your account."),
    "RATE_LIMITED": Known(429, FailureKind.RATE_LIMITED, "Too many requests — slow down.", retryable=True),
    "TOO_MANY_TASKS": Known(
        429, FailureKind.RATE_LIMITED, "Too many tasks in flight — wait for them to finish.", retryable=True
    ),
    "GENERATION_FAILED": Known(500, FailureKind.UPSTREAM, "Internal error. Safe to retry.", retryable=True),
    "SERVICE_UNAVAILABLE": Known(
        503, FailureKind.UNAVAILABLE, "Upstream model temporarily unavailable.", retryable=True
    ),
    "TIMEOUT": Known(504, FailureKind.TIMEOUT, "The task timed out."),
}
# GENERATION_FAILED is "Safe to retry"; that SERVICE_UNAVAILABLE created nothing is our judgement.
NOT_CREATED = frozenset({"RATE_LIMITED", "TOO_MANY_TASKS", "GENERATION_FAILED", "SERVICE_UNAVAILABLE"})


def answer_failure(envelope: Envelope) -> Failure:
    """What an answer with an error means: by its word, or by its number where the word is not documented.

    Words are matched as written, not loosely: a gateway that says "Timeout" in a like shape is not the provider.
    """
    known = ERRORS.get(envelope.message)
    if known is None:
        failure = failure_of_status(envelope.status, envelope.text)
        return replace(failure, code=word_at(envelope.message) or envelope.code)
    text = (envelope.detail or known.meaning)[:MESSAGE_LIMIT]
    return Failure(kind=known.kind, code=envelope.message, message=text, retryable=known.retryable)


def task_failure(error: Any) -> Failure:
    """`data.error` of a failed task; whether its `code` is a word or a number is not documented, so both are read."""
    details = object_at(error)
    code = word_at(details.get("code"))
    text = text_at(details.get("message")) or (None if details else text_at(error))
    word = _word_of(code, text)
    if word is None:
        message = (text or "the provider gave no reason")[:MESSAGE_LIMIT]
        return Failure(kind=FailureKind.UPSTREAM, code=code, message=message)
    known = ERRORS[word]
    message = (text or known.meaning)[:MESSAGE_LIMIT]
    return Failure(kind=known.kind, code=code or word, message=message, retryable=known.retryable)


def _word_of(code: str | None, text: str | None) -> str | None:
    words = [(part or "").strip().upper() for part in (code, text)]
    numbered = (word for word, known in ERRORS.items() if str(known.number) == code)
    return next((word for word in words if word in ERRORS), next(numbered, None))

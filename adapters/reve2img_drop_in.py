"""Reve2img's own doors: `{code, message, data}`, and of a refusal its HTTP status, its word and its `detail`.

Source: seed 003, Reve2img's API reference.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.drop_in import Answer, DropIn, credits_of, main_urls, statuses, word_of
from adapters.reve2img import STATUSES
from adapters.reve2img_errors import ERRORS
from receiver.domain import Failure, FailureKind, Status, Task

_SAYS = statuses(waits="IN_PROGRESS", works="IN_PROGRESS", succeeded="SUCCESS", failed="FAILED")
_WORDS = {
    FailureKind.AUTH: "INVALID_API_KEY",
    FailureKind.QUOTA: "INSUFFICIENT_CREDITS",
    FailureKind.INVALID_REQUEST: "INVALID_PARAMETER",
    FailureKind.CONTENT_POLICY: "CONTENT_POLICY_VIOLATION",
    FailureKind.RATE_LIMITED: "RATE_LIMITED",
    FailureKind.UNAVAILABLE: "SERVICE_UNAVAILABLE",
    FailureKind.TIMEOUT: "TIMEOUT",
}
_OTHERWISE = "GENERATION_FAILED"
_NOT_FOUND = "NOT_FOUND"  # of paths: no page names a word for them


class Reve2imgDropIn(DropIn):
    """`POST /api/v1/generate`, `GET /api/v1/status?task_id=`."""

    submit_paths: ClassVar = ("/api/v1/generate",)
    poll_path: ClassVar = "/api/v1/status"
    task_id: ClassVar = "task_id"

    def accepted(self, task: Task, task_id: str) -> Answer:
        """A model that answers at once gives its result here (seed 003, "Synchronous models")."""
        if task.status.final:
            return self.shown(task, task_id, None)
        return _yes({"task_id": task_id, "status": "IN_PROGRESS"})

    def shown(self, task: Task, task_id: str, callback_url: str | None) -> Answer:
        data: dict[str, Any] = {"task_id": task_id, "status": word_of(task, STATUSES, _SAYS)}
        if task.status is Status.SUCCEEDED:
            data |= {"consumed_credits": credits_of(task) or 0, "response": {"resultUrls": main_urls(task)}}
        elif task.status.final:
            data["error"] = _error(task)
        return _yes(data)

    def refused(self, failure: Failure) -> Answer:
        if failure.kind is FailureKind.NOT_FOUND and failure.code is None:
            return _no(404, _NOT_FOUND, failure.message)
        word = failure.code if failure.code in ERRORS else _WORDS.get(failure.kind, _OTHERWISE)
        return _no(ERRORS[word].number, word, failure.message)

    def unknown_task(self, request_id: str) -> Answer:
        return _no(404, "TASK_NOT_FOUND", ERRORS["TASK_NOT_FOUND"].meaning)


def _error(task: Task) -> dict[str, Any]:
    otherwise = "TIMEOUT" if task.status is Status.EXPIRED else _OTHERWISE
    if task.error is None:
        return {"code": otherwise, "message": ERRORS[otherwise].meaning}
    return {"code": task.error.code or _WORDS.get(task.error.kind, otherwise), "message": task.error.message}


def _yes(data: Mapping[str, Any]) -> Answer:
    return Answer(body={"code": 200, "message": "success", "data": data})


def _no(status: int, message: str, detail: str) -> Answer:
    return Answer(status=status, body={"code": status, "message": message, "detail": detail})

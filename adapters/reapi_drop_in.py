"""reAPI's own doors: real HTTP statuses, one envelope for submits and polls, errors as `{"error": {code, message}}`.

Sources: seed 001 (paths, envelope, codes 2xxxx and 30002), the reAPI docs page errors (1xxxx, statuses). The codes of
not found and rate limited are documented nowhere: ours are those of the sandbox.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.drop_in import Answer, Asked, DropIn, of_role, statuses, word_of
from adapters.reapi import WORDS, is_image_model
from receiver.domain import Failure, FailureKind, Kind, Role, Status, Task
from receiver.errors import Fault

_SAYS = statuses(waits="processing", works="processing", succeeded="completed", failed="failed")
_VIDEOS, _IMAGES = "/api/v1/videos/generations", "/api/v1/images/generations"
_LISTS = {Kind.VIDEO: "video_urls", Kind.IMAGE: "image_urls", Kind.AUDIO: "audio_urls"}
_INVALID = 20003
_REFUSALS = {  # HTTP status, and the code where none is known
    FailureKind.AUTH: (401, 10003),
    FailureKind.QUOTA: (402, 40200),
    FailureKind.NOT_FOUND: (404, 40400),
    FailureKind.INVALID_REQUEST: (400, _INVALID),
    FailureKind.CONTENT_POLICY: (400, 80006),
    FailureKind.RATE_LIMITED: (429, 50001),
    FailureKind.UNAVAILABLE: (503, 80003),
}
_UPSTREAM = (502, 80003)


class ReApiDropIn(DropIn):
    """`POST /api/v1/videos/generations`, and `/images/` for the models we know as such; `GET /api/v1/tasks/{id}`."""

    submit_paths: ClassVar = (_VIDEOS, _IMAGES)
    poll_path: ClassVar = "/api/v1/tasks/{id}"
    task_id: ClassVar = "id"

    def read_submit(self, path: str, body: Mapping[str, Any]) -> Asked | Fault:
        """The model decides about the path of our own submit: one that belongs to the other is refused."""
        asked = super().read_submit(path, body)
        if isinstance(asked, Asked) and isinstance(asked.model, str):
            right = _IMAGES if is_image_model(asked.model) else _VIDEOS
            if path != right:
                return Fault(path="model", code=_INVALID, message=f"model {asked.model[:80]} is submitted at {right}")
        return asked

    def accepted(self, task: Task, task_id: str) -> Answer:
        return Answer(body=_head(task, task_id, "processing"))

    def shown(self, task: Task, task_id: str, callback_url: str | None) -> Answer:
        body = _head(task, task_id, word_of(task, WORDS, _SAYS))
        error = _error(task.error) if task.status.final and task.error else None
        return Answer(
            body=body | {"output": _output(task) if task.status is Status.SUCCEEDED else None, "error": error}
        )

    def refused(self, failure: Failure) -> Answer:
        status, _ = _REFUSALS.get(failure.kind, _UPSTREAM)
        return Answer(status=status, body={"error": _error(failure)})


def _head(task: Task, task_id: str, status: str) -> dict[str, Any]:
    return {"id": task_id, "model": task.model, "status": status, "created_at": task.created_at // 1000}


def _output(task: Task) -> dict[str, Any]:
    """Results under the list of their kind, of what they were asked to be where a kind has no list."""
    asked_for = task.media if task.media in _LISTS else Kind.VIDEO
    output: dict[str, Any] = {_LISTS[asked_for]: []}
    for each in of_role(task, Role.MAIN):
        output.setdefault(_LISTS.get(each.kind, _LISTS[asked_for]), []).append(each.url)
    frames = of_role(task, Role.LAST_FRAME)
    return output | ({"last_frame_url": frames[0].url} if frames else {})


def _error(failure: Failure) -> dict[str, Any]:
    _, code = _REFUSALS.get(failure.kind, _UPSTREAM)
    named = {"request_id": failure.request_id} if failure.request_id else {}
    return {"code": _number(failure.code) or code, "message": failure.message, **named}


def _number(code: str | None) -> int | str | None:
    """A code as reAPI writes it: a number, or a word in capitals (seed 001)."""
    return int(code) if code and len(code) <= 9 and code.isascii() and code.isdigit() else code

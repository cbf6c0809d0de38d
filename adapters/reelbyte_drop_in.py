"""Reelbyte's own doors: `code` 0 is success, a refusal is `code` -1 and a text, inside HTTP 200; results are JSON text.

Sources: seed 000 (paths, both answers, three texts), the public template whose words it uses (`taskInfo`, `taskResult`,
the envelope of errors).
"""

from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Any, ClassVar

from adapters.drop_in import Answer, DropIn, credits_of, ended_at, main_urls, of_role, statuses, word_of
from adapters.reading import object_in, text_at
from adapters.reelbyte_result import STATUSES
from receiver import json_text
from receiver.domain import Failure, FailureKind, Kind, Role, Status, Task

_SAYS = statuses(waits="pending", works="processing", succeeded="success", failed="failed", canceled="canceled")
_UPSTREAM = {"pending": "starting", "success": "succeeded"}  # template; all other words are the same there
_INVALID, _NO_KEY, _NO_TASK = "invalid params", "invalid api key", "task not found"


class ReelbyteDropIn(DropIn):
    """`POST /api/v1/ai/generate`, `POST /api/v1/ai/query` with `{"taskId"}`."""

    submit_paths: ClassVar = ("/api/v1/ai/generate",)
    poll_method: ClassVar = "POST"
    poll_path: ClassVar = "/api/v1/ai/query"
    task_id: ClassVar = "taskId"

    def polled_id(self, query: Mapping[str, str], body: bytes) -> str | None:
        return text_at((object_in(body) or {}).get("taskId"))

    def accepted(self, task: Task, task_id: str) -> Answer:
        return _yes({"taskId": task_id, "status": "pending", "costCredits": credits_of(task) or 0})

    def shown(self, task: Task, task_id: str, callback_url: str | None) -> Answer:
        return _yes(
            {
                "taskId": task_id,
                "status": _word(task),
                "taskInfo": json_text.write(_info(task)),
                "taskResult": json_text.write(_result(task, task_id)),
                "usage": {"credits": credits_of(task) or 0},
            }
        )

    def refused(self, failure: Failure) -> Answer:
        """Texts that callers look for begin as documented; only what may be tried again has a status of its own."""
        theirs, message = failure.code is not None, failure.message
        if failure.kind is FailureKind.AUTH and not theirs:
            message = _NO_KEY
        if failure.kind is FailureKind.INVALID_REQUEST and not theirs and not message.startswith(_INVALID):
            message = f"{_INVALID}: {message}"
        status = {FailureKind.RATE_LIMITED: 429, FailureKind.NOT_FOUND: 404}.get(failure.kind, 200)
        return _no(message, 503 if failure.kind is FailureKind.UNAVAILABLE and failure.retryable else status)

    def unknown_task(self, request_id: str) -> Answer:
        return _no(_NO_TASK, 200)


def _word(task: Task) -> str:
    return word_of(task, STATUSES, _SAYS)


def _upstream_word(task: Task) -> str:
    return _UPSTREAM.get(_word(task), _word(task))


def _info(task: Task) -> dict[str, Any]:
    """The upstream's task as the template keeps it; `status` is the upstream's word."""
    created = {"createTime": _time(task)}
    info: dict[str, Any] = {"status": _upstream_word(task), **created}
    if task.status is Status.SUCCEEDED:
        return info | _results(task, created) | {"errorCode": "", "errorMessage": None}
    if task.status.final:
        code = task.error.code if task.error else None
        return info | {"errorCode": code or "", "errorMessage": task.error.message if task.error else ""}
    return info


def _results(task: Task, created: Mapping[str, str]) -> dict[str, Any]:
    """Results under the template's name for their kind, thumbnails beside the videos that they are of."""
    thumbnails = [output.url for output in of_role(task, Role.THUMBNAIL)]
    videos = [{"id": "", **created, "videoUrl": each.url} for each in of_role(task, Role.MAIN, Kind.VIDEO)]
    for video, url in zip(videos, thumbnails, strict=False):
        video["thumbnailUrl"] = url
    images = of_role(task, Role.MAIN, Kind.IMAGE)
    songs = of_role(task, Role.MAIN, Kind.AUDIO)
    found = {
        "videos": videos,
        "images": [{"id": "", **created, "imageType": _suffix(each.url), "imageUrl": each.url} for each in images],
        "songs": [{"id": "", **created, "audioUrl": each.url, "title": "", "duration": 0} for each in songs],
    }
    return {name: rows for name, rows in found.items() if rows}


def _result(task: Task, task_id: str) -> dict[str, Any]:
    """As Replicate's prediction, which the template keeps whole: one URL, or a list of several."""
    result: dict[str, Any] = {"id": task_id, "status": _upstream_word(task)}
    if task.status is Status.SUCCEEDED:
        urls = main_urls(task)
        seconds = (ended_at(task) - (task.submitted_at or task.created_at)) / 1000
        output = urls[0] if len(urls) == 1 else urls
        return result | {"output": output, "error": None, "metrics": {"predict_time": seconds}}
    if task.status.final:
        return result | {"output": None, "error": task.error.message if task.error else ""}
    return result


def _time(task: Task) -> str:
    """As `2026-01-01T00:00:00.000Z`; by way of a date as mails have it, for nothing here may reach a clock."""
    at = parsedate_to_datetime(formatdate(task.created_at // 1000, usegmt=True))
    return f"{at:%Y-%m-%dT%H:%M:%S}.{task.created_at % 1000:03d}Z"


def _suffix(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0].rpartition(".")[2] or "png"


def _yes(data: Mapping[str, Any]) -> Answer:
    return Answer(body={"code": 0, "message": "ok", "data": data})


def _no(message: str, status: int) -> Answer:
    return Answer(status=status, body={"code": -1, "message": message, "data": None})

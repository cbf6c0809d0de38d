"""Reelbyte's side of the wire: `ai/generate` and `ai/query`.

Sources: seed 000 (paths, keys, both envelopes, three errors), the public template whose words it uses (the rest).
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from adapters.reading import object_in
from adapters.sandbox.base import (
    Answer,
    Json,
    Media,
    Order,
    ProviderSide,
    Refusal,
    Stage,
    Task,
    text_or_none,
)
from receiver import json_text

_STATUSES = {
    Stage.WAITING: "pending",
    Stage.WORKING: "processing",
    Stage.ODD: "pondering",
    Stage.SUCCEEDED: "success",
    Stage.FAILED: "failed",
}
_UPSTREAM_STATUSES = _STATUSES | {Stage.WAITING: "starting", Stage.SUCCEEDED: "succeeded"}
_REFUSALS = {
    Refusal.NO_KEY: (200, "invalid api key"),
    Refusal.BAD_KEY: (200, "invalid api key"),
    Refusal.UNREADABLE: (200, "invalid params"),
    Refusal.REJECTED: (200, "insufficient credits"),
    Refusal.THROTTLED: (429, "too many requests"),
    Refusal.NO_TASK_ID: (200, "invalid params"),
    Refusal.UNKNOWN_TASK: (200, "task not found"),
    Refusal.UNKNOWN_PATH: (404, "not found"),
}
_MEDIA = {
    "video": Media.VIDEO,
    "image": Media.IMAGE,
    "music": Media.AUDIO,
    "speech": Media.AUDIO,
    "text": Media.TEXT,
}
_SCENES = (
    None,
    "text-to-image",
    "image-to-image",
    "text-to-video",
    "image-to-video",
    "video-to-video",
    "text-to-music",
)
_CREDITS = 18


class Reelbyte(ProviderSide):
    """`code` 0 is success, errors are `code` -1 inside HTTP 200; the results are JSON text inside the JSON."""

    submit_paths: ClassVar = ("/api/v1/ai/generate",)
    poll_method: ClassVar = "POST"
    poll_path: ClassVar = "/api/v1/ai/query"

    def key(self, headers: Mapping[str, str]) -> str:
        return super().key(headers) or headers.get("x-api-key", "").strip()

    def refuse(self, refusal: Refusal) -> Answer:
        return _no(*_REFUSALS[refusal])

    def read(self, path: str, body: dict[str, Json]) -> Order | Answer:
        model, prompt = text_or_none(body.get("model")), body.get("prompt")
        kind = text_or_none(body.get("mediaType"))
        if model is None or kind is None or not isinstance(prompt, str | None):
            return _no(200, "invalid params")
        if kind not in _MEDIA:
            return _no(200, "invalid mediaType")
        if body.get("scene") not in _SCENES:
            return _no(200, "invalid scene")
        if not prompt and not body.get("options"):
            return _no(200, "prompt or options is required")
        return Order(model=model, prompt=prompt or "", input=body, media=_MEDIA[kind])

    def new_id(self, order: Order, created_at: int) -> str:
        return str(uuid.uuid4())

    def accepted(self, task: Task, stage: Stage) -> Answer:
        return _yes({"taskId": task.id, "status": "pending", "costCredits": _CREDITS})

    def polled_id(self, query: Mapping[str, str], body: bytes | None) -> str | None:
        return text_or_none((object_in(body or b"") or {}).get("taskId"))

    def shown(self, task: Task, stage: Stage) -> Answer:
        return _yes(
            {
                "taskId": task.id,
                "status": _STATUSES[stage],
                "taskInfo": json_text.write(_info(task, stage)),
                "taskResult": json_text.write(_upstream(task, stage)),
                "usage": {"credits": 0 if stage is Stage.FAILED else _CREDITS},
            }
        )


def _info(task: Task, stage: Stage) -> dict[str, Json]:
    made_at = datetime.fromtimestamp(task.created_at / 1000, UTC).isoformat(timespec="milliseconds")
    created = {"createTime": made_at.replace("+00:00", "Z")}
    info: dict[str, Json] = {"status": _UPSTREAM_STATUSES[stage], **created}
    if stage is Stage.FAILED:
        info |= {"errorCode": "", "errorMessage": "Internal server error"}
    if stage is Stage.SUCCEEDED:
        url = task.files()[0]
        by_media: dict[Media, dict[str, Json]] = {
            Media.VIDEO: {"videos": [{"id": "", **created, "videoUrl": url}]},
            Media.IMAGE: {"images": [{"id": "", **created, "imageType": "png", "imageUrl": url}]},
            Media.AUDIO: {"songs": [{"id": "", **created, "audioUrl": url, "title": "", "duration": 0}]},
        }
        info |= {**by_media.get(task.order.media, {}), "errorCode": "", "errorMessage": None}
    return info


def _upstream(task: Task, stage: Stage) -> dict[str, Json]:
    upstream: dict[str, Json] = {"id": task.id.replace("-", "")[:26], "status": _UPSTREAM_STATUSES[stage]}
    if stage is Stage.FAILED:
        upstream |= {"output": None, "error": "Internal server error"}
    if stage is Stage.SUCCEEDED:
        upstream |= {"output": task.files()[0], "error": None, "metrics": {"predict_time": task.takes_s}}
    return upstream


def _yes(data: Json) -> Answer:
    return Answer(body={"code": 0, "message": "ok", "data": data})


def _no(status: int, message: str) -> Answer:
    return Answer(status=status, body={"code": -1, "message": message, "data": None})

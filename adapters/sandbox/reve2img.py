"""Reve2img's side of the wire: `generate` and `status`.

Sources: seed 003, Reve2img docs image-models (`num_images`).
"""

import secrets
from collections.abc import Mapping
from typing import ClassVar

from adapters.sandbox.base import Answer, Json, Media, Order, ProviderSide, Refusal, Stage, Task, has_url, text_or_none

_STATUSES = {
    Stage.WAITING: "IN_PROGRESS",
    Stage.WORKING: "IN_PROGRESS",
    Stage.ODD: "PONDERING",
    Stage.SUCCEEDED: "SUCCESS",
    Stage.FAILED: "FAILED",
}
_REFUSALS = {
    Refusal.NO_KEY: (401, "INVALID_API_KEY", "Missing or invalid API key."),
    Refusal.BAD_KEY: (401, "INVALID_API_KEY", "Missing or invalid API key."),
    Refusal.UNREADABLE: (400, "INVALID_PARAMETER", "The body must be a JSON object of at most 1 MiB."),
    Refusal.REJECTED: (402, "INSUFFICIENT_CREDITS", "Not enough credits for this request."),
    Refusal.THROTTLED: (429, "RATE_LIMITED", "Too many requests."),
    Refusal.NO_TASK_ID: (400, "INVALID_PARAMETER", "task_id is required."),
    Refusal.UNKNOWN_TASK: (404, "TASK_NOT_FOUND", "No such task in your account."),
    Refusal.UNKNOWN_PATH: (404, "NOT_FOUND", "No such endpoint."),
}
_MAX_IMAGES = 8
_CREDITS = 12


class Reve2img(ProviderSide):
    """HTTP status and `code` agree, `message` is the machine's word; models named `reve-…` answer at once."""

    submit_paths: ClassVar = ("/api/v1/generate",)
    poll_path: ClassVar = "/api/v1/status"

    def refuse(self, refusal: Refusal) -> Answer:
        return _no(*_REFUSALS[refusal])

    def read(self, path: str, body: dict[str, Json]) -> Order | Answer:
        model, prompt, count = text_or_none(body.get("model")), body.get("prompt"), body.get("num_images", 1)
        if model is None:
            return _no(400, "INVALID_MODEL", "model is missing.")
        media = Media.VIDEO if "video" in model else Media.IMAGE
        if text_or_none(prompt) is None and not (prompt is None and media is Media.VIDEO and has_url(body)):
            return _no(400, "INVALID_PROMPT", "prompt is missing or empty.")
        if not isinstance(count, int) or not 1 <= count <= _MAX_IMAGES:
            return _no(400, "INVALID_PARAMETER", f"num_images must be 1 to {_MAX_IMAGES}.")
        return Order(
            model=model,
            prompt=prompt or "",
            input=body,
            media=media,
            count=count,
            instant=model.startswith("reve-"),
        )

    def new_id(self, order: Order, created_at: int) -> str:
        return secrets.token_hex(12)

    def accepted(self, task: Task, stage: Stage) -> Answer:
        if task.order.instant and stage.final:
            return self.shown(task, stage)
        return _yes({"task_id": task.id, "status": "IN_PROGRESS"})

    def polled_id(self, query: Mapping[str, str], body: bytes | None) -> str | None:
        return query.get("task_id") or None

    def shown(self, task: Task, stage: Stage) -> Answer:
        data: dict[str, Json] = {"task_id": task.id, "status": _STATUSES[stage]}
        if stage is Stage.SUCCEEDED:
            data |= {"consumed_credits": _CREDITS * task.order.count, "response": {"resultUrls": task.files()}}
        if stage is Stage.FAILED:
            data |= {"error": {"code": "GENERATION_FAILED", "message": "The model could not finish this task."}}
        return _yes(data)


def _yes(data: Json) -> Answer:
    return Answer(body={"code": 200, "message": "success", "data": data})


def _no(status: int, message: str, detail: str) -> Answer:
    return Answer(status=status, body={"code": status, "message": message, "detail": detail})

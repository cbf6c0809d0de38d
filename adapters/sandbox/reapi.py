"""reAPI's side of the wire: `{videos,images,audio}/generations` and `tasks/{id}`.

Sources: seed 001, reAPI docs errors (the 1xxxx codes).
"""

import uuid
from collections.abc import Mapping
from typing import ClassVar

from adapters.sandbox.base import Answer, Json, Media, Order, ProviderSide, Refusal, Stage, Task, has_url, text_or_none

_STATUSES = {
    Stage.WAITING: "processing",
    Stage.WORKING: "processing",
    Stage.ODD: "pondering",
    Stage.SUCCEEDED: "completed",
    Stage.FAILED: "failed",
}
# HTTP status, code, message. The codes of the last four are not documented; their HTTP statuses are.
_REFUSALS: dict[Refusal, tuple[int, int, str]] = {
    Refusal.NO_KEY: (401, 10001, "Missing Authorization header"),
    Refusal.BAD_KEY: (401, 10003, "Invalid API key"),
    Refusal.UNREADABLE: (400, 20003, "The body must be a JSON object of at most 1 MiB"),
    Refusal.REJECTED: (400, 20003, "prompt: refused as its steering word asks"),
    Refusal.THROTTLED: (429, 50001, "Too many requests"),
    Refusal.NO_TASK_ID: (404, 40400, "Task not found"),
    Refusal.UNKNOWN_TASK: (404, 40400, "Task not found"),
    Refusal.UNKNOWN_PATH: (404, 40400, "Not found"),
}
_MEDIA = {"videos": Media.VIDEO, "images": Media.IMAGE, "audio": Media.AUDIO}
_OUTPUT_KEY = {Media.VIDEO: "video_urls", Media.IMAGE: "image_urls", Media.AUDIO: "audio_urls"}
_SIZES = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "adaptive")
_RESOLUTIONS = ("480p", "720p", "1080p", "4k")
_CHECKED_MODELS = "doubao-seedance-2.0"


class ReApi(ProviderSide):
    """Real HTTP statuses; errors as `{"error": {code, message, request_id}}`."""

    submit_paths: ClassVar = tuple(f"/api/v1/{kind}/generations" for kind in _MEDIA)
    poll_path: ClassVar = "/api/v1/tasks/{id}"

    def key_fault(self, headers: Mapping[str, str], keys: frozenset[str] | None) -> Answer | None:
        scheme = headers.get("authorization", "").partition(" ")[0].lower()
        if scheme not in ("", "bearer"):
            return _no(401, 10002, "Authorization must be a Bearer token")
        return super().key_fault(headers, keys)

    def refuse(self, refusal: Refusal) -> Answer:
        return _no(*_REFUSALS[refusal])

    def read(self, path: str, body: dict[str, Json]) -> Order | Answer:
        model, prompt = text_or_none(body.get("model")), body.get("prompt")
        if model is None:
            return _no(400, 20002, "model: Invalid input: expected string")
        checked = model.startswith(_CHECKED_MODELS)
        fault = _prompt_fault(prompt, needed=checked or not has_url(body)) or (_field_fault(body) if checked else None)
        if fault is not None:
            return _no(400, *fault)
        media = _MEDIA[path.split("/")[3]]
        return Order(model=model, prompt=prompt or "", input=body, media=media)

    def new_id(self, order: Order, created_at: int) -> str:
        return f"task_{uuid.uuid4().hex}"

    def accepted(self, task: Task, stage: Stage) -> Answer:
        return Answer(body=_head(task, "processing"))

    def shown(self, task: Task, stage: Stage) -> Answer:
        body = _head(task, _STATUSES[stage]) | {"output": None, "error": None}
        if stage is Stage.SUCCEEDED:
            body["output"] = _output(task)
        if stage is Stage.FAILED:
            body["error"] = {"code": 80006, "message": "Request violates content policy"}
        return Answer(body=body)


def _head(task: Task, status: str) -> dict[str, Json]:
    return {"id": task.id, "model": task.order.model, "status": status, "created_at": task.created_at // 1000}


def _output(task: Task) -> dict[str, Json]:
    output: dict[str, Json] = {_OUTPUT_KEY[task.order.media]: task.files()}
    if task.order.input.get("return_last_frame") is True:
        output["last_frame_url"] = f"{task.base}/_sandbox/files/{task.id}.{Media.IMAGE}"
    return output


def _prompt_fault(prompt: Json, *, needed: bool) -> tuple[int, str] | None:
    if prompt is None or prompt == "":
        return (20002, "prompt: Invalid input: expected string, received undefined") if needed else None
    if not isinstance(prompt, str):
        return 20003, "prompt: Invalid input: expected string"
    if len(prompt) < 3:
        return 20003, "prompt: Too small: expected string to have >=3 characters"
    return (20003, "prompt: Too big: expected string to have <=4000 characters") if len(prompt) > 4000 else None


def _field_fault(body: dict[str, Json]) -> tuple[int, str] | None:
    duration, size, resolution = body.get("duration", 5), body.get("size", "adaptive"), body.get("resolution", "720p")
    if not isinstance(duration, int) or not 4 <= duration <= 15:
        return 20003, f"duration must be 4-15 seconds, got {duration}"
    if size not in _SIZES:
        return 20005, f'invalid size "{size}" (allowed: {" / ".join(_SIZES)})'
    if resolution not in _RESOLUTIONS:
        return 20003, f'invalid resolution "{resolution}" (allowed: {" / ".join(_RESOLUTIONS)})'
    return None


def _no(status: int, code: int, message: str) -> Answer:
    error = {"code": code, "message": message, "request_id": f"req_{uuid.uuid4()}"}
    return Answer(status=status, body={"error": error})

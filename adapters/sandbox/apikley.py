"""Apikley's side of the wire: `jobs/createTask`, `jobs/recordInfo` and the callback to `callBackUrl`.

Sources: seed 002 (submit, codes), Apikley docs get-task-detail (recordInfo), the common API that Apikley mirrors
(errors inside HTTP 200, the callback).
"""

import secrets
from collections.abc import Mapping
from typing import ClassVar

from adapters.sandbox.base import (
    Answer,
    CallingSide,
    Json,
    Media,
    Order,
    Refusal,
    Stage,
    Task,
    has_url,
    is_web_address,
    text_or_none,
)
from receiver import json_text

_STATES = {
    Stage.WAITING: "waiting",
    Stage.WORKING: "generating",
    Stage.ODD: "pondering",
    Stage.SUCCEEDED: "success",
    Stage.FAILED: "fail",
}
_REFUSALS = {
    Refusal.NO_KEY: (401, "Unauthorized - no API key was sent"),
    Refusal.BAD_KEY: (401, "Unauthorized - this API key is not known"),
    Refusal.UNREADABLE: (422, "The body must be a JSON object of at most 1 MiB"),
    Refusal.REJECTED: (402, "Insufficient Credits"),
    Refusal.THROTTLED: (429, "Rate Limited"),
    Refusal.NO_TASK_ID: (422, "taskId is required"),
    Refusal.UNKNOWN_TASK: (422, "recordInfo is null"),
    Refusal.UNKNOWN_PATH: (404, "Not Found"),
}
_MEDIA = (
    (Media.VIDEO, ("video",)),
    (Media.AUDIO, ("speech", "audio", "music", "sound", "suno")),
    (Media.IMAGE, ("image", "seedream", "flux", "banana", "imagen", "upscale")),
)
_MAX_PROMPT = 10_000
_CREDITS = 61


class Apikley(CallingSide):
    """Every answer is HTTP 200; `code` in the body tells how it went."""

    submit_paths: ClassVar = ("/api/v1/jobs/createTask",)
    poll_path: ClassVar = "/api/v1/jobs/recordInfo"

    def refuse(self, refusal: Refusal) -> Answer:
        return _no(*_REFUSALS[refusal])

    def read(self, path: str, body: dict[str, Json]) -> Order | Answer:
        model, given = text_or_none(body.get("model")), body.get("input")
        callback_url = body.get("callBackUrl") or None
        if model is None:
            return _no(422, "model is required")
        if not isinstance(given, dict):
            return _no(422, "input is required and must be an object")
        prompt = given.get("prompt")
        fault = _prompt_fault(model, prompt, given)
        if fault is None and callback_url is not None and not is_web_address(callback_url):
            fault = "callBackUrl must be a URL"
        if fault is not None:
            return _no(422, fault)
        return Order(model=model, prompt=prompt or "", input=given, media=_media_of(model), callback_url=callback_url)

    def new_id(self, order: Order, created_at: int) -> str:
        vendor = "".join(
            letter for letter in order.model.split("/")[0].lower() if letter.isascii() and letter.isalnum()
        )
        return f"task_{vendor or 'market'}_{created_at}{secrets.randbelow(10**8):08}"

    def accepted(self, task: Task, stage: Stage) -> Answer:
        return _yes({"taskId": task.id})

    def polled_id(self, query: Mapping[str, str], body: bytes | None) -> str | None:
        return query.get("taskId") or None

    def shown(self, task: Task, stage: Stage) -> Answer:
        param = {"model": task.order.model, "callBackUrl": task.order.callback_url, "input": task.order.input}
        record = _record(task, stage, json_text.write(param))
        if stage.final:
            record |= {"costTime": task.cost_ms}
        return _yes(record)

    def callback(self, task: Task, stage: Stage) -> Json:
        # Newer callbacks of the mirrored API write `input` as JSON text inside the JSON text `param`, and count
        # `costTime` in seconds where recordInfo counts milliseconds.
        param = {
            "input": json_text.write(task.order.input),
            "callBackUrl": task.order.callback_url,
            "model": task.order.model,
        }
        record = _record(task, stage, json_text.write(param)) | {"costTime": task.cost_ms // 1000}
        if stage is Stage.SUCCEEDED:
            return {"code": 200, "msg": "Playground task completed successfully.", "data": record}
        return {"code": 501, "msg": "Playground task failed.", "data": record | {"resultJson": None}}


def _record(task: Task, stage: Stage, param: str) -> dict[str, Json]:
    succeeded, failed = stage is Stage.SUCCEEDED, stage is Stage.FAILED
    record: dict[str, Json] = {
        "taskId": task.id,
        "model": task.order.model,
        "state": _STATES[stage],
        "param": param,
        "resultJson": json_text.write({"resultUrls": task.files()}) if succeeded else "",
        "failCode": "500" if failed else "",
        "failMsg": "Internal server error" if failed else "",
        "createTime": task.created_at,
        "updateTime": task.finished_at if stage.final else task.created_at,
    }
    if stage.final:
        record |= {"completeTime": task.finished_at, "creditsConsumed": _CREDITS if succeeded else 0}
    return record


def _prompt_fault(model: str, prompt: Json, given: dict[str, Json]) -> str | None:
    if text_or_none(prompt) is None:
        needless = prompt is None and "text-to-" not in model and has_url(given)
        return None if needless else "prompt is required"
    return f"prompt must not exceed {_MAX_PROMPT} characters" if len(prompt) > _MAX_PROMPT else None


def _media_of(model: str) -> Media:
    return next((media for media, hints in _MEDIA if any(hint in model.lower() for hint in hints)), Media.VIDEO)


def _yes(data: Json) -> Answer:
    return Answer(body={"code": 200, "msg": "success", "data": data})


def _no(code: int, msg: str) -> Answer:
    return Answer(body={"code": code, "msg": msg, "data": None})

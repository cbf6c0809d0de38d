"""Each provider's wire as its callers speak it, be it to the provider or to us, and what two answers have in common."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

# What must be the same in both, value for value; all else may differ as long as it is of the same shape.
WORDS = frozenset(
    {"code", "state", "status", "failCode", "model", "consumed_credits", "creditsConsumed", "costCredits"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How one provider is spoken to: a body without its prompt, where its answers name the task, how one polls."""

    name: str
    submit_path: str
    body: Mapping[str, Any]
    id_at: tuple[str, ...]
    poll_path: str
    nested: bool = False
    polls_by_post: bool = False

    def submit(self, prompt: str | None = "a red panda", **fields: Any) -> dict[str, Any]:
        """The body of a submit; None leaves the prompt out."""
        words = {} if prompt is None else {"prompt": prompt}
        body = {**self.body, "input": words} if self.nested else {**self.body, **words}
        return {name: value for name, value in {**body, **fields}.items() if value is not None}

    def id_of(self, answer: httpx.Response) -> str:
        """The task's id in the answer to a submit."""
        value = answer.json()
        for name in self.id_at:
            value = value[name]
        assert isinstance(value, str), answer.text
        return value

    async def send(self, client: httpx.AsyncClient, body: Any, **more: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **more.pop("headers", {})}
        return await client.post(f"/{self.name}{self.submit_path}", content=content, headers=headers, **more)

    async def poll(self, client: httpx.AsyncClient, task_id: str, **more: Any) -> httpx.Response:
        if self.polls_by_post:
            return await client.post(f"/{self.name}{self.poll_path}", json={"taskId": task_id}, **more)
        return await client.get(f"/{self.name}{self.poll_path.format(id=task_id)}", **more)


WIRES = {
    wire.name: wire
    for wire in (
        Wire(
            name="apikley",
            submit_path="/api/v1/jobs/createTask",
            body={"model": "bytedance/v1-pro-text-to-video"},
            id_at=("data", "taskId"),
            poll_path="/api/v1/jobs/recordInfo?taskId={id}",
            nested=True,
        ),
        Wire(
            name="reapi",
            submit_path="/api/v1/videos/generations",
            body={"model": "doubao-seedance-2.0", "duration": 5, "return_last_frame": True},
            id_at=("id",),
            poll_path="/api/v1/tasks/{id}",
        ),
        Wire(
            name="reelbyte",
            submit_path="/api/v1/ai/generate",
            body={"model": "bytedance/seedance-1-lite", "mediaType": "video", "provider": "replicate", "options": {}},
            id_at=("data", "taskId"),
            poll_path="/api/v1/ai/query",
            polls_by_post=True,
        ),
        Wire(
            name="reve2img",
            submit_path="/api/v1/generate",
            body={"model": "kling3-pro-text-to-video"},
            id_at=("data", "task_id"),
            poll_path="/api/v1/status?task_id={id}",
        ),
    )
}


def shape(value: Any, name: str = "") -> Any:
    """What has to be the same: the keys, the types, JSON inside of texts, and the providers' own words and codes."""
    if name in WORDS and isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {key: shape(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if isinstance(value, str) and value.startswith("{"):
        return {"JSON text": shape(json.loads(value))}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def told(answer: httpx.Response) -> tuple[int, Any]:
    """An answer as what has to be the same."""
    return answer.status_code, shape(answer.json())

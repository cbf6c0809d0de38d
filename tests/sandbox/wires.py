"""How a caller of each provider speaks to it, so that one test can ask all four the same question."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

Json = Any
DEADLINE_S = 5.0
TICK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One provider as its caller sees it; `refused` tells a refusal, `words` are waiting, working, success, failure."""

    name: str
    submit_path: str
    order: Callable[[str], dict[str, Json]]
    task_id: Callable[[Json], str]
    poll: Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]
    status: Callable[[Json], str]
    urls: Callable[[Json], list[str]]
    refused: Callable[[httpx.Response], bool]
    words: tuple[str, str, str, str]
    odd: str = "pondering"

    async def submit(self, client: httpx.AsyncClient, prompt: str, /, **more: Json) -> httpx.Response:
        return await client.post(f"/{self.name}{self.submit_path}", json=self.order(prompt) | more)

    async def create(self, client: httpx.AsyncClient, prompt: str, /, **more: Json) -> str:
        return self.task_id((await self.submit(client, prompt, **more)).json())

    async def show(self, client: httpx.AsyncClient, task_id: str) -> Json:
        return (await self.poll(client, task_id)).json()

    async def finish(self, client: httpx.AsyncClient, task_id: str) -> tuple[Json, list[str]]:
        """Poll until the task is final: the last answer, and the status words seen on the way, each once."""
        seen: list[str] = []
        end = time.monotonic() + DEADLINE_S
        while True:
            body = await self.show(client, task_id)
            word = self.status(body)
            if word not in seen:
                seen.append(word)
            if word in self.words[2:]:
                return body, seen
            assert time.monotonic() < end, f"still {word}"
            await asyncio.sleep(TICK_S)


def caller_of(url: str) -> httpx.AsyncClient:
    """A client for the sandbox at `url`, with a key."""
    headers = {"authorization": "Bearer a-key"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=5, trust_env=False, verify=False)


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What `condition` gives, as soon as it gives something."""
    end = time.monotonic() + DEADLINE_S
    while not (found := await condition()):
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(TICK_S)
    return found


async def ledger(client: httpx.AsyncClient) -> list[Json]:
    tasks = (await client.get("/_sandbox/tasks")).json()
    assert tasks["count"] == len(tasks["items"])
    items: list[Json] = tasks["items"]
    return items


def _reelbyte_urls(body: Json) -> list[str]:
    return [video["videoUrl"] for video in json.loads(body["data"]["taskInfo"])["videos"]]


def _apikley_urls(body: Json) -> list[str]:
    urls: list[str] = json.loads(body["data"]["resultJson"])["resultUrls"]
    return urls


APIKLEY = Wire(
    name="apikley",
    submit_path="/api/v1/jobs/createTask",
    order=lambda prompt: {"model": "bytedance/v1-pro-text-to-video", "input": {"prompt": prompt, "duration": "5"}},
    task_id=lambda body: body["data"]["taskId"],
    poll=lambda client, task_id: client.get("/apikley/api/v1/jobs/recordInfo", params={"taskId": task_id}),
    status=lambda body: body["data"]["state"],
    urls=_apikley_urls,
    refused=lambda answer: answer.status_code == 200 and answer.json()["code"] != 200 and answer.json()["data"] is None,
    words=("waiting", "generating", "success", "fail"),
)
REAPI = Wire(
    name="reapi",
    submit_path="/api/v1/videos/generations",
    order=lambda prompt: {"model": "doubao-seedance-2.0-face", "prompt": prompt, "duration": 5},
    task_id=lambda body: body["id"],
    poll=lambda client, task_id: client.get(f"/reapi/api/v1/tasks/{task_id}"),
    status=lambda body: body["status"],
    urls=lambda body: body["output"]["video_urls"],
    refused=lambda answer: 400 <= answer.status_code < 500 and set(answer.json()["error"]) >= {"code", "message"},
    words=("processing", "processing", "completed", "failed"),
)
REELBYTE = Wire(
    name="reelbyte",
    submit_path="/api/v1/ai/generate",
    order=lambda prompt: {
        "mediaType": "video",
        "provider": "replicate",
        "model": "bytedance/seedance-1-lite",
        "scene": "text-to-video",
        "prompt": prompt,
    },
    task_id=lambda body: body["data"]["taskId"],
    poll=lambda client, task_id: client.post("/reelbyte/api/v1/ai/query", json={"taskId": task_id}),
    status=lambda body: body["data"]["status"],
    urls=_reelbyte_urls,
    refused=lambda answer: answer.json()["code"] == -1 and answer.json()["data"] is None,
    words=("pending", "processing", "success", "failed"),
)
REVE2IMG = Wire(
    name="reve2img",
    submit_path="/api/v1/generate",
    order=lambda prompt: {"model": "happyhorse-1.0-text-to-video", "prompt": prompt},
    task_id=lambda body: body["data"]["task_id"],
    poll=lambda client, task_id: client.get("/reve2img/api/v1/status", params={"task_id": task_id}),
    status=lambda body: body["data"]["status"],
    urls=lambda body: body["data"]["response"]["resultUrls"],
    refused=lambda answer: answer.status_code >= 400 and answer.json()["code"] == answer.status_code,
    words=("IN_PROGRESS", "IN_PROGRESS", "SUCCESS", "FAILED"),
    odd="PONDERING",
)
WIRES = (APIKLEY, REAPI, REELBYTE, REVE2IMG)
POLL_ONLY = (REAPI, REELBYTE, REVE2IMG)

"""What the log may never hold, over whole runs of the main job."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from receiver.telemetry import configure_logs
from tests.service.asking import everything, holds
from tests.service.consumer import a_consumer
from tests.service.tenants import a_holder
from tests.service.world import API_KEY, World, a_reachable_world

pytestmark = pytest.mark.anyio

KEYS = {f"TASKWEIR_{name}_API_KEY": f"{name}-very-secret-key" for name in ("APIKLEY", "REAPI", "REELBYTE", "REVE2IMG")}
SEALING = "sealing-key-sealing-key-sealing-key"
PROMPT = "a prompt that is nobody's business"
SUBMITS: list[tuple[str, str, dict[str, Any]]] = [
    ("apikley", "bytedance/v1-pro-text-to-video", {}),
    ("reapi", "doubao-seedance-2.0-face", {}),
    ("reelbyte", "m", {"mediaType": "video", "provider": "replicate", "scene": "text-to-video"}),
    ("reve2img", "kling3-pro-text-to-video", {}),
]


async def main_job(world: World, sandbox: str, url: str) -> list[str]:
    """Tasks of every provider, well-behaved and not, their callbacks, deliveries; the secrets that were at work."""
    hook = await world.destination(url, event_types=["task.*"])
    await world.api.post("/v1/destinations", json={"type": "sqlite", "name": "results"})
    tokens = []
    for word in ("", "[fail]", "[reject]", "[hang]", "[500]", "[twice]", "[forge]", "[odd]", "[never]"):
        prompt = {"prompt": f"{word} {PROMPT}"}
        submits = (world.submit(provider, model, input=prompt | more) for provider, model, more in SUBMITS)
        for task in await asyncio.gather(*submits):
            if task["callback_expected"]:
                path = await world.callback_url(task["id"])
                tokens.append(path.rsplit("/", 1)[1])
    for token in tokens:
        body = {"code": 200, "data": {"taskId": "x", "state": token, "url": f"/callbacks/apikley/{token}"}}
        await world.api.post(f"/callbacks/apikley/{token}", json=body)
        await world.api.post(f"/callbacks/apikley/{token[:-1]}", json=body)
    for _ in range(40):
        await world.turn(5)
    async with httpx.AsyncClient(verify=False) as client:
        await client.delete(f"{sandbox}/_sandbox/tasks")  # from now on no poll is answered
    for _ in range(10):
        await world.turn(60)
    holder = await a_holder(world, "acme", "submit")
    await holder.post("/v1/tasks", {"provider": "reapi", "model": SUBMITS[1][1], "input": {"prompt": PROMPT}})
    await holder.ask("DELETE", f"/v1/keys/{holder.key_id}", params={"tenant": holder.key})
    await world.api.get("/v1/me", headers={"authorization": "Bearer not-the-key-but-a-secret"})
    await world.api.get(f"/v1/destinations/{hook['id']}/secret")
    await world.api.get("/v1/tasks?limit=not-the-key-but-a-secret")
    found = [hook["secret"], hook["secret"].removeprefix("whsec_"), holder.key, holder.key.removeprefix("tw_")]
    return [*tokens, *(token.split(".")[1] for token in tokens), *found]


@pytest.mark.parametrize("style", ["json", "console"])
async def test_no_key_secret_token_or_prompt_is_logged(
    tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Nor kept in the store in the clear, but for the prompt, which is the task's."""
    configure_logs(fmt=style, level="debug")
    environment: dict[str, Any] = KEYS | {"TASKWEIR_SECRET_KEY": SEALING}
    async with (
        running(create_app(finish_after_s=0.01, callback_retry_s=0.02)) as sandbox,
        a_consumer(500, 204) as consumer,
        a_reachable_world(tmp_path, base_url=sandbox, **environment) as world,
    ):
        at_work = await main_job(world, sandbox, consumer.url)
        assert len(consumer.bodies) > 20
        statuses = {task["status"] for task in (await world.api.get("/v1/tasks?limit=200")).json()["items"]}
        assert {"succeeded", "failed", "unconfirmed"} <= statuses
    printed = capsys.readouterr()
    # Of what is not ours (the client in this test, say) only warnings are ever printed.
    loud = "".join(entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING)
    lines = printed.err + printed.out + loud
    for event in ("task.handed_over", "delivery.attempted", "poll.failed", "server.stopped"):
        assert event in lines
    secrets = [API_KEY, SEALING, "not-the-key-but-a-secret", *KEYS.values(), *at_work]
    assert [secret for secret in secrets if secret in lines] == []
    assert PROMPT not in lines
    kept = everything(tmp_path)
    assert {secret: holds(kept, secret) for secret in secrets if holds(kept, secret)} == {}
    assert all(PROMPT.encode() not in body for body in consumer.bodies)


async def test_what_goes_wrong_inside_is_logged_without_the_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 500 says nothing but that; the log has the error, not the path, where a token may be, nor the body."""
    configure_logs(fmt="json", level="info")
    async with a_reachable_world(tmp_path) as world:
        path = await world.callback_url("task_1")
        await world.service.storage.write(lambda store: store.execute("DROP TABLE inputs", {}))  # type: ignore[attr-defined]
        answer = await world.api.post(path, json={"prompt": PROMPT})
        assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
        assert answer.json()["detail"] == "an error of ours; it is in the log"
        assert (await world.api.get("/health/live")).status_code == 200
    printed = capsys.readouterr().err
    [failed] = [entry for line in printed.splitlines() if (entry := json.loads(line))["event"] == "request.failed"]
    assert failed["method"] == "POST"
    assert re.search(r"no such table: inputs|relation .{1,3}inputs.{1,3} does not exist", failed["error"])
    assert path.rsplit("/", 1)[1] not in printed
    assert PROMPT not in printed

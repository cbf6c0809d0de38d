"""What the sandbox remembers of what was asked of it."""

import json
from pathlib import Path

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from tests.sandbox.inbox import Inbox
from tests.sandbox.wires import APIKLEY, REAPI, REELBYTE, WIRES, caller_of, ledger

pytestmark = pytest.mark.anyio


async def test_tasks_are_listed_as_they_were_created(client: httpx.AsyncClient) -> None:
    """Every accepted submit is one item, in order of creation, with what was received and how it was asked for."""
    ids = [await wire.create(client, f"for {wire.name}") for wire in WIRES]
    await APIKLEY.show(client, ids[0])
    await APIKLEY.show(client, ids[0])
    items = await ledger(client)
    assert [(item["provider"], item["id"]) for item in items] == [
        (wire.name, task_id) for wire, task_id in zip(WIRES, ids, strict=True)
    ]
    first = items[0]
    assert first.pop("created_at") > 1_700_000_000_000
    assert first.pop("status") in ("waiting", "working", "succeeded")
    assert first == {
        "provider": "apikley",
        "id": ids[0],
        "model": "bytedance/v1-pro-text-to-video",
        "prompt": "for apikley",
        "input": {"prompt": "for apikley", "duration": "5"},
        "submits": 1,
        "polls": 2,
        "callbacks": [],
        "method": "POST",
        "path": "/api/v1/jobs/createTask",
        "headers": {"content-type": "application/json", "authorization": "present"},
        "body": APIKLEY.order("for apikley"),
    }
    assert items[1]["input"] == REAPI.order("for reapi")


async def test_status_there_is_neutral(client: httpx.AsyncClient) -> None:
    """The ledger has one word for a status, whatever the provider calls it."""
    for prompt in ("a [never]", "a [odd] [never]"):
        await APIKLEY.create(client, prompt)
    await REAPI.finish(client, await REAPI.create(client, "a heron"))
    await REELBYTE.finish(client, await REELBYTE.create(client, "a heron [fail]"))
    assert [item["status"] for item in await ledger(client)] == ["working", "odd", "succeeded", "failed"]


async def test_the_list_can_be_cut(client: httpx.AsyncClient) -> None:
    """`limit` shows the newest only, 0 the count alone; a limit that is no number is none."""
    ids = [await APIKLEY.create(client, "a heron") for _ in range(3)]
    for limit, shown in (("2", ids[1:]), ("0", []), ("9", ids), ("x", ids), ("9" * 40, ids)):
        tasks = (await client.get("/_sandbox/tasks", params={"limit": limit})).json()
        assert tasks["count"] == 3
        assert [item["id"] for item in tasks["items"]] == shown


async def test_every_request_is_counted_refused_ones_too(client: httpx.AsyncClient) -> None:
    """Counts are per provider and path, with ids left out of the path; the last requests are kept as they came."""
    task_id = await REAPI.create(client, "a heron")
    await REAPI.submit(client, "a [reject]")
    await REAPI.show(client, task_id)
    await REAPI.show(client, "nobody")
    await REELBYTE.show(client, "nobody")
    await client.get("/reapi/api/v1/balance?a=b")
    seen = (await client.get("/_sandbox/requests")).json()
    assert seen["count"] == 6
    assert seen["counts"] == {
        "reapi": {"POST /api/v1/videos/generations": 2, "GET /api/v1/tasks/{id}": 2, "GET other": 1},
        "reelbyte": {"POST /api/v1/ai/query": 1},
    }
    taken, refused = seen["submits"]
    assert json.loads(taken["body"]) == REAPI.order("a heron")
    assert (taken["status"], taken["task_id"]) == (200, task_id)
    assert (refused["status"], refused["task_id"]) == (400, None)
    assert [poll["path"] for poll in seen["polls"]][:2] == [f"/api/v1/tasks/{task_id}", "/api/v1/tasks/nobody"]
    assert seen["polls"][2]["body"] == '{"taskId":"nobody"}'
    [other] = seen["others"]
    assert (other["path"], other["query"], other["status"]) == ("/api/v1/balance", "a=b", 404)


async def test_keys_are_never_kept(client: httpx.AsyncClient) -> None:
    """Of the headers that carry a key only their presence is remembered."""
    headers = {"authorization": "Bearer s3cret", "x-api-key": "s3cret", "cookie": "s3cret"}
    await client.post(f"/apikley{APIKLEY.submit_path}", json=APIKLEY.order("a heron"), headers=headers)
    for path in ("/_sandbox/tasks", "/_sandbox/requests"):
        text = (await client.get(path)).text
        assert "present" in text
        assert "s3cret" not in text


async def test_delete_forgets_everything(client: httpx.AsyncClient) -> None:
    """After DELETE there are no tasks, no counts, and the first `[429]` of a prompt is the first again."""
    task_id = await APIKLEY.create(client, "a heron")
    assert APIKLEY.refused(await APIKLEY.submit(client, "a [429]"))
    assert (await client.delete("/_sandbox/tasks")).status_code == 204
    assert await ledger(client) == []
    assert (await client.get("/_sandbox/requests")).json()["count"] == 0
    assert APIKLEY.refused(await APIKLEY.poll(client, task_id))
    assert APIKLEY.refused(await APIKLEY.submit(client, "a [429]"))


async def test_memory_is_bounded(anyio_backend: str) -> None:
    """Only the newest tasks are remembered; older ones still count, and a poll does not know them any more."""
    async with running(create_app(finish_after_s=0, max_tasks=2)) as url, caller_of(url) as client:
        ids = [await REAPI.create(client, "a heron") for _ in range(3)]
        tasks = (await client.get("/_sandbox/tasks")).json()
        assert tasks["count"] == 3
        assert [item["id"] for item in tasks["items"]] == ids[1:]
        assert REAPI.refused(await REAPI.poll(client, ids[0]))
        for prompt in ("a [429]", "b [429]", "c [429]", "a [429]"):
            assert "retry-after" in (await REAPI.submit(client, prompt)).headers


async def test_the_file_counts_creates_and_ends(tmp_path: Path, inbox: Inbox) -> None:
    """The ledger file has a line per create before its answer leaves, one per end, and outlives the sandbox."""
    file = tmp_path / "creates.jsonl"
    async with running(create_app(finish_after_s=0.01, ledger=file)) as url, caller_of(url) as client:
        task_id = await APIKLEY.create(client, "a heron [early] [twice]", callBackUrl=inbox.url)
        first = _lines(file)[0]
        assert (first["event"], first["id"]) == ("created", task_id)
        failed = await REAPI.create(client, "a heron [fail]")
        await REAPI.finish(client, failed)
        await REAPI.show(client, failed)
        await ledger(client)
        await REAPI.submit(client, "a [reject]")
    lines = _lines(file)
    assert sorted((line["event"], line["id"]) for line in lines) == sorted(
        [("created", task_id), ("finished", task_id), ("created", failed), ("finished", failed)]
    )
    assert {line["status"] for line in lines if line["id"] == failed and line["event"] == "finished"} == {"failed"}
    assert {line["prompt"] for line in lines if line["event"] == "created"} == {
        "a heron [early] [twice]",
        "a heron [fail]",
    }
    assert inbox.url not in file.read_text()
    async with running(create_app(ledger=file)) as url, caller_of(url) as client:
        await REAPI.create(client, "after a restart")
    assert len(_lines(file)) == 5


def _lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]

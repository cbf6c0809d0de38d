"""What the API really answers is what the document says of it, field by field."""

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.domain import Failure, FailureKind, Kind, OperatorEvent, Output, Status, Usage
from receiver.web.documents.event_answers import Watched
from receiver.web.documents.table import OPERATIONS
from tests.documents.judging import complaint, path_of
from tests.make import NOW, a_task
from tests.service.asking import failures
from tests.service.consumer import Consumer, a_consumer
from tests.service.world import APIKLEY_MODEL, Scripted, World, a_pair, created, keep, record, scripted

pytestmark = pytest.mark.anyio

# What is only answered by other kinds of servers, or needs a fault: their own tests see those.
# The stream does not end; what it tells is what is listed (service/test_stream.py).
ELSEWHERE = {("GET", "/health/ready", 503), ("GET", "/readyz", 503), ("GET", "/v1/events/stream", 200)}
VIDEO = Output(kind=Kind.VIDEO, url="https://files.example/1.mp4", expires_at=NOW)


class Walk:
    """Requests to the API; every answer is held against the document."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: set[tuple[str, str, int]] = set()
        self.wrong: dict[str, str | None] = {}
        world.api.event_hooks["response"].append(self._judge)

    async def _judge(self, answer: httpx.Response) -> None:
        await answer.aread()
        path = path_of(answer.request.url)
        assert path is not None, answer.request.url
        self.seen.add((answer.request.method, path, answer.status_code))
        self.wrong[f"{answer.request.method} {answer.request.url} {len(self.wrong)}"] = complaint(answer)

    async def ask(self, method: str, path: str, status: int, **fields: Any) -> Any:
        answer = await self.world.api.request(method, path, **fields)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content and "json" in answer.headers["content-type"] else None


def successes() -> Iterator[tuple[str, str, int]]:
    for each in OPERATIONS:
        yield from ((each.method, each.path, status) for status in each.answers)


async def _submit(walk: Walk, apikley: Scripted) -> str:
    """The operations that make tasks, and their refusals; the id of one that waits at its provider."""
    ask, work = walk.ask, {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
    key, later = {"Idempotency-Key": "k1"}, {"Prefer": "respond-async"}
    await ask("POST", "/v1/tasks", 400, content=b"{")
    await ask("POST", "/v1/tasks", 422, json={"provider": 1, "input": {"x": []}, "more": True})
    await ask("POST", "/v1/tasks", 422, json=work | {"model": "bytedance/v1-pro-text-to-video", "input": {}})
    apikley.say(created("p1"))
    for metadata, status in (({"order": "42"}, 201), ({"order": "42"}, 201), ({"order": "43"}, 422)):
        await ask("POST", "/v1/tasks", status, json=work | {"metadata": metadata}, headers=key)
    apikley.say(created("p2"))
    await ask("POST", "/v1/tasks", 202, json=work, headers=later)
    bound = work | {"provider_task_id": "p9"}
    adopted = await ask("POST", "/v1/tasks/adopt", 201, json=bound)
    await ask("POST", "/v1/tasks/adopt", 200, json=bound)
    await keep(walk.world, a_task(id="task_of_another", tenant="other", provider_task_id="p7"))
    await ask("POST", "/v1/tasks/adopt", 409, json=bound | {"provider_task_id": "p7"})
    task_id: str = adopted["id"]
    return task_id


async def _act(walk: Walk, apikley: Scripted, task_id: str) -> None:
    """The operations on tasks that are there, in every state that one can be in."""
    ask, one = walk.ask, f"/v1/tasks/{task_id}"
    apikley.say(record("generating", "p9"))
    await ask("POST", f"{one}/refresh", 200)
    await ask("POST", f"{one}/resolve", 409, json={"status": "failed"})
    await ask("POST", f"{one}/resolve", 422, json={})
    await ask("POST", f"{one}/resubmit", 409)
    await ask("POST", "/v1/tasks/nobody/cancel", 404)
    await ask("POST", f"{one}/cancel", 200, json={})
    await ask("POST", f"{one}/cancel", 409)
    apikley.say(created("p3"))
    again = await ask("POST", f"{one}/resubmit", 201)
    await ask("POST", f"/v1/tasks/{again['id']}/cancel", 200)
    await _watch(walk, again["watch_url"])
    for number, status in enumerate(Status):
        error = Failure(kind=FailureKind.QUOTA, message="no", code="402", request_id="r1", retryable=True)
        ended = (
            {"finished_at": NOW, "error": error, "usage": Usage(amount=1.5), "outputs": (VIDEO,)}
            if status.final
            else {}
        )
        task = a_task(id=f"task_{status}", status=status, provider_task_id=f"q{number}", retry_of="task_x", **ended)
        await keep(walk.world, task)
        await ask("GET", f"/v1/tasks/task_{status}", 200)
    await ask("POST", "/v1/tasks/task_submitting/cancel", 202)
    await ask("POST", "/v1/tasks/task_unconfirmed/resubmit", 202, headers={"Prefer": "respond-async"})
    await keep(walk.world, a_task(id="task_in_doubt", status=Status.UNCONFIRMED))
    await ask("POST", "/v1/tasks/task_in_doubt/resolve", 200, json={"provider_task_id": "p10"})
    await ask("POST", "/v1/tasks/bulk", 200, json={"action": "cancel", "filter": {"status": "queued"}})
    await ask("POST", "/v1/tasks/bulk", 422, json={"action": "cancel", "filter": {"x": 1}})


async def _watch(walk: Walk, url: str) -> None:
    """A task that has ended, by its link: what is told of it, and that nothing more will come."""
    told = await walk.world.api.get(url)
    *messages, end, _ = told.text.split("\n\n")
    assert end.startswith("event: end\n")
    for message in messages[1:]:
        Watched.model_validate_json(message.partition("data: ")[2], extra="forbid")
    last = re.findall(r"^id: (.+)$", told.text, re.MULTILINE)[-1]
    await walk.ask("GET", url, 204, headers={"last-event-id": last})
    await walk.ask("GET", f"{url}x", 404)


async def _destinations(walk: Walk, url: str) -> str:
    """The operations on destinations of every kind; the id of a webhook that is there."""
    ask, many = walk.ask, "/v1/destinations"
    log = {"type": "sqlite", "name": "results", "retention_days": 7}
    await ask("POST", many, 201, json=log)
    await ask("POST", many, 409, json=log)
    await ask("POST", many, 422, json={"type": "sqlite"})
    key = {"type": "webhook", "url": url, "signature": "v1a", "event_types": ["task.progress"]}
    signed = await ask("POST", many, 201, json=key)
    await ask("GET", f"{many}/{signed['id']}/secret", 200)
    names = ["task.*", *OperatorEvent]
    wanted = {
        "type": "webhook",
        "url": url,
        "event_types": names,
        "headers": {"x-team": "a"},
        "metadata": {"order": "42"},
    }
    made = await ask("POST", many, 201, json=wanted)
    one = f"{many}/{made['id']}"
    await ask("GET", one, 200)
    await ask("GET", f"{one}x", 404)
    await ask("PATCH", one, 200, json={"metadata": None, "rate_per_second": 100, "format": "flat"})
    await ask("PATCH", one, 422, json={"name": "x"})
    for act, status in (("disable", 200), ("enable", 200), ("test", 200), ("rotate-secret", 200), ("replay", 422)):
        await ask("POST", f"{one}/{act}", status, json={})
    await ask("GET", many, 200)
    await ask("DELETE", f"{many}/{signed['id']}", 204)
    await ask("GET", "/v1/webhook-secret", 200)
    await ask("POST", "/v1/webhook-secret/rotate", 200, json={"overlap_seconds": 0})
    made_id: str = made["id"]
    return made_id


async def _events(walk: Walk, destination_id: str, consumer: Consumer) -> None:
    """The operations on events and on deliveries of them, arrived, failed and canceled."""
    ask, one = walk.ask, f"/v1/destinations/{destination_id}"
    await ask("POST", "/v1/providers/reapi/pause", 200)
    await walk.world.turn()
    consumer.answers = deque([503])
    await ask("POST", "/v1/providers/reapi/resume", 200)
    await walk.world.turn()
    events = (await ask("GET", "/v1/events", 200))["items"]
    assert {"task.submitted", "task.canceled", "provider.paused"} <= {event["type"] for event in events}
    await ask("GET", "/v1/events?order=desc&type=provider.paused,task.finished", 200)
    await ask("GET", "/v1/events?after=x", 422)
    await ask("GET", f"/v1/events/{events[0]['id']}", 200)
    await ask("POST", f"/v1/events/{events[0]['id']}/replay", 202)
    await ask("POST", f"{one}/replay", 200, json={"since": "2020-01-01T00:00:00Z", "only": "all"})
    pending = (await ask("GET", "/v1/deliveries?state=pending", 200))["items"]
    owed = f"/v1/deliveries/{pending[0]['id']}"
    await ask("GET", owed, 200)
    await ask("POST", f"{owed}/cancel", 200)
    await ask("POST", f"{owed}/retry", 200)
    arrived = (await ask("GET", "/v1/deliveries?state=delivered", 200))["items"]
    await ask("POST", f"/v1/deliveries/{arrived[0]['id']}/cancel", 409)
    failed = next(each for each in pending if each["attempts"])
    assert (await ask("GET", f"/v1/deliveries/{failed['id']}", 200))["attempt_log"]
    await ask("POST", f"{one}/disable", 200)
    await ask("POST", f"/v1/events/{events[0]['id']}/replay", 409, json={"destination_id": destination_id})
    await ask("GET", "/v1/deliveries", 200)


async def _subscribe(walk: Walk, url: str) -> None:
    """The operations of hooks, of keys, and what the tasks came to."""
    ask, hook = walk.ask, {"targetUrl": url, "event": "task.finished", "more": 1}
    made = await ask("POST", "/v1/hooks", 201, json=hook)
    await ask("POST", "/v1/hooks", 422, json={"event": "task.finished"})
    await ask("GET", f"/v1/hooks?url={url}", 200)
    assert await ask("GET", "/v1/hooks/sample?event=task.expired", 200)
    assert len(await ask("GET", f"/v1/hooks/sample?event={OperatorEvent.DELIVERY_DEAD}", 200)) == 1
    assert await ask("GET", "/v1/hooks/sample", 200)
    await ask("DELETE", f"/v1/hooks/{made['id']}", 204)
    await ask("DELETE", f"/v1/hooks?url={url}", 204)
    await ask("DELETE", "/v1/hooks", 422)
    key = await ask("POST", "/v1/keys", 201, json={"label": "a reader", "scopes": ["read"]})
    await ask("POST", "/v1/keys", 422, json={"label": "", "scopes": ["all"]})
    await ask("GET", "/v1/me", 200, headers={"authorization": f"Bearer {key['key']}"})
    await ask("POST", "/v1/tasks", 403, headers={"authorization": f"Bearer {key['key']}"})
    await ask("GET", "/v1/keys", 200)
    await ask("GET", f"/v1/keys/{key['id']}", 200)
    await ask("DELETE", f"/v1/keys/{key['id']}", 204)
    report = await ask(
        "GET", "/v1/usage?group_by=provider,metadata.order&from=2025-01-01T00:00:00Z&to=2030-01-01T00:00:00Z", 200
    )
    assert {group["group"]["metadata.order"] for group in report["items"]} == {None, "42"}
    await ask("GET", "/v1/usage?group_by=x", 422)


async def _operate(walk: Walk, task_id: str) -> None:
    """The rest: what operators ask for, and lists once there is something in them."""
    ask = walk.ask
    for path in ("/v1/me", "/v1/providers", "/metrics", "/health/live", "/health/ready", "/healthz", "/readyz"):
        await ask("GET", path, 200)
    await ask("POST", "/v1/providers/nobody/pause", 404)
    await ask("GET", "/internal/tick?budget_ms=0", 200)
    await ask("POST", "/internal/tick?budget_ms=0", 200)
    await ask("POST", "/internal/rotate-secrets", 200)
    await ask("GET", "/v1/tasks?status=submitted&metadata.order=42&limit=1", 200)
    await ask("GET", "/v1/tasks?limit=1", 200)
    await ask("GET", "/v1/tasks?limit=0", 422)
    await ask("GET", f"/v1/tasks/{task_id}?wait=0", 200)
    await ask("GET", f"/v1/tasks/{task_id}/timeline", 200)
    del walk.world.api.headers["authorization"]
    for path in ("/v1/tasks", "/metrics", "/internal/tick"):
        await ask("GET", path, 401)


async def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    """A walk through the whole API meets every success that the document names, and nothing that it does not."""
    async with a_consumer() as consumer, scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        walk = Walk(world)
        destination_id = await _destinations(walk, consumer.url)
        task_id = await _submit(walk, apikley)
        await _act(walk, apikley, task_id)
        await _events(walk, destination_id, consumer)
        await _subscribe(walk, consumer.url)
        await _operate(walk, task_id)
        assert failures(walk.wrong) == {}
        assert set(successes()) - walk.seen - ELSEWHERE == set()

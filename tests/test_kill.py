"""kill -9 with 200 tasks in flight: nothing is lost, nothing is doubled, nothing is paid twice."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import a_sandbox, environment, eventually, every, logged, start, unmeasured, wait_until_up
from tests.service.world import API_KEY, APIKLEY_MODEL, CALLERS, free_port

TASKS = 200
# Where a host starts a process for each callback none meets a dead one: what was lost waits for the safety poll.
MODES: dict[str, dict[str, str]] = {
    "server": {},
    "serverless": {"TASKWEIR_MODE": "serverless", "TASKWEIR_PUBLIC_URL": ""},
}
KILLS = 4
FINAL = {"task.succeeded", "task.failed", "task.canceled", "task.expired"}
REQUESTS: list[dict[str, Any]] = [
    {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}},
    {"provider": "reelbyte", "model": "m", "input": {"mediaType": "video", "provider": "replicate", "prompt": "x y z"}},
    {"provider": "reve2img", "model": "kling3-pro-text-to-video", "input": {"prompt": "a red panda"}},
    {"provider": "reve2img", "model": "reve-2.0", "input": {"prompt": "a red panda"}},
    {"provider": "reapi", "model": "doubao-seedance-2.0-face", "input": {"prompt": "a red panda"}},
]


def submit(api: httpx.Client, number: int) -> bool:
    """One request, sent once; whether it was answered. Where the server died under it, nobody knows more."""
    try:
        api.post("/v1/tasks", json=REQUESTS[number % len(REQUESTS)] | {"metadata": {"number": str(number)}})
    except httpx.TransportError:
        return False
    return True


@contextmanager
def called_by_the_clock(url: str, mode: str) -> Iterator[None]:
    """Five callers of the heartbeat, again and again, where nothing else makes the server work."""
    over = threading.Event()

    def call() -> None:
        with httpx.Client(headers={"authorization": f"Bearer {API_KEY}"}, timeout=60, verify=False) as clock:
            while not over.wait(0.2):
                with suppress(httpx.TransportError):
                    clock.post(f"{url}/internal/tick")

    with ThreadPoolExecutor(CALLERS) as threads:
        if mode == "serverless":
            for _ in range(CALLERS):
                threads.submit(call)
        try:
            yield
        finally:
            over.set()


@pytest.mark.parametrize("mode", MODES)
def test_kill_9_with_200_tasks_in_flight(tmp_path: Path, mode: str) -> None:
    """Killed while submitting, polling and delivering; started again each time, until all is settled."""
    chance = random.Random(2026)
    port, log = free_port(), tmp_path / "server.log"
    url = f"http://127.0.0.1:{port}"
    with a_sandbox(tmp_path, finish_after_s=2.0) as sandbox_url:
        env = unmeasured(environment(tmp_path, port, sandbox_url) | MODES[mode])
        server = start("serve", env=env, log=log)
        try:
            wait_until_up(f"{url}/health/ready", server, log)
            with (
                httpx.Client(
                    base_url=url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=30, verify=False
                ) as api,
                ThreadPoolExecutor(16) as pool,
                called_by_the_clock(url, mode),
            ):
                api.post("/v1/destinations", json={"type": "sqlite", "name": "log", "event_types": ["task.*"]})
                unanswered = 0
                for batch in batches():
                    sent = [pool.submit(submit, api, number) for number in batch]
                    survivors = chance.randrange(len(batch) // 2)
                    eventually(lambda sent=sent, least=survivors: sum(e.done() for e in sent) >= least, log.read_text)
                    server.kill()
                    server.wait()
                    unanswered += sum(not each.result() for each in sent)
                    server = start("serve", env=env, log=log)
                    wait_until_up(f"{url}/health/ready", server, log)
                tasks = settled(api)
                events = list(every(api, "/v1/events", after="0"))
                creates = httpx.get(f"{sandbox_url}/_sandbox/tasks", params={"limit": 0}, verify=False).json()["count"]
                eventually(lambda: len(logged(tmp_path)) >= len(events), log.read_text)
        finally:
            server.kill()
            server.wait()
    assert unanswered > 0, "no kill fell into a handover"
    check(tasks, events, creates, tmp_path)


def batches() -> list[range]:
    size = TASKS // KILLS
    return [range(first, first + size) for first in range(0, size * KILLS, size)]


def settled(api: httpx.Client) -> list[dict[str, Any]]:
    """Every task, once none of them waits for anything but a confirmation that never comes."""
    tasks: list[dict[str, Any]] = []

    def all_settled() -> bool:
        tasks[:] = every(api, "/v1/tasks")
        return all(task["status"] in ("succeeded", "unconfirmed") for task in tasks)

    eventually(all_settled, lambda: Counter((task["provider"], task["status"]) for task in tasks))
    return tasks


def check(tasks: list[dict[str, Any]], events: list[dict[str, Any]], creates: int, directory: Path) -> None:
    """Against the sandbox's own ledger, and the log that was written throughout."""
    of_task: dict[str, list[dict[str, Any]]] = {task["id"]: [] for task in tasks}
    for event in events:
        of_task[event["data"]["task"]["id"]].append(event)
    for task in tasks:
        mine = of_task[task["id"]]
        assert [event["data"]["sequence"] for event in mine] == list(range(1, len(mine) + 1))
        assert len({event["type"] for event in mine}) == len(mine)
        assert sum(event["type"] in FINAL for event in mine) == (task["status"] == "succeeded")
    bound = [task["provider_task_id"] for task in tasks if task["provider_task_id"]]
    assert len(bound) == len(set(bound))
    # Every create belongs to a task that knows it, or to one that says it does not know: none was sent twice.
    doubted = sum(task["status"] == "unconfirmed" for task in tasks)
    assert len(bound) <= creates <= len(bound) + doubted
    assert len(tasks) > TASKS // 4
    assert sorted(row["seq"] for row in logged(directory)) == [event["seq"] for event in events]

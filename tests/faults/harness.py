"""Servers under load that are killed, and the account afterwards: lost, phantom, double, resent.

One implementation for the test run and for `python -m tests.faults`. Everything is counted against the sandbox's own
ledger: each request has a prompt of its own, so that a second create of the same one cannot hide.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from tests.faults.account import Account, Evidence, account_of
from tests.faults.consumer import SECRET, Inbox, an_inbox
from tests.faults.history import history_faults, plant
from tests.faults.launch import start_sandbox, start_server
from tests.processes import environment, every, logged, wait_until_up
from tests.service.world import API_KEY, APIKLEY_MODEL, free_port

FINISH_AFTER_S = 0.2
CALLBACK_RETRY_S = 0.3
SETTLE_WITHIN_S = 60.0
REACH_WITHIN_S = 20.0
# Mostly the provider with callbacks: of the others an abandoned submit stays in doubt, and their polls take seconds.
MIX: tuple[dict[str, Any], ...] = (
    {"provider": "apikley", "model": APIKLEY_MODEL},
    {"provider": "apikley", "model": APIKLEY_MODEL},
    {"provider": "apikley", "model": APIKLEY_MODEL},
    {"provider": "reve2img", "model": "reve-2.0"},
    {"provider": "reapi", "model": "doubao-seedance-2.0-face"},
)


@dataclass
class Rig:
    """One database, its server (killed and started again), a sandbox and a webhook consumer that live throughout."""

    directory: Path
    sandbox_url: str
    inbox: Inbox
    port: int
    pool: ThreadPoolExecutor
    server: ForkServerProcess | None = None
    asked: int = 0
    planted: int = 0
    answered: set[str] = field(default_factory=set)
    kills: Counter[str] = field(default_factory=Counter)
    dead: threading.Event = field(default_factory=threading.Event)

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {API_KEY}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30, verify=False)

    def start(self, failpoint: str | None = None) -> None:
        env = environment(self.directory, self.port, self.sandbox_url)
        if failpoint is not None:
            env["TASKWEIR_FAILPOINT"] = failpoint
        self.dead.clear()
        self.server = start_server(env, self.log)

    def wait_until_up(self) -> None:
        assert self.server is not None
        wait_until_up(f"http://127.0.0.1:{self.port}/health/ready", self.server, self.log)

    def kill(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.join()
            self.server = None
            self.dead.set()

    def submit(self, api: httpx.Client, number: int, after_s: float = 0) -> None:
        """One more request, sent once; where the server dies under it, nobody knows more."""
        body = {**MIX[number % len(MIX)], "input": {"prompt": f"a red panda, number {number}"}}
        pause_s = after_s
        while not self.dead.wait(pause_s):
            try:
                made = api.post("/v1/tasks", json=body)
            except httpx.ConnectError:
                pause_s = 0.01  # nobody listened, nothing was sent
                continue
            except httpx.TransportError:
                return
            if made.status_code in (201, 202):
                self.answered.add(made.json()["id"])
            return

    def _numbers(self, count: int) -> range:
        self.asked += count
        return range(self.asked - count, self.asked)

    def die_at(self, failpoint: str, *, tasks: int, within_s: float = REACH_WITHIN_S) -> bool:
        """Start, load, and wait until the point was reached; False, and killed from outside, where it never was.

        Before a point in retention there is something to delete.
        """
        if failpoint.startswith("prune."):
            plant(self.directory)
            self.planted += 1
        self.start(failpoint)
        assert self.server is not None
        with self.client() as api:
            sent = [self.pool.submit(self.submit, api, number) for number in self._numbers(tasks)]
            self.server.join(within_s)
            reached = self.server.exitcode == -9
            assert self.server.exitcode in (None, -9), self.log.read_text()[-4000:]
            self.kill()
            wait(sent)
        self.kills[failpoint.partition(":")[0] if reached else "random"] += 1
        return reached

    def die_at_random(self, chance: random.Random, *, tasks: int) -> None:
        """Start, load, and kill some time after any of the answers, from before the first one to after the last."""
        self.start()
        assert self.server is not None
        with self.client() as api:
            sent = [
                self.pool.submit(self.submit, api, number, chance.uniform(0, 0.2)) for number in self._numbers(tasks)
            ]
            list(islice(as_completed(sent, REACH_WITHIN_S), chance.randrange(tasks + 1)))
            self.server.join(chance.uniform(0.0, 0.2))
            assert self.server.is_alive(), self.log.read_text()[-4000:]
            self.kill()
            wait(sent)
        self.kills["random"] += 1

    def settle(self) -> Account:
        """Start once more, let everything end, and count."""
        self.start()
        self.wait_until_up()
        with self.client() as api:
            try:
                evidence = self._wait(api)
            finally:
                self.kill()
        return account_of(evidence)

    def _wait(self, api: httpx.Client) -> Evidence:
        assert self.server is not None
        ends_at, called_at = time.monotonic() + SETTLE_WITHIN_S, 0.0
        while True:
            tasks = {task["id"]: task for task in every(api, "/v1/tasks")}
            open_ = [task for task in tasks.values() if task["status"] not in ("succeeded", "unconfirmed")]
            ledger: list[dict[str, Any]] = httpx.get(f"{self.sandbox_url}/_sandbox/tasks", verify=False).json()["items"]
            doubted = [task for task in tasks.values() if task["status"] == "unconfirmed" and task["callback_expected"]]
            created = {made["prompt"] for made in ledger}
            waiting = open_ + [task for task in doubted if task["input"]["prompt"] in created]
            # Operators' events are owed to nobody here; a server that was killed in its submits may pause a provider.
            events = [event for event in every(api, "/v1/events", after="0") if event["type"].startswith("task.")]
            in_log = [row["id"] for row in logged(self.directory)]
            delivered = {event["id"] for event in events} <= self.inbox.events().keys() & set(in_log)
            pruned = history_faults(self.directory, self.planted)
            if (not waiting and delivered and not pruned) or time.monotonic() > ends_at:
                return Evidence(
                    tasks=tasks,
                    events=events,
                    ledger=ledger,
                    answered=frozenset(self.answered),
                    delivered=self.inbox.events(),
                    wrong=tuple(self.inbox.wrong),
                    logged=in_log,
                    pruned=pruned,
                )
            if time.monotonic() - called_at > 5:
                self._call_back(ledger, {task["input"]["prompt"] for task in waiting})
                called_at = time.monotonic()
            self.server.join(0.1)  # if it ends, the next look says so

    def _call_back(self, ledger: list[dict[str, Any]], prompts: set[str]) -> None:
        """As the provider would: it gives up after a few tries, and with a server killed all the time it may have."""
        for made in ledger:
            url = made["body"].get("callBackUrl") if isinstance(made["body"], dict) else None
            if url is not None and made["prompt"] in prompts:
                httpx.post(url, json={"code": 200, "msg": "success", "data": {"taskId": made["id"]}}, verify=False)


@contextmanager
def a_rig(directory: Path) -> Iterator[Rig]:
    """Everything but the server started, and its destinations made: a webhook and a log, for every event."""
    port, sandbox_port = free_port(), free_port()
    ledger, log = directory / "creates.jsonl", directory / "sandbox.log"
    sandbox = start_sandbox(sandbox_port, ledger, log, finish_after_s=FINISH_AFTER_S, retry_s=CALLBACK_RETRY_S)
    sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    with an_inbox() as (inbox, hook), ThreadPoolExecutor(10) as pool:
        rig = Rig(directory=directory, sandbox_url=sandbox_url, inbox=inbox, port=port, pool=pool)
        try:
            wait_until_up(f"{sandbox_url}/health", sandbox, log)
            rig.start()
            rig.wait_until_up()
            with rig.client() as api:
                for fields in ({"type": "webhook", "url": hook, "secret": SECRET}, {"type": "sqlite", "name": "log"}):
                    made = api.post("/v1/destinations", json={**fields, "event_types": ["task.*"]})
                    assert made.status_code == 201, made.text
            rig.kill()
            yield rig
        finally:
            rig.kill()
            sandbox.kill()
            sandbox.join()

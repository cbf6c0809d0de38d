"""Servers side by side on one PostgreSQL: killed, paused, told to stop, and the database's server with them."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from receiver.roles import ServerRole
from receiver.service import Limits
from tests.faults.account import Account, Evidence, account_of
from tests.faults.consumer import SECRET, Inbox, an_inbox
from tests.faults.harness import CALLBACK_RETRY_S, FINISH_AFTER_S, MIX
from tests.faults.launch import IN_HASTE, start_replica, start_sandbox
from tests.faults.repeats import Fault, Repeats, repeats_of
from tests.postgres_server import PostgresServer
from tests.processes import environment, every, wait_until_up
from tests.service.world import API_KEY, free_port

PAUSED_FOR_S = 2.3  # past every lease
ROUND_S = (0.3, 1.0)
SETTLED_WITHIN_S = 180.0  # of the last event that came
HASTEN_AFTER_S = 10.0
ANSWERS_AFTER_S = 0.1  # so far away is the consumer: much is in flight at any moment


@dataclass
class Replica:
    """One of the servers, its role, and the port that it has throughout."""

    role: ServerRole
    port: int
    log: Path
    env: dict[str, str]
    limits: Limits
    process: ForkServerProcess | None = None

    def start(self) -> None:
        self.process = start_replica(self.env, self.log, self.limits, self.role)

    def wait_until_up(self) -> None:
        assert self.process is not None
        wait_until_up(f"http://127.0.0.1:{self.port}/health/ready", self.process, self.log)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int | None:
        """End it by a signal; its exit code."""
        if self.process is None:
            return None
        self.send(number)
        self.process.join()
        ended, self.process = self.process.exitcode, None
        return ended


@dataclass
class Cluster:
    """The database, the servers on it, a sandbox, a consumer, and callers that ask any of them."""

    directory: Path
    database: PostgresServer
    sandbox_url: str
    inbox: Inbox
    pool: ThreadPoolExecutor
    replicas: list[Replica]
    asked: int = 0
    answered: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    _sent: list["Future[None]"] = field(default_factory=list)
    _paused: list["Future[None]"] = field(default_factory=list)

    def client(self, replica: Replica) -> httpx.Client:
        headers = {"authorization": f"Bearer {API_KEY}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{replica.port}", headers=headers, timeout=30, verify=False)

    def load(self, chance: random.Random, tasks: int) -> "list[Future[None]]":
        """So many new tasks, each asked for at one of the servers that take them, within a second."""
        doors = [each for each in self.replicas if each.role.receives]
        numbers = range(self.asked, self.asked + tasks)
        self.asked += tasks
        return [
            self.pool.submit(self._submit, chance.choice(doors), number, chance.uniform(0, 1)) for number in numbers
        ]

    def _submit(self, replica: Replica, number: int, after_s: float) -> None:
        time.sleep(after_s)
        body = {**MIX[number % len(MIX)], "input": {"prompt": f"a red panda, number {number}"}}
        with self.client(replica) as api:
            try:
                made = api.post("/v1/tasks", json=body)
            except httpx.TransportError:
                return  # nobody knows more
        if made.status_code in (201, 202):
            self.answered.add(made.json()["id"])

    def suffer(self, what: str, chance: random.Random, *, tasks: int) -> None:
        """Under load, one thing goes wrong with the server whose turn it is; the next one may follow at once.

        A pause goes on meanwhile: for a while two of the servers are paused, never all three.
        """
        replica = self.replicas[self.done.total() % len(self.replicas)]
        self._sent += self.load(chance, tasks)
        assert replica.process is not None
        replica.process.join(chance.uniform(*ROUND_S))
        assert replica.process.is_alive(), replica.log.read_text()[-4000:]
        fault = Fault(what=what, began=time.monotonic())
        self.faults.append(fault)
        match what:
            case "kill":
                replica.end()
                replica.start()
                replica.wait_until_up()
            case "pause":
                replica.send(signal.SIGSTOP)
                self._paused.append(self.pool.submit(self._go_on, replica, fault))
                self._let_one_go_on()
            case "terminate":
                assert replica.end(signal.SIGTERM) == 0, replica.log.read_text()[-4000:]
                replica.start()
                replica.wait_until_up()
            case "database":
                self.database.stop()
                time.sleep(chance.uniform(0, 1))
                self.database.start()
                for each in self.replicas:
                    each.wait_until_up()
        if what != "pause":
            fault.ended = time.monotonic()
        self.done[what] += 1

    def _go_on(self, replica: Replica, fault: Fault) -> None:
        time.sleep(PAUSED_FOR_S)
        replica.send(signal.SIGCONT)
        fault.ended = time.monotonic()

    def _let_one_go_on(self) -> None:
        """Return when no more than one server is paused."""
        while len(paused := [each for each in self._paused if not each.done()]) > 1:
            wait(paused, return_when=FIRST_COMPLETED)

    def settle(self) -> Account:
        """Let everything end, and count."""
        wait([*self._sent, *self._paused])
        for each in self.replicas:
            if each.process is not None:
                each.wait_until_up()
        with self.client(self.replicas[0]) as api:
            return account_of(self._wait(api))

    def repeats(self) -> Repeats:
        """What came more than once."""
        came = self.inbox.moments()
        with self.client(self.replicas[0]) as api:
            failed = {event_id: _failed(api, event_id) for event_id, moments in came.items() if len(moments) > 1}
        return repeats_of(came, self.faults, failed)

    def left(self) -> dict[str, Any]:
        """What is still owed, and how the destination fares."""
        with self.client(self.replicas[0]) as api:
            pending = every(api, "/v1/deliveries", state="pending")
            told = [api.get(f"/v1/deliveries/{each['id']}").json() for each in islice(pending, 20)]
            return {"destinations": api.get("/v1/destinations").json()["items"], "deliveries": told}

    def _wait(self, api: httpx.Client) -> Evidence:
        hasten_at, came = time.monotonic() + HASTEN_AFTER_S, -1
        while True:
            if (now_came := len(self.inbox.events())) > came:
                came, ends_at = now_came, time.monotonic() + SETTLED_WITHIN_S
            tasks = {task["id"]: task for task in every(api, "/v1/tasks")}
            ledger: list[dict[str, Any]] = httpx.get(f"{self.sandbox_url}/_sandbox/tasks", verify=False).json()["items"]
            created = {made["prompt"] for made in ledger}
            waiting = [
                task
                for task in tasks.values()
                if task["status"] not in ("succeeded", "unconfirmed")
                or (
                    task["status"] == "unconfirmed" and task["callback_expected"] and task["input"]["prompt"] in created
                )
            ]
            events = [event for event in every(api, "/v1/events", after="0") if event["type"].startswith("task.")]
            delivered = {event["id"] for event in events} <= self.inbox.events().keys()
            if (not waiting and delivered) or time.monotonic() > ends_at:
                return Evidence(
                    tasks=tasks,
                    events=events,
                    ledger=ledger,
                    answered=frozenset(self.answered),
                    delivered=self.inbox.events(),
                    wrong=tuple(self.inbox.wrong),
                    logged=[event["id"] for event in events],  # there are no SQLite logs beside a PostgreSQL
                )
            self._call_back(ledger, {task["input"]["prompt"] for task in waiting})
            if time.monotonic() > hasten_at:
                _hasten(api)
                hasten_at = time.monotonic() + HASTEN_AFTER_S
            self.inbox.wait_for_more(0.5)

    def _call_back(self, ledger: list[dict[str, Any]], prompts: set[str]) -> None:
        """As the provider would: it gives up after a few tries, and nobody may have listened."""
        for made in ledger:
            url = made["body"].get("callBackUrl") if isinstance(made["body"], dict) else None
            if url is not None and made["prompt"] in prompts:
                httpx.post(url, json={"code": 200, "msg": "success", "data": {"taskId": made["id"]}}, verify=False)


def _failed(api: httpx.Client, event_id: str) -> int:
    """How many attempts to deliver an event are on record as failed."""
    found = [api.get(f"/v1/deliveries/{each['id']}").json() for each in every(api, "/v1/deliveries", event_id=event_id)]
    return sum(attempt["error"] is not None for each in found for attempt in each["attempt_log"])


def _hasten(api: httpx.Client) -> None:
    """As an operator would, once what he waits for was put off for minutes: a machine that is busy fails tries, too."""
    pending = list(islice(every(api, "/v1/deliveries", state="pending"), 1000))
    for each in random.sample(pending, min(len(pending), 50)):  # and then look what became of them
        api.post(f"/v1/deliveries/{each['id']}/retry")


@contextmanager
def a_cluster(directory: Path, roles: Sequence[ServerRole], limits: Limits = IN_HASTE) -> Iterator[Cluster]:
    """A server in each of these roles, up, with one webhook destination for every event; the first takes requests.

    Callbacks come to whoever asked for them, where that is a door for them, else to the first.
    """
    sandbox_port = free_port()
    sandbox_url, log = f"http://127.0.0.1:{sandbox_port}", directory / "sandbox.log"
    ledger = directory / "creates.jsonl"
    sandbox = start_sandbox(sandbox_port, ledger, log, finish_after_s=FINISH_AFTER_S, retry_s=CALLBACK_RETRY_S)
    database = PostgresServer(durable=True)
    replicas: list[Replica] = []
    try:
        database.start()
        url = database.make_database("cluster")
        for number, role in enumerate(roles):
            port = free_port()
            env = environment(directory / f"{number}", port, sandbox_url) | {"TASKWEIR_DATABASE_URL": url}
            if not role.receives:
                env["TASKWEIR_PUBLIC_URL"] = replicas[0].env["TASKWEIR_PUBLIC_URL"]
            log = directory / f"server-{number}.log"
            replicas.append(Replica(role=role, port=port, log=log, env=env, limits=limits))
        with an_inbox(answers_after_s=ANSWERS_AFTER_S) as (inbox, hook), ThreadPoolExecutor(64) as pool:
            wait_until_up(f"{sandbox_url}/health", sandbox, log)
            for each in replicas:
                each.start()
            for each in replicas:
                each.wait_until_up()
            cluster = Cluster(directory, database, sandbox_url, inbox, pool, replicas)
            with cluster.client(replicas[0]) as api:
                hooked = {"type": "webhook", "url": hook, "secret": SECRET, "event_types": ["task.*"]}
                made = api.post("/v1/destinations", json=hooked)
                assert made.status_code == 201, made.text
            yield cluster
    finally:
        for each in replicas:
            each.end()
        sandbox.kill()
        sandbox.join()
        database.remove()

"""A web process and workers on one PostgreSQL: what one takes, the other does, also when one of them is killed."""

import random
import signal
from concurrent.futures import wait
from pathlib import Path

from receiver.roles import ServerRole
from receiver.service import Limits
from tests.faults.replicas import a_cluster

WEB, WORKER = ServerRole.WEB, ServerRole.WORKER
BODY = {"provider": "apikley", "model": "bytedance/v1-pro-text-to-video", "input": {"prompt": "a red panda, alone"}}


def test_together_they_bring_a_task_home(tmp_path: Path) -> None:
    """Taken by the one, handed over and delivered by the other: answered as handed over, each event delivered once."""
    with a_cluster(tmp_path, [WEB, WORKER], Limits()) as cluster, cluster.client(cluster.replicas[1]) as worker:
        with cluster.client(cluster.replicas[0]) as web:
            made = web.post("/v1/tasks", json=BODY)
        assert (made.status_code, made.json()["provider_task_id"] is None) == (201, False)
        cluster.answered.add(made.json()["id"])
        wait(cluster.load(random.Random(2026), 20))
        account = cluster.settle()
        repeats = cluster.repeats()
        refused, metrics = worker.get("/v1/tasks"), worker.get("/metrics")
    assert account.faults == ()
    assert (account.tasks, account.creates, account.doubtful) == (21, 21, 0)
    assert repeats.unexplained == ()
    assert (refused.status_code, "--role worker" in refused.json()["detail"]) == (404, True)
    assert metrics.status_code == 200


def test_a_killed_worker_is_replaced_by_another(tmp_path: Path) -> None:
    """In the middle of its work: what it had in hand is taken over, nothing is paid twice, nothing lost."""
    with a_cluster(tmp_path, [WEB, WORKER, WORKER]) as cluster:
        sent = cluster.load(random.Random(2026), 40)
        sent[10].result()
        cluster.replicas[1].end()
        wait(sent)
        account = cluster.settle()
    assert account.faults == ()
    assert account.tasks == 40


def test_a_web_alone_hands_over_and_delivers_nothing(tmp_path: Path) -> None:
    """It takes tasks, callbacks and replays all the same; the worker that comes back finds them."""
    with a_cluster(tmp_path, [WEB, WORKER]) as cluster, cluster.client(cluster.replicas[0]) as web:
        worker = cluster.replicas[1]
        assert worker.end(signal.SIGTERM) == 0
        made = web.post("/v1/tasks", json=BODY)
        assert (made.status_code, made.json()["status"]) == (202, "queued")
        assert web.get("/health/ready").status_code == 200
        worker.start()
        assert web.get(f"/v1/tasks/{made.json()['id']}", params={"wait": 30}).json()["status"] == "succeeded"
        assert cluster.settle().creates == 1
        assert worker.end(signal.SIGTERM) == 0
        came = cluster.inbox.moments()
        [event] = web.get("/v1/events", params={"after": 0, "type": "task.succeeded"}).json()["items"]
        assert web.post(f"/v1/events/{event['id']}/replay").status_code in (200, 202)
        assert web.post("/v1/tasks", json=BODY).json()["status"] == "queued"  # seconds later
        [owed] = web.get("/v1/deliveries", params={"state": "pending"}).json()["items"]
        assert (owed["attempts"], cluster.inbox.moments()) == (0, came)

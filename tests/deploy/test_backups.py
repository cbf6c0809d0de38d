"""backups.md: its commands, pasted in order, bring a server back, and what it says of the state after that is so."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.files import DEPLOY
from tests.deploy.test_pages import blocks
from tests.processes import a_process, a_sandbox, environment, eventually
from tests.service.world import API_KEY, free_port
from tests.test_docs import in_bash

COPY, VERSION, ASIDE, PLACE, RECONCILE, IN_DOUBT = blocks("backups.md")
REVE = {"provider": "reve2img", "model": "reve-2.0", "input": {"prompt": "A kitten yawning"}}
REAPI = {"provider": "reapi", "model": "doubao-seedance-2.0-face", "input": {"prompt": "A kitten yawning"}}


@contextmanager
def a_server(directory: Path, env: dict[str, str]) -> Iterator[httpx.Client]:
    """A server on the file in a directory, and a caller of it."""
    url = f"http://127.0.0.1:{env['TASKWEIR_PORT']}"
    with (
        a_process("serve", env=env, log=directory / "server.log", ready=f"{url}/health/ready"),
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {API_KEY}"}, verify=False) as api,
    ):
        yield api


def events_after(api: httpx.Client, seq: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/v1/events", params={"after": seq}).json()["items"]
    return items


def test_a_copy_comes_back(tmp_path: Path) -> None:
    """No id and no `seq` is given twice; what was queued in the copy is in doubt, and is not paid for twice."""
    port = free_port()
    with a_sandbox(tmp_path, finish_after_s=60) as sandbox:
        env = environment(tmp_path, port, sandbox) | {"TASKWEIR_URL": f"http://127.0.0.1:{port}"}
        ours = {name: value for name, value in env.items() if name.startswith("TASKWEIR_")}

        def accepted() -> list[dict[str, Any]]:
            tasks: list[dict[str, Any]] = httpx.get(f"{sandbox}/_sandbox/tasks", verify=False).json()["items"]
            return [task for task in tasks if task["provider"] == "reapi"]

        with a_server(tmp_path, env) as api:
            api.post("/v1/tasks", json=REVE).raise_for_status()
            api.post("/v1/providers/reapi/pause").raise_for_status()
            queued = api.post("/v1/tasks", json=REAPI | {"webhook_url": "http://127.0.0.1:9/"}).json()
            assert queued["status"] == "queued"
            in_bash(COPY, tmp_path)
            api.post("/v1/providers/reapi/resume").raise_for_status()
            eventually(accepted, (tmp_path / "server.log").read_text)
            api.post("/v1/tasks", json=REVE).raise_for_status()
            before = events_after(api, 0)
        [copy] = (tmp_path / "backups").iterdir()
        copy.rename(tmp_path / "restored.db")
        in_bash(ASIDE, tmp_path)
        assert {path.name for path in (tmp_path / "aside").iterdir()} >= {"taskweir.db", "taskweir.db-wal"}
        in_bash(PLACE, tmp_path)
        in_bash(RECONCILE, tmp_path, **ours)
        with a_server(tmp_path, env) as api:
            path = f"/v1/tasks/{queued['id']}"
            eventually(lambda: api.get(path).json()["status"] == "unconfirmed", (tmp_path / "server.log").read_text)
            assert queued["id"] in in_bash(IN_DOUBT, tmp_path, **ours)
            fresh = events_after(api, before[-1]["seq"])
        assert [event["type"] for event in fresh] == ["task.unconfirmed"]
        assert fresh[0]["id"] not in {event["id"] for event in before}
        assert len(accepted()) == 1


def test_a_copy_is_whole_while_it_is_written(tmp_path: Path) -> None:
    """The command is a reading transaction: what is committed before it is in the copy, and the log is left alone."""
    with sqlite3.connect(tmp_path / "taskweir.db") as writing:
        writing.execute("PRAGMA journal_mode = WAL")
        writing.execute("CREATE TABLE rows (n)")
        writing.execute("INSERT INTO rows VALUES (1)")
        writing.commit()
        writing.execute("INSERT INTO rows VALUES (2)")
        logged = (tmp_path / "taskweir.db-wal").stat().st_size
        in_bash(COPY, tmp_path)
        assert (tmp_path / "taskweir.db-wal").stat().st_size == logged
        [copy] = (tmp_path / "backups").iterdir()
        with sqlite3.connect(copy) as copied:
            assert copied.execute("SELECT n FROM rows").fetchall() == [(1,)]
            assert copied.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        copied.close()
        writing.rollback()
    writing.close()


def test_what_litestream_needs_is_said(tmp_path: Path) -> None:
    """The version is the program's own; the file that is streamed is the unit's."""
    assert in_bash(VERSION, tmp_path).strip() == sqlite3.sqlite_version
    config = yaml.safe_load((DEPLOY / "litestream.yml").read_text())
    assert config.keys() == {"dbs", "snapshot"}
    [database] = config["dbs"]
    assert database.keys() == {"path", "replica"}
    unit = (DEPLOY / "systemd" / "taskweir.service").read_text().replace("%S", "/var/lib")
    assert f"sqlite:///{database['path']}\n" in unit
    assert f"{database['path']}\n" in (DEPLOY / "backups.md").read_text()

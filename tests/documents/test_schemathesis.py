"""Schemathesis asks a live server whatever the document lets it ask, and much that it does not."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.web.documents.table import OPERATIONS
from tests.processes import a_process, a_sandbox, environment, eventually
from tests.service.world import API_KEY, APIKLEY_MODEL, free_port

BIN = Path(sys.executable).parent
PHASES, EXAMPLES, SEED = "examples,coverage,fuzzing", 3, 1

# It may not be refused what its schema allows: that check we leave out, for much that is refused no schema can tell (a
# provider that is not configured, a host that does not resolve). An address that is too long is refused before its
# parameters are read. Nothing here waits for the end of a task.
RULES = """
[checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 409, 410, 414, 422]

[parameters]
wait = 0
"""
STREAMS = ["/v1/events/stream", "/v1/watch/{token}"]  # they do not end


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A server beside a sandbox, as processes; the URLs of both."""
    port, log = free_port(), tmp_path / "server.log"
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        sandbox = stack.enter_context(a_sandbox(tmp_path, finish_after_s=0.1))
        env = environment(tmp_path, port, sandbox)
        stack.enter_context(a_process("serve", env=env, log=log, ready=f"{url}/health/ready"))
        yield url, sandbox


def ids_of_things(url: str, consumer: str) -> dict[str, str]:
    """What there is on the server, by the beginning of the paths that lead to it."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=20) as api:

        def made(path: str, **fields: Any) -> str:
            answer = api.post(path, json=fields)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        destination = made("/v1/destinations", type="webhook", url=consumer, event_types=["task.*"])
        spare = made("/v1/destinations", type="webhook", url=consumer)
        key = made("/v1/keys", label="a reader", scopes=["read"])
        asked = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "A red panda [slow]"}}
        task = made("/v1/tasks", **asked)

        def deliveries() -> list[dict[str, Any]]:
            return list(api.get("/v1/deliveries").json()["items"])

        eventually(deliveries, lambda: "no delivery")
        [first, *_] = deliveries()
    ids = {"/v1/tasks/": task, "/v1/destinations/": destination, "/v1/deliveries/": first["id"]}
    ids |= {"/v1/events/": first["event_id"], "/v1/providers/": "apikley", "/v1/keys/": key}
    return ids | {"DELETE /v1/destinations/": spare, "DELETE /v1/hooks/": spare, "DELETE /v1/keys/": first["id"]}


def rules(ids: dict[str, str]) -> str:
    """The configuration: each operation is asked about something that is there."""
    sections = [RULES]
    for each in OPERATIONS:
        begins = f"{each.path.partition('{')[0]}"
        thing = ids.get(f"{each.method} {begins}", ids.get(begins))
        if thing is not None:
            [name] = each.ids
            named = f'include-name = "{each.method} {each.path}"'
            sections.append(f'[[operations]]\n{named}\nparameters = {{ "path.{name}" = {json.dumps(thing)} }}\n')
    return "\n".join(sections)


def test_schemathesis_finds_nothing(servers: tuple[str, str], tmp_path: Path) -> None:
    """No 500, no undocumented status, header or media type, every schema holds; what breaks a schema is refused; no
    door opens without a key. Always the same requests; `SEED` and `EXAMPLES` make others, and more.
    """
    server, sandbox = servers
    config = tmp_path / "schemathesis.toml"
    config.write_text(rules(ids_of_things(server, f"{sandbox}/nobody/takes/this")))
    command = [BIN / "schemathesis", "--config-file", str(config), "run", f"{server}/openapi.json", "--no-color"]
    bounds = ["--phases", PHASES, "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-database", "none"]
    command += [word for path in STREAMS for word in ("--exclude-path", path)]
    command += ["--header", f"Authorization: Bearer {API_KEY}"]
    command += ["--request-timeout", "60", "--suppress-health-check", "all"]  # on a busy machine all takes longer
    done = subprocess.run([*command, *bounds], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
    counted = re.search(r"(\d+) generated", done.stdout)
    assert counted is not None
    assert int(counted[1]) > 1000, done.stdout[-2000:]
    assert f"Tested: {len(OPERATIONS) - len(STREAMS)}" in done.stdout

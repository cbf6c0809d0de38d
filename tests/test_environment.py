"""A real server in an environment that would lead its requests elsewhere: proxies, a netrc file, a redirect, itself."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.processes import environment, eventually, start, unmeasured
from tests.raw_servers import RawServer, answer_all, raw_server, silent
from tests.service.consumer import a_consumer
from tests.service.world import API_KEY, APIKLEY_MODEL, Scripted, created, record, scripted

pytestmark = pytest.mark.anyio

PROXIES = [name for word in ("http", "https", "all") for name in (f"{word}_proxy", f"{word.upper()}_PROXY")]


@asynccontextmanager
async def a_server(directory: Path, apikley: Scripted, proxy: RawServer) -> AsyncIterator[httpx.AsyncClient]:
    """`taskweir serve` as a process, on whichever port is free, beside a proxy that nobody may use."""
    netrc, log = directory / "netrc", directory / "server.log"
    netrc.write_text("machine 127.0.0.1 login someone password netrc-canary\ndefault login a password netrc-canary\n")
    strange = dict.fromkeys(PROXIES, proxy.url()) | {"NETRC": str(netrc), "HOME": str(directory)}
    own = {"TASKWEIR_PUBLIC_URL": "", "TASKWEIR_APIKLEY_BASE_URL": apikley.base_url, "TASKWEIR_LOG_FORMAT": "json"}
    process = start("serve", env=unmeasured(environment(directory, 0, "http://127.0.0.1:9")) | strange | own, log=log)
    try:

        def url() -> str | None:
            assert process.poll() is None, log.read_text()
            said = re.search(r'"url": "(http://127\.0\.0\.1:\d+)"', log.read_text())
            return said and said[1]

        await asyncio.to_thread(eventually, url, log.read_text)
        headers = {"authorization": f"Bearer {API_KEY}"}
        async with httpx.AsyncClient(
            base_url=url() or "", headers=headers, trust_env=False, timeout=30, verify=False
        ) as api:
            yield api
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def test_nothing_in_the_environment_leads_requests_elsewhere(tmp_path: Path) -> None:
    """Submit, poll and webhook go straight to where they belong, with no password added and no redirect followed."""
    async with raw_server(silent) as proxy, raw_server(answer_all) as elsewhere:
        moved = (302, f"location: {elsewhere.url('/next')}\r\nset-cookie: a=canary\r\n", "")
        async with (
            scripted(created(), record("success")) as apikley,
            a_consumer(moved) as consumer,
            a_server(tmp_path, apikley, proxy) as api,
        ):
            made = await api.post("/v1/destinations", json={"type": "webhook", "url": consumer.url})
            assert made.status_code == 201, made.text
            body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "x"}}
            task = (await api.post("/v1/tasks", json=body)).json()
            done = (await api.post(f"/v1/tasks/{task['id']}/refresh")).json()
            done = (await api.get(f"/v1/tasks/{done['id']}", params={"wait": 20})).json()
            assert done["status"] == "succeeded"
            for _ in range(2):
                tried = (await api.post(f"/v1/destinations/{made.json()['id']}/test")).json()
                assert (tried["status"], tried["error"]) == (302, None)
        assert len(apikley.lines) >= 2
        assert len(consumer.events) >= 2
        assert not any({"authorization", "cookie"} & headers.keys() for headers in consumer.headers)
        heads = b"".join(head for head, _ in apikley.seen.requests)
        assert heads.count(b"Bearer provider-key") == len(apikley.lines)
        assert (proxy.connections, elsewhere.connections) == (0, 0)


async def test_a_server_on_any_free_port_knows_which_one_it_got(tmp_path: Path) -> None:
    """Port 0 is not its own: the one that it listens on is. What the operator has opened stands in the log."""
    async with raw_server(silent) as proxy, scripted(created()) as apikley, a_server(tmp_path, apikley, proxy) as api:
        for url in (str(api.base_url), f"http://localhost:{api.base_url.port}/callbacks/apikley/x"):
            answer = await api.post("/v1/destinations", json={"type": "webhook", "url": url})
            assert answer.status_code == 422
            assert "is this server itself" in answer.json()["errors"][0]["message"]
        assert '"allow_networks": "loopback"' in (tmp_path / "server.log").read_text()
        neighbour = await api.post("/v1/destinations", json={"type": "webhook", "url": proxy.url()})
        assert neighbour.status_code == 201, neighbour.text

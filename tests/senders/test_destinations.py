"""Destinations of the further kinds through the API: what is refused, shown, sealed, delivered, held, told."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.domain import Status
from receiver.senders.kinds import KINDS
from tests.logs import capture_logs
from tests.make import DAY
from tests.processes import environment, start, wait_until_up
from tests.senders.remotely import ids
from tests.senders.servers import PASSWORD, QUOTED, USER, Server
from tests.service.asking import complaint, everything, failures, holds
from tests.service.consumer import a_consumer
from tests.service.owing import OPERATORS, attempt_log, breaker_of, happen, kinds, quiet, told
from tests.service.world import API_KEY, World, a_world, free_port

pytestmark = pytest.mark.anyio

URLS = {
    "nats": "nats://weaver:pass-of-weaver@203.0.113.9/events",
    "redis": "redis://weaver:pass-of-weaver@203.0.113.9/0?stream=events",
    "postgres": "postgresql://weaver:pass-of-weaver@203.0.113.9/shop",
}
OPEN = {"TASKWEIR_ALLOW_NETWORKS": "loopback,203.0.113.0/24"}


async def make(world: World, kind: str, url: str, **fields: Any) -> dict[str, Any]:
    made = await world.api.post("/v1/destinations", json={"type": kind, "url": url, **fields})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


@pytest.mark.parametrize("kind", URLS)
async def test_a_url_is_shown_without_who_logs_in_and_kept_sealed(tmp_path: Path, kind: str) -> None:
    """In no answer, no row and no log line; what was shown can be sent back, and changes nothing."""
    shown = URLS[kind].replace("weaver:pass-of-weaver@", "")
    with capture_logs() as logs:
        async with a_world(tmp_path, **OPEN) as world:
            made = await make(world, kind, URLS[kind])
            path = f"/v1/destinations/{made['id']}"
            got = await world.api.get(path)
            sealed = everything(tmp_path)["destinations"]
            changed = await world.api.patch(path, json={"url": shown, "description": "films"})
            assert [row[-5:] for row in everything(tmp_path)["destinations"]] == [row[-5:] for row in sealed]
            listed = await world.api.get("/v1/destinations")
            assert (made["url"], made["login"], got.json()) == (shown, "set", made)
            assert "secret" not in made
            assert changed.json() == made | {"description": "films"}
            assert listed.json()["items"] == [changed.json()]
            for answer in (got, changed, listed):
                assert "weaver" not in answer.text
            rows = everything(tmp_path)
    assert [holds(rows, secret) for secret in ("pass-of-weaver", "weaver:")] == [[], []]
    assert "pass-of-weaver" not in str(logs)


@pytest.mark.parametrize("kind", URLS)
async def test_another_login_is_another_url(tmp_path: Path, kind: str) -> None:
    """Given whole; one without a login has none, where the kind allows that."""
    async with a_world(tmp_path, **OPEN) as world:
        made = await make(world, kind, URLS[kind])
        path = f"/v1/destinations/{made['id']}"
        for login, host, shown in (("other:another-password@", "203.0.113.9", "set"), ("", "203.0.113.10", None)):
            url = URLS[kind].replace("weaver:pass-of-weaver@", login).replace("203.0.113.9", host)
            before = everything(tmp_path)["destinations"]
            changed = await world.api.patch(path, json={"url": url})
            if kind == "postgres" and not login:
                assert complaint(changed, 422, "url") is None
            else:
                assert changed.json()["login"] == shown
                assert host in changed.json()["url"]
                assert everything(tmp_path)["destinations"] != before
        assert holds(everything(tmp_path), "another-password") == []


async def test_what_a_kind_does_not_have_is_refused_with_its_path(tmp_path: Path) -> None:
    """One clear fault for each bad field, and nothing recorded."""
    bad: dict[str, tuple[dict[str, Any], list[str]]] = {
        "no url": ({"url": None}, ["url"]),
        "a webhook's url": ({"url": "https://hooks.example"}, ["url"]),
        "a name": ({"name": "log"}, ["name"]),
        "a secret": ({"secret": "whsec_x"}, ["secret"]),
        "headers": ({"headers": {"x-a": "1"}}, ["headers"]),
        "a signature": ({"signature": "v1a"}, ["signature"]),
        "days": ({"retention_days": 3}, ["retention_days"]),
        "an unknown field": ({"subject": "x"}, ["subject"]),
        "several": ({"name": "log", "retention_days": 3}, ["name", "retention_days"]),
    }
    only_postgres: dict[str, tuple[dict[str, Any], list[str]]] = {
        "a rate": ({"rate_per_second": 2.0}, ["rate_per_second"]),
        "a format": ({"format": "flat"}, ["format"]),
    }
    async with a_world(tmp_path, **OPEN) as world:
        complaints = {}
        for kind, url in URLS.items():
            for name, (fields, paths) in (bad | (only_postgres if kind == "postgres" else {})).items():
                answer = await world.api.post("/v1/destinations", json={"type": kind, "url": url} | fields)
                complaints[f"{kind} with {name}"] = complaint(answer, 422, *paths)
        assert failures(complaints) == {}
        assert everything(tmp_path)["destinations"] == []
        for kind, url in URLS.items():
            made = await make(world, kind, url, ordered=True, max_in_flight=3)
            for field, fault in (
                (bad["a name"]),
                (bad["days"]),
                ({"type": "webhook"}, ["type"]),
                ({"url": None}, ["url"]),
            ):
                answer = await world.api.patch(f"/v1/destinations/{made['id']}", json=field)
                assert complaint(answer, 422, *fault) is None, (kind, field)
            for call in ("secret", "rotate-secret"):
                method = world.api.get if call == "secret" else world.api.post
                assert (await method(f"/v1/destinations/{made['id']}/{call}")).status_code == 404


async def test_a_private_address_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    """As a webhook's is, with the line to set; this server itself always is."""
    async with a_world(tmp_path, TASKWEIR_ALLOW_NETWORKS="", TASKWEIR_PORT="4222") as world:
        for kind, url in URLS.items():
            for host in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "[::1]", "0x7f.1"):
                answer = await world.api.post(
                    "/v1/destinations", json={"type": kind, "url": url.replace("203.0.113.9", host)}
                )
                assert answer.status_code == 422
                assert "TASKWEIR_ALLOW_NETWORKS=" in answer.text or "this server itself" in answer.text
                assert "pass-of-weaver" not in answer.text
        assert everything(tmp_path)["destinations"] == []


async def test_what_a_destination_asks_for_is_what_arrives(server: Server, tmp_path: Path) -> None:
    """Its event types and providers, once each, however late; a ping is told as an attempt; the story names it."""
    async with a_world(tmp_path) as world:
        made = await make(world, server.kind, server.url(), event_types=["task.succeeded"], providers=["apikley"])
        other = await make(world, server.kind, server.url(), event_types=["task.expired"])
        [task] = await happen(world, 1, statuses=(Status.RUNNING, Status.SUCCEEDED))
        await quiet(world)
        events = {event["type"]: event["id"] for event in await world.events()}
        assert ids(await server.got()) == [events["task.succeeded"]]
        assert await world.deliveries(destination_id=other["id"]) == []
        [delivery] = await world.deliveries(destination_id=made["id"])
        assert delivery["state"] == "delivered"
        [attempt] = await attempt_log(world, delivery["id"])
        assert (attempt["number"], attempt["status"], attempt["error"]) == (1, None, None)
        story = json.dumps(await world.story(task))
        assert f"the {server.kind} destination at 127.0.0.1:{server.port}" in story
        assert USER not in story
        ping = (await world.api.post(f"/v1/destinations/{made['id']}/test")).json()
        assert ping["error"] is None
        query = {"since": "2020-01-01T00:00:00Z", "only": "all"}
        assert (await world.api.post(f"/v1/destinations/{made['id']}/replay", json=query)).json() == {"count": 1}
        await quiet(world)
        assert {each["state"] for each in await world.deliveries(destination_id=made["id"])} == {"delivered"}


async def test_a_server_that_is_away_is_tried_held_probed_and_given_all_in_the_end(
    server: Server, tmp_path: Path
) -> None:
    """As a webhook is: the schedule, the breaker, its operators' events; nothing secret is told on the way."""
    with capture_logs() as logs:
        async with a_consumer() as pager, a_world(tmp_path) as world:
            await world.destination(pager.url, event_types=OPERATORS)
            made = await make(world, server.kind, server.url(), event_types=["task.succeeded"])
            server.kill()
            await happen(world, 8)
            await quiet(world)
            await quiet(world, 10)
            fares = await breaker_of(world, made["id"])
            assert (fares.open, await kinds(world)) == (True, ["destination.failing"])
            attempts = {each["id"]: each["attempts"] for each in await world.deliveries(state="pending")}
            assert len(attempts) == 8
            assert max(attempts.values()) <= 2
            await happen(world, 3, first=100)
            await quiet(world, 61)
            shown = (await world.api.get(f"/v1/destinations/{made['id']}")).json()
            assert shown["state"] == "failing"
            assert "refused" in shown["failing"]["reason"].lower()
            server.start()
            await quiet(world, 20 * 60)
            await quiet(world, DAY // 1000 // 4)
            assert await kinds(world) == ["destination.failing", "destination.recovered"]
            wanted = [event["id"] for event in await world.events() if event["type"] == "task.succeeded"]
            assert sorted(ids(await server.got())) == sorted(wanted)
            assert len(wanted) == 11
            assert {each["state"] for each in await world.deliveries(destination_id=made["id"])} == {"delivered"}
            rows, about = everything(tmp_path), json.dumps(await told(world))
    for secret in (PASSWORD, QUOTED, USER):
        assert holds(rows, secret) == []
        assert secret not in str(logs)
        assert secret not in about
    assert made["url"] in about


async def test_a_login_that_is_refused_is_held_and_mended_by_another_url(server: Server, tmp_path: Path) -> None:
    """A change of the login alone is a change of how it is sent: the held queue is tried at once."""
    async with a_world(tmp_path) as world:
        made = await make(world, server.kind, server.url(f"{USER}:wrong-word@"), event_types=["task.succeeded"])
        await happen(world, 6)
        await quiet(world)
        await quiet(world, 10)
        assert (await breaker_of(world, made["id"])).open
        changed = await world.api.patch(f"/v1/destinations/{made['id']}", json={"url": f"{server.url()}"})
        assert changed.json()["url"] != server.url()
        await quiet(world)
        await quiet(world, 400)
        assert len(ids(await server.got())) == 6
        assert holds(everything(tmp_path), "wrong-word") == []


async def test_a_url_whose_key_is_gone_blocks_and_says_so(tmp_path: Path) -> None:
    """Nothing is tried with half a URL; the remedy is told."""
    async with a_world(tmp_path, **OPEN) as world:
        made = {kind: await make(world, kind, url) for kind, url in URLS.items()}
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY="t" * 32, **OPEN) as world:
        for kind, each in made.items():
            shown = (await world.api.get(f"/v1/destinations/{each['id']}")).json()
            assert shown["state"] == "blocked"
            assert shown["login"] == "set"
            assert "TASKWEIR_SECRET_KEY" in shown["blocked_reason"]
            assert shown["url"] == URLS[kind].replace("weaver:pass-of-weaver@", "")
        await happen(world, 1)
        await quiet(world)
        assert {each["attempts"] for each in await world.deliveries()} == {0}
        again = await world.api.patch(f"/v1/destinations/{made['nats']['id']}", json={"url": URLS["nats"]})
        assert again.json()["state"] == "healthy"


def test_a_missing_library_is_told_with_what_to_install(tmp_path: Path) -> None:
    """And nothing of them is imported before somebody asks for it: the server starts without."""
    for kind in KINDS.values():
        package = tmp_path / "path" / kind.library
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise ImportError('not here')")
    port, log = free_port(), tmp_path / "log"
    env = environment(tmp_path, port, "http://127.0.0.1:9") | {"PYTHONPATH": str(tmp_path / "path")}
    process = start("serve", env=env, log=log)
    try:
        wait_until_up(f"http://127.0.0.1:{port}/health/live", process, log)
        for kind, url in URLS.items():
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/destinations",
                json={"type": kind, "url": url},
                headers={"authorization": f"Bearer {API_KEY}"},
                verify=False,
            )
            assert complaint(answer, 422, "type") is None
            [fault] = answer.json()["errors"]
            assert fault["message"].endswith(f"pip install 'taskweir[{kind}]'")
    finally:
        process.kill()
        process.wait()

"""What a caller does to one destination: it is switched, tried, and gets another secret."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.breaker_policy import Breaker
from receiver.errors import NotVerified
from receiver.retention import BETWEEN_BITES_S
from receiver.signing import verify
from tests.make import MINUTE, NOW
from tests.service.asking import complaint, everything, failures, holds
from tests.service.consumer import Consumer, a_consumer
from tests.service.engines import makes_a_log
from tests.service.instant import OTHER, a_quick_world, add_other_tenant, finish, last_event, post
from tests.service.tenants import a_holder
from tests.service.world import API_KEY, PUBLIC_URL, World, a_reachable_world, a_world, scripted

pytestmark = pytest.mark.anyio

HOOK = "http://127.0.0.1:9/hook"
DAY_S = 86_400
ACTS = ("enable", "disable", "test", "rotate-secret", "replay")
OWN_SECRET = "whsec_" + "c2VjcmV0" * 5
OWN_KEY = "whsk_" + "A" * 43 + "="


def entries(consumer: Consumer, at: int = -1) -> list[str]:
    return [entry.split(",")[0] for entry in consumer.headers[at]["webhook-signature"].split(" ")]


async def opened(world: World, destination_id: str, *, probe_at: int) -> None:
    """Let the breaker be open, as after five failures."""
    breaker = Breaker(
        destination_id=destination_id,
        failures=5,
        failing=("a", "b", "c"),
        failing_since=NOW,
        opened_at=NOW,
        probe_at=probe_at,
        probes=3,
    )
    await world.service.storage.write(lambda store: store.save_breaker(breaker))


async def test_disabled_gets_nothing_and_enabled_gets_what_waited(tmp_path: Path) -> None:
    """What is pending waits without an attempt, new events make no delivery; both calls can be repeated."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        path = f"/v1/destinations/{made['id']}"
        await finish(world)
        for _ in range(2):
            off = await post(world, f"{path}/disable")
            assert (off["enabled"], off["state"], off["disabled_reason"]) == (False, "disabled", "caller")
        assert (await world.api.get(path)).json() == off
        await finish(world)
        await world.turn(3600)
        assert consumer.ids == []
        [waiting] = await world.deliveries()
        assert (waiting["state"], waiting["attempts"]) == ("pending", 0)
        for _ in range(2):
            on = await post(world, f"{path}/enable", {})
            assert (on["enabled"], on["state"], on["disabled_reason"]) == (True, "healthy", None)
        await world.turn()
        assert consumer.ids == [waiting["event_id"]]
        told = [event for event in await world.events() if event["type"].startswith("destination.")]
        assert [(event["type"], event["data"]["reason"]) for event in told] == [("destination.disabled", "caller")]


async def test_a_destination_that_fails_says_so(tmp_path: Path) -> None:
    """`failing` while its queue is held; enabling it, though it is enabled, tries the queue at once."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        path = f"/v1/destinations/{made['id']}"
        await opened(world, made["id"], probe_at=NOW + 15 * MINUTE)
        assert (await world.api.get(path)).json()["state"] == "failing"
        assert (await world.api.get("/v1/destinations")).json()["items"][0]["state"] == "failing"
        on = await post(world, f"{path}/enable")
        assert (on["enabled"], on["state"]) == (True, "failing")
        breaker = await world.service.storage.read(lambda store: store.breaker(made["id"]))
        assert (breaker.probe_at, breaker.failing_since) == (NOW, NOW)


async def test_another_address_is_another_chance(tmp_path: Path) -> None:
    """A held queue is tried at once, and given up no earlier than any that begins to fail now."""
    async with a_quick_world(tmp_path) as world:
        made = await world.destination(HOOK)
        path = f"/v1/destinations/{made['id']}"
        await opened(world, made["id"], probe_at=NOW + 15 * MINUTE)
        world.clock.advance(60)
        await world.api.patch(path, json={"description": "d", "event_types": ["task.*"]})
        breaker = await world.service.storage.read(lambda store: store.breaker(made["id"]))
        assert (breaker.probe_at, breaker.failing_since) == (NOW + 15 * MINUTE, NOW)
        await world.api.patch(path, json={"url": HOOK + "/new"})
        breaker = await world.service.storage.read(lambda store: store.breaker(made["id"]))
        assert (breaker.probe_at, breaker.failing_since, breaker.probes) == (NOW + MINUTE, NOW + MINUTE, 0)


async def test_a_rotated_secret_overlaps(tmp_path: Path) -> None:
    """Both signatures verify for a day; rotating twice keeps both old ones, each for its own time; then they die."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        path = f"/v1/destinations/{made['id']}"
        first = made["secret"]
        second = (await post(world, f"{path}/rotate-secret"))["secret"]
        assert (await world.api.get(f"{path}/secret")).json() == {"secret": second}
        world.clock.advance(DAY_S / 2)
        third = (await post(world, f"{path}/rotate-secret", {"overlap_seconds": DAY_S}))["secret"]
        assert len({first, second, third}) == 3
        expected = [[third, second, first], [third, second], [third]]
        for number, secrets in enumerate(expected):
            await finish(world)
            await world.turn()
            assert len(entries(consumer)) == len(secrets)
            last = Consumer(headers=consumer.headers[number:], bodies=consumer.bodies[number:])
            for secret in secrets:
                last.verify(secret)
            for dead in {first, second, third} - set(secrets):
                with pytest.raises(AssertionError):
                    last.verify(dead)
            world.clock.advance(DAY_S / 2)


async def test_a_retry_is_signed_with_what_holds_then(tmp_path: Path) -> None:
    """A rotation in the middle of a schedule: the next attempt has the new signature beside the old one."""
    async with a_quick_world(tmp_path) as world, a_consumer(500, 204) as consumer:
        made = await world.destination(consumer.url)
        await finish(world)
        await world.turn()
        await post(world, f"/v1/destinations/{made['id']}/rotate-secret")
        await world.turn(6)
        assert [entries(consumer, number) for number in range(2)] == [["v1"], ["v1", "v1"]]
        consumer.verify(made["secret"])


@pytest.mark.parametrize(("scheme", "own"), [("v1", OWN_SECRET), ("v1a", OWN_KEY)])
async def test_a_rotation_may_be_to_a_secret_of_ones_own(tmp_path: Path, scheme: str, own: str) -> None:
    """Checked by the scheme; sharp where nothing shall overlap."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url, signature=scheme)
        path = f"/v1/destinations/{made['id']}/rotate-secret"
        other = OWN_KEY if own == OWN_SECRET else OWN_SECRET
        for bad in ("", "x", other, "whsec_" + "A" * 8, "whsk_" + "A" * 8):
            assert complaint(await world.api.post(path, json={"secret": bad}), 422, "secret") is None, bad
        rotated = await post(world, path, {"secret": own, "overlap_seconds": 0})
        assert rotated["secret"] == own
        assert ("public_key" in rotated) == (scheme == "v1a")
        await finish(world)
        await world.turn()
        assert entries(consumer) == [scheme]
        key = rotated.get("public_key", own)
        verify(consumer.headers[0], consumer.bodies[0], [key], now=world.clock.now())
        assert holds(everything(tmp_path), own[10:40]) == []


async def test_a_key_pair_signs(tmp_path: Path) -> None:
    """`v1a`: the public key is shown and verifies; the private one is with `…/secret` and in the answer to the POST."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url, signature="v1a")
        secret = made.pop("secret")
        assert secret.startswith("whsk_")
        path = f"/v1/destinations/{made['id']}"
        assert (await world.api.get(path)).json() == made
        assert (await world.api.get("/v1/destinations")).json()["items"] == [made]
        assert (await world.api.get(f"{path}/secret")).json() == {"secret": secret, "public_key": made["public_key"]}
        await finish(world)
        await world.turn()
        assert entries(consumer) == ["v1a"]
        verify(consumer.headers[0], consumer.bodies[0], [made["public_key"]], now=world.clock.now())


def _signed(headers: dict[str, str], body: bytes, secret: str, now: int) -> bool:
    try:
        verify(headers, body, [secret], now=now)
    except NotVerified:
        return False
    return True


async def test_no_more_than_ten_old_secrets_sign_along(tmp_path: Path) -> None:
    """Their signatures would outgrow the header: those whose time ends first make room, and nobody is refused."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        path = f"/v1/destinations/{(await world.destination(consumer.url))['id']}"
        secrets = [(await world.api.get(f"{path}/secret")).json()["secret"]]
        for _ in range(12):
            world.clock.advance(1)
            secrets.append((await post(world, f"{path}/rotate-secret"))["secret"])
        brief = await post(world, f"{path}/rotate-secret", {"overlap_seconds": 60})
        await post(world, f"{path}/test")
        headers, body, now = consumer.headers[-1], consumer.bodies[-1], world.clock.now()
        assert len(entries(consumer)) == 11
        signed = [_signed(headers, body, secret, now) for secret in (*secrets, brief["secret"])]
        assert signed == [False] * 3 + [True] * 11
        await world.api.patch(path, json={"signature": "v1a"})
        await post(world, f"{path}/test")
        assert entries(consumer) == ["v1a"] + ["v1"] * 10


async def test_the_tenants_old_secrets_make_room_likewise(tmp_path: Path) -> None:
    """Ten at once, and a sharp rotation keeps them."""
    async with a_world(tmp_path) as world:
        for _ in range(15):
            await post(world, "/v1/webhook-secret/rotate")
        await post(world, "/v1/webhook-secret/rotate", {"overlap_seconds": 0})
        now = world.clock.now()
        found = await world.service.storage.read(lambda store: store.retired_secrets("tenant:default", now))
        assert len(found) == 10


async def test_secrets_whose_time_is_over_are_deleted(tmp_path: Path) -> None:
    """Sealed or not, by the loop that deletes history, whether anybody rotates again or not."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        await post(world, f"/v1/destinations/{made['id']}/rotate-secret", {"overlap_seconds": 60})
        await post(world, f"/v1/destinations/{made['id']}/rotate-secret")
        for pause_s, left in ((0, 2), (DAY_S - 1, 1), (3600, 0)):
            world.clock.advance(pause_s)
            while await world.service.retention.run_once() == BETWEEN_BITES_S:
                pass
            assert len(everything(tmp_path)["retired_secrets"]) == left


@makes_a_log
async def test_rotations_are_checked(tmp_path: Path) -> None:
    """Nothing rotates on a typo; a log has nothing to rotate."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        log = await post(world, "/v1/destinations", {"type": "sqlite", "name": "log"}, 201)
        path = f"/v1/destinations/{made['id']}/rotate-secret"
        for body, fault in (
            ({"overlap_seconds": -1}, "overlap_seconds"),
            ({"overlap_seconds": 31 * DAY_S}, "overlap_seconds"),
            ({"overlap_seconds": "1"}, "overlap_seconds"),
            ({"overlap": 1}, "overlap"),
            ({"secret": 1}, "secret"),
        ):
            assert complaint(await world.api.post(path, json=body), 422, fault) is None
        assert (await world.api.get(path.replace("rotate-", ""))).json() == {"secret": made["secret"]}
        for what in ("secret", "rotate-secret"):
            method = "GET" if what == "secret" else "POST"
            assert complaint(await world.api.request(method, f"/v1/destinations/{log['id']}/{what}"), 404) is None


@pytest.mark.parametrize("format", ["standard", "cloudevents", "cloudevents-binary", "flat"])
async def test_a_ping_goes_out_now_in_its_format(tmp_path: Path, format: str) -> None:
    """Signed as events are, with all that a rotation lets sign, with the user's headers; recorded nowhere."""
    async with a_world(tmp_path) as world, a_consumer(200) as consumer:
        made = await world.destination(consumer.url, format=format, headers={"X-Team": "blue team"})
        path = f"/v1/destinations/{made['id']}"
        await post(world, f"{path}/rotate-secret")
        before = everything(tmp_path)
        attempt = await post(world, f"{path}/test")
        assert attempt.keys() == {"number", "at", "status", "duration_ms", "error", "response"}
        assert (attempt["number"], attempt["status"], attempt["error"], attempt["response"]) == (1, 200, None, "ok")
        assert len(consumer.ids) == 1
        consumer.verify(made["secret"])
        assert entries(consumer) == ["v1", "v1"]
        assert consumer.headers[0]["x-team"] == "blue team"
        said = consumer.headers[0].get("ce-type") or consumer.events[0]["type"]
        assert said == "ping"
        assert everything(tmp_path) == before


async def test_a_ping_goes_to_what_is_disabled_or_held(tmp_path: Path) -> None:
    """So that it can be tried before it is enabled; its failure is the answer, and counts for nothing."""
    async with a_world(tmp_path) as world, a_consumer((503, "", "down"), "close", 204) as consumer:
        made = await world.destination(consumer.url, enabled=False)
        path = f"/v1/destinations/{made['id']}"
        await opened(world, made["id"], probe_at=NOW + MINUTE)
        before = everything(tmp_path)
        failed = await post(world, f"{path}/test")
        assert (failed["status"], failed["response"], failed["error"]) == (503, "down", None)
        broken = await post(world, f"{path}/test")
        assert broken["status"] is None
        assert "connection" in broken["error"]
        assert (await post(world, f"{path}/test"))["status"] == 204
        assert len(consumer.ids) == 3
        assert everything(tmp_path) == before


@makes_a_log
async def test_a_ping_of_a_log_sees_whether_it_can_be_written(tmp_path: Path) -> None:
    """And leaves no row in it."""
    async with a_world(tmp_path) as world:
        made = await post(world, "/v1/destinations", {"type": "sqlite", "name": "log"}, 201)
        assert (await post(world, f"/v1/destinations/{made['id']}/test"))["error"] is None
        (tmp_path / "logs" / "default" / "bad.db").mkdir()
        bad = await post(world, "/v1/destinations", {"type": "sqlite", "name": "bad"}, 201)
        assert "cannot be written" in (await post(world, f"/v1/destinations/{bad['id']}/test"))["error"]


async def test_headers_arrive_byte_for_byte(tmp_path: Path) -> None:
    """As they were given, name and value, on a raw socket; once each, and beside ours."""
    sent = {
        "X-Team": 'blue  team; "a", b=c',
        "Authorization": "Bearer abc.DEF-123~+/=",
        "x_LOWER-Upper": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        "User-Agent": "Our Consumer/2.0 (team 7)",
        "Cookie": "a=b; c=d",
    }
    async with a_quick_world(tmp_path) as world, scripted((204, b"")) as raw:
        await world.destination(raw.seen.url("/hook"), headers=sent)
        await finish(world)
        await world.turn()
        [(head, _)] = raw.seen.requests
        lines = head.split(b"\r\n")
        for name, value in sent.items():
            assert lines.count(f"{name}: {value}".encode()) == 1
            assert [line.lower().startswith(name.lower().encode() + b":") for line in lines].count(True) == 1
        for ours in (b"host", b"content-type", b"content-length", b"webhook-id", b"webhook-signature"):
            assert [line.lower().startswith(ours + b":") for line in lines].count(True) == 1


@pytest.mark.parametrize("act", ["enable", "disable", "test"])
async def test_a_body_has_nothing_to_say_there(tmp_path: Path, act: str) -> None:
    """None, or an empty one."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        path = f"/v1/destinations/{made['id']}/{act}"
        await post(world, path)
        await post(world, path, {})
        assert complaint(await world.api.post(path, json={"force": True}), 422, "force") is None
        assert complaint(await world.api.post(path, content=b"{"), 400) is None
        assert complaint(await world.api.post(path, json=[]), 422) is None


async def test_another_tenants_are_not_there(tmp_path: Path) -> None:
    """Whatever is asked of them, with or without a sensible body: 404, and nothing of theirs changes."""
    async with a_quick_world(tmp_path) as world:
        made = await world.destination(HOOK)
        await finish(world)
        await add_other_tenant(world)
        event = (await world.events())[0]["id"]
        holder = await a_holder(world, "default", "admin")
        await holder.get("/v1/me")
        before = everything(tmp_path)
        theirs = OTHER["destinations"]
        calls: list[tuple[str, str, Any]] = [
            *(("POST", f"/v1/destinations/{theirs}/{act}", None) for act in ACTS),
            *(("POST", f"/v1/destinations/{theirs}/{act}", {"since": "2025-01-01"}) for act in ACTS),
            *((method, f"/v1/destinations/{theirs}", {"description": "mine"}) for method in ("GET", "PATCH", "DELETE")),
            ("GET", f"/v1/destinations/{theirs}/secret", None),
            *(("POST", f"/v1/deliveries/{OTHER['deliveries']}/{act}", None) for act in ("retry", "cancel")),
            ("GET", f"/v1/deliveries/{OTHER['deliveries']}", None),
            ("GET", f"/v1/events/{OTHER['events']}", None),
            ("POST", f"/v1/events/{OTHER['events']}/replay", None),
            ("POST", f"/v1/events/{OTHER['events']}/replay", {"destination_id": made["id"]}),
            ("POST", f"/v1/events/{event}/replay", {"destination_id": theirs}),
        ]
        wrong = {
            f"{method} {path} {body}": complaint(
                await (holder.ask(method, path, json=body) if body else holder.ask(method, path)), 404
            )
            for method, path, body in calls
        }
        assert failures(wrong) == {}
        assert everything(tmp_path) == before


async def test_a_rotation_as_its_consumer_sees_it(tmp_path: Path) -> None:
    """Over real HTTP at both ends, under load: every request verifies with one of the two secrets it is given."""
    async with (
        a_consumer() as consumer,
        scripted((200, b"{}")) as reve,
        a_reachable_world(tmp_path, base_urls={"reve2img": reve.base_url}) as world,
    ):
        base = world.service.doors.callbacks.of(world.service.doors.providers["apikley"], "task_x") or PUBLIC_URL
        url = base.split("/callbacks")[0]
        headers = {"authorization": f"Bearer {API_KEY}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, verify=False) as api:
            made = (await api.post("/v1/destinations", json={"type": "webhook", "url": consumer.url})).json()
            path, secrets, known = f"/v1/destinations/{made['id']}", [made["secret"]], [made["secret"]]
            for _ in range(5):
                pings = [api.post(f"{path}/test") for _ in range(5)]
                rotation, *answers = await asyncio.gather(api.post(f"{path}/rotate-secret"), *pings)
                assert {answer.json()["status"] for answer in answers} == {204}
                secrets.append(rotation.json()["secret"])
                for number in range(len(consumer.ids)):
                    one = Consumer(headers=[consumer.headers[number]], bodies=[consumer.bodies[number]])
                    one.verify(known[0])  # the first of them signs along all day
            assert (await api.get(f"{path}/secret")).json() == {"secret": secrets[-1]}
            assert (await api.post(f"{path}/test")).json()["status"] == 204
            last = Consumer(headers=consumer.headers[-1:], bodies=consumer.bodies[-1:])
            for secret in secrets:
                last.verify(secret)
            world.clock.advance(DAY_S)
            await api.post(f"{path}/test")
            assert entries(consumer) == ["v1"]
            Consumer(headers=consumer.headers[-1:], bodies=consumer.bodies[-1:]).verify(secrets[-1])


async def test_operators_are_told_at_another_place(tmp_path: Path) -> None:
    """A destination is never told of itself: another one that names the type is."""
    async with a_quick_world(tmp_path) as world, a_consumer() as pager:
        types = ["destination.disabled"]
        watched = await world.destination(HOOK, event_types=types)
        await world.destination(pager.url, event_types=types)
        await post(world, f"/v1/destinations/{watched['id']}/disable")
        await world.turn()
        assert pager.ids == [(await last_event(world))["id"]]
        assert len(await world.deliveries()) == 1

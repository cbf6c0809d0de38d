"""PATCH of a destination: what it names changes, everything else stays, and nothing is lost between two of them."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.service.asking import complaint, everything, failures, holds
from tests.service.consumer import a_consumer
from tests.service.engines import makes_a_log
from tests.service.instant import a_quick_world, finish, last_event, post
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

HOOK = "http://127.0.0.1:9/hook"
DEFAULTS = {
    "event_types": ["task.finished", "task.unconfirmed"],
    "providers": None,
    "models": None,
    "metadata": None,
    "format": "standard",
    "description": "",
    "headers": {},
    "signature": "v1",
    "ordered": False,
    "max_in_flight": 32,
    "rate_per_second": None,
    "hook": None,
    "enabled": True,
}
FULL = {
    "event_types": ["task.*"],
    "providers": ["reapi"],
    "models": ["m"],
    "metadata": {"order": "42"},
    "format": "flat",
    "description": "d",
    "headers": {"X-Team": "blue"},
    "ordered": True,
    "max_in_flight": 7,
    "rate_per_second": 2.5,
}

# Changes of a webhook that must not be, and the path of their fault.
BAD: list[tuple[dict[str, Any], str]] = [
    *(({"url": value}, "url") for value in (None, "", "ftp://example.com/", "http://nowhere.invalid/", 1)),
    *(({"type": value}, "type") for value in ("sqlite", "x", 1)),
    ({"name": "x"}, "name"),
    *(({"secret": value}, "secret") for value in ("whsec_" + "A" * 32, "", 1)),
    *(({name: "x"}, name) for name in ("id", "state", "disabled_reason", "created_at", "public_key", "tenant", "URL")),
    *(({"event_types": value}, "event_types") for value in ([], "task.*", ["task.sung"], {})),
    ({"providers": ["apikly"]}, "providers[0]"),
    ({"providers": ["apikley", "reapy"]}, "providers[1]"),
    *(({name: value}, name) for name in ("providers", "models") for value in ([], "apikley", 1)),
    ({"metadata": {"a": None}}, "metadata.a"),
    ({"metadata": {f"k{number}": "v" for number in range(51)}}, "metadata"),
    ({"metadata": {"k": "v" * 9000}}, "metadata"),
    *(({"format": value}, "format") for value in ("xml", "", 1)),
    *(({"signature": value}, "signature") for value in ("v2", "", 1)),
    *(({name: value}, name) for name in ("ordered", "enabled") for value in ("yes", 1, [])),
    *(({"max_in_flight": value}, "max_in_flight") for value in (0, 1001, 1.5, "1", True)),
    *(({"rate_per_second": value}, "rate_per_second") for value in (0, -1, 1e-9, 10_001, "1", True, [])),
    ({"description": "x" * 501}, "description"),
    ({"retention_days": 5}, "retention_days"),
    *(({"headers": value}, "headers") for value in ("x", [], 1)),
    ({"headers": {"X-Team": 1}}, "headers.X-Team"),
    ({"headers": {"Host": "evil.example"}}, "headers.Host"),
    ({"headers": {"a b": "x"}}, "headers.a b"),
    ({"headers": {"x-team": "x\r\ny: z"}}, "headers.x-team"),
    ({"headers": {"X-New": "1", "x-new": "2"}}, "headers.x-new"),
    ({"headers": {f"x-{number}": "v" for number in range(51)}}, "headers"),
    ({"headers": {"x-long": "v" * 4081}}, "headers"),
]
BAD_OF_A_LOG: list[tuple[dict[str, Any], str]] = [
    ({"name": "other"}, "name"),
    ({"type": "webhook"}, "type"),
    *(({name: value}, name) for name, value in (("url", HOOK), ("secret", "x"), ("headers", {"X-A": "b"}))),
    *(({name: value}, name) for name, value in (("signature", "v1"), ("rate_per_second", 1), ("format", "flat"))),
    *(({"retention_days": value}, "retention_days") for value in (0, -1, 36_501, 1.5, "1")),
]


async def patch(world: World, destination_id: str, **fields: Any) -> dict[str, Any]:
    answer = await world.api.patch(f"/v1/destinations/{destination_id}", json=fields)
    assert answer.status_code == 200, answer.text
    value: dict[str, Any] = answer.json()
    return value


async def get(world: World, destination_id: str) -> dict[str, Any]:
    value: dict[str, Any] = (await world.api.get(f"/v1/destinations/{destination_id}")).json()
    return value


async def test_what_is_named_changes_and_the_rest_stays(tmp_path: Path) -> None:
    """Field by field, up and back: null is the default; the answer is what GET gives, with no secret in it."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        made.pop("secret")
        expected = dict(made)
        for name, value in FULL.items():
            expected[name] = {"X-Team": "set"} if name == "headers" else value
            assert await patch(world, made["id"], **{name: value}) == expected
            assert await get(world, made["id"]) == expected
        assert await patch(world, made["id"]) == expected
        assert await patch(world, made["id"], type="webhook") == expected
        for name in FULL:
            expected[name] = DEFAULTS[name]
            assert await patch(world, made["id"], **{name: None}) == expected
        assert expected == made


async def test_what_is_created_with_all_its_fields_can_be_sent_back(tmp_path: Path) -> None:
    """All defaults at once, and all fields at once."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK, **FULL)
        assert made.items() >= (FULL | {"headers": {"X-Team": "set"}}).items()
        plain = await patch(world, made["id"], **dict.fromkeys(FULL))
        assert plain.items() >= DEFAULTS.items()
        again = await patch(world, made["id"], **FULL)
        assert again == {name: value for name, value in made.items() if name != "secret"}


@makes_a_log
async def test_what_cannot_be_is_refused_by_its_path(tmp_path: Path) -> None:
    """422 for every one of them, and the destination is as it was."""
    async with a_world(tmp_path) as world:
        hook = (await world.destination(HOOK, **FULL))["id"]
        log = (await post(world, "/v1/destinations", {"type": "sqlite", "name": "log"}, 201))["id"]
        before = everything(tmp_path)
        wrong = {
            f"{path}: {str(body)[:80]}": complaint(
                await world.api.patch(f"/v1/destinations/{known}", json=body), 422, path
            )
            for known, table in ((hook, BAD), (log, BAD_OF_A_LOG))
            for body, path in table
        }
        assert failures(wrong) == {}
        for raw, status in ((b"{", 400), (b"[]", 422), (b"null", 422), (b"", 400)):
            answer = await world.api.patch(f"/v1/destinations/{hook}", content=raw)
            assert complaint(answer, status) is None, raw
        assert everything(tmp_path) == before


@makes_a_log
async def test_a_log_has_days_instead(tmp_path: Path) -> None:
    """How long its rows are kept; null is for ever. Its own name and type may be said."""
    async with a_world(tmp_path) as world:
        made = await post(world, "/v1/destinations", {"type": "sqlite", "name": "log"}, 201)
        assert made["retention_days"] is None
        assert (await patch(world, made["id"], retention_days=30))["retention_days"] == 30
        assert (await patch(world, made["id"], name="log", type="sqlite", description="d"))["retention_days"] == 30
        nulls = dict.fromkeys(("url", "secret", "headers", "signature", "rate_per_second", "retention_days", "name"))
        assert await patch(world, made["id"], **nulls, description=None) == made


async def test_headers_are_merged_by_name(tmp_path: Path) -> None:
    """One is set, one replaced in other letters, one deleted; the others stay; null deletes all."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url, headers={"X-A": "1", "X-B": "2", "X-C": "3"})
        changed = await patch(world, made["id"], headers={"x-b": "two", "X-C": None, "X-D": "4", "X-Absent": None})
        assert changed["headers"] == {"X-A": "set", "x-b": "set", "X-D": "set"}
        assert (await patch(world, made["id"], headers={}))["headers"] == changed["headers"]
        assert (await patch(world, made["id"], description="d"))["headers"] == changed["headers"]
        assert (await patch(world, made["id"], headers=None))["headers"] == {}


async def test_the_whole_of_the_headers_is_bounded(tmp_path: Path) -> None:
    """Not only what one call says: fifty names and 4 KiB after the merge."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK, headers={f"x-{number}": "v" for number in range(49)})
        await patch(world, made["id"], headers={"x-last": "v"})
        answer = await world.api.patch(f"/v1/destinations/{made['id']}", json={"headers": {"x-more": "v"}})
        assert complaint(answer, 422, "headers") is None
        await patch(world, made["id"], headers={"x-more": "v", "x-last": None})
        answer = await world.api.patch(f"/v1/destinations/{made['id']}", json={"headers": {"x-more": "v" * 3900}})
        assert complaint(answer, 422, "headers") is None


async def test_a_provider_that_left_stays_in_the_filter_it_is_in(tmp_path: Path) -> None:
    """What was read can be written back after the operator took the account away; a new typo is still one."""
    accounts = '{"kie": {"adapter": "apikley", "api_key": "k"}}'
    async with a_world(tmp_path, TASKWEIR_PROVIDERS=accounts) as world:
        made = await world.destination(HOOK, providers=["kie"])
    async with a_world(tmp_path, TASKWEIR_REAPI_API_KEY="") as world:
        assert (await patch(world, made["id"], providers=["kie", "apikley"]))["providers"] == ["kie", "apikley"]
        assert (await patch(world, made["id"], providers=["reapi"]))["providers"] == ["reapi"]  # it may come
        answer = await world.api.patch(f"/v1/destinations/{made['id']}", json={"providers": ["kie"]})
        assert complaint(answer, 422, "providers[0]") is None
        told = "no provider 'kie' is configured; configured: apikley, reelbyte, reve2img"
        assert answer.json()["errors"][0]["message"] == told


async def test_a_new_address_passes_the_guard_first(tmp_path: Path) -> None:
    """422 with the line to set; the old address stays."""
    async with a_world(tmp_path, TASKWEIR_ALLOW_NETWORKS="127.0.0.1/32") as world:
        made = await world.destination(HOOK)
        for url in ("http://169.254.169.254/", "http://[::1]/", "http://10.0.0.1/", "http://127.0.0.2/"):
            answer = await world.api.patch(f"/v1/destinations/{made['id']}", json={"url": url})
            assert complaint(answer, 422, "url") is None
            assert re.search(r"TASKWEIR_ALLOW_NETWORKS=\S+$", answer.json()["detail"])
        assert (await get(world, made["id"]))["url"] == HOOK
        assert (await patch(world, made["id"], url="http://127.0.0.1:10/"))["url"] == "http://127.0.0.1:10/"


async def test_what_is_pending_goes_to_the_new_address(tmp_path: Path) -> None:
    """With the headers and in the way that hold then; the destination of an attempt is the one of its moment."""
    async with a_quick_world(tmp_path) as world, a_consumer(500) as old, a_consumer() as new:
        made = await world.destination(old.url)
        await finish(world)
        await world.turn()
        await patch(world, made["id"], url=new.url)
        await world.turn(6)
        assert (len(old.ids), old.ids) == (1, new.ids)
        new.verify(made["secret"])


async def test_fifty_changes_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each names its own field or header: all of them stand afterwards."""
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK)
        ways = [{"headers": {f"x-{number}": "v"}} for number in range(40)]
        ways += [{name: value} for name, value in FULL.items() if name != "headers"]
        await asyncio.gather(*(patch(world, made["id"], **way) for way in ways))
        found = await get(world, made["id"])
        assert found["headers"] == {f"x-{number}": "set" for number in range(40)}
        assert found.items() >= {name: value for name, value in FULL.items() if name != "headers"}.items()


async def test_another_signature_is_another_secret(tmp_path: Path) -> None:
    """The one before signs along for a day, so that consumers may change over; back again is another new one."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        path = f"/v1/destinations/{made['id']}"
        changed = await patch(world, made["id"], signature="v1a")
        secret = (await world.api.get(f"{path}/secret")).json()
        assert secret["secret"].startswith("whsk_")
        assert secret["public_key"] == changed["public_key"]
        assert secret["public_key"].startswith("whpk_")
        assert await patch(world, made["id"], signature="v1a") == changed
        assert (await world.api.get(f"{path}/secret")).json() == secret
        await finish(world)
        await world.turn()
        assert [entry.split(",")[0] for entry in consumer.headers[0]["webhook-signature"].split(" ")] == ["v1a", "v1"]
        consumer.verify(made["secret"])
        world.clock.advance(86_400)
        await finish(world)
        await world.turn()
        assert [entry.split(",")[0] for entry in consumer.headers[1]["webhook-signature"].split(" ")] == ["v1a"]
        back = await patch(world, made["id"], signature=None)
        assert (back["signature"], "public_key" in back) == ("v1", False)
        assert (await world.api.get(f"{path}/secret")).json()["secret"] not in (made["secret"], secret["secret"])


async def test_it_is_switched_by_its_field_as_by_its_door(tmp_path: Path) -> None:
    """`enabled: false` and back: with the reason, and operators are told."""
    async with a_quick_world(tmp_path) as world, a_consumer() as consumer:
        made = await world.destination(consumer.url)
        off = await patch(world, made["id"], enabled=False, description="d")
        assert (off["enabled"], off["state"], off["disabled_reason"]) == (False, "disabled", "caller")
        assert off["description"] == "d"
        told = await last_event(world)
        assert (told["type"], told["data"]["reason"]) == ("destination.disabled", "caller")
        await finish(world)
        await world.turn()
        assert consumer.ids == []
        on = await patch(world, made["id"], enabled=None)
        assert (on["enabled"], on["state"], on["disabled_reason"]) == (True, "healthy", None)
        await finish(world)
        await world.turn()
        assert len(consumer.ids) == 1


async def test_one_can_be_made_switched_off(tmp_path: Path) -> None:
    """It is owed nothing until it is enabled; nobody is told of it."""
    async with a_quick_world(tmp_path) as world:
        made = await world.destination(HOOK, enabled=False)
        assert (made["enabled"], made["state"], made["disabled_reason"]) == (False, "disabled", "caller")
        await finish(world)
        assert await world.deliveries() == []
        assert [event["type"] for event in await world.events()] == ["task.succeeded"]


async def test_ordering_forms_lines_and_lets_go_of_them(tmp_path: Path) -> None:
    """What is pending stands in line from then on, and is due at once when the line is over."""
    async with a_quick_world(tmp_path) as world:
        made = await world.destination(HOOK)
        await finish(world)
        await post(world, f"/v1/events/{(await last_event(world))['id']}/replay", status=202)
        times = [each["next_attempt_at"] for each in await world.deliveries()]
        assert len(times) == 2
        assert None not in times
        await patch(world, made["id"], ordered=True)
        last, first = await world.deliveries()
        assert (last["next_attempt_at"], first["next_attempt_at"]) == (None, times[0])
        await patch(world, made["id"], ordered=False)
        assert [each["next_attempt_at"] for each in await world.deliveries()] == times


async def test_no_value_of_a_header_is_ever_told(tmp_path: Path) -> None:
    """Not by an answer, not by a refusal, not by the store's own text."""
    canary = "canary-of-a-header-0123456789"
    async with a_world(tmp_path) as world:
        made = await world.destination(HOOK, headers={"X-Key": canary})
        for fields in ({"headers": {"X-More": canary}}, {"headers": {"X-Bad": canary + "\n"}}, {"headers": [canary]}):
            answer = await world.api.patch(f"/v1/destinations/{made['id']}", json=fields)
            assert canary not in answer.text
        assert canary not in (await world.api.get("/v1/destinations")).text
        assert holds(everything(tmp_path), canary) == []

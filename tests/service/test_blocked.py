"""A key of ours is lost: what cannot be signed waits, untried, says what is missing, and goes out once it can."""

from pathlib import Path
from typing import Any

import pytest

from receiver.delivery import MOST_CLAIMS
from tests.logs import capture_logs
from tests.service.consumer import a_consumer
from tests.service.instant import a_quick_world, finish, post
from tests.service.owing import attempt_log, happen
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

OLD, NEW = "old-key-" * 4, "new-key-" * 4
REMEDY = "put the key that sealed it back into TASKWEIR_SECRET_KEY"
DAY_S = 86_400


async def destination(world: World, made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await world.api.get(f"/v1/destinations/{made['id']}")).json()
    return found


async def warnings(world: World) -> list[str]:
    """What ready tells an operator."""
    answer = await world.api.get("/health/ready")
    assert answer.status_code == 200
    told: list[str] = answer.json()["warnings"]
    return told


async def test_what_cannot_be_signed_waits_for_the_key(tmp_path: Path) -> None:
    """No attempt is used up in a week, whoever else is owed is served, and with the key back all of it arrives."""
    async with a_consumer() as hook, a_consumer() as own, a_consumer() as other:
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
            made = await world.destination(hook.url)
            tenants = (await world.api.get("/v1/webhook-secret")).json()["secret"]
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=NEW) as world:
            sound = await world.destination(other.url)
            with capture_logs() as lines:
                for _ in range(3):
                    await finish(world, webhook_url=own.url)
                for _ in range(10):
                    await world.turn(DAY_S)
            assert (hook.ids, own.ids, len(other.ids)) == ([], [], 3)
            other.verify(sound["secret"])
            waiting = await world.deliveries(state="pending")
            assert len(waiting) == 6
            assert {(each["attempts"], each["next_attempt_at"]) for each in waiting} == {(0, None)}
            [task_id, *_] = (each["task_id"] for each in waiting)
            owed = [item["data"] for item in await world.story(task_id) if item["kind"] == "delivery"]
            assert sorted((each["state"], each["next_attempt_at"]) for each in owed if each["state"] == "pending") == [
                ("pending", None),
                ("pending", None),
            ]
            for each in waiting:
                assert await attempt_log(world, each["id"]) == []
                assert REMEDY in (await world.api.get(f"/v1/deliveries/{each['id']}")).json()["blocked_reason"]
            shown = await destination(world, made)
            assert (shown["state"], REMEDY in shown["blocked_reason"]) == ("blocked", True)
            assert (await destination(world, sound))["blocked_reason"] is None
            assert (await world.api.get("/health/ready")).json()["loops"]["deliver"]["oldest_due_s"] == 0
            [warning] = await warnings(world)
            assert warning.startswith("blocked destinations: 2;")
            assert REMEDY in warning
            told = [line["reason"] for line in lines if line["event"] == "destination.blocked"]
            assert len(told) == 2
            assert all(REMEDY in reason for reason in told)
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=f"{NEW},{OLD}") as world:
            await world.turn(10 * DAY_S)
            assert sorted(hook.ids) == sorted(own.ids)
            assert len(set(hook.ids)) == 3
            hook.verify(made["secret"])
            own.verify(tenants)
            assert {each["attempts"] for each in await world.deliveries(state="delivered")} == {1}
            assert (await destination(world, made))["state"] == "healthy"
            assert await warnings(world) == []


async def test_a_header_that_cannot_be_read_blocks_as_well(tmp_path: Path) -> None:
    """Sent without it, the event would be refused or, worse, taken; the reason names the headers."""
    async with a_consumer() as hook:
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
            made = await world.destination(hook.url, headers={"X-Key": "k-0123456789"})
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=NEW) as world:
            secret = (await post(world, f"/v1/destinations/{made['id']}/rotate-secret"))["secret"]
            await finish(world)
            await world.turn(DAY_S)
            assert "its own headers cannot be read" in (await destination(world, made))["blocked_reason"]
            assert hook.ids == []
            changed = await world.api.patch(f"/v1/destinations/{made['id']}", json={"headers": {"X-Key": "new-0123"}})
            assert (changed.json()["state"], changed.json()["blocked_reason"]) == ("healthy", None)
            await world.turn()
            assert [headers["x-key"] for headers in hook.headers] == ["new-0123"]
            hook.verify(secret)


async def test_a_renewed_secret_lets_it_go_at_once(tmp_path: Path) -> None:
    """A destination's own, and the tenant's for the webhooks of tasks: nobody waits for a minute to pass."""
    async with a_consumer() as hook, a_consumer() as own:
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
            made = await world.destination(hook.url)
            await world.api.get("/v1/webhook-secret")
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=NEW) as world:
            await finish(world, webhook_url=own.url)
            await world.turn()
            assert len(await warnings(world)) == 1
            secret = (await post(world, f"/v1/destinations/{made['id']}/rotate-secret"))["secret"]
            with capture_logs() as lines:
                await world.turn()
            assert (len(hook.ids), own.ids) == (1, [])
            hook.verify(secret)
            assert [line["destination_id"] for line in lines if line["event"] == "destination.unblocked"] == [
                made["id"]
            ]
            tenants = (await post(world, "/v1/webhook-secret/rotate"))["secret"]
            await world.turn()
            assert own.ids == hook.ids
            own.verify(tenants)
            assert await warnings(world) == []


async def test_nobody_is_asked_again_in_every_turn(tmp_path: Path) -> None:
    """However many are blocked, the courier sleeps; and forgets those that are owed nothing any more."""
    many = MOST_CLAIMS + 10
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
        made = [await world.destination("http://127.0.0.1:9/hook") for _ in range(many)]
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=NEW) as world:
        await happen(world, 1)
        rounds = 1
        while await world.service.courier.run_once() == 0:  # there are more than one round looks at
            rounds += 1
        assert 1 < rounds <= many
        with capture_logs() as lines:
            assert await world.service.courier.run_once() > 0
            await world.turn(61)
        assert [line for line in lines if line["event"].startswith("destination.")] == []
        assert len(world.service.courier.blocked) == many
        for each in made:
            assert (await world.api.delete(f"/v1/destinations/{each['id']}")).status_code == 204
        await world.turn()
        assert await warnings(world) == []

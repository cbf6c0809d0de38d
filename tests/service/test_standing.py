"""A provider that is down, refuses our key, or has enough of us: paused, probed, resumed; asked for less, then more."""

from pathlib import Path
from typing import Any

import pytest

from receiver import formats
from tests.logs import capture_logs
from tests.service.asking import complaint
from tests.service.consumer import a_consumer
from tests.service.engines import makes_a_log
from tests.service.world import UNKNOWN_TASK, Scripted, World, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

POLL_ONLY = {"TASKWEIR_PUBLIC_URL": ""}


def a_pair(directory: Path, apikley: Scripted, **environment: str) -> Any:
    return a_world(directory, base_urls={"apikley": apikley.base_url}, **environment)


async def operators(world: World) -> list[tuple[str, str]]:
    """The events for operators so far: type and reason."""
    items = (await world.api.get("/v1/events", params={"type": "provider.paused,provider.resumed"})).json()["items"]
    return [(item["type"], item["data"]["reason"]) for item in items]


async def operate(world: World, action: str) -> dict[str, Any]:
    """The operator's word about Apikley; how it stands then."""
    answer = await world.api.post(f"/v1/providers/apikley/{action}")
    assert answer.status_code == 200, answer.text
    stands: dict[str, Any] = answer.json()
    return stands


def counted(apikley: Scripted, method: str) -> int:
    return sum(line.startswith(method) for line in apikley.lines)


async def five_doubtful(world: World) -> list[dict[str, Any]]:
    return [await world.submit(deadline_seconds=7 * 86_400) for _ in range(5)]


async def test_five_doubtful_submits_pause_the_provider(tmp_path: Path) -> None:
    """New tasks wait; a probe without any task to ask about, then one submit; then all of them."""
    async with scripted("close") as apikley, a_pair(tmp_path, apikley) as world:
        await five_doubtful(world)
        assert await operators(world) == [("provider.paused", "unreachable")]
        waiting = [await world.submit(deadline_seconds=86_400) for _ in range(3)]
        assert [task["status"] for task in waiting] == ["queued"] * 3
        assert await world.types(waiting[0]["id"]) == ["queued"]
        await world.turn(59)
        assert (counted(apikley, "POST"), counted(apikley, "GET")) == (5, 0)
        apikley.say(UNKNOWN_TASK, created("p1"), created("p2"), created("p3"))
        await world.turn(1)
        assert counted(apikley, "GET") == 1
        await world.turn()
        assert counted(apikley, "POST") == 6
        await world.turn()
        assert counted(apikley, "POST") == 8
        assert await operators(world) == [("provider.paused", "unreachable"), ("provider.resumed", "unreachable")]
        assert {(await world.task(task["id"]))["status"] for task in waiting} == {"submitted"}


async def test_a_doubtful_trial_submit_keeps_it_paused(tmp_path: Path) -> None:
    """One more in doubt, not two; the next probe comes later."""
    async with scripted("close") as apikley, a_pair(tmp_path, apikley) as world:
        await five_doubtful(world)
        await world.submit(deadline_seconds=86_400)
        await world.submit(deadline_seconds=86_400)
        apikley.say(UNKNOWN_TASK, "close")
        await world.turn(60)
        await world.turn()
        assert counted(apikley, "POST") == 6
        await world.turn(60)
        assert (counted(apikley, "POST"), counted(apikley, "GET")) == (6, 1)
        assert await operators(world) == [("provider.paused", "unreachable")]


async def test_five_failed_polls_pause_it_and_one_answered_resumes_it(tmp_path: Path) -> None:
    """Meanwhile one poll per interval, of a task in flight."""
    async with scripted(created(), (503, b"")) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=86_400)
        for _ in range(60):
            await world.turn(10)
        assert await operators(world) == [("provider.paused", "unreachable")]
        before = counted(apikley, "GET")
        assert 7 <= before <= 9
        apikley.say(record("success"))
        ended = await world.end(task["id"], step_s=60)
        assert (ended["status"], counted(apikley, "GET")) == ("succeeded", before + 1)
        assert await operators(world) == [("provider.paused", "unreachable"), ("provider.resumed", "unreachable")]


async def test_a_refused_key_on_a_poll_pauses_it_at_once(tmp_path: Path) -> None:
    """Reason `auth`; the task is not failed; when the key is good again all goes on."""
    refused = (200, {"code": 401, "msg": "Unauthorized"})
    async with scripted(created(), refused) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=86_400)
        await world.turn(5)
        assert await operators(world) == [("provider.paused", "auth")]
        await world.turn(55)
        assert counted(apikley, "GET") == 1
        apikley.say(record("success"))
        assert (await world.end(task["id"], step_s=30))["status"] == "succeeded"


async def test_a_refused_key_on_a_submit_is_that_tasks_failure(tmp_path: Path) -> None:
    """So is no credit: the caller is told, nothing is paused."""
    async with scripted() as apikley, a_pair(tmp_path, apikley) as world:
        for code in (401, 402):
            apikley.say((200, {"code": code, "msg": "no"}))
            for _ in range(6):
                assert (await world.submit())["status"] == "failed"
        assert await operators(world) == []


async def test_a_queued_task_of_a_paused_provider_expires_on_time(tmp_path: Path) -> None:
    """Nothing was spent."""
    async with scripted("close") as apikley, a_pair(tmp_path, apikley) as world:
        await five_doubtful(world)
        task = await world.submit(deadline_seconds=90)
        await world.turn(45)
        await world.turn(44)
        assert (await world.task(task["id"]))["status"] == "queued"
        await world.turn(1)
        assert (await world.task(task["id"]))["status"] == "expired"


@makes_a_log
async def test_operators_events_go_only_to_who_names_them(tmp_path: Path) -> None:
    """Signed like any other; a log gets a row without a task."""
    async with (
        scripted("close") as apikley,
        a_consumer() as named,
        a_consumer() as unnamed,
        a_pair(tmp_path, apikley) as world,
    ):
        made = await world.destination(named.url, event_types=["provider.paused"], providers=["apikley"])
        await world.destination(named.url, event_types=["provider.paused"], providers=["reapi"])
        await world.destination(unnamed.url, event_types=["task.finished"])
        log = {"type": "sqlite", "name": "operators", "event_types": ["provider.paused"]}
        assert (await world.api.post("/v1/destinations", json=log)).status_code == 201
        await five_doubtful(world)
        await world.turn()
        named.verify(made["secret"])
        [event] = named.events
        assert event["type"] == "provider.paused"
        assert event["data"] == event["data"] | {"provider": "apikley", "reason": "unreachable"}
        assert unnamed.events == []
        deliveries = await world.deliveries(event_id=event["id"])
        assert {(each["state"], each["task_id"]) for each in deliveries} == {("delivered", None)}
        assert len(deliveries) == 2


async def test_too_many_tasks_holds_submits_until_one_of_ours_ends(tmp_path: Path) -> None:
    """Asking again would be refused again."""
    running = (200, {"code": 200, "message": "success", "data": {"task_id": "r1", "status": "IN_PROGRESS"}})
    done = (
        200,
        {
            "code": 200,
            "message": "success",
            "data": {"task_id": "r1", "status": "SUCCESS", "response": {"resultUrls": ["https://x/1.png"]}},
        },
    )
    full = (429, {"code": 429, "message": "TOO_MANY_TASKS"})
    second = (200, {"code": 200, "message": "success", "data": {"task_id": "r2", "status": "IN_PROGRESS"}})
    async with scripted(running, full) as reve, a_world(tmp_path, base_urls={"reve2img": reve.base_url}) as world:
        first = await world.submit("reve2img", "kling3-pro-text-to-video")
        task = await world.submit("reve2img", "kling3-pro-text-to-video")
        assert task["status"] == "queued"
        also = await world.submit("reve2img", "kling3-pro-text-to-video")
        assert (also["status"], counted(reve, "POST")) == ("queued", 2)
        reve.say(running)
        await world.turn(5)
        assert counted(reve, "POST") == 2
        reve.say(done, second)
        assert (await world.end(first["id"], step_s=5))["status"] == "succeeded"
        await world.turn()
        assert counted(reve, "POST") == 3


async def test_a_429_on_polls_narrows_what_is_asked(tmp_path: Path) -> None:
    """Nothing before `Retry-After`; a new task is put off meanwhile, for the budget is the provider's."""
    refused = (429, {"code": 429, "msg": "slow"}, {"retry-after": "30"})
    async with scripted(created(), refused) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        await world.submit(deadline_seconds=86_400)
        await world.turn(5)
        assert counted(apikley, "GET") == 1
        apikley.say(created("p2"))
        late = await world.submit()
        assert (late["status"], counted(apikley, "POST")) == ("queued", 1)
        await world.turn(29)
        assert counted(apikley, "GET") == 1
        await world.turn(1)
        await world.turn(1)
        assert counted(apikley, "POST") == 2


async def test_the_operators_cap_is_kept(tmp_path: Path) -> None:
    """`TASKWEIR_APIKLEY_RATE`: two requests in a second are two, whatever is due."""
    async with (
        scripted(*(created(f"p{number}") for number in range(9))) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_RATE="2") as world,
    ):
        answers = [await world.submit(deadline_seconds=86_400) for _ in range(4)]
        assert [task["status"] for task in answers] == ["submitted", "submitted", "queued", "queued"]
        assert counted(apikley, "POST") == 2
        await world.turn(0.5)
        assert counted(apikley, "POST") == 3
        await world.turn(0.5)
        assert counted(apikley, "POST") == 4


async def test_a_success_without_a_result_is_asked_again_for_ten_minutes(tmp_path: Path) -> None:
    """The result comes: a plain success."""
    empty = record("success", resultJson="")
    async with scripted(created(), empty) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=60)
        for _ in range(9):
            await world.turn(60)
        assert (await world.task(task["id"]))["status"] == "submitted"
        apikley.say(record("success"))
        ended = await world.end(task["id"], step_s=10)
        assert (ended["status"], len(ended["outputs"]), ended["error"]) == ("succeeded", 1, None)


async def test_a_success_that_stays_empty_says_so(tmp_path: Path) -> None:
    """After ten minutes, with `outputs: []` and the reason."""
    empty = record("success", resultJson="")
    async with scripted(created(), empty) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit()
        ended = await world.end(task["id"], step_s=30)
        assert (ended["status"], ended["outputs"]) == ("succeeded", [])
        assert "no result in ten minutes" in ended["error"]["message"]


async def test_a_standing_survives_a_restart(tmp_path: Path) -> None:
    """Paused is paused, also for the next process."""
    async with scripted("close") as apikley:
        async with a_pair(tmp_path, apikley) as world:
            await five_doubtful(world)
            clock = world.clock
        async with a_world(tmp_path, base_urls={"apikley": apikley.base_url}, clock=clock) as world:
            assert (await world.submit())["status"] == "queued"
            assert counted(apikley, "POST") == 5


async def test_the_operators_pause_holds_submits_and_no_polls(tmp_path: Path) -> None:
    """It is not probed, and ends when the operator says so: what waited is handed over. Saying it twice is no news."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        task = await world.submit(deadline_seconds=86_400)
        paused = await operate(world, "pause")
        assert (paused["paused"], paused["reason"], paused["since"]) == (True, "operator", task["created_at"])
        world.clock.advance(5)
        assert await operate(world, "pause") == paused
        waiting = await world.submit(deadline_seconds=86_400)
        assert (waiting["status"], "paused" in waiting["error"]["message"]) == ("queued", True)
        await world.turn(5)
        assert (await world.task(task["id"]))["status"] == "running"
        await world.turn(3600)
        assert counted(apikley, "POST") == 1
        assert counted(apikley, "GET") >= 2
        assert await operators(world) == [("provider.paused", "operator")]
        apikley.say(created("p2"))
        resumed = await operate(world, "resume")
        assert (resumed["paused"], resumed["reason"], resumed["since"]) == (False, None, None)
        assert await operate(world, "resume") == resumed
        await world.service.submitter.run_once()
        await world.service.submitter.crew.drain()
        assert (await world.task(waiting["id"]))["status"] == "submitted"
        assert await operators(world) == [("provider.paused", "operator"), ("provider.resumed", "operator")]


async def test_how_each_provider_stands_can_be_asked(tmp_path: Path) -> None:
    """In the order of their names: how it learns, what it has of ours, what waits for it, what went wrong last."""
    async with scripted(created(), "close") as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(deadline_seconds=7 * 86_400)
        healthy = (await world.api.get("/v1/providers")).json()
        assert healthy["next_cursor"] is None
        assert [item["name"] for item in healthy["items"]] == ["apikley", "reapi", "reelbyte", "reve2img"]
        assert [item["learns_by"] for item in healthy["items"]] == ["callback", "poll", "poll", "poll"]
        stands = {
            "name": "apikley",
            "adapter": "apikley",
            "learns_by": "callback",
            "trust": "poll",
            "paused": False,
            "reason": None,
            "since": None,
            "next_probe_at": None,
            "in_flight": 1,
            "waiting": 0,
            "last_error": None,
        }
        assert healthy["items"][0] == stands
        await five_doubtful(world)
        await world.submit()
        troubled = (await world.api.get("/v1/providers")).json()["items"]
        assert troubled[0] == stands | {
            "paused": True,
            "reason": "unreachable",
            "since": task["created_at"],
            "next_probe_at": formats.timestamp(world.clock.now() + 60_000),
            "in_flight": 6,
            "waiting": 1,
            "last_error": "the connection was closed before an answer",
        }
        assert troubled[1:] == healthy["items"][1:]


async def test_nobody_elses_provider_can_be_paused(tmp_path: Path) -> None:
    """404 for one that is not configured, with nothing recorded."""
    async with a_world(tmp_path, TASKWEIR_REAPI_API_KEY="") as world:
        for name in ("reapi", "nobody", "%00", "a" * 5000):
            for action in ("pause", "resume"):
                answer = await world.api.post(f"/v1/providers/{name}/{action}")
                assert complaint(answer, 404) is None
        assert await operators(world) == []


async def test_a_pause_and_its_end_are_logged(tmp_path: Path) -> None:
    """One line each, by whomever: a poll, a submit, an operator. Who keeps it paused says nothing more."""
    refused = (200, {"code": 401, "msg": "Unauthorized"})
    async with scripted(created(), refused) as apikley, a_pair(tmp_path, apikley, **POLL_ONLY) as world:
        with capture_logs() as lines:
            task = await world.submit(deadline_seconds=86_400)
            await world.turn(5)
            await world.turn(60)
            apikley.say(record("success"))
            await world.end(task["id"], step_s=30)
            await operate(world, "pause")
            await operate(world, "pause")
            await operate(world, "resume")
            apikley.say("close")
            await five_doubtful(world)
        told = [(line["event"], line["provider"], line["reason"]) for line in lines if "provider." in line["event"]]
        assert told == [
            ("provider.paused", "apikley", "auth"),
            ("provider.resumed", "apikley", "auth"),
            ("provider.paused", "apikley", "operator"),
            ("provider.resumed", "apikley", "operator"),
            ("provider.paused", "apikley", "unreachable"),
        ]

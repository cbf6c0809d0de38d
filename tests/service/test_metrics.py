"""/metrics: every number moves when the thing that it counts happens, and Prometheus' own judge accepts it."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from receiver.delivery_policy import PAUSES_S
from receiver.loops import Loop
from receiver.store.protocol import Store
from tests.promtool import promtool
from tests.service.consumer import a_consumer
from tests.service.owing import happen, quiet
from tests.service.test_callbacks import DONE
from tests.service.world import World, a_pair, a_world, created, poll, record, ring, scripted

pytestmark = pytest.mark.anyio

LISTED = Path(__file__).parents[2] / "deploy" / "prometheus" / "README.md"
UNBOUNDED = re.compile(
    r"(?:task|evt|dst|dlv|key)_[0-9a-z]{26}|https?://|127\.0\.0\.1|default|a red panda|\bp1\b|bytedance"
)
LABELS = {"provider", "outcome", "answer", "source", "result", "kind", "state", "loop", "type", "work", "le"}
OF_THE_BUILD = {"version", "python", "engine", "role"}
_HELP = re.compile(r"^# HELP (taskweir_\w+) (.+)$", re.MULTILINE)

Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def numbers(world: World) -> Numbers:
    """Every series by its name and labels."""
    answer = await world.api.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert promtool("check", "metrics", input=answer.text) == ""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(found: Numbers, name: str, **labels: str) -> float:
    return found[(f"taskweir_{name}", frozenset(labels.items()))]


def apikleys(found: Numbers, name: str, **labels: str) -> float:
    return of(found, name, provider="apikley", **labels)


async def test_a_tasks_way_is_counted(tmp_path: Path) -> None:
    """Its handover, its polls by their answers and how late they were, words nobody knows, its events, its outcome."""
    answers = (
        created(),
        record("generating"),
        (500, {"code": 500, "msg": "no"}),
        record("pondering"),
        record("success"),
    )
    async with scripted(*answers) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        begun = await numbers(world)
        assert apikleys(begun, "submits_total", outcome="accepted") == 1
        assert apikleys(begun, "callbacks_promised_total") == 1
        assert apikleys(begun, "tasks_waiting", work="poll") == 1
        assert apikleys(begun, "polls_total", answer="answered") == 0
        await world.turn(3600)
        await world.end(task["id"], step_s=60)
        ended = await numbers(world)
        assert apikleys(ended, "polls_total", answer="answered") == 3
        assert apikleys(ended, "polls_total", answer="unavailable") == 1
        assert apikleys(ended, "unknown_words_total", source="poll") == 1
        assert apikleys(ended, "poll_lag_seconds_count") == 4
        assert 3500 < apikleys(ended, "poll_lag_seconds_sum") < 3800
        assert apikleys(ended, "poll_lag_seconds_bucket", le="300.0") == 3
        assert apikleys(ended, "task_outcomes_total", outcome="succeeded") == 1
        assert apikleys(ended, "task_duration_seconds_count") == 1
        assert apikleys(ended, "task_duration_seconds_sum") >= 3600
        assert [of(ended, "events_total", type=f"task.{name}") for name in ("submitted", "running", "succeeded")] == [
            1
        ] * 3
        assert of(ended, "event_seq") == 3
        assert apikleys(ended, "tasks_waiting", work="poll") == 0


async def test_handovers_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    """Refused, not created and put off, or never learnt of: then the task stands as unconfirmed."""
    refused, later = (200, {"code": 402, "msg": "no credits", "data": None}), (429, {"code": 429, "msg": "slower"})
    async with scripted(refused, "close", later) as apikley, a_pair(tmp_path, apikley) as world:
        for _ in range(3):
            await world.submit()
        found = await numbers(world)
        outcomes = ("accepted", "refused", "not_created", "ambiguous")
        counted = [apikleys(found, "submits_total", outcome=outcome) for outcome in outcomes]
        assert counted == [0, 1, 1, 1]
        assert apikleys(found, "callbacks_promised_total") == 0
        assert apikleys(found, "tasks_unconfirmed") == 1
        assert apikleys(found, "tasks_waiting", work="submit") == 1
        assert apikleys(found, "task_outcomes_total", outcome="failed") == 1
        assert apikleys(found, "provider_paused") == 0
        await world.api.post("/v1/providers/apikley/pause")
        assert apikleys(await numbers(world), "provider_paused") == 1


async def test_callbacks_are_counted_by_what_they_were(tmp_path: Path) -> None:
    """The first of a task with how long it was waited for; others by what they were, and what in them is odd."""
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        path = await world.callback_url(task["id"])
        world.clock.advance(90)
        strange: dict[str, Any] = {"code": 200, "msg": "", "data": {"taskId": "p1", "state": "pondering"}}
        for body in (strange, strange, DONE, {"odd": 1}):
            await ring(world, task["id"], body)
        assert (await world.api.post(f"{path}x", json=DONE)).status_code == 404
        assert (await world.api.get(f"{path}x")).status_code == 404
        unknown = await world.callback_url("task_00000000000000000000000000")
        assert (await world.api.post(unknown, json=DONE)).status_code == 200
        found = await numbers(world)
        results = ("first", "further", "repeated", "unsigned", "forgotten")
        assert [apikleys(found, "callbacks_total", result=result) for result in results] == [1, 2, 1, 1, 1]
        assert apikleys(found, "callbacks_unreadable_total") == 1
        assert apikleys(found, "unknown_words_total", source="callback") == 2
        assert (apikleys(found, "callback_lag_seconds_count"), apikleys(found, "callback_lag_seconds_sum")) == (1, 90)
        assert apikleys(found, "callback_lag_seconds_bucket", le="60.0") == 0
        await poll(world)
        assert apikleys(await numbers(world), "poll_lag_seconds_bucket", le="0.1") == 1


async def test_deliveries_are_counted_by_kind(tmp_path: Path) -> None:
    """Attempts by how they ended and how long they took; what is owed, since when, and what is dead."""
    async with a_consumer(500, 404, 200) as consumer, a_world(tmp_path) as world:
        made = await world.destination(consumer.url)
        await happen(world, 3)
        owed = await numbers(world)
        assert of(owed, "deliveries_owed", kind="webhook") == 3
        world.clock.advance(7)
        assert of(await numbers(world), "deliveries_oldest_owed_seconds", kind="webhook") == 7
        await quiet(world)
        await world.until(lambda: len(consumer.bodies) >= 5, step_s=400, most=30)
        found = await numbers(world)
        by_result = {
            result: of(found, "delivery_attempts_total", kind="webhook", result=result)
            for result in ("succeeded", "status_4xx", "status_5xx", "no_answer")
        }
        assert by_result == {"succeeded": 3, "status_4xx": 1, "status_5xx": 1, "no_answer": 0}
        assert of(found, "delivery_attempt_duration_seconds_count", kind="webhook") == 5
        assert of(found, "deliveries_ended_total", kind="webhook", state="delivered") == 3
        assert of(found, "deliveries_owed", kind="webhook") == 0
        assert of(found, "deliveries_oldest_owed_seconds", kind="webhook") == 0
        assert of(found, "destinations", kind="webhook", state="healthy") == 1
        await world.api.post(f"/v1/destinations/{made['id']}/disable")
        assert of(await numbers(world), "destinations", kind="webhook", state="disabled") == 1


async def test_dead_deliveries_are_counted(tmp_path: Path) -> None:
    """Once the schedule is used up, at a destination that nobody answers for; those that are held count as failing."""
    async with a_world(tmp_path) as world:
        await world.destination("http://127.0.0.1:9/hook")
        await happen(world, 1)
        for pause in PAUSES_S:
            await world.turn(pause * 1.21)
        found = await numbers(world)
        assert of(found, "delivery_attempts_total", kind="webhook", result="no_answer") == 10
        assert of(found, "deliveries_ended_total", kind="webhook", state="dead") == 1
        assert of(found, "deliveries_dead", kind="webhook") == 1
        await world.destination("http://127.0.0.1:10/hook")
        await happen(world, 5, first=10)
        await quiet(world)
        assert of(await numbers(world), "destinations", kind="webhook", state="failing") >= 1


async def test_the_process_is_told_of(tmp_path: Path) -> None:
    """Its writer and how long the disk took, writes that failed, rounds of its loops and those that failed."""

    def fail(store: Store) -> None:
        raise ZeroDivisionError

    async with a_world(tmp_path) as world:
        before = await numbers(world)
        with pytest.raises(ZeroDivisionError):
            await world.service.storage.write(fail)
        await asyncio.gather(*(loop.round() for loop in world.service.loops))
        after = await numbers(world)
        assert of(after, "store_write_failures_total") == 1
        assert of(after, "store_writes_total") > of(before, "store_writes_total")
        assert of(after, "store_commit_duration_seconds_count") > of(before, "store_commit_duration_seconds_count")
        assert of(after, "loop_rounds_total", loop="poll") == of(before, "loop_rounds_total", loop="poll") + 1
        assert of(after, "ready") == 1
        [build] = [labels for name, labels in after if name == "taskweir_build_info"]
        assert {name for name, _ in build} == OF_THE_BUILD


async def test_a_loop_that_fails_is_counted() -> None:
    """Each round that an error ended, beside those that came round."""
    failed = asyncio.Event()

    async def run_once() -> float:
        if failed.is_set():
            return 5.0
        failed.set()
        raise ZeroDivisionError

    loop = Loop("poll", run_once, asyncio.Event())
    loop.start()
    await failed.wait()
    await loop.stop()
    assert (loop.rounds, loop.failures) == (1, 1)


async def test_what_waits_is_told_while_it_waits(tmp_path: Path) -> None:
    """The writer's queue, asked for within the process while a transaction is open."""
    async with a_world(tmp_path) as world:
        storage = world.service.storage
        writes = [asyncio.ensure_future(storage.write(lambda _: None)) for _ in range(5)]
        await asyncio.sleep(0)
        assert storage.commits.waiting() == 5
        await asyncio.gather(*writes)
        assert storage.commits.waiting() == 0


async def test_no_label_is_without_end(tmp_path: Path) -> None:
    """Labels are of a few kinds, and none of their values is an id, a tenant, a model, a URL or a provider's word."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(webhook_url="http://127.0.0.1:9/hook")
        await world.end(task["id"], step_s=60)
        found = await numbers(world)
        ours = [labels for name, labels in found if name.startswith("taskweir_") and name != "taskweir_build_info"]
        assert {name for labels in ours for name, _ in labels} == LABELS
        assert [value for labels in ours for _, value in labels if UNBOUNDED.search(value)] == []


async def test_the_documents_list_them_all(tmp_path: Path) -> None:
    """Each metric's name, type and labels, in the order in which they come; nothing else."""
    async with a_world(tmp_path) as world:
        text = (await world.api.get("/metrics")).text
    told = []
    for family in text_string_to_metric_families(text):
        if family.name.startswith("taskweir_"):
            labels = {name for sample in family.samples for name in sample.labels} - {"le"}
            told.append((family.name + "_total" * (family.type == "counter"), family.type, labels))
    rows = re.findall(r"^\| `(taskweir_\w+)` \| (\w+) \| (.*?) \|", LISTED.read_text(), re.MULTILINE)
    assert [(name, kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows] == told


async def test_each_says_whose_it_is(tmp_path: Path) -> None:
    """The list and the help agree on what is one process's, to be added up, and what the store's."""
    async with a_world(tmp_path) as world:
        text = (await world.api.get("/metrics")).text
    helped = {name: "store" if "Of the store" in told else "process" for name, told in _HELP.findall(text)}
    listed = dict(re.findall(r"^\| `(taskweir_\w+)` \| \w+ \|[^|]*\| (\w+) \|", LISTED.read_text(), re.MULTILINE))
    assert helped == listed
    assert all("process" in told or "Of the store" in told for _, told in _HELP.findall(text))


async def test_a_store_that_does_not_answer_leaves_the_process_to_be_told_of(tmp_path: Path) -> None:
    """Not ready, and all that the process itself knows; what only the store knows is left out, not told as nothing."""
    async with a_world(tmp_path) as world:
        await world.service.storage.close()
        found = await numbers(world)
        assert of(found, "ready") == 0
        assert apikleys(found, "submits_total", outcome="accepted") == 0
        assert not [name for name, _ in found if name == "taskweir_deliveries_owed"]

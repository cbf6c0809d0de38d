"""A task's timeline: from it alone anybody can say what happened."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Status, Work
from receiver.store.protocol import Store
from tests.make import MINUTE, NOW, a_task, a_timer
from tests.service.consumer import a_consumer
from tests.service.world import APIKLEY_MODEL, UNKNOWN_TASK, World, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

BUSY = (429, {"code": 429, "msg": "too fast"}, {"retry-after": "7"})


def a_house(directory: Path, apikley: Any, **fields: Any) -> Any:
    return a_world(directory, base_urls={"apikley": apikley.base_url}, **fields)


async def told(world: World, task_id: str, *, without: str = "") -> list[tuple[str, str]]:
    """Kind and text of each item; what chance or the machine decides is cut out."""
    items = await world.story(task_id)
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)
    kinds = without.split()
    return [(item["kind"], _plain(item["text"])) for item in items if item["kind"] not in kinds]


def _plain(text: str) -> str:
    text = re.sub(r"again in \d+ \w+", "again soon", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    return re.sub(r",? (\()?after \d+ (?:ms|s|min)(?(1)\))", "", text)


async def ring(world: World, task_id: str, body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert (await world.api.post(await world.callback_url(task_id), content=raw)).status_code == 200


STORM = [
    (
        "task",
        (
            "bytedance/v1-pro-text-to-video was asked for at apikley, to be done within 2 h; "
            "apikley is to call back, and is asked as well."
        ),
    ),
    ("submit", "Sent to apikley, which created nothing: too fast (HTTP 429); it is tried again soon."),
    ("event", "task.queued is recorded as event 1: handing it over is put off."),
    (
        "submit",
        "Sent, and nobody knows whether apikley took it: no answer within 0.8 s; it is not sent again by itself.",
    ),
    ("event", "task.unconfirmed is recorded as event 2: nobody knows whether apikley took it."),
    ("callback", "A callback came that cannot be read (a callback without a code); nobody can be asked about it."),
    ("callback", "1 further callback came, repeated or beyond those that are kept."),
    ("callback", "A callback came, claiming success; the task is known at apikley as p9; apikley is asked."),
    ("event", "task.submitted is recorded as event 3: a callback said so, and nobody but its URL vouches for it."),
    (
        "callback",
        "4 further callbacks came, repeated or beyond those that are kept, the last at 2025-12-08T09:40:11.000Z.",
    ),
    (
        "poll",
        (
            "Asked because a callback came, apikley says waiting: the callback's claim, succeeded, is not believed; "
            "it is asked again soon."
        ),
    ),
    ("poll", "5 polls told nothing new, the last at 2025-12-08T09:41:52.000Z."),
    ("poll", "Asked, and learnt nothing (the connection was closed before an answer): it is asked again soon."),
    ("poll", "2 further polls failed, the last at 2025-12-08T09:56:52.000Z."),
    ("poll", "Asked again after 3 polls in a row that failed, apikley says generating: the task is running."),
    ("event", "task.running is recorded as event 4: a poll said so."),
    (
        "callback",
        "A callback came, claiming fail; it is about other, not about p9, and changes nothing; apikley is asked.",
    ),
    ("poll", "Asked because a callback came, apikley says generating: the task is expired, for its time is over."),
    ("event", "task.expired is recorded as event 5: its time was over."),
    ("delivery", "task.expired is owed to the webhook at HOST."),
    ("attempt", "Attempt 1 to bring task.expired to the webhook at HOST failed (HTTP 500)."),
    ("poll", "1 poll told nothing new."),
    (
        "attempt",
        "Attempt 2 to bring task.expired to the webhook at HOST failed (the connection was closed before an answer).",
    ),
    ("poll", "Asked, apikley says success, after our own verdict expired: the task is now succeeded, with 1 output."),
    (
        "event",
        ("task.succeeded is recorded as event 6: a poll said so; late, after a verdict of our own."),
    ),
    ("delivery", "task.succeeded is owed to the webhook at HOST."),
    ("attempt", "Attempt 1 to bring task.succeeded to the webhook at HOST arrived."),
    ("callback", "A callback came, claiming fail; that contradicts the verdict succeeded, which stays."),
    ("attempt", "Attempt 3 to bring task.expired to the webhook at HOST failed (HTTP 503), tried again soon."),
]


async def test_a_stormy_task_reads_like_a_story(tmp_path: Path) -> None:
    """Refused for now, hung, called back oddly, twice and with lies, unreachable, expired, late, contradicted."""
    async with (
        scripted(BUSY, "hang") as apikley,
        a_consumer(500, "close", 204, 503) as consumer,
        a_house(tmp_path, apikley) as world,
    ):
        await world.destination(consumer.url, event_types=["task.finished"])
        task = (await world.submit(deadline_seconds=7200))["id"]
        await world.turn(9)
        await world.turn(1)
        await ring(world, task, b"{odd")
        await ring(world, task, b"{odd")
        await world.turn(1)
        apikley.say(record("waiting", "p9"))
        for _ in range(5):
            await ring(world, task, record("success", "p9")[1])
        await world.turn(1)
        for _ in range(5):
            await world.turn(20)
        apikley.say("close")
        for _ in range(3):
            await world.turn(300)
        apikley.say(record("generating", "p9"))
        await world.turn(300)
        await ring(world, task, record("fail", "other")[1])
        await world.turn(7200)
        await world.turn(100)
        apikley.say(record("success", "p9"))
        await world.turn(100)
        await world.turn(1)
        await ring(world, task, record("fail", "p9", failMsg="no")[1])
        await world.turn(400)
        assert await told(world, task) == STORM


async def test_a_plain_task_has_a_short_story(tmp_path: Path) -> None:
    """Taken, running for a while, done."""
    async with scripted(created(), record("generating")) as apikley, a_house(tmp_path, apikley) as world:
        task = (await world.submit(deadline_seconds=86_400))["id"]
        for _ in range(38):
            await world.turn(750)
        apikley.say(record("success"))
        await world.end(task, step_s=750)
        story = await told(world, task)
        assert story == [
            (
                "task",
                (
                    f"{APIKLEY_MODEL} was asked for at apikley, to be done within 24 h; "
                    "apikley is to call back, and is asked as well."
                ),
            ),
            ("submit", "Sent to apikley, which took it as p1 (HTTP 200)."),
            ("event", "task.submitted is recorded as event 1: the answer of apikley to the submit said so."),
            ("poll", "Asked, apikley says generating: the task is running."),
            ("event", "task.running is recorded as event 2: a poll said so."),
            ("poll", "37 polls told nothing new, the last at 2025-12-08T17:35:00.000Z."),
            ("poll", "Asked, apikley says success: the task is succeeded, with 1 output."),
            ("event", "task.succeeded is recorded as event 3: a poll said so."),
        ]
        named = await world.api.get("/v1/tasks/apikley:p1/timeline")
        assert named.json()["items"] == await world.story(task)
        *_, last = await world.story(task)
        [*_, event] = await world.events(task)
        assert last == {
            "at": event["timestamp"],
            "kind": "event",
            "text": "task.succeeded is recorded as event 3: a poll said so.",
            "data": {
                "id": event["id"],
                "type": "task.succeeded",
                "sequence": 3,
                "source": "poll",
                "verified_by": "poll",
                "late": False,
            },
        }


async def test_a_forged_callback_is_shown_for_what_it_is(tmp_path: Path) -> None:
    """It claimed success, the provider says failed."""
    async with scripted(created(), record("fail", failMsg="no luck")) as apikley, a_house(tmp_path, apikley) as world:
        task = (await world.submit())["id"]
        await ring(world, task, record("success")[1])
        await world.turn(1)
        assert (await told(world, task))[3:] == [
            ("callback", "A callback came, claiming success; apikley is asked."),
            (
                "poll",
                (
                    "Asked because a callback came, apikley says fail: the task is failed (no luck), "
                    "though a callback claimed succeeded."
                ),
            ),
            ("event", "task.failed is recorded as event 2: a poll said so."),
        ]


async def test_a_callback_that_names_another_tasks_id_is_shown_as_refused(tmp_path: Path) -> None:
    """It binds nothing, and nobody can be asked."""
    async with scripted(created("p1")) as apikley, a_house(tmp_path, apikley) as world:
        await world.submit()
        apikley.say("hang")
        task = (await world.submit())["id"]
        await ring(world, task, record("success", "p1")[1])
        [*_, last] = await told(world, task)
        assert last == (
            "callback",
            (
                "A callback came, claiming success; it names p1, the id of another task, and is not believed; "
                "nobody can be asked about it."
            ),
        )


async def test_a_refusal_and_a_task_that_vanished_say_why(tmp_path: Path) -> None:
    """In the provider's own words."""
    refusal = (200, {"code": 402, "msg": "no credits", "data": None})
    async with scripted(refusal) as apikley, a_house(tmp_path, apikley) as world:
        refused = (await world.submit())["id"]
        apikley.say(created(), UNKNOWN_TASK)
        gone = (await world.submit())["id"]
        await world.turn(100)
        await world.turn(121)
        assert (await told(world, refused))[1:] == [
            ("submit", "Sent to apikley, which refused it: no credits (code 402, HTTP 200)."),
            ("event", "task.failed is recorded as event 1: the answer of apikley to the submit said so."),
        ]
        assert (await told(world, gone))[3:] == [
            ("poll", "Asked, apikley does not know the task (recordInfo is null): it is asked again soon."),
            (
                "poll",
                (
                    "Asked again after a poll that failed, apikley still does not know the task (recordInfo is null): "
                    "it is failed."
                ),
            ),
            ("event", "task.failed is recorded as event 2: a poll said so."),
        ]


async def test_a_handover_that_the_process_did_not_outlive(tmp_path: Path) -> None:
    """The next process says that nobody knows."""
    async with scripted(created()) as apikley, a_house(tmp_path, apikley) as world:

        def left_behind(store: Store) -> None:
            task = a_task(status=Status.SUBMITTING, callback_expected=True, deadline_at=NOW + 30 * MINUTE)
            store.record_task(task)
            store.set_timer(a_timer(work=Work.SUBMIT, owner="own_dead"))

        await world.service.storage.write(left_behind)
        await world.turn(1)
        assert (await told(world, "task_1"))[1:] == [
            (
                "submit",
                (
                    "The handover broke off: nobody knows whether apikley took it: "
                    "the process ended while it was being handed over; it is not sent again by itself."
                ),
            ),
            ("event", "task.unconfirmed is recorded as event 1: nobody knows whether apikley took it."),
        ]


async def test_a_task_that_waits_for_its_provider_says_so(tmp_path: Path) -> None:
    """Nothing is sent while an operator holds it back."""
    async with scripted(created()) as apikley, a_house(tmp_path, apikley) as world:
        await world.api.post("/v1/providers/apikley/pause")
        world.clock.advance(1)
        task = (await world.submit())["id"]
        assert (await told(world, task))[1:] == [
            ("submit", "Not handed over yet: apikley is paused."),
            ("event", "task.queued is recorded as event 1: handing it over is put off."),
        ]


async def test_no_secret_is_told(tmp_path: Path) -> None:
    """No key, no callback token, no body, no more of a webhook's URL than its host."""
    echo = (200, {"code": 500, "msg": "provider-key at CALLBACK"})
    async with scripted(echo) as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        await world.destination(f"{consumer.url}/path-of-mine?token=of-mine", event_types=["task.*"])
        task = (await world.submit())["id"]
        url = await world.callback_url(task)
        await ring(world, task, record(f"provider-key {url}", "p7")[1])
        await ring(world, task, f"body-of-mine {url}".encode())
        apikley.say((200, {"code": 500, "msg": f"provider-key at {url}"}))
        await world.turn(1)
        text = json.dumps(await world.story(task))
        assert "[callback token]" in text
        for secret in ("provider-key", url.rsplit("/", 1)[1], "body-of-mine", "path-of-mine", "of-mine", "whsec"):
            assert secret not in text


async def test_the_story_of_nobodys_task_is_unknown(tmp_path: Path) -> None:
    """404, as for the task itself."""
    async with scripted(created()) as apikley, a_house(tmp_path, apikley) as world:
        for name in ("task_none", "apikley:none"):
            assert (await world.api.get(f"/v1/tasks/{name}/timeline")).status_code == 404

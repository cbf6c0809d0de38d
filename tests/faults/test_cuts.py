"""Submits whose answers are cut: one request each, never a second one, all confirmed by a later callback."""

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.budget import FIRST_WINDOW
from receiver.submit import SubmitLimits
from tests.faults.cutting import QUICK_CUTS, SLOW_CUTS, WELL, Cutter, a_cutter, cut_of, provider_id
from tests.make import StoppedClock
from tests.service.world import APIKLEY_MODEL, LIMITS, PUBLIC_URL, World, a_world, every, record

pytestmark = pytest.mark.anyio

CUTS = 1000
BATCH = 50
PUT_OFF = 10  # by a machine that stands still: no connection was made in time, nothing left, so they are sent again
BRIEF = replace(LIMITS, submit=SubmitLimits(deadline_s=2.0, lease_s=60))


class TickingClock(StoppedClock):
    """A millisecond passes whenever somebody looks, so that what was asked for first is due first."""

    def now(self) -> int:
        self.time += 1
        return self.time


def a_busy_world(directory: Path, cutter: Cutter) -> AbstractAsyncContextManager[World]:
    return a_world(directory, limits=BRIEF, base_urls={"apikley": cutter.base_url}, clock=TickingClock())


def prompt_of(how: str, number: int) -> str:
    return f"{how} #{number}"


async def ask(world: World, prompt: str) -> None:
    """Submit without waiting for the handover."""
    body = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": prompt}}
    made = await world.api.post("/v1/tasks", json=body, headers={"prefer": "respond-async"})
    assert made.status_code in (201, 202), made.text


async def call_back(world: World, cutter: Cutter, prompt: str) -> None:
    """The provider calls on the token that came with the submit, however that was answered."""
    path = cutter.callbacks[prompt].removeprefix(PUBLIC_URL)
    told = await world.api.post(path, json=record("success", provider_id(prompt))[1])
    assert told.status_code == 200, told.text


async def every_task(world: World) -> dict[str, dict[str, Any]]:
    """Every task by its prompt."""
    return {task["input"]["prompt"]: task for task in await every(world, "/v1/tasks")}


@pytest.mark.parametrize("how", [*QUICK_CUTS, *SLOW_CUTS])
async def test_one_cut(tmp_path: Path, how: str) -> None:
    """One request, `unconfirmed` whatever time passes, and confirmed under the provider's id by a callback."""
    prompt = prompt_of(how, 1)
    async with a_cutter() as cutter, a_world(tmp_path, limits=BRIEF, base_urls={"apikley": cutter.base_url}) as world:
        task = await world.submit(input={"prompt": prompt})
        assert (task["status"], task["provider_task_id"]) == ("unconfirmed", None)
        for _ in range(3):
            await world.turn(3600)
        assert (await world.task(task["id"]))["status"] == "unconfirmed"
        await call_back(world, cutter, prompt)
        ended = await world.end(task["id"])
        assert (ended["status"], ended["provider_task_id"]) == ("succeeded", "p1")
        assert await world.types(task["id"]) == ["unconfirmed", "submitted", "succeeded"]
        assert cutter.creates == [prompt]


async def test_fifty_at_once_into_silence(tmp_path: Path) -> None:
    """As many tasks are in doubt as the window let out: five, however many were asked for in one moment."""
    async with a_cutter() as cutter, a_busy_world(tmp_path, cutter) as world:
        await asyncio.gather(*(ask(world, prompt_of("never", number)) for number in range(BATCH)))
        await world.service.submitter.crew.drain()
        tasks = await every_task(world)
    assert len(cutter.creates) == FIRST_WINDOW
    assert Counter(task["status"] for task in tasks.values()) == {"unconfirmed": 5, "queued": BATCH - 5}


async def test_a_thousand_cuts(tmp_path: Path) -> None:
    """1,000 lost answers, every fifth submit answered well: 0 second creates, 0 tasks that stay in doubt."""
    prompts = [prompt_of(cut_of(number), number) for number in range(CUTS * 5 // 4)]
    lost = [prompt for prompt in prompts if not prompt.startswith(WELL)]
    assert len(lost) == CUTS
    async with a_cutter() as cutter, a_busy_world(tmp_path, cutter) as world:
        for first in range(0, len(prompts), BATCH):
            batch = prompts[first : first + BATCH]
            await asyncio.gather(*(ask(world, prompt) for prompt in batch))
            for _ in batch:  # one submit at a time goes out after a lost one
                await world.service.submitter.run_once()
                await world.service.submitter.crew.drain()
        tasks = dict[str, dict[str, Any]]()

        async def handed_over() -> bool:
            tasks.update(await every_task(world))
            return all(task["status"] != "queued" for task in tasks.values())

        await handed_over()
        assert sum(task["status"] == "queued" for task in tasks.values()) <= PUT_OFF
        await world.until(handed_over, step_s=5)
        assert {prompt for prompt, task in tasks.items() if task["status"] == "unconfirmed"} == set(lost)
        for _ in range(3):
            await world.turn(3600)
        await asyncio.gather(*(call_back(world, cutter, prompt) for prompt in lost))

        async def confirmed() -> bool:
            tasks.update(await every_task(world))
            return all(task["status"] == "succeeded" for task in tasks.values())

        await world.until(confirmed, step_s=5)
        events = await every(world, "/v1/events", after="0")
    assert Counter(cutter.creates) == Counter(prompts)
    assert {prompt: task["provider_task_id"] for prompt, task in tasks.items()} == {
        prompt: provider_id(prompt) for prompt in prompts
    }
    told = Counter(event["type"] for event in events)
    again = told.pop("task.queued", 0)
    assert again <= PUT_OFF
    # Who had no connection comes behind others, and five lost ones may then stand in a row.
    assert told.pop("provider.paused", 0) == told.pop("provider.resumed", 0) <= again
    assert told == {"task.unconfirmed": CUTS, "task.submitted": len(prompts), "task.succeeded": len(prompts)}

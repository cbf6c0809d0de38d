"""Apikley's callbacks: what they say, when they come, and what the steering words make of them."""

import json
from typing import Any

import httpx
import pytest

from adapters.sandbox.callbacks import redacted
from adapters.sandbox.server import create_app, running
from tests.sandbox.inbox import Inbox
from tests.sandbox.wires import APIKLEY, caller_of, eventually, ledger

pytestmark = pytest.mark.anyio


async def _callbacks(client: httpx.AsyncClient, count: int) -> list[Any]:
    """The callbacks of the only task, once there are `count` of them."""

    async def there() -> list[Any]:
        [task] = await ledger(client)
        found: list[Any] = task["callbacks"]
        return found if len(found) >= count else []

    found: list[Any] = await eventually(there)
    assert len(found) == count
    return found


async def test_a_success_is_called_back_once(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """The callback comes when the task is final, agrees with recordInfo, and counts its cost in seconds."""
    task_id = await APIKLEY.create(client, "a heron", callBackUrl=inbox.url)
    [note] = await _callbacks(client, 1)
    [body] = inbox.bodies
    assert (body["code"], body["msg"]) == (200, "Playground task completed successfully.")
    shown = (await APIKLEY.show(client, task_id))["data"]
    data = body["data"]
    same = set(shown) - {"param", "costTime"}
    assert {key: data[key] for key in same} == {key: shown[key] for key in same}
    assert shown["state"] == "success"
    assert (data["costTime"], shown["costTime"] > 0) == (0, True)
    assert json.loads(json.loads(data["param"])["input"]) == {"prompt": "a heron", "duration": "5"}
    assert json.loads(data["param"])["callBackUrl"] == inbox.url
    assert (note["status"], note["claimed"], note["error"]) == (200, "succeeded", None)


async def test_a_failure_is_called_back_in_its_own_form(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """A failed task calls back with code 501, no result and no credits, and the poll gives the same reason."""
    task_id = await APIKLEY.create(client, "a heron [fail]", callBackUrl=inbox.url)
    await _callbacks(client, 1)
    [body] = inbox.bodies
    assert (body["code"], body["msg"]) == (501, "Playground task failed.")
    assert (body["data"]["resultJson"], body["data"]["creditsConsumed"]) == (None, 0)
    shown = await APIKLEY.show(client, task_id)
    assert shown["code"] == 200
    for key in ("state", "failCode", "failMsg", "taskId"):
        assert body["data"][key] == shown["data"][key]
    assert shown["data"]["failCode"] == "500"


async def test_a_callback_is_sent_again_until_it_is_accepted(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """Only 200 accepts a callback: after 500 and 204 it is sent again, after 200 no more."""
    inbox.answers = [500, 204]
    await APIKLEY.create(client, "a heron", callBackUrl=inbox.url)
    notes = await _callbacks(client, 3)
    assert [note["status"] for note in notes] == [500, 204, 200]
    assert inbox.bodies == [inbox.bodies[0]] * 3


async def test_a_callback_is_given_up_after_three_retries(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """A callback that is never accepted is tried four times in all, also where it is to come twice."""
    inbox.answers = [404] * 9
    await APIKLEY.create(client, "a heron [twice]", callBackUrl=inbox.url)
    notes = await _callbacks(client, 4)
    assert [note["status"] for note in notes] == [404] * 4
    await APIKLEY.finish(client, await APIKLEY.create(client, "another [slow]"))
    assert len(inbox.bodies) == 4


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/gone/token", "http://xn--/gone/token"])
async def test_a_callback_to_nowhere_is_an_error_in_the_ledger(client: httpx.AsyncClient, url: str) -> None:
    """A receiver that cannot be reached costs nothing but its callback, and its URL is kept without its secret."""
    task_id = await APIKLEY.create(client, "a heron", callBackUrl=url)
    notes = await _callbacks(client, 4)
    assert {note["status"] for note in notes} == {None}
    assert all(note["error"] for note in notes)
    assert "token" not in notes[0]["url_redacted"]
    assert APIKLEY.status(await APIKLEY.show(client, task_id)) == "success"


async def test_no_callback_sends_none(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """`[no-callback]` leaves the caller to polling, even with `[twice]` and `[early]`."""
    task_id = await APIKLEY.create(client, "a heron [no-callback] [twice] [early]", callBackUrl=inbox.url)
    await APIKLEY.finish(client, task_id)
    await APIKLEY.finish(client, await APIKLEY.create(client, "another [slow]"))
    assert inbox.bodies == []


async def test_twice_sends_two_equal_callbacks(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """`[twice]` sends the same body again after it was accepted; the second has retries of its own."""
    inbox.answers = [200, 503]
    await APIKLEY.create(client, "a heron [twice]", callBackUrl=inbox.url)
    assert [note["status"] for note in await _callbacks(client, 3)] == [200, 503, 200]
    assert inbox.bodies == [inbox.bodies[0]] * 3


@pytest.mark.parametrize("answers", [[], [500]])
async def test_early_calls_back_before_the_submit_is_answered(
    client: httpx.AsyncClient, inbox: Inbox, answers: list[int]
) -> None:
    """`[early]` posts before the submit answer leaves, and the task is final by then; retries come later."""
    inbox.answers = list(answers)
    answer = await APIKLEY.submit(client, "a heron [early] [slow]", callBackUrl=inbox.url)
    [body] = inbox.bodies
    task_id = APIKLEY.task_id(answer.json())
    assert body["data"]["taskId"] == task_id
    assert APIKLEY.status(await APIKLEY.show(client, task_id)) == "success"
    assert len(await _callbacks(client, 1 + len(answers))) == len(inbox.bodies)


async def test_early_without_a_callback_url_is_an_ordinary_task(client: httpx.AsyncClient) -> None:
    """Without a `callBackUrl` there is nothing to send early: the task takes its time."""
    task_id = await APIKLEY.create(client, "a heron [early] [slow]")
    assert APIKLEY.status(await APIKLEY.show(client, task_id)) != "success"


@pytest.mark.parametrize("early", ["", "[early]"])
async def test_forge_claims_a_success_that_the_poll_denies(client: httpx.AsyncClient, inbox: Inbox, early: str) -> None:
    """`[forge]` calls back with success and a result, while recordInfo says that the task failed."""
    task_id = await APIKLEY.create(client, f"a heron [forge] {early}", callBackUrl=inbox.url)
    [note] = await _callbacks(client, 1)
    [body] = inbox.bodies
    assert (body["code"], body["data"]["state"]) == (200, "success")
    assert APIKLEY.urls(body)
    assert note["claimed"] == "succeeded"
    assert APIKLEY.status(await APIKLEY.show(client, task_id)) == "fail"


@pytest.mark.parametrize("word", ["500", "hang"])
async def test_the_callback_of_a_lost_submit_still_comes(client: httpx.AsyncClient, inbox: Inbox, word: str) -> None:
    """Where the submit's answer is lost, its callback tells the caller that the task exists."""
    order = APIKLEY.order(f"a heron [{word}]") | {"callBackUrl": inbox.url}
    try:
        answer = await client.post(f"/apikley{APIKLEY.submit_path}", json=order, timeout=0.2)
    except httpx.ReadTimeout:
        assert word == "hang"
    else:
        assert (answer.status_code, word) == (500, "500")
    await _callbacks(client, 1)
    [task] = await ledger(client)
    assert inbox.bodies[0]["data"]["taskId"] == task["id"]


async def test_never_never_calls_back(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """`[never]` has no end to report, not even early."""
    await APIKLEY.create(client, "a heron [never] [early]", callBackUrl=inbox.url)
    await APIKLEY.finish(client, await APIKLEY.create(client, "another [slow]"))
    assert inbox.bodies == []


async def test_the_receiver_may_poll_from_within_its_callback(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """A poll that is caused by a callback always finds the task final, however close the two clocks are."""
    ids = [await APIKLEY.create(client, f"heron {number}", callBackUrl=inbox.url) for number in range(20)]

    async def all_arrived() -> bool:
        return len(inbox.bodies) == len(ids)

    await eventually(all_arrived)
    for body in inbox.bodies:
        assert (await APIKLEY.show(client, body["data"]["taskId"]))["data"]["completeTime"] == body["data"][
            "completeTime"
        ]


async def test_clearing_drops_callbacks_that_have_not_left(client: httpx.AsyncClient, inbox: Inbox) -> None:
    """After DELETE no callback arrives: neither one that was due later nor one that was being retried."""
    await APIKLEY.create(client, "later [slow]", callBackUrl=inbox.url)
    assert (await client.delete("/_sandbox/tasks")).status_code == 204
    inbox.answers = [503] * 9
    await APIKLEY.create(client, "retried", callBackUrl=inbox.url)
    await eventually(lambda: _seen(inbox))
    await client.delete("/_sandbox/tasks")
    arrived = len(inbox.bodies)
    await APIKLEY.finish(client, await APIKLEY.create(client, "another [slow]"))
    assert len(inbox.bodies) <= arrived + 1  # one may have been on its way
    assert {body["data"]["param"].count("later") for body in inbox.bodies} == {0}


async def test_stopping_waits_for_no_callback(inbox: Inbox) -> None:
    """A sandbox that stops drops the callbacks it still owes and the retries it is in."""
    inbox.answers = [503] * 9
    async with running(create_app(finish_after_s=0.01, callback_retry_s=30)) as url, caller_of(url) as client:
        await APIKLEY.create(client, "retried", callBackUrl=inbox.url)
        await APIKLEY.create(client, "owed [slow]", callBackUrl=inbox.url)
        await eventually(lambda: _seen(inbox))
    assert len(inbox.bodies) <= 2


async def _seen(inbox: Inbox) -> bool:
    return bool(inbox.bodies)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/x", "http://", "http://[::1/x", "http://a:99999/x", "http://a:-5/", 7, ["http://a/b"]]
)
async def test_an_impossible_callback_url_is_refused(client: httpx.AsyncClient, url: object) -> None:
    """A `callBackUrl` that nobody could post to is a validation error; null and '' mean that there is none."""
    answer = await APIKLEY.submit(client, "a heron", callBackUrl=url)
    assert (answer.status_code, answer.json()["code"]) == (200, 422)
    for nothing in (None, ""):
        assert (await APIKLEY.submit(client, "a heron", callBackUrl=nothing)).json()["code"] == 200


def test_callback_urls_are_kept_without_their_secrets() -> None:
    """User, password, query and last segment are what can be secret in a callback URL."""
    assert redacted("https://u:p@example.com:8443/callbacks/apikley/tok?key=1") == (
        "https://example.com:8443/callbacks/apikley/…"
    )
    assert redacted("http://example.com") == "http://example.com/…"

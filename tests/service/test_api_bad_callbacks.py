"""Bad input to the providers' door: strangers change nothing, and no body alone ends a task."""

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from receiver.domain import Status
from receiver.signing import CallbackTokens
from tests.make import DAY, NOW, a_task, a_timer
from tests.service.asking import everything, holds
from tests.service.world import World, a_pair, a_world, created, keep, record, scripted

pytestmark = pytest.mark.anyio

ACK = b'{"code":200,"msg":"success"}'
FORGED = "https://evil.example/forged.mp4"
KIB = 1024
SECRET = "s" * 32  # the world's own


def claim(**data: Any) -> dict[str, Any]:
    return {"code": 200, "msg": "success", "data": {"taskId": "p1", **data}}


SUCCESS = claim(state="success", resultJson=json.dumps({"resultUrls": [FORGED]}))
# What ends a task, in every family's words (kie.ai docs): believed only once the provider says so when asked.
CLAIMS: list[Any] = [
    SUCCESS,
    claim(state="SUCCESS", resultJson={"resultUrls": [FORGED]}),
    claim(state="success"),
    claim(video_url=FORGED),
    claim(info={"resultUrls": json.dumps([FORGED])}),
    claim(info={"result_urls": [FORGED]}),
    claim(callbackType="complete", data=[{"audio_url": FORGED}]),
    claim(state="fail", failCode="500", failMsg="no"),
    {"code": 501, "msg": "failed", "data": {"taskId": "p1"}},
    {"code": "400", "msg": "moderated", "data": {"task_id": "p1"}},
    {"code": 408, "msg": "timeout", "data": {"taskId": "p1", "state": "fail", "failCode": "408"}},
    claim(state="success", creditsConsumed=-5, completeTime=10**30, progress="NaN", resultJson="{"),
]
ODD: dict[str, bytes] = {
    "empty": b"",
    "a space": b" ",
    "a NUL": b"\x00",
    "a word": b"success",
    "a form": b"taskId=p1&state=success",
    "a multipart form": b'--x\r\nContent-Disposition: form-data; name="state"\r\n\r\nsuccess\r\n--x--\r\n',
    "XML": b"<state>success</state>",
    "truncated": json.dumps(SUCCESS).encode()[:-1],
    "twice": json.dumps(SUCCESS).encode() * 2,
    "null": b"null",
    "true": b"true",
    "a number": b"200",
    "a string": b'"success"',
    "an empty object": b"{}",
    "an empty array": b"[]",
    "an array of callbacks": json.dumps([SUCCESS] * 3).encode(),
    "NaN": b'{"code":NaN,"data":{"taskId":"p1","state":"success"}}',
    "infinity": b'{"code":200,"data":{"taskId":"p1","state":"success","progress":Infinity}}',
    "a number out of range": b'{"code":1e999,"data":{"taskId":"p1","state":"success"}}',
    "UTF-16": json.dumps(SUCCESS).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(SUCCESS).encode(),
    "Latin-1": '{"msg":"ü"}'.encode("latin-1"),
    "gzip": gzip.compress(json.dumps(SUCCESS).encode(), mtime=0),
    "a gzip bomb": gzip.compress(b" " * 10_000_000, mtime=0),
    "deep arrays": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"data":' * 8_000 + b"1" + b"}" * 8_000,
    "open arrays": b"[" * 60 * KIB,
    "a code without data": b'{"code":200}',
    "data that is null": b'{"code":200,"data":null}',
    "data that is a list": b'{"code":200,"data":[{"taskId":"p1","state":"success"}]}',
    "data that is a text": b'{"code":200,"data":"success"}',
    "no code": b'{"data":{"taskId":"p1","state":"success"}}',
    "a code that is a list": b'{"code":[200],"data":{"taskId":"p1","state":"success"}}',
    "a code of 4000 digits": b'{"code":' + b"2" * 4000 + b',"data":{"taskId":"p1","state":"success"}}',
    "no task": b'{"code":200,"data":{"state":"success"}}',
    "a task that is an object": b'{"code":200,"data":{"taskId":{"$ne":1},"state":"success"}}',
    "a task that is null": b'{"code":200,"data":{"taskId":null,"state":"success"}}',
    "a task of 4000 digits": b'{"code":200,"data":{"taskId":' + b"1" * 4000 + b',"state":"success"}}',
    "another task's": json.dumps(claim(taskId="p2", state="success")).encode(),
    "a word from tomorrow": json.dumps(claim(state="upscaling")).encode(),
    "a state that is a list": json.dumps(claim(state=["success"])).encode(),
    "a state that is true": json.dumps(claim(state=True)).encode(),
    "a stage from tomorrow": json.dumps(claim(callbackType="mastered")).encode(),
    "a code from tomorrow": json.dumps({"code": 299, "data": {"taskId": "p1"}}).encode(),
    "word and code at odds": json.dumps(claim(state="success") | {"code": 501}).encode(),
    "lone surrogates": b'{"code":200,"msg":"\\ud800","data":{"taskId":"p1","state":"\\udfff\\u0000"}}',
    "keys twice": b'{"code":501,"code":200,"data":{"taskId":"p2","taskId":"p1","state":"fail","state":"success"}}',
    "64 KiB": b"x" * (64 * KIB),
    "64 KiB and a byte": b"y" * (64 * KIB + 1),
    "a claim after 64 KiB": b" " * (64 * KIB) + json.dumps(SUCCESS).encode(),
    "2 MiB": b"z" * (2048 * KIB),
    "2 MiB of JSON": json.dumps(claim(state="success", padding="p" * (2048 * KIB))).encode(),
}


async def expecting(world: World, number: int, **fields: Any) -> str:
    """A task that the provider has, expecting a callback; the path of its callback URL."""
    task = a_task(id=f"task_{number}", provider_task_id=f"q{number}", callback_expected=True, **fields)
    await keep(world, task, a_timer(task_id=task.id, due_at=NOW + DAY))
    return await world.callback_url(task.id)


async def test_odd_bodies_are_200_kept_once_and_end_nothing(tmp_path: Path) -> None:
    """Each gets the provider's own answer, twice; what the provider says when asked (nothing final) stands."""
    bodies = ODD | {f"claim {number}": json.dumps(body).encode() for number, body in enumerate(CLAIMS)}
    assert len(bodies) >= 60
    async with scripted(record("generating", "other")) as apikley, a_pair(tmp_path, apikley) as world:
        paths = [await expecting(world, number) for number in range(len(bodies))]
        for path, (name, body) in zip(paths, bodies.items(), strict=True):
            for _ in range(2):
                answer = await world.api.post(path, content=body, headers={"content-type": "application/json"})
                assert (answer.status_code, answer.content) == (200, ACK), name
                assert answer.headers["content-type"] == "application/json"
        kept = everything(tmp_path)
        inbox = {row[0]: row for row in kept["inbox"]}
        assert len(kept["inbox"]) == len(inbox) == len(bodies)
        for number, body in enumerate(bodies.values()):
            assert inbox[f"task_{number}"][-1] == body[: 64 * KIB]
        for _ in range(10):
            await world.turn(30)
        assert {row[4] for row in everything(tmp_path)["tasks"]} == {"submitted"}
        assert everything(tmp_path)["events"] == []


@pytest.mark.parametrize("claimed", CLAIMS)
async def test_a_claim_stands_only_as_far_as_the_provider_confirms_it(tmp_path: Path, claimed: Any) -> None:
    """While it says running, nothing is over; then it says failed, and that is the one outcome, by the poll."""
    failed = record("fail", failCode="500", failMsg="upstream")
    async with scripted(created(), record("generating")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        path = await world.callback_url(task["id"])
        assert (await world.api.post(path, json=claimed)).content == ACK
        for pause in (0, 1, 2, 4):
            await world.turn(pause)
        assert await world.types(task["id"]) == ["submitted", "running"]
        apikley.say(failed)
        ended = await world.end(task["id"], step_s=5)
        assert (ended["status"], ended["outputs"], ended["error"]["message"]) == ("failed", [], "upstream")
        assert await world.types(task["id"]) == ["submitted", "running", "failed"]
        [*_, last] = await world.events(task["id"])
        assert last["data"]["verified_by"] == "poll"
        assert holds({name: rows for name, rows in everything(tmp_path).items() if name != "inbox"}, FORGED) == []


async def test_at_most_twenty_bodies_of_a_task_are_kept(tmp_path: Path) -> None:
    """Sixty of them, then the first again: none is answered otherwise."""
    async with scripted(record("generating", "q1")) as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1)
        for number in [*range(60), 0]:
            assert (await world.api.post(path, json={"number": number})).content == ACK
        rows = everything(tmp_path)["inbox"]
        assert [json.loads(row[-1])["number"] for row in rows] == list(range(20))


async def test_a_flood_does_not_make_us_deaf(tmp_path: Path) -> None:
    """Twenty odd bodies fill the inbox; the true callback after them still makes us ask at once, a minute later."""
    async with scripted(record("generating", "q1")) as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1)
        for number in range(30):
            await world.api.post(path, json={"number": number})
        for pause in (0, 1, 2, 4, 8, 15, 30, 61):
            await world.turn(pause)
        asked = len(apikley.lines)
        apikley.say(record("success", "q1"))
        for _ in range(50):
            assert (await world.api.post(path, json=claim(taskId="q1", state="success"))).content == ACK
        await world.turn()
        assert len(apikley.lines) == asked + 1
        assert (await world.task("task_1"))["status"] == "succeeded"
        assert len(everything(tmp_path)["inbox"]) == 20


async def test_a_claim_whose_body_is_not_kept_brings_back_no_other(tmp_path: Path) -> None:
    """A claim was contradicted, a flood filled the inbox, another claim came: in an outage neither is taken."""
    async with scripted(record("generating", "q1")) as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1, deadline_at=NOW + 600_000)
        await world.api.post(path, json=claim(taskId="q1", state="success", resultJson={"resultUrls": [FORGED]}))
        for number in range(30):
            await world.api.post(path, json={"number": number})
        for pause in (0, 1, 2, 4, 8, 15, 30, 61):
            await world.turn(pause)
        assert await world.types("task_1") == ["running"]
        apikley.say("close")
        asked = len(apikley.lines)
        world.clock.advance(1)
        await world.api.post(path, json=claim(taskId="q1", state="fail"))
        for pause in (0, 600, 600):
            await world.turn(pause)
        assert len(apikley.lines) >= asked + 3
        assert (await world.task("task_1"))["status"] == "running"


async def test_a_repeat_asks_nobody_again(tmp_path: Path) -> None:
    """Not even an hour later: the first one was heard."""
    async with scripted(record("generating", "q1")) as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1)
        await world.api.post(path, json={"number": 1})
        for pause in (0, 1, 2, 4, 8, 15, 30, 300):
            await world.turn(pause)
        asked, timers = len(apikley.lines), everything(tmp_path)["timers"]
        for _ in range(20):
            assert (await world.api.post(path, json={"number": 1})).content == ACK
        assert everything(tmp_path)["timers"] == timers
        await world.turn()
        assert len(apikley.lines) == asked


async def test_a_body_about_another_task_claims_nothing(tmp_path: Path) -> None:
    """Not even at the deadline of a task that nobody could ask about: it is not its own outcome."""
    async with scripted("close") as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1, deadline_at=NOW + 600_000)
        await world.api.post(path, json=claim(taskId="q2", state="success", resultJson={"resultUrls": [FORGED]}))
        for _ in range(10):
            await world.turn(300)
        assert (await world.task("task_1"))["status"] == "submitted"
        assert [row for row in everything(tmp_path)["events"] if "task_1" in row] == []


async def test_a_token_never_stays_in_the_store(tmp_path: Path) -> None:
    """However the provider wrote our URL back to us: the bodies are kept without it."""
    async with scripted(record("generating", "q1")) as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1)
        token = path.rsplit("/", 1)[1]
        url = f"http://taskweir.test{path}"
        for echo in (
            json.dumps({"code": 200, "data": {"taskId": "q1", "param": {"callBackUrl": url}}}),
            json.dumps({"code": 200, "data": {"taskId": "q1", "param": json.dumps({"callBackUrl": url})}}),
            json.dumps({"code": 200, "msg": f"called {url} and {token}", "data": {"taskId": "q1", "state": token}}),
            json.dumps({"code": 400, "msg": token, "data": {"taskId": "q1", "failCode": token, "failMsg": url}}),
            json.dumps({"url": url}).replace("/", "\\/"),
            json.dumps({"url": json.dumps({"url": url.replace("/", "\\/")})}),
            json.dumps({"url": url}).replace("/", "\\u002f").replace(".", "\\u002e"),
            f"url={quote(url, safe='')}",
            f"url={quote(quote(url, safe=''), safe='')}",
            f"<a href='{url}?x=1'>{token}</a>",
            token,
            f'"{token}"',
            " " * (64 * KIB - len(url) + 20) + url,
        ):
            answer = await world.api.post(path, content=echo.encode())
            assert answer.content == ACK
        apikley.say(record(token, "q1"), record("fail", "q1", failCode=token, failMsg=f"{url} is gone"))
        for _ in range(3):
            await world.turn(30)
        assert (await world.task("task_1"))["error"]["message"].endswith("is gone")
        rows = everything(tmp_path)
        assert len(rows["inbox"]) == 13
        signature = token.split(".")[1]
        assert (holds(rows, token), holds(rows, signature)) == ([], [])


async def test_probes_and_odd_requests_of_a_signed_url_are_200(tmp_path: Path) -> None:
    """GET, HEAD and OPTIONS change nothing; a body in pieces, a query or a slash at the end do not matter."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 1000

    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1)
        before = everything(tmp_path)
        for method in ("GET", "HEAD", "OPTIONS"):
            for address in (path, f"{path}?challenge=1", f"{path}/"):
                answer = await world.api.request(method, address)
                assert (answer.status_code, answer.content) == (200, b"")
        assert everything(tmp_path) == before
        assert (await world.api.post(path, content=pieces())).content == ACK
        assert (await world.api.post(f"{path}?a=1", content=b"1")).content == ACK
        assert (await world.api.post(f"{path}/", content=b"2")).content == ACK
        assert (await world.api.post(quote(path, safe="/").replace(".", "%2E"), content=b"3")).content == ACK
        odd = {"content-encoding": "gzip", "content-type": "image/png", "authorization": "Bearer wrong"}
        assert (await world.api.post(path, content=b"4", headers=odd)).content == ACK
        assert [len(row[-1]) for row in everything(tmp_path)["inbox"]] == [64 * KIB, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("provider", "task_id"), [("apikley", "task_gone"), ("apikley", "x"), ("apikley", ""), ("nobody", "task_1")]
)
async def test_of_what_is_no_longer_kept_nothing_is_stored(tmp_path: Path, provider: str, task_id: str) -> None:
    """200: the provider did its duty, and would only call again; a provider that is no longer configured, too."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        await expecting(world, 1)
        before = everything(tmp_path)
        token = CallbackTokens([SECRET]).issue(provider, task_id)
        answer = await world.api.post(f"/callbacks/{provider}/{token}", json=SUCCESS)
        assert (answer.status_code, answer.content) == (200, ACK if provider == "apikley" else b"")
        assert everything(tmp_path) == before


async def test_a_callback_long_after_our_own_verdict_is_asked_about(tmp_path: Path) -> None:
    """Nobody polls a day after `expired`; but a callback rings all the same, for the result was paid for."""
    async with scripted(record("success", "q1")) as apikley, a_pair(tmp_path, apikley) as world:
        path = await expecting(world, 1, status=Status.EXPIRED, ours=True, finished_at=NOW - 2 * DAY)
        await world.service.storage.write(lambda store: store.drop_timer("task_1"))
        assert (await world.api.post(path, json=claim(taskId="q1", state="success"))).content == ACK
        await world.turn()
        assert (len(apikley.lines), len(everything(tmp_path)["inbox"])) == (1, 1)
        assert (await world.task("task_1"))["status"] == "succeeded"
        assert (await world.events("task_1"))[-1]["data"]["late"]


async def test_a_token_of_a_secret_that_was_replaced_is_still_ours(tmp_path: Path) -> None:
    """All secrets verify, the first signs: a callback that is under way survives a rotation."""
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=f"{'n' * 32},{SECRET}") as world:
        await expecting(world, 1)
        old = CallbackTokens([SECRET]).issue("apikley", "task_1")
        assert old not in await world.callback_url("task_1")
        assert (await world.api.post(f"/callbacks/apikley/{old}", json={})).content == ACK


async def test_where_the_token_is_trusted_only_what_is_readable_and_its_own_is_recorded(tmp_path: Path) -> None:
    """Trust is no licence: odd bodies, and those of other tasks, still end nothing; the true one does, once."""
    async with scripted("close") as apikley, a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST="token") as world:
        names = [name for name in ODD if name != "keys twice"]
        for number, name in enumerate(names):
            path = await expecting(world, number)
            assert (await world.api.post(path, content=ODD[name])).content == ACK
        assert {row[4] for row in everything(tmp_path)["tasks"]} == {"submitted"}
        assert everything(tmp_path)["events"] == []
        path = await expecting(world, 1000, status=Status.RUNNING)
        for _ in range(3):
            await world.api.post(path, json=claim(taskId="q1000", state="success", resultJson={"resultUrls": [FORGED]}))
        await world.api.post(path, json=claim(taskId="q1000", state="fail", failMsg="no"))
        [event] = await world.events("task_1000")
        assert (event["type"], event["data"]["source"], event["data"]["verified_by"]) == (
            "task.succeeded",
            "callback",
            "token",
        )
        assert event["data"]["task"]["outputs"][0]["url"] == FORGED


def damaged(body: bytes, chance: random.Random) -> bytes:
    """With one to four places that are cut, filled or overwritten."""
    raw = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw))
        raw[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
    return bytes(raw)


async def test_any_body_at_all_is_200(tmp_path: Path) -> None:
    """A thousand true callbacks with random damage: no event, no 500."""
    chance = random.Random(2026)
    good = json.dumps(SUCCESS).encode()
    async with scripted("close") as apikley, a_pair(tmp_path, apikley) as world:
        paths = [await expecting(world, number) for number in range(60)]
        for _ in range(20):
            told = [world.api.post(chance.choice(paths), content=damaged(good, chance)) for _ in range(50)]
            assert {answer.content for answer in await asyncio.gather(*told)} == {ACK}
        kept = everything(tmp_path)
        assert kept["events"] == []
        assert 900 < len(kept["inbox"]) <= 1000

"""What is particular to each provider's wire, word for word as its documents have it."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from tests.sandbox.wires import APIKLEY, REAPI, REELBYTE, REVE2IMG, WIRES, Wire, caller_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def strict(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """A sandbox that knows one key only, and no client key set."""
    async with running(create_app(finish_after_s=0, api_keys=frozenset({"good"}))) as url, caller_of(url) as client:
        del client.headers["authorization"]
        yield client


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
async def test_only_known_keys_are_taken_where_they_are_named(strict: httpx.AsyncClient, wire: Wire) -> None:
    """With `api_keys` any other key is refused on submit and poll, and a known one is taken on both."""
    path = f"/{wire.name}{wire.submit_path}"
    bad = await strict.post(path, json=wire.order("a heron"), headers={"authorization": "Bearer bad"})
    assert wire.refused(bad)
    good = await strict.post(path, json=wire.order("a heron"), headers={"authorization": "bearer good"})
    assert wire.task_id(good.json())


ANY = object()


@pytest.mark.parametrize(
    ("wire", "key", "status", "body"),
    [
        (APIKLEY, None, 200, {"code": 401, "msg": ANY, "data": None}),
        (APIKLEY, "Bearer bad", 200, {"code": 401, "msg": ANY, "data": None}),
        (REAPI, None, 401, {"error": {"code": 10001, "message": ANY, "request_id": ANY}}),
        (REAPI, "Basic good", 401, {"error": {"code": 10002, "message": ANY, "request_id": ANY}}),
        (REAPI, "Bearer bad", 401, {"error": {"code": 10003, "message": ANY, "request_id": ANY}}),
        (REELBYTE, None, 200, {"code": -1, "message": "invalid api key", "data": None}),
        (REELBYTE, "Bearer bad", 200, {"code": -1, "message": "invalid api key", "data": None}),
        (REVE2IMG, None, 401, {"code": 401, "message": "INVALID_API_KEY", "detail": "Missing or invalid API key."}),
        (REVE2IMG, "Bearer bad", 401, {"code": 401, "message": "INVALID_API_KEY", "detail": ANY}),
    ],
)
async def test_a_wrong_key_is_refused_as_documented(
    strict: httpx.AsyncClient, wire: Wire, key: str | None, status: int, body: Any
) -> None:
    """Each provider has its own envelope and status for a missing, wrong or misplaced key."""
    headers = {} if key is None else {"authorization": key}
    answer = await strict.post(f"/{wire.name}{wire.submit_path}", json=wire.order("a heron"), headers=headers)
    assert answer.status_code == status
    _assert_like(answer.json(), body)


def _assert_like(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            _assert_like(found[key], value)
    else:
        assert found if wanted is ANY else found == wanted


async def test_reelbyte_takes_its_key_in_either_header(strict: httpx.AsyncClient) -> None:
    """Reelbyte's `x-api-key` is as good as a Bearer (seed 000)."""
    path = f"/reelbyte{REELBYTE.submit_path}"
    assert REELBYTE.refused(await strict.post(path, json=REELBYTE.order("a"), headers={"x-api-key": "bad"}))
    answer = await strict.post(path, json=REELBYTE.order("a"), headers={"x-api-key": "good"})
    assert answer.json() == {
        "code": 0,
        "message": "ok",
        "data": {"taskId": REELBYTE.task_id(answer.json()), "status": "pending", "costCredits": 18},
    }


@pytest.mark.parametrize(
    ("wire", "change", "status", "code"),
    [
        (APIKLEY, {"model": ""}, 200, 422),
        (APIKLEY, {"input": None}, 200, 422),
        (APIKLEY, {"input": {"aspect_ratio": "16:9"}}, 200, 422),
        (APIKLEY, {"input": {"prompt": "x" * 10_001}}, 200, 422),
        (APIKLEY, {"input": {"image_url": "http://a/b.png"}}, 200, 422),
        (REAPI, {"model": None}, 400, 20002),
        (REAPI, {"prompt": None}, 400, 20002),
        (REAPI, {"prompt": ""}, 400, 20002),
        (REAPI, {"prompt": "", "image_urls": ["http://a/b.png"]}, 400, 20002),
        (REAPI, {"prompt": "ab"}, 400, 20003),
        (REAPI, {"prompt": "x" * 4001}, 400, 20003),
        (REAPI, {"prompt": 7}, 400, 20003),
        (REAPI, {"prompt": None, "model": "other"}, 400, 20002),
        (REAPI, {"duration": 3}, 400, 20003),
        (REAPI, {"duration": "5"}, 400, 20003),
        (REAPI, {"size": "16:10"}, 400, 20005),
        (REAPI, {"resolution": "1080P"}, 400, 20003),
        (REELBYTE, {"model": None}, 200, -1),
        (REELBYTE, {"mediaType": None}, 200, -1),
        (REELBYTE, {"mediaType": "smell"}, 200, -1),
        (REELBYTE, {"scene": "text-to-smell"}, 200, -1),
        (REELBYTE, {"prompt": "", "options": {}}, 200, -1),
        (REVE2IMG, {"model": None}, 400, "INVALID_MODEL"),
        (REVE2IMG, {"prompt": " "}, 400, "INVALID_PROMPT"),
        (REVE2IMG, {"prompt": None, "model": "reve-2.0", "image_urls": ["http://a/b.png"]}, 400, "INVALID_PROMPT"),
        (REVE2IMG, {"num_images": 0}, 400, "INVALID_PARAMETER"),
        (REVE2IMG, {"num_images": "2"}, 400, "INVALID_PARAMETER"),
    ],
)
async def test_wrong_fields_are_refused_with_the_providers_code(
    client: httpx.AsyncClient, wire: Wire, change: dict[str, Any], status: int, code: object
) -> None:
    """What a provider checks first is refused with its own code, and costs nothing."""
    answer = await wire.submit(client, "a heron", **change)
    assert answer.status_code == status
    assert wire.refused(answer)
    body = answer.json()
    assert code in (body.get("code"), body.get("message"), body.get("error", {}).get("code"))
    assert (await client.get("/_sandbox/tasks")).json() == {"count": 0, "items": []}


@pytest.mark.parametrize(
    ("wire", "change"),
    [
        (APIKLEY, {"model": "kling/image-to-video", "input": {"image_url": "http://a/b.png"}}),
        (REAPI, {"model": "topaz-video-upscaler", "prompt": None, "video_urls": ["http://a/b.mp4"]}),
        (REELBYTE, {"prompt": None, "options": {"image_input": ["http://a/b.png"]}}),
        (REVE2IMG, {"model": "kling3-pro-image-to-video", "prompt": None, "image_urls": ["http://a/b.png"]}),
    ],
)
async def test_a_prompt_is_needless_where_media_is_given(
    client: httpx.AsyncClient, wire: Wire, change: dict[str, Any]
) -> None:
    """A task whose model works on given media alone is taken without a prompt."""
    body, _ = await wire.finish(client, await wire.create(client, "", **change))
    assert wire.urls(body)


async def test_apikley_names_its_tasks_after_the_vendor(client: httpx.AsyncClient) -> None:
    """Ids look as in seed 002, differ within one millisecond, and survive a model name with nothing usable in it."""
    ids = {await APIKLEY.create(client, "a heron") for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"task_bytedance_\d+", found) for found in ids)
    assert (await APIKLEY.create(client, "a heron", model="ÄÖ/Ü")).startswith("task_market_")


async def test_apikley_record_of_a_running_task(client: httpx.AsyncClient) -> None:
    """recordInfo echoes the request in `param`, a JSON string, and leaves results and times of the end out."""
    url = "http://127.0.0.1:9/callback"
    task_id = await APIKLEY.create(client, "a heron [never]", callBackUrl=url)
    body = await APIKLEY.show(client, task_id)
    data = body["data"]
    assert (body["code"], body["msg"]) == (200, "success")
    assert json.loads(data.pop("param")) == {
        "model": "bytedance/v1-pro-text-to-video",
        "callBackUrl": url,
        "input": {"prompt": "a heron [never]", "duration": "5"},
    }
    assert data.pop("createTime") == data.pop("updateTime") > 1_700_000_000_000
    assert data == {
        "taskId": task_id,
        "model": "bytedance/v1-pro-text-to-video",
        "state": "generating",
        "resultJson": "",
        "failCode": "",
        "failMsg": "",
    }


async def test_apikley_polls_of_nothing(client: httpx.AsyncClient) -> None:
    """An unknown id is `recordInfo is null` with code 422 inside HTTP 200; a poll that names none is 422 as well."""
    unknown = await APIKLEY.poll(client, "nobody")
    assert unknown.status_code == 200
    assert unknown.json() == {"code": 422, "msg": "recordInfo is null", "data": None}
    nameless = await client.get("/apikley/api/v1/jobs/recordInfo")
    assert (nameless.status_code, nameless.json()["code"]) == (200, 422)


async def test_apikley_counts_credits_of_what_succeeded(client: httpx.AsyncClient) -> None:
    """A finished record has its cost in ms and in credits; a failed one costs nothing and says why."""
    good, _ = await APIKLEY.finish(client, await APIKLEY.create(client, "a heron"))
    bad, _ = await APIKLEY.finish(client, await APIKLEY.create(client, "a heron [fail]"))
    assert good["data"]["creditsConsumed"] > 0
    assert good["data"]["completeTime"] - good["data"]["createTime"] == good["data"]["costTime"] == 50
    assert (bad["data"]["creditsConsumed"], bad["data"]["failCode"]) == (0, "500")
    assert bad["data"]["resultJson"] == ""


@pytest.mark.parametrize(
    ("model", "suffix"),
    [
        ("kling/v3-image-to-video", ".mp4"),
        ("google/nano-banana", ".png"),
        ("elevenlabs/text-to-speech", ".mp3"),
        ("something/new", ".mp4"),
    ],
)
async def test_apikley_results_fit_the_model(client: httpx.AsyncClient, model: str, suffix: str) -> None:
    """What kind of file a result is follows from the model's name."""
    body, _ = await APIKLEY.finish(client, await APIKLEY.create(client, "a heron", model=model))
    assert APIKLEY.urls(body)[0].endswith(suffix)


async def test_reapi_submit_and_task_share_one_envelope(client: httpx.AsyncClient) -> None:
    """The submit answer and the poll are seed 001's envelope; the id is `task_` and 32 hex digits."""
    answer = (await REAPI.submit(client, "a kitten [never]")).json()
    assert re.fullmatch(r"task_[0-9a-f]{32}", answer["id"])
    assert 1_700_000_000 < answer["created_at"] < 10_000_000_000
    assert answer == answer | {"model": "doubao-seedance-2.0-face", "status": "processing"}
    assert await REAPI.show(client, answer["id"]) == answer | {"output": None, "error": None}


@pytest.mark.parametrize(("kind", "key"), [("videos", "video_urls"), ("images", "image_urls"), ("audio", "audio_urls")])
async def test_reapi_outputs_are_named_by_their_path(client: httpx.AsyncClient, kind: str, key: str) -> None:
    """Each of the three submit paths has its own output key, and the last frame comes only where asked for."""
    for extra, keys in (({}, {key}), ({"return_last_frame": True}, {key, "last_frame_url"})):
        order = REAPI.order("a kitten") | extra
        task_id = (await client.post(f"/reapi/api/v1/{kind}/generations", json=order)).json()["id"]
        body, _ = await REAPI.finish(client, task_id)
        assert body["output"].keys() == keys
        assert body["error"] is None


async def test_reapi_failures_are_http_200(client: httpx.AsyncClient) -> None:
    """A task that failed is status `failed` with an error object inside HTTP 200; an unknown one is 404."""
    task_id = await REAPI.create(client, "a kitten [fail]")
    body, _ = await REAPI.finish(client, task_id)
    assert (await REAPI.poll(client, task_id)).status_code == 200
    assert body["error"] == {"code": 80006, "message": "Request violates content policy"}
    assert body["output"] is None
    missing = await REAPI.poll(client, "task_0000")
    assert missing.status_code == 404
    assert missing.json()["error"]["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("kind", "key", "suffix"), [("video", "videos", ".mp4"), ("image", "images", ".png"), ("music", "songs", ".mp3")]
)
async def test_reelbyte_results_are_json_in_json(client: httpx.AsyncClient, kind: str, key: str, suffix: str) -> None:
    """`taskInfo` and `taskResult` are JSON strings; both hold the result, and the upstream's own status word."""
    body, _ = await REELBYTE.finish(client, await REELBYTE.create(client, "a city", mediaType=kind))
    data = body["data"]
    info, result = json.loads(data["taskInfo"]), json.loads(data["taskResult"])
    [item] = info[key]
    assert result["output"] in item.values()
    assert result["output"].endswith(suffix)
    assert info["status"] == result["status"] == "succeeded"
    assert data["usage"] == {"credits": 18}


async def test_reelbyte_text_is_only_in_the_upstream_result(client: httpx.AsyncClient) -> None:
    """The template has no list for texts: their URL stands in `taskResult` alone."""
    answer = await REELBYTE.create(client, "a poem", mediaType="text", scene=None)
    body, _ = await REELBYTE.finish(client, answer)
    assert json.loads(body["data"]["taskResult"])["output"].endswith(".txt")


async def test_reelbyte_failures_are_refunded(client: httpx.AsyncClient) -> None:
    """A failed task is code 0 and status `failed`, with the upstream's message and no credits."""
    body, _ = await REELBYTE.finish(client, await REELBYTE.create(client, "a city [fail]"))
    assert body["code"] == 0
    assert body["data"]["usage"] == {"credits": 0}
    assert json.loads(body["data"]["taskInfo"])["errorMessage"]
    assert json.loads(body["data"]["taskResult"])["status"] == "failed"


async def test_reelbyte_polls_of_nothing(client: httpx.AsyncClient) -> None:
    """A query without a readable task id is `invalid params`, one of an unknown id `task not found`, both HTTP 200."""
    for raw in (b"{", b"[]", b"{}", b'{"taskId":7}'):
        answer = await client.post("/reelbyte/api/v1/ai/query", content=raw)
        assert (answer.status_code, answer.json()["message"]) == (200, "invalid params")
    assert (await REELBYTE.show(client, "nobody"))["message"] == "task not found"


async def test_reve2img_says_why_a_task_failed(client: httpx.AsyncClient) -> None:
    """A failed task carries an error with code and message, and no credits; an unknown one is 404."""
    body, _ = await REVE2IMG.finish(client, await REVE2IMG.create(client, "a panda [fail]"))
    assert body["data"]["error"].keys() == {"code", "message"}
    assert "consumed_credits" not in body["data"]
    missing = await REVE2IMG.poll(client, "nobody")
    assert (missing.status_code, missing.json()["message"]) == (404, "TASK_NOT_FOUND")
    nameless = await client.get("/reve2img/api/v1/status")
    assert (nameless.status_code, nameless.json()["message"]) == (400, "INVALID_PARAMETER")

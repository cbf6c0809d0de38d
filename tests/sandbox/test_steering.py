"""What every provider's sandbox does, and how the words in a prompt steer it."""

import asyncio
import time

import httpx
import pytest

from adapters.sandbox.steering import Word, words_in
from tests.sandbox.conftest import FINISH_AFTER_S
from tests.sandbox.wires import APIKLEY, POLL_ONLY, REVE2IMG, WIRES, Wire, eventually, ledger

pytestmark = pytest.mark.anyio
each_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


@each_wire
async def test_a_task_goes_from_waiting_to_its_result(client: httpx.AsyncClient, wire: Wire) -> None:
    """Without a steering word a task shows the provider's words in order and ends with a file that can be fetched."""
    body, seen = await wire.finish(client, await wire.create(client, "a heron at dawn"))
    in_order = list(dict.fromkeys(wire.words[:3]))
    assert seen == [word for word in in_order if word in seen]
    assert seen[-1] == wire.words[2]
    [url] = wire.urls(body)
    file = await client.get(url)
    assert file.status_code == 200
    assert file.headers["content-type"] == "video/mp4"


@each_wire
async def test_fail_ends_failed(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[fail]` ends in the provider's word for failure."""
    _, seen = await wire.finish(client, await wire.create(client, "a heron [fail]"))
    assert seen[-1] == wire.words[3]


@each_wire
async def test_slow_takes_ten_times_as_long(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[slow]` multiplies the time by ten, and then ends as any task."""
    started = time.monotonic()
    _, seen = await wire.finish(client, await wire.create(client, "a heron [slow]"))
    assert time.monotonic() - started >= 10 * FINISH_AFTER_S
    assert seen == list(dict.fromkeys(wire.words[:3]))


@each_wire
async def test_never_goes_on_working(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[never]` is working from the first moment and does not end with the others."""
    never = await wire.create(client, "a heron [never] [slow] [early]")
    await wire.finish(client, await wire.create(client, "another"))
    assert wire.status(await wire.show(client, never)) == wire.words[1]


@each_wire
async def test_reject_creates_nothing(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[reject]` is refused in the provider's own envelope, and no task exists afterwards."""
    answer = await wire.submit(client, "a heron [reject]")
    assert wire.refused(answer)
    assert "retry-after" not in answer.headers
    assert await ledger(client) == []


@each_wire
async def test_429_puts_off_the_first_submit_of_a_prompt(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[429]` refuses the first submit with `Retry-After: 1` and creates nothing; identical ones later are taken."""
    first = await wire.submit(client, "a heron [429]")
    assert wire.refused(first)
    assert first.headers["retry-after"] == "1"
    assert 429 in (first.status_code, first.json().get("code"))
    assert await ledger(client) == []
    assert not wire.refused(await wire.submit(client, "a heron [429]"))
    assert not wire.refused(await wire.submit(client, "a heron [429]"))
    assert wire.refused(await wire.submit(client, "another heron [429]"))
    assert len(await ledger(client)) == 2


@each_wire
async def test_429_then_reject(client: httpx.AsyncClient, wire: Wire) -> None:
    """Words combine: the rate limit comes first, the refusal with the second submit."""
    assert "retry-after" in (await wire.submit(client, "a heron [429] [reject]")).headers
    answer = await wire.submit(client, "a heron [429] [reject]")
    assert wire.refused(answer)
    assert "retry-after" not in answer.headers


@each_wire
async def test_500_creates_the_task_all_the_same(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[500]` gives an answer that says nothing, while the task exists and runs."""
    answer = await wire.submit(client, "a heron [500]")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    [task] = await ledger(client)
    _, seen = await wire.finish(client, task["id"])
    assert seen[-1] == wire.words[2]


@each_wire
async def test_hang_creates_the_task_and_never_answers(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[hang]` leaves the caller waiting; the task exists, and the sandbox goes on serving others."""
    with pytest.raises(httpx.ReadTimeout):
        await client.post(f"/{wire.name}{wire.submit_path}", json=wire.order("a heron [hang]"), timeout=0.2)
    [task] = await ledger(client)
    await wire.finish(client, task["id"])
    [request] = (await client.get("/_sandbox/requests")).json()["submits"]
    assert (request["task_id"], request["status"]) == (task["id"], None)


@each_wire
async def test_odd_shows_a_word_from_tomorrow(client: httpx.AsyncClient, wire: Wire) -> None:
    """`[odd]` shows a status word that nobody knows yet until the task ends, and the submit answer stays ordinary."""
    _, seen = await wire.finish(client, await wire.create(client, "a heron [odd] [slow]"))
    assert seen == [wire.odd, wire.words[2]]


@pytest.mark.parametrize("wire", POLL_ONLY, ids=lambda wire: wire.name)
@pytest.mark.parametrize("word", ["no-callback", "twice", "early", "forge"])
async def test_callback_words_do_nothing_without_callbacks(client: httpx.AsyncClient, wire: Wire, word: str) -> None:
    """Where the provider has no callbacks the words about them change nothing, and a callback URL is ignored."""
    task_id = await wire.create(client, f"a heron [{word}] [never]", callBackUrl="http://127.0.0.1:9/x")
    assert wire.status(await wire.show(client, task_id)) == wire.words[1]
    _, seen = await wire.finish(client, await wire.create(client, f"a heron [{word}]"))
    assert seen[-1] == wire.words[2]
    assert all(task["callbacks"] == [] for task in await ledger(client))


@each_wire
async def test_a_missing_key_is_refused(client: httpx.AsyncClient, wire: Wire) -> None:
    """Submit and poll without a key, or with an empty one, are refused in the provider's form; nothing is created."""
    for key in (None, "", "Bearer"):
        del client.headers["authorization"]
        client.headers.update({} if key is None else {"authorization": key})
        assert wire.refused(await wire.submit(client, "a heron"))
        assert wire.refused(await wire.poll(client, "some-task-id"))
        client.headers["authorization"] = "Bearer a-key"
    assert await ledger(client) == []


@each_wire
async def test_an_unknown_task_is_refused(client: httpx.AsyncClient, wire: Wire) -> None:
    """A poll of an id that nobody has is refused in the provider's own form, as is one of another provider's task."""
    assert wire.refused(await wire.poll(client, "task_that_nobody_has"))
    for other in WIRES:
        if other is not wire:
            assert wire.refused(await wire.poll(client, await other.create(client, "a heron")))


BODIES = {
    "empty": b"",
    "not json": b"{",
    "not utf-8": b"\xff\xfe\x00",
    "list": b"[]",
    "null": b"null",
    "number": b"NaN",
    "deep": b"[" * 100_000,
    "no fields": b"{}",
    "wrong types": b'{"model":7,"prompt":[],"input":{"prompt":{}},"mediaType":[],"taskId":{},"num_images":"x"}',
    "good model, odd prompt": b'{"model":"m","prompt":7,"input":{"prompt":7},"mediaType":"video"}',
    "good model, no input": b'{"model":"m","input":[],"mediaType":"video"}',
    "good model, empty prompt": b'{"model":"m","prompt":"","input":{"prompt":" "},"mediaType":"video"}',
    "too large": b'{"model":"m","prompt":"' + b"x" * 1_100_000 + b'"}',
}


@each_wire
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_malformed_bodies_are_refused(client: httpx.AsyncClient, wire: Wire, body: bytes) -> None:
    """Whatever a body holds, the answer is the provider's own refusal, never a crash, and nothing is created."""
    answer = await client.post(f"/{wire.name}{wire.submit_path}", content=body)
    assert wire.refused(answer)
    assert answer.status_code < 500
    assert await ledger(client) == []


@each_wire
async def test_unknown_paths_are_refused(client: httpx.AsyncClient, wire: Wire) -> None:
    """A path or method that the provider does not have is refused in its own form."""
    for method, path in (("GET", wire.submit_path), ("DELETE", "/api/v1/tasks"), ("POST", "/"), ("GET", "/%00/..%2f")):
        assert wire.refused(await client.request(method, f"/{wire.name}{path}"))


@each_wire
async def test_hostile_text_comes_back_as_json(client: httpx.AsyncClient, wire: Wire) -> None:
    """Lone surrogates, NULs and long numbers in a submit cost neither its answer nor any later poll."""
    hostile = wire.order("a heron") | {"seed": 10**400}
    raw = httpx.Request("POST", "http://x", json=hostile).content.replace(b"heron", b"h\\ud800\\u0000n")
    answer = await client.post(f"/{wire.name}{wire.submit_path}", content=raw)
    body, _ = await wire.finish(client, wire.task_id(answer.json()))
    assert wire.urls(body)
    [task] = await ledger(client)
    assert task["prompt"] == "a h\ufffd\ufffdn"


async def test_reve_models_answer_at_once(client: httpx.AsyncClient) -> None:
    """A model named `reve-…` gives its result in the submit answer, and the poll says the same."""
    answer = await REVE2IMG.submit(client, "a red panda", model="reve-2.0", num_images=2)
    body = answer.json()
    assert REVE2IMG.status(body) == "SUCCESS"
    assert body["data"]["consumed_credits"] == 24
    assert len(REVE2IMG.urls(body)) == 2
    assert await REVE2IMG.show(client, body["data"]["task_id"]) == body


@pytest.mark.parametrize(("word", "last"), [("fail", "FAILED"), ("slow", "SUCCESS"), ("odd", "SUCCESS")])
async def test_words_that_need_time_make_reve_models_slow(client: httpx.AsyncClient, word: str, last: str) -> None:
    """Where a word needs time to be seen, even a synchronous model answers IN_PROGRESS first."""
    answer = await REVE2IMG.submit(client, f"a red panda [{word}]", model="reve-2.0")
    assert answer.json()["data"]["status"] == "IN_PROGRESS"
    _, seen = await REVE2IMG.finish(client, answer.json()["data"]["task_id"])
    assert seen[-1] == last


async def test_a_caller_that_leaves_half_way_creates_nothing(client: httpx.AsyncClient, sandbox_url: str) -> None:
    """A request whose sender closes the connection within the body is a refused one, not an error."""
    url = httpx.URL(sandbox_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST /apikley{APIKLEY.submit_path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: 99\r\n"
    )
    writer.write(head.encode() + b'\r\n{"model":')
    await writer.drain()
    writer.close()

    async def refused() -> bool:
        return bool((await client.get("/_sandbox/requests")).json()["count"] == 1)

    await eventually(refused)
    assert await ledger(client) == []
    assert await reader.read() == b""


def test_words_are_read_from_prompts() -> None:
    """Words stand in square brackets, in any case, anywhere; other brackets mean nothing."""
    assert words_in("[FAIL]a[odd][500] [] [other] slow (twice)") == {Word.FAIL, Word.ODD, Word.BREAK}
    assert {word for word in Word if words_in(f"x [{word}] y") == {word}} == set(Word)
    assert not words_in("")

"""Bad input to the task door: each row gets its promised answer, and none leaves anything behind."""

import gzip
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.main import load_adapters
from tests.service.asking import complaint, counts, failures
from tests.service.world import APIKLEY_MODEL, Scripted, World, a_world, created, scripted

pytestmark = pytest.mark.anyio

GOOD: dict[str, Any] = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
GOOD_BYTES = json.dumps(GOOD).encode()
MAX_BODY = 1024 * 1024
DEEP = 100_000


def with_input(text: bytes) -> bytes:
    """A body that is good but for the text of its input."""
    return b'{"provider":"apikley","model":"m","input":' + text + b"}"


def changed(**fields: Any) -> bytes:
    """The good body with other fields."""
    return json.dumps(GOOD | fields).encode()


def lacking(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "a space": b" ",
    "a word": b"hello",
    "one brace": b"{",
    "truncated": GOOD_BYTES[:-1],
    "truncated in a string": GOOD_BYTES[:-6],
    "truncated in an escape": with_input(b'{"prompt":"\\u12"}'),
    "two documents": GOOD_BYTES + GOOD_BYTES,
    "a comma too many": GOOD_BYTES[:-1] + b",}",
    "single quotes": b"{'provider':'apikley'}",
    "a comment": b"/* hi */" + GOOD_BYTES,
    "a form": b"provider=apikley&model=m&input=%7B%7D",
    "a multipart form": b'--x\r\nContent-Disposition: form-data; name="provider"\r\n\r\napikley\r\n--x--\r\n',
    "XML": b"<?xml version='1.0'?><task/>",
    "gzip": gzip.compress(GOOD_BYTES),
    "NaN alone": b"NaN",
    "NaN": with_input(b'{"seed":NaN}'),
    "infinity": with_input(b'{"seed":Infinity}'),
    "minus infinity": with_input(b'{"seed":-Infinity}'),
    "a number out of range": with_input(b'{"seed":1e999}'),
    "a whole number of 5000 digits": with_input(b'{"seed":' + b"9" * 5000 + b"}"),
    "a hexadecimal number": with_input(b'{"seed":0x10}'),
    "a leading zero": with_input(b'{"seed":01}'),
    "a leading plus": with_input(b'{"seed":+1}'),
    "a key twice": b'{"provider":"apikley",' + GOOD_BYTES[1:],
    "a key twice, deep": with_input(b'{"a":{"b":[{"c":1,"c":2}]}}'),
    "a long key twice": with_input(b'{"' + b"k" * 400_000 + b'":1,"' + b"k" * 400_000 + b'":2}'),
    "a lone surrogate": with_input(b'{"prompt":"\\ud800"}'),
    "a reversed pair": with_input(b'{"prompt":"\\ude00\\ud83d"}'),
    "a lone surrogate as a key": with_input(b'{"\\udfff":1}'),
    "a NUL": with_input(b'{"prompt":"a\\u0000b"}'),
    "a NUL in a key": with_input(b'{"a\\u0000":1}'),
    "a NUL as it is": with_input(b'{"prompt":"a\x00b"}'),
    "a line feed in a string": with_input(b'{"prompt":"a\nb"}'),
    "UTF-16": GOOD_BYTES.decode().encode("utf-16"),
    "UTF-16 without a mark": GOOD_BYTES.decode().encode("utf-16-le"),
    "UTF-32": GOOD_BYTES.decode().encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD_BYTES,
    "Latin-1": with_input('{"prompt":"ü"}'.encode("latin-1")),
    "an overlong slash": with_input(b'{"prompt":"\xc0\xaf"}'),
    "a surrogate in UTF-8": with_input(b'{"prompt":"\xed\xa0\x80"}'),
    "arrays 100,000 deep": with_input(b"[" * DEEP + b"]" * DEEP),
    "objects 100,000 deep": with_input(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "open arrays only": b"[" * MAX_BODY,
    "65 deep": with_input(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"),
}

NO_TEXT: list[Any] = [None, 1, 1.5, True, False, [], {}, ["apikley"]]
NO_OBJECT: list[Any] = [None, "", "{}", 1, True, [], [{}]]
NO_SWITCH: list[Any] = [None, 0, 1, 0.0, "", "true", "false", [], {}]
NO_SECONDS: list[Any] = [0, -1, 1.5, 1.0, "1", "", True, False, [], {}, 10**30, -(10**30), 10 * 365 * 86_400 + 1]

# Each with the path of the field that it is about.
INVALID: list[tuple[str, bytes, str]] = [
    *((f"{text} at the top", text.encode(), "") for text in ("[]", '"x"', "null", "1", "1.5", "true", "[{}]")),
    ("nothing in it", b"{}", "provider"),
    *((f"no {name}", lacking(name), name) for name in GOOD),
    *((f"provider {value!r}", changed(provider=value), "provider") for value in NO_TEXT),
    *(
        (f"provider {value[:20]!r}", changed(provider=value), "provider")
        for value in ("", " ", "nobody", "Apikley", "apikley ", "../apikley", "apikley/x", "é", "a" * 500_000)
    ),
    ("a provider that is not configured", changed(provider="reve2img"), "provider"),
    *((f"model {value!r}", changed(model=value), "model") for value in [*NO_TEXT, "", " ", "\t\n"]),
    ("a model of 201 characters", changed(model="m" * 201), "model"),
    *((f"input {value!r}", changed(input=value), "input") for value in NO_OBJECT),
    ("our callback in the input", changed(input={"prompt": "x", "callBackUrl": "http://x"}), "input.callBackUrl"),
    *((f"metadata {value!r}", changed(metadata=value), "metadata") for value in NO_OBJECT),
    *((f"metadata of {value!r}", changed(metadata={"order": value}), "metadata.order") for value in NO_TEXT),
    ("a metadata value without a name", changed(metadata={"": "v"}), "metadata"),
    ("51 metadata values", changed(metadata={f"k{number}": "v" for number in range(51)}), "metadata"),
    ("metadata of 8 KiB and a byte", changed(metadata={"k": "v" * (8 * 1024)}), "metadata"),
    ("metadata of 8 KiB in two bytes each", changed(metadata={"k": "ü" * 4096}), "metadata"),
    *((f"deadline_seconds {value!r}", changed(deadline_seconds=value), "deadline_seconds") for value in NO_SECONDS),
    *((f"checks {value!r}", changed(checks=value), "checks") for value in NO_SWITCH),
    *(
        (f"the unknown field {name[:20]!r}", changed(**{name: "x"}), name[:200])
        for name in (
            "modell",
            "Provider",
            "callBackUrl",
            "prompt",
            "id",
            "status",
            "tenant",
            "",
            "__proto__",
            "k" * 900_000,
        )
    ),
    ("90,000 unknown fields", json.dumps({f"{number:x}": 1 for number in range(90_000)}).encode(), "0"),
    ("a list where a text belongs, of 300,000", changed(metadata={"k": [0] * 300_000}), "metadata.k"),
    ("90,000 wrong texts", changed(metadata={f"{number:x}": 0 for number in range(90_000)}), "metadata.0"),
]

TOO_LARGE: list[tuple[str, bytes | list[bytes], dict[str, str]]] = [
    ("a byte too long", GOOD_BYTES + b" " * (MAX_BODY + 1 - len(GOOD_BYTES)), {}),
    ("a byte too long, without its length", [GOOD_BYTES, b" " * (MAX_BODY + 1 - len(GOOD_BYTES))], {}),
    ("in many pieces", [b" " * 1000] * 1100, {}),
    ("a length that is a lie", GOOD_BYTES, {"content-length": str(MAX_BODY + 1)}),
    ("a length beyond all numbers", GOOD_BYTES, {"content-length": "9" * 5000}),
]


async def post(world: World, raw: bytes | list[bytes], **headers: str | bytes) -> httpx.Response:
    """Post a body as it is; one in pieces goes without its length."""

    async def pieces(parts: list[bytes]) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    content = raw if isinstance(raw, bytes) else pieces(raw)
    encoded = [
        (name.replace("_", "-").encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers.items()
    ]
    return await world.api.post("/v1/tasks", content=content, headers=encoded)


async def none_the_worse(world: World, directory: Path, provider: Scripted) -> None:
    """Nothing was recorded or spent so far, and the next good request is served."""
    assert counts(directory) == {}
    assert provider.lines == []
    task = await world.submit(metadata={"k" * 8: "v" * (8 * 1024 - 8)}, deadline_seconds=1)
    assert task["status"] == "submitted"
    assert len(provider.lines) == 1
    assert counts(directory) == {"tasks": 1, "inputs": 1, "timers": 1, "events": 1}


def a_pair(directory: Path, apikley: Any) -> Any:
    """All providers but Reve2img configured; what any of them is sent can be counted."""
    names = ("apikley", "reapi", "reelbyte")
    return a_world(directory, base_urls=dict.fromkeys(names, apikley.base_url), TASKWEIR_REVE2IMG_API_KEY="")


async def test_what_is_not_json_is_400(tmp_path: Path) -> None:
    """Whatever two parsers could read differently is not read at all."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        answers = {name: await post(world, raw) for name, raw in NOT_JSON.items()}
        assert failures({name: complaint(answer, 400) for name, answer in answers.items()}) == {}
        assert max(len(answer.json()["detail"]) for answer in answers.values()) < 200
        await none_the_worse(world, tmp_path, apikley)


async def test_what_is_invalid_is_422_and_names_the_field(tmp_path: Path) -> None:
    """Each fault has the path of its field; a refusal never grows with what it refuses."""
    assert len({name for name, *_ in INVALID}) == len(INVALID)
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        wrong = {name: complaint(await post(world, raw), 422, path) for name, raw, path in INVALID}
        assert failures(wrong) == {}
        await none_the_worse(world, tmp_path, apikley)


async def test_what_is_too_large_is_413(tmp_path: Path) -> None:
    """By its length where it is told, else as soon as it is over the limit; one of exactly the limit is read."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        wrong = {name: complaint(await post(world, raw, **headers), 413) for name, raw, headers in TOO_LARGE}
        assert failures(wrong) == {}
        await none_the_worse(world, tmp_path, apikley)
        apikley.say(created("p2"))
        assert (await post(world, GOOD_BYTES + b" " * (MAX_BODY - len(GOOD_BYTES)))).status_code == 201


async def test_the_limit_is_the_operators(tmp_path: Path) -> None:
    """`TASKWEIR_MAX_BODY`, and the refusal names it."""
    async with a_world(tmp_path, TASKWEIR_MAX_BODY="100") as world:
        answer = await post(world, b" " * 101)
        assert complaint(answer, 413) is None
        assert "100 bytes (TASKWEIR_MAX_BODY)" in answer.json()["detail"]
        assert complaint(await post(world, b" " * 100), 400) is None


async def test_a_length_that_is_no_number_is_passed_over(tmp_path: Path) -> None:
    """A superscript two is a digit to Python, and no length to anybody."""
    async with a_world(tmp_path) as world:
        assert complaint(await post(world, b"{", content_length=b"\xb2"), 400) is None


async def test_several_faults_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to send a body six times to learn of six faults."""
    body = {"provider": 1, "input": [], "metadata": {"a": 1, "b": 2}, "checks": "no", "extra": 0}
    async with a_world(tmp_path) as world:
        answer = await world.api.post("/v1/tasks", json=body)
        paths = ("provider", "input", "metadata.a", "metadata.b", "checks", "extra")
        assert complaint(answer, 422, *paths) is None
        messages = {fault["path"]: fault["message"] for fault in answer.json()["errors"]}
        assert messages["extra"] == "unknown field: remove it, or check its spelling"
        assert "Value error" not in str(messages)


async def test_without_any_provider_the_answer_says_what_to_set(tmp_path: Path) -> None:
    """A fresh install is told the setting, not a riddle."""
    keys: dict[str, Any] = {f"TASKWEIR_{name}_API_KEY": "" for name in map(str.upper, load_adapters())}
    async with a_world(tmp_path, **keys) as world:
        answer = await world.api.post("/v1/tasks", json=GOOD)
        assert complaint(answer, 422, "provider") is None
        assert "TASKWEIR_<NAME>_API_KEY" in answer.text


async def test_what_the_provider_may_take_is_not_ours_to_refuse(tmp_path: Path) -> None:
    """Huge whole numbers, deep objects, odd texts: for a model that nobody documents they pass, unchanged."""
    value = {"seed": 10**4000, "deep": [[[[{}]]]], "": None, "text": "😀\u2028\x7f" + "x" * 100_000, "half": 0.5}
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit(model="tomorrow", input=value)
        assert task["input"] == (await world.task(task["id"]))["input"] == value
        assert json.loads(apikley.seen.requests[0][1])["input"] == value


async def test_any_body_is_taken_or_refused(tmp_path: Path) -> None:
    """A thousand bodies with random damage: what is answered 201 was recorded and sent once, all else not at all."""
    chance = random.Random(2026)
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        taken = 0
        for _ in range(1000):
            raw = bytearray(GOOD_BYTES)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(len(raw))
                raw[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
            answer = await post(world, bytes(raw))
            if answer.status_code in (201, 202):
                taken += 1
            else:
                assert answer.status_code in (400, 422), (bytes(raw), answer.text)
                assert complaint(answer, answer.status_code) is None
        assert 0 < taken < 1000
        assert (counts(tmp_path)["tasks"], len(apikley.lines)) == (taken, taken)


async def test_what_is_wrong_is_said_in_plain_words(tmp_path: Path) -> None:
    """Not in a regular expression, nor in a validator's own terms."""
    body = {"provider": "apikley", "provider_task_id": "a b", "model": 7, "input": [], "metadata": {"order": 42}}
    async with a_world(tmp_path) as world:
        answer = await world.api.post("/v1/tasks/adopt", json=body | {"deadline_seconds": "60"})
        assert {fault["path"]: fault["message"] for fault in answer.json()["errors"]} == {
            "provider_task_id": "must be visible ASCII characters, without spaces",
            "model": "must be a string",
            "input": "must be a JSON object",
            "metadata.order": "must be a string",
            "deadline_seconds": "must be a whole number",
        }

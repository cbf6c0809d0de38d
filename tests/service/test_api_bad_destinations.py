"""Bad input to the door for destinations: refused by name, and nothing is kept of it."""

import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests.service.asking import complaint, counts, everything, failures, holds
from tests.service.engines import makes_a_log
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

HOOK = "http://127.0.0.1:9/hook"
KEY = "whsec_" + "A" * 32
KEY_PAIR = "whsk_" + "A" * 43 + "="

# Addresses that nobody may dial for us unless the operator says so; hosts are written as attackers write them.
FORBIDDEN = (
    "http://127.0.0.1/",
    "https://127.0.0.1:8443/hook",
    "http://127.1/",
    "http://127.255.255.254/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "http://localhost/",
    "http://LOCALHOST:9000/x",
    "http://0.0.0.0/",
    "http://0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://100.64.0.1/",
    "http://168.63.129.16/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://198.18.0.1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://\u24dbocalhost/",
)
UNUSABLE = (
    "",
    " ",
    "x",
    "/hook",
    "//example.com/hook",
    "example.com/hook",
    "http:",
    "http://",
    "http:///hook",
    "http:example.com",
    "https://?x",
    "ftp://example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:///run/docker.sock",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ws://example.com/",
    " http://example.com/",
    "http://example.com/ ",
    "http://exa mple.com/",
    "http://example.com/\r\nX-Injected: 1",
    "http://example.com/\t",
    "http://example.com\\@127.0.0.1/",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://@example.com/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:-1/",
    "http://example.com:x/",
    "http://example.com:80:80/",
    "http://[::1/",
    "http://::1/",
    "http://[1::2::3]/",
    "http://[fe80::1%25eth0]/",
    "http://[v1.x]/",
    "http://1.2.3.4.5/",
    "http://256.1.1.1/",
    "http://a..example/",
    "http://.example/",
    "http://-a.example/",
    "http://%6c%6fcalhost/",
    "http://" + "a" * 64 + ".example/",
    "http://\u200b.example/",
    "http://\x7f/",
    "http://example.com/" + "a" * 2048,
    "http://nowhere.invalid/",
    "http://" + "a." * 500 + "invalid/",
    "http://bücher.invalid/",
)

NO_TEXT: list[Any] = [None, 1, True, [], {}]
NO_OBJECT: list[Any] = ["x", 1, True, []]
NO_WORDS: list[Any] = [[], "task.finished", {}, 1, [1], [None], [["task.failed"]], ["x"] * 101]
NO_COUNT: list[Any] = [0, -1, 1001, 1.5, "1", None, True, []]
SECRETS: list[Any] = [
    "",
    "whsec_",
    "x",
    "whsec_" + "A" * 31,
    "whsec_" + "A" * 28,
    "whsec_" + "A" * 88,
    "whsec_" + "!" * 32,
    "whsec_" + "ü" * 32,
    "A" * 30,
    1,
    [],
    {},
]
NAMES: list[Any] = [
    "",
    ".",
    "..",
    "a.b",
    "a/b",
    "/a",
    "../a",
    "..\\a",
    "a b",
    "a\n",
    "\na",
    "ä",
    "日誌",
    "a\u200b",
    "%2e%2e",
    "~",
    "a" * 65,
    "a" * 100_000,
    None,
    1,
    [],
]

# A body, and the path of its fault.
BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "type"),
    ({"url": HOOK}, "type"),
    *(({"type": value, "url": HOOK}, "type") for value in [*NO_TEXT, "", "Webhook", "email", "sqlite ", "kafka"]),
    ({"type": "webhook"}, "url"),
    ({"type": "webhook", "url": None}, "url"),
    *(({"type": "webhook", "url": value}, "url") for value in NO_TEXT if value is not None),
    ({"type": "webhook", "url": HOOK, "name": "x"}, "name"),
    ({"type": "webhook", "name": "x"}, "url"),
    *(({"type": "webhook", "url": HOOK, "secret": value}, "secret") for value in SECRETS),
    *(
        (
            {"type": "webhook", "url": HOOK, name: value},
            name if not isinstance(value, list) or len(value) != 1 else f"{name}[0]",
        )
        for name in ("event_types", "providers", "models")
        for value in NO_WORDS
    ),
    *(
        ({"type": "webhook", "url": HOOK, "event_types": [word]}, "event_types")
        for word in ("", "x", "task", "task.", "Task.failed", "task.failed ", "task.done", "*", "x" * 500_000)
    ),
    ({"type": "webhook", "url": HOOK, "event_types": ["task.failed", "x"]}, "event_types"),
    *(({"type": "webhook", "url": HOOK, "metadata": value}, "metadata") for value in NO_OBJECT),
    *(({"type": "webhook", "url": HOOK, "metadata": {"a": value}}, "metadata.a") for value in NO_TEXT),
    *(({"type": "webhook", "url": HOOK, "format": value}, "format") for value in [*NO_TEXT, "", "xml"]),
    *(({"type": "webhook", "url": HOOK, "description": value}, "description") for value in [*NO_TEXT, "x" * 501]),
    *(({"type": "webhook", "url": HOOK, "max_in_flight": value}, "max_in_flight") for value in NO_COUNT),
    *(
        ({"type": "webhook", "url": HOOK, name: "x"}, name)
        for name in ("id", "tenant", "state", "created_at", "target", "sealed_secret", "URL", "urls")
    ),
    *(({"type": "webhook", "url": HOOK, "providers": [word]}, "providers[0]") for word in ("apikly", "", "Reapi")),
    ({"type": "webhook", "url": HOOK, "providers": ["reapi", "reapi "]}, "providers[1]"),
    ({"type": "webhook", "url": HOOK, "metadata": {f"k{number}": "v" for number in range(51)}}, "metadata"),
    ({"type": "webhook", "url": HOOK, "metadata": {"k": "v" * 9000}}, "metadata"),
    *(({"type": "webhook", "url": HOOK, "signature": value}, "signature") for value in [*NO_TEXT, "", "v2", "V1"]),
    *(
        ({"type": "webhook", "url": HOOK, name: value}, name)
        for name in ("ordered", "enabled")
        for value in (None, 1, 0, "true", [])
    ),
    *(
        ({"type": "webhook", "url": HOOK, "rate_per_second": value}, "rate_per_second")
        for value in (0, -1, 1e-300, 1e300, "1", True, [])
    ),
    *(({"type": "webhook", "url": HOOK, "headers": value}, "headers") for value in NO_OBJECT),
    *(({"type": "webhook", "url": HOOK, "headers": {"X-A": value}}, "headers.X-A") for value in NO_TEXT),
    *(
        ({"type": "webhook", "url": HOOK, "headers": {"X-A": value}}, "headers.X-A")
        for value in ("", " x", "x ", "x\r\nHost: y", "x\n", "\t", "ü", "\x7f")
    ),
    *(
        ({"type": "webhook", "url": HOOK, "headers": {name: "x"}}, f"headers.{name}")
        for name in ("Host", "webhook-id", "svix-id", "ce-type", "Content-Type", "proxy-x", "", "a b", "a\r\nb")
    ),
    ({"type": "webhook", "url": HOOK, "headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
    ({"type": "webhook", "url": HOOK, "headers": {f"x-{number}": "v" for number in range(51)}}, "headers"),
    ({"type": "webhook", "url": HOOK, "headers": {"x-long": "v" * 4091}}, "headers"),
    ({"type": "webhook", "url": HOOK, "retention_days": 5}, "retention_days"),
    *(({"type": "webhook", "url": HOOK, "signature": "v1a", "secret": value}, "secret") for value in [KEY, *SECRETS]),
    *(({"type": "webhook", "url": HOOK, "secret": value}, "secret") for value in (KEY_PAIR, "whpk_" + "A" * 43 + "=")),
    *(
        ({"type": "sqlite", "name": "log", name: value}, name)
        for name, value in (("headers", {"X-A": "b"}), ("signature", "v1"), ("rate_per_second", 1), ("format", "flat"))
    ),
    *(
        ({"type": "sqlite", "name": "log", "retention_days": value}, "retention_days")
        for value in (0, -1, 36_501, 1.5, "1", True)
    ),
    *(({"type": "sqlite", "name": value}, "name") for value in NAMES),
    ({"type": "sqlite"}, "name"),
    ({"type": "sqlite", "name": "log", "url": HOOK}, "url"),
    ({"type": "sqlite", "name": "log", "url": ""}, "url"),
    ({"type": "sqlite", "name": "log", "secret": KEY}, "secret"),
    ({"type": "sqlite", "name": "log", "path": "/etc/passwd"}, "path"),
]


async def create(world: World, **fields: Any) -> Any:
    return await world.api.post("/v1/destinations", json=fields)


async def test_what_is_invalid_names_its_field(tmp_path: Path) -> None:
    """422, the path; no destination, no file."""
    async with a_world(tmp_path) as world:
        wrong = {f"{path}: {body}": complaint(await create(world, **body), 422, path) for body, path in BAD}
        assert failures(wrong) == {}
        assert counts(tmp_path) == {}
        assert not (tmp_path / "logs").exists()
        made = await create(world, type="webhook", url=HOOK, secret=KEY, metadata={}, event_types=["task.*"])
        assert (made.status_code, made.json()["secret"]) == (201, KEY)
        assert counts(tmp_path) == {"destinations": 1}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'"webhook"', b'{"type":"sqlite","type":"webhook"}', b"\xff"]
)
async def test_what_is_no_object_is_refused_as_everywhere(tmp_path: Path, raw: bytes) -> None:
    """400 where it is not JSON, 422 where it is something else."""
    async with a_world(tmp_path) as world:
        answer = await world.api.post("/v1/destinations", content=raw)
        assert complaint(answer, 422 if raw in (b"[]", b"null", b'"webhook"') else 400) is None
        assert complaint(await world.api.post("/v1/destinations", content=b" " * (1024 * 1024 + 1)), 413) is None
        assert counts(tmp_path) == {}


async def test_addresses_that_may_not_be_dialled(tmp_path: Path) -> None:
    """422, and the text prints the setting that would allow it: with that line, and no other, the same URL is taken."""
    remedies: dict[str, str] = {}
    async with a_world(tmp_path, TASKWEIR_ALLOW_NETWORKS="") as world:
        for url in FORBIDDEN:
            answer = await create(world, type="webhook", url=url)
            assert complaint(answer, 422, "url") is None, url
            line = re.search(r"TASKWEIR_ALLOW_NETWORKS=(\S+)$", answer.json()["detail"])
            assert line, answer.text
            assert line[0] in answer.json()["errors"][0]["message"]
            remedies[url] = line[1]
        assert counts(tmp_path) == {}
    for number, (url, remedy) in enumerate(remedies.items()):
        directory = tmp_path / str(number)
        directory.mkdir()
        async with a_world(directory, TASKWEIR_ALLOW_NETWORKS=remedy) as world:
            assert (await create(world, type="webhook", url=url)).status_code == 201, (url, remedy)


async def test_urls_that_cannot_be_used(tmp_path: Path) -> None:
    """Whatever two programs could read differently, and hosts that do not resolve, with everything allowed."""
    async with a_world(tmp_path, TASKWEIR_ALLOW_NETWORKS="loopback,private,0.0.0.0/0,::/0") as world:
        wrong = {url: complaint(await create(world, type="webhook", url=url), 422, "url") for url in UNUSABLE}
        assert failures(wrong) == {}
        answer = await create(world, type="webhook", url="http://nowhere.invalid/")
        assert "does not resolve" in answer.json()["errors"][0]["message"]
        assert counts(tmp_path) == {}


@makes_a_log
async def test_one_log_one_destination(tmp_path: Path) -> None:
    """Of ten that want the same file at once one gets it; the others are told so (409)."""
    async with a_world(tmp_path) as world:
        made = await asyncio.gather(*(create(world, type="sqlite", name="results") for _ in range(10)))
        assert sorted(answer.status_code for answer in made) == [201] + [409] * 9
        assert {complaint(answer, 409) for answer in made if answer.status_code == 409} == {None}
        assert counts(tmp_path) == {"destinations": 1}
        [first] = (await world.api.get("/v1/destinations")).json()["items"]
        assert (await world.api.delete(f"/v1/destinations/{first['id']}")).status_code == 204
        assert (await create(world, type="sqlite", name="results")).status_code == 201


async def test_a_typo_in_a_provider_is_told_with_those_that_are(tmp_path: Path) -> None:
    """A filter that could let nothing through is refused; a provider that is installed may be configured later."""
    async with a_world(tmp_path, TASKWEIR_REAPI_API_KEY="", TASKWEIR_REELBYTE_API_KEY="") as world:
        answer = await create(world, type="webhook", url=HOOK, providers=["apikley", "apikly"])
        assert complaint(answer, 422, "providers[1]") is None
        told = "no provider 'apikly' is configured; configured: apikley, reve2img"
        assert answer.json()["errors"][0]["message"] == told
        made = await create(world, type="webhook", url=HOOK, providers=["apikley", "reapi"])
        assert (made.status_code, made.json()["providers"]) == (201, ["apikley", "reapi"])


async def test_a_secret_is_never_told_in_a_refusal(tmp_path: Path) -> None:
    """Nor kept as it is."""
    bad = "whsec_this-is-my-very-own-secret"
    async with a_world(tmp_path) as world:
        for fields in ({"secret": bad}, {"secret": [bad]}, {"secret": {bad: bad}}, {"secret": bad, "url": 1}):
            answer = await create(world, **{"type": "webhook", "url": HOOK} | fields)
            assert complaint(answer, 422) is None
            assert "my-very-own" not in answer.text
        assert (await create(world, type="webhook", url=HOOK, secret=KEY)).status_code == 201
        assert holds(everything(tmp_path), KEY.removeprefix("whsec_")) == []


@makes_a_log
async def test_any_body_is_taken_or_refused(tmp_path: Path) -> None:
    """Five hundred bodies with random damage: as many destinations as were answered 201."""
    chance = random.Random(2026)
    good = json.dumps({"type": "sqlite", "name": "log", "event_types": ["task.*"], "metadata": {"a": "b"}}).encode()
    async with a_world(tmp_path) as world:
        taken = 0
        for _ in range(500):
            raw = bytearray(good)
            at = chance.randrange(len(raw))
            raw[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
            answer = await world.api.post("/v1/destinations", content=bytes(raw))
            taken += answer.status_code == 201
            if answer.status_code != 201:
                assert answer.status_code in (400, 409, 422), (bytes(raw), answer.text)
                assert complaint(answer, answer.status_code) is None
        assert 0 < taken == counts(tmp_path)["destinations"] < 500

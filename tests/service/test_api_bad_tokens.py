"""Tokens that are none of ours open nothing: the providers' door looks the same to every stranger."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import pytest
from itsdangerous import Signer
from starlette.types import Message

from receiver.signing import CallbackTokens
from receiver.store.protocol import Store
from receiver.web.front import create_app
from tests.raw.talking import post, receiving, statuses
from tests.service.asking import complaint, everything, failures
from tests.service.engines import looks_into_the_file
from tests.service.world import a_pair, created, record, scripted

pytestmark = pytest.mark.anyio
Result = TypeVar("Result")

SECRET = "s" * 32  # the world's own
SUCCESS = record("success")[1]


def strange_tokens(token: str) -> dict[str, str]:
    """Paths that carry no token of ours, made of one that does."""
    task_id, signature = token.split(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    altered = signature[:middle] + other + signature[middle + 1 :]
    elsewhere = CallbackTokens(["t" * 32]).issue("apikley", task_id)
    return {
        "empty": "/callbacks/apikley/",
        "a dot": "/callbacks/apikley/.",
        "dots": "/callbacks/apikley/" + "." * 50,
        "unsigned": f"/callbacks/apikley/{task_id}",
        "signed with nothing": f"/callbacks/apikley/{task_id}.",
        "the signature alone": f"/callbacks/apikley/{signature}",
        "a signature of nothing": f"/callbacks/apikley/.{signature}",
        "a signature of zeros": f"/callbacks/apikley/{task_id}." + "A" * 43,
        "truncated by one": f"/callbacks/apikley/{token[:-1]}",
        "truncated by ten": f"/callbacks/apikley/{token[:-10]}",
        "without its beginning": f"/callbacks/apikley/{token[1:]}",
        "an altered signature": f"/callbacks/apikley/{task_id}.{altered}",
        "another task's signature": f"/callbacks/apikley/{task_id}2.{signature}",
        "an altered id": f"/callbacks/apikley/Task_{task_id[5:]}.{signature}",
        "two tokens": f"/callbacks/apikley/{token}{token}",
        "a token and more": f"/callbacks/apikley/{token}" + "a" * 2048,
        "in capitals": f"/callbacks/apikley/{token.upper()}",
        "with a space": f"/callbacks/apikley/%20{token}",
        "another provider's path": f"/callbacks/reapi/{token}",
        "an unknown provider's path": f"/callbacks/nobody/{token}",
        "a provider in capitals": f"/callbacks/Apikley/{token}",
        "another secret's": f"/callbacks/apikley/{elsewhere}",
        "another purpose's": f"/callbacks/apikley/{Signer(SECRET).sign(task_id).decode()}",
        "another salt's": f"/callbacks/apikley/{Signer(SECRET, salt='taskweir callback').sign(task_id).decode()}",
        "2 KiB": "/callbacks/apikley/" + "a" * 2048,
        "60 KB": "/callbacks/apikley/" + "a" * 60_000,
        "Cyrillic": "/callbacks/apikley/" + quote("ключ"),
        "an emoji": "/callbacks/apikley/" + quote("😀." + signature),
        "a NUL": f"/callbacks/apikley/{task_id}%00.{signature}",
        "no UTF-8": "/callbacks/apikley/%ff%fe%ed%a0%80",
        "percent-encoded twice": "/callbacks/apikley/" + quote(quote(token, safe="").replace(".", "%2e"), safe=""),
        "behind a slash": f"/callbacks/apikley/x%2f{token}",
        "a slash in it": f"/callbacks/apikley/{task_id}%2f{signature}",
    }


async def test_a_token_that_we_did_not_sign_is_404(tmp_path: Path) -> None:
    """Whatever the method and the body: not one row of the database is another one afterwards."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_APIKLEY_TRUST="token") as world,
    ):
        task = await world.submit()
        token = (await world.callback_url(task["id"])).rsplit("/", 1)[1]
        before = everything(tmp_path)
        wrong = {
            f"{method} {name}": complaint(await world.api.request(method, path, json=SUCCESS), 404)
            for name, path in strange_tokens(token).items()
            for method in ("POST", "GET", "HEAD", "OPTIONS")
        }
        assert len(wrong) > 100
        assert failures(wrong) == {}
        assert everything(tmp_path) == before
        assert len(apikley.lines) == 1


class NoStore:
    """A storage that nobody may ask."""

    async def write(
        self, do: Callable[[Store], Result], *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Result:
        raise AssertionError("the store was written")

    async def read(self, do: Callable[[Store], Result], *, brief: bool = False) -> Result:
        raise AssertionError("the store was read")


async def test_a_token_that_we_did_not_sign_costs_no_look_at_the_store(tmp_path: Path) -> None:
    """Neither a write nor a read, nor the body: the signature alone decides."""

    async def nothing() -> Message:
        raise AssertionError("the body was read")

    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        path = await world.callback_url(task["id"])
        app = create_app(replace(world.service.doors, storage=NoStore()))

        async def ask(method: str, path: str) -> list[int]:
            said: list[Message] = []

            async def hear(message: Message) -> None:
                said.append(message)

            scope = {"type": "http", "method": method, "path": unquote(path), "query_string": b"", "headers": []}
            await app(scope, nothing, hear)
            return [message["status"] for message in said if message["type"] == "http.response.start"]

        strange = strange_tokens(path.rsplit("/", 1)[1]).values()
        answered = [await ask(method, each) for each in strange for method in ("POST", "GET", "HEAD", "OPTIONS")]
        assert len(answered) > 100
        assert answered == [[404]] * len(answered)
        with pytest.raises(AssertionError, match="the body was read"):
            await ask("POST", path)


@looks_into_the_file
async def test_a_flood_of_strange_callbacks_leaves_the_files_as_they_are(tmp_path: Path) -> None:
    """Not a byte of the database or its log changes, and nobody is told to send the body."""

    def files() -> dict[str, tuple[int, int]]:
        return {each.name: (each.stat().st_size, each.stat().st_mtime_ns) for each in tmp_path.glob("taskweir.db*")}

    async with (
        scripted(created()) as apikley,
        a_pair(tmp_path, apikley) as world,
        receiving(world.service.app) as server,
    ):
        path = await world.callback_url((await world.submit())["id"])
        before = files()
        assert len(before) >= 2
        for each in strange_tokens(path.rsplit("/", 1)[1]).values():
            raw = post(quote(each, safe="/%"), b"x" * 50_000, "Connection: close")
            assert statuses(await server.ask(raw)) in ([404], [414])
        waits = post(path + "x", b"", "Connection: close", "Expect: 100-continue", length=50_000)
        assert statuses(await server.ask(waits)) == [404]
        assert files() == before
        assert statuses(await server.ask(post(path, b"{}", "Connection: close"))) == [200]
        assert files() != before

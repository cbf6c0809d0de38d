"""Tokens that are none of ours open nothing: the providers' door looks the same to every stranger."""

from pathlib import Path
from urllib.parse import quote

import pytest
from itsdangerous import Signer

from receiver.signing import CallbackTokens
from tests.service.asking import complaint, everything, failures
from tests.service.world import a_pair, created, record, scripted

pytestmark = pytest.mark.anyio

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

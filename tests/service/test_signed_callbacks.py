"""A provider that signs its callbacks is believed for it; one that asks whether the URL is ours is answered."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Adapter
from receiver import signing
from receiver.domain import Provider, Trust
from receiver.errors import ConfigurationError, NotVerified
from receiver.providers import serve_providers
from receiver.wire import Callback
from tests.make import NOW
from tests.service.signing_provider import SECRET, Base, Signs, TakesNoSignature
from tests.service.world import Scripted, World, a_world, scripted

pytestmark = pytest.mark.anyio

OTHER_SECRET = "whsec_" + "A" * 32
URL = "https://files.example/1.mp4"


def job(status: str = "waiting", name: str | None = "j1") -> dict[str, Any]:
    urls = {"urls": [URL]} if status == "done" else {}
    return {"status": status, **urls} | ({"id": name} if name else {})


def says(status: str = "waiting", name: str = "j1") -> tuple[int, Any]:
    return 200, job(status, name)


def a_house(
    directory: Path, provider: Scripted, adapter: Adapter | None = None, *, trust: str = "signature", **more: str
) -> Any:
    return a_world(
        directory,
        base_urls={"signs": provider.base_url},
        adapters={"signs": adapter or Signs()},
        **{"TASKWEIR_SIGNS_TRUST": trust, "TASKWEIR_SIGNS_CALLBACK_SECRET": SECRET} | more,
    )


async def post(world: World, task_id: str, *jobs: Any, secret: str | None = SECRET, at: int | None = None) -> None:
    """A callback with these jobs, signed with this secret (None: not at all)."""
    body = json.dumps({"jobs": jobs}).encode()
    now = world.clock.now() if at is None else at
    headers = signing.sign([secret], message_id="msg_1", at=now, body=body) if secret else {}
    answer = await world.api.post(await world.callback_url(task_id, "signs"), content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"ok": True})


async def proofs(world: World, task_id: str) -> list[tuple[str, str, str | None]]:
    return [
        (event["type"].removeprefix("task."), event["data"]["source"], event["data"]["verified_by"])
        for event in await world.events(task_id)
    ]


ACCEPTED = ("submitted", "submit", "poll")


async def test_a_signature_that_verifies_is_proof(tmp_path: Path) -> None:
    """The outcome is recorded at once, and nobody is asked."""
    async with scripted(says()) as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        await post(world, task["id"], job("done"))
        after = await world.task(task["id"])
        assert (after["status"], after["outputs"][0]["url"]) == ("succeeded", URL)
        assert await proofs(world, task["id"]) == [ACCEPTED, ("succeeded", "callback", "signature")]
        await world.turn(3600)
        assert len(provider.lines) == 1
        told = [item["text"] for item in await world.story(task["id"])]
        assert told[3] == "A signed callback came, claiming done; the task is succeeded, with 1 output."


async def test_a_signed_repeat_ends_its_task_and_leaves_no_timer(tmp_path: Path) -> None:
    """The same body came unsigned before, and rang: nobody is asked about what is over by its provider's word."""
    async with scripted(says()) as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        for secret in (None, SECRET):
            await post(world, task["id"], job("done"), secret=secret)
        assert (await world.task(task["id"]))["status"] == "succeeded"
        assert await world.service.storage.read(lambda store: store.timer(task["id"])) is None


async def test_several_updates_in_one_callback_are_taken_in_turn(tmp_path: Path) -> None:
    """Each gives its event, in the order told; what is about another job changes nothing."""
    async with scripted(says()) as provider, a_house(tmp_path, provider) as world:
        await world.destination("http://127.0.0.1:9/", event_types=["task.*"])
        task = await world.submit("signs", "m")
        await post(world, task["id"], job("running"), job("error", "j2"), job("done"), job("error"))
        assert await proofs(world, task["id"]) == [
            ACCEPTED,
            ("running", "callback", "signature"),
            ("succeeded", "callback", "signature"),
        ]
        assert len(await world.deliveries()) == 3
        told = [item["text"] for item in await world.story(task["id"]) if item["kind"] == "callback"]
        assert told == [
            (
                "A signed callback came, claiming running, then error, then done, then error; the task is running; "
                "it is about j2, not about j1, and changes nothing; the task is succeeded, with 1 output; "
                "that contradicts the verdict succeeded, which stays."
            )
        ]


@pytest.mark.parametrize("how", ["unsigned", "another secret", "yesterday"])
async def test_without_a_valid_signature_it_is_a_doorbell(tmp_path: Path, how: str) -> None:
    """The provider is asked, and what it says is recorded."""
    async with scripted(says(), says("error")) as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        secret = {"unsigned": None, "another secret": OTHER_SECRET}.get(how, SECRET)
        at = NOW - 86_400_000 if how == "yesterday" else None
        await post(world, task["id"], job("done"), secret=secret, at=at)
        assert (await world.task(task["id"]))["status"] == "submitted"
        await world.turn()
        assert await proofs(world, task["id"]) == [ACCEPTED, ("failed", "poll", "poll")]


@pytest.mark.parametrize("first", ["its own", "another"])
async def test_of_a_signature_that_is_there_twice_the_first_counts(tmp_path: Path, first: str) -> None:
    """As any reader of headers would have it: what stands behind it neither helps nor harms."""
    async with scripted(says()) as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        body = json.dumps({"jobs": [job("done")]}).encode()
        signed = signing.sign([SECRET], message_id="msg_1", at=world.clock.now(), body=body)
        values = [signed.pop("webhook-signature"), "v1," + "A" * 43 + "="]
        twice = [("webhook-signature", value) for value in (values if first == "its own" else reversed(values))]
        path = await world.callback_url(task["id"], "signs")
        answer = await world.api.post(path, content=body, headers=[*signed.items(), *twice])
        assert answer.status_code == 200
        assert (await world.task(task["id"]))["status"] == ("succeeded" if first == "its own" else "submitted")


async def test_a_body_that_came_unsigned_before_is_believed_once_it_is_signed(tmp_path: Path) -> None:
    """Whoever knows the URL cannot take the word out of the provider's mouth by saying it first."""
    async with scripted(says()) as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        await post(world, task["id"], job("done"), secret=None)
        await world.turn()
        await post(world, task["id"], job("done"))
        assert await proofs(world, task["id"]) == [ACCEPTED, ("succeeded", "callback", "signature")]


async def test_a_signed_body_repeated_rings_once(tmp_path: Path) -> None:
    """Played again and again, it does not hammer the provider."""
    async with scripted(says()) as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        for _ in range(20):
            await post(world, task["id"], job("running"))
            await world.turn()
        assert await proofs(world, task["id"]) == [ACCEPTED, ("running", "callback", "signature")]
        assert len(provider.lines) == 2


async def test_a_signature_does_not_say_which_task_is_meant(tmp_path: Path) -> None:
    """Signed for one task and posted to another's URL, or naming none: no more than a doorbell."""
    async with scripted(says("waiting", "j1")) as provider, a_house(tmp_path, provider) as world:
        await world.submit("signs", "m")
        provider.say(says("waiting", "j2"))
        second = await world.submit("signs", "m")
        await post(world, second["id"], job("done", "j1"))
        await post(world, second["id"], job("done", None))
        await world.turn()
        assert await proofs(world, second["id"]) == [ACCEPTED]


async def test_a_signed_callback_confirms_an_unconfirmed_task(tmp_path: Path) -> None:
    """It names the id, and what became of the task."""
    async with scripted("hang") as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        await post(world, task["id"], job("done", "j9"))
        after = await world.task(task["id"])
        assert (after["status"], after["provider_task_id"]) == ("succeeded", "j9")
        assert await proofs(world, task["id"]) == [
            ("unconfirmed", "submit", None),
            ("succeeded", "callback", "signature"),
        ]


@pytest.mark.parametrize("trust", ["poll", "token"])
async def test_where_signatures_are_not_what_is_trusted_they_prove_nothing(tmp_path: Path, trust: str) -> None:
    """The operator chose otherwise."""
    async with scripted(says()) as provider, a_house(tmp_path, provider, trust=trust) as world:
        task = await world.submit("signs", "m")
        await post(world, task["id"], job("done"))
        expected = [("succeeded", "callback", "token")] if trust == "token" else []
        assert await proofs(world, task["id"]) == [ACCEPTED, *expected]


async def test_a_challenge_is_echoed_at_once(tmp_path: Path) -> None:
    """Nothing is recorded of it, and nobody is asked."""
    async with scripted(says()) as provider, a_house(tmp_path, provider) as world:
        task = await world.submit("signs", "m")
        url = await world.callback_url(task["id"], "signs")
        answer = await world.api.post(url, json={"challenge": "c-1"})
        assert (answer.status_code, answer.json()) == (200, {"challenge": "c-1"})
        assert answer.headers["content-type"] == "application/json"
        await world.turn()
        assert await world.service.storage.read(lambda store: store.callbacks(task["id"])) == []
        assert len(provider.lines) == 1
        assert [item["kind"] for item in await world.story(task["id"])] == ["task", "submit", "event"]
        forged = await world.api.post("/callbacks/signs/task_1.bad", json={"challenge": "c-1"})
        assert forged.status_code == 404


async def test_an_adapter_that_overrides_neither_verifies_nothing(tmp_path: Path) -> None:
    """Its signatures are refused, its challenges are callbacks like any other."""
    async with scripted(says()) as provider, a_house(tmp_path, provider, Base()) as world:
        task = await world.submit("signs", "m")
        await post(world, task["id"], job("done"))
        assert await proofs(world, task["id"]) == [ACCEPTED]
        url = await world.callback_url(task["id"], "signs")
        assert (await world.api.post(url, json={"challenge": "c-1"})).json() == {"ok": True}
    with pytest.raises(NotVerified):
        Base().verify_callback(Callback(headers={}, body=b""), SECRET, now=NOW)


@pytest.mark.parametrize(
    ("adapter", "secret", "says_so"),
    [(TakesNoSignature(), SECRET, "does not sign"), (Signs(), "", "CALLBACK_SECRET")],
)
async def test_trust_that_cannot_be_kept_is_refused(
    tmp_path: Path, adapter: Adapter, secret: str, says_so: str
) -> None:
    """At the start, with the line that mends it."""
    async with scripted(says()) as provider:
        house = a_house(tmp_path, provider, adapter, TASKWEIR_SIGNS_CALLBACK_SECRET=secret)
        with pytest.raises(ConfigurationError) as refused:
            async with house:
                pass
    assert says_so in f"{refused.value} {refused.value.hint}"
    assert SECRET not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(("name", "told"), [("signs", "Set TASKWEIR_SIGNS_CALLBACK_SECRET, or "), ("second", "Set ")])
def test_a_secret_is_asked_for_where_it_is_read(name: str, told: str) -> None:
    """An account beside those of the adapters' names has no variable of its own."""
    account = Provider(name=name, adapter="signs", base_url="https://x/", api_key="k", trust=Trust.SIGNATURE)
    with pytest.raises(ConfigurationError) as refused:
        serve_providers({name: account}, {"signs": Signs()})
    assert (refused.value.hint or "").startswith(f"{told}`callback_secret` of {name} in TASKWEIR_PROVIDERS")

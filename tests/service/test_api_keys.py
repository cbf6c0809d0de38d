"""Keys that are handed out: shown once, kept as a digest, refused as soon as they are revoked."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.api_keys import ApiKey
from receiver.errors import Unavailable
from receiver.keyring import MOST_REMEMBERED, NOTED_EVERY, REMEMBERED, Keyring
from receiver.store.protocol import Result, Storage, Store
from receiver.telemetry import configure_logs
from tests.service.asking import complaint, everything, failures, holds
from tests.service.tenants import Holder, a_holder
from tests.service.world import World, a_world, every

pytestmark = pytest.mark.anyio

MADE_AT = "2025-12-08T09:40:00.000Z"
KEY = {"label": "the shop", "scopes": ["read"]}

BAD: list[tuple[Any, str]] = [
    ({"scopes": ["read"]}, "label"),
    ({"label": "x"}, "scopes"),
    *((KEY | {"label": value}, "label") for value in ("", "x" * 101, None, 5)),
    *((KEY | {"scopes": value}, "scopes") for value in ([], ["root"], ["READ"], "read", None, ["read", ""], {})),
    (KEY | {"scopes": ["read"] * 11}, "scopes"),
    (KEY | {"scopes": [5]}, "scopes[0]"),
    *((KEY | {"tenant": value}, "tenant") for value in ("", "..", ".", "a/b", "a b", "é", "x" * 65, "a\n", 5)),
    *((KEY | {name: "x"}, name) for name in ("key", "id", "root", "hint", "Tenant")),
]


async def test_a_key_is_shown_once(tmp_path: Path) -> None:
    """By the answer that makes it; after that its hint tells people which it is, and a copy of the store gives none."""
    async with a_world(tmp_path) as world:
        answer = await world.api.post("/v1/keys", json={"tenant": "acme", **KEY})
        made = answer.json()
        key = made.pop("key")
        assert answer.status_code == 201
        assert re.fullmatch(r"tw_[0-9A-Za-z]{43}", key)
        assert made == {
            "id": made["id"],
            "tenant": "acme",
            "label": "the shop",
            "scopes": ["read"],
            "hint": f"{key[:7]}…{key[-4:]}",
            "created_at": MADE_AT,
            "last_used_at": None,
        }
        assert (await world.api.get(f"/v1/keys/{made['id']}")).json() == made
        page = (await world.api.get("/v1/keys?tenant=acme")).json()
        assert page == {"items": [made], "next_cursor": None}
        assert holds(everything(tmp_path), key) == holds(everything(tmp_path), key[8:-5]) == []


async def test_what_cannot_be_a_key_is_refused(tmp_path: Path) -> None:
    """With the path of each fault, and nothing is made; among them tenants that would be no folder's name."""
    async with a_world(tmp_path) as world:
        wrong = {f"{body}": complaint(await world.api.post("/v1/keys", json=body), 422, path) for body, path in BAD}
        assert failures(wrong) == {}
        assert everything(tmp_path)["api_keys"] == []


async def test_a_tenant_is_not_another_one_in_capitals(tmp_path: Path) -> None:
    """Where a file system tells none apart, they would share the folder of their logs."""
    async with a_world(tmp_path) as world:
        await a_holder(world, "acme", "read")
        await a_holder(world, "acme", "admin")
        for name in ("Acme", "ACME", "Default"):
            answer = await world.api.post("/v1/keys", json=KEY | {"tenant": name})
            assert complaint(answer, 422, "tenant") is None


async def test_scopes_are_kept_once_each_and_in_their_order(tmp_path: Path) -> None:
    """However they are said."""
    async with a_world(tmp_path) as world:
        made = await world.api.post("/v1/keys", json=KEY | {"scopes": ["admin", "read", "admin"]})
        assert (made.json()["tenant"], made.json()["scopes"]) == ("default", ["read", "admin"])


async def test_a_key_tells_its_holder_who_he_is(tmp_path: Path) -> None:
    """His tenant, his label, the scopes that he was given; root is all of them."""
    async with a_world(tmp_path) as world:
        holder = await a_holder(world, "acme", "submit")
        assert await holder.get("/v1/me") == {"tenant": "acme", "label": "acme's", "scopes": ["submit"]}
        me = (await world.api.get("/v1/me")).json()
        assert me == {"tenant": "default", "label": "root", "scopes": ["read", "submit", "admin"]}


async def test_an_admin_looks_after_the_keys_of_his_own_tenant(tmp_path: Path) -> None:
    """He makes, sees and revokes them; another's are not there, and to make one for another is forbidden."""
    async with a_world(tmp_path) as world:
        admin, other = await a_holder(world, "acme", "admin"), await a_holder(world, "other", "admin")
        mine = await admin.post("/v1/keys", KEY)
        also = await admin.post("/v1/keys", KEY | {"tenant": "acme", "scopes": ["admin"]})
        assert (mine["tenant"], also["tenant"]) == ("acme", "acme")
        refused = await admin.ask("POST", "/v1/keys", json=KEY | {"tenant": "other"})
        assert complaint(refused, 403) is None
        ids = {each["id"] for each in (await admin.get("/v1/keys"))["items"]}
        assert ids == {also["id"], mine["id"], admin.key_id}
        for method in ("GET", "DELETE"):
            assert complaint(await admin.ask(method, f"/v1/keys/{other.key_id}"), 404) is None
        assert (await admin.ask("DELETE", f"/v1/keys/{mine['id']}")).status_code == 204
        assert complaint(await admin.ask("DELETE", f"/v1/keys/{mine['id']}"), 404) is None
        assert (await other.get("/v1/me"))["tenant"] == "other"


async def test_keys_are_listed_page_by_page(tmp_path: Path) -> None:
    """Newest first, by a cursor that no other list gave."""
    async with a_world(tmp_path) as world:
        made = [(await a_holder(world, "acme", "read")).key_id for _ in range(5)]
        found = await every(world, "/v1/keys", tenant="acme", limit=2)
        assert sorted(each["id"] for each in found) == sorted(made)
        assert [each["id"] for each in found] == sorted(made, reverse=True)
        for query, path in (("cursor=task_" + "0" * 26, "cursor"), ("limit=0", "limit"), ("label=x", "label")):
            assert complaint(await world.api.get(f"/v1/keys?{query}"), 422, path) is None


async def test_a_revoked_key_is_refused_at_once(tmp_path: Path) -> None:
    """By the very next request, though it was good a moment before; the others go on, and itself it may revoke."""
    async with a_world(tmp_path) as world:
        one, two = await a_holder(world, "acme", "admin"), await a_holder(world, "acme", "admin")
        assert (await one.get("/v1/me"))["tenant"] == (await two.get("/v1/me"))["tenant"] == "acme"
        assert (await two.ask("DELETE", f"/v1/keys/{one.key_id}")).status_code == 204
        assert complaint(await one.ask("GET", "/v1/me"), 401) is None
        assert (await two.get("/v1/me"))["tenant"] == "acme"
        assert (await two.ask("DELETE", f"/v1/keys/{two.key_id}")).status_code == 204
        assert complaint(await two.ask("GET", "/v1/me"), 401) is None


async def test_another_process_refuses_it_within_seconds(tmp_path: Path) -> None:
    """What it remembers of a key it remembers for two; a key that is new it knows at once."""
    async with a_world(tmp_path) as world:
        there = Keyring(world.service.storage, world.clock)
        absent = f"tw_{'0' * 43}".encode()
        assert await there.holder(absent) is None
        holder = await a_holder(world, "acme", "read")
        assert await there.holder(holder.key.encode()) is not None
        assert (await world.api.delete(f"/v1/keys/{holder.key_id}")).status_code == 204
        world.clock.advance((REMEMBERED - 1) / 1000)
        assert await there.holder(holder.key.encode()) is not None
        world.clock.advance(0.001)
        assert await there.holder(holder.key.encode()) is None


async def test_when_a_key_was_used_is_noted_once_a_minute(tmp_path: Path) -> None:
    """Whatever is asked for, and however often: a write for each request would cost more than the request."""
    async with a_world(tmp_path) as world:
        holder = await a_holder(world, "acme", "read")

        async def last_used() -> Any:
            return (await world.api.get(f"/v1/keys/{holder.key_id}")).json()["last_used_at"]

        assert await last_used() is None
        await holder.get("/v1/me")
        assert await last_used() == MADE_AT
        world.clock.advance(59.9)
        await holder.get("/v1/me")
        assert await last_used() == MADE_AT
        world.clock.advance(0.1)
        await holder.get("/v1/me")
        assert await last_used() == "2025-12-08T09:41:00.000Z"


class Recording:
    """A storage that counts, lets something happen in the middle of each read, and takes no write where it is told."""

    def __init__(self, storage: Storage, *, full: bool = False) -> None:
        self.storage, self.full = storage, full
        self.reads = self.writes = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def read(self, do: Callable[[Store], Result], *, brief: bool = False) -> Result:
        self.reads += 1
        found = await self.storage.read(do, brief=brief)
        self.meanwhile()
        return found

    async def write(
        self, do: Callable[[Store], Result], *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Result:
        self.writes += 1
        if self.full:
            raise Unavailable("the disk is full")
        return await self.storage.write(do, brief=brief, ends=ends, can_wait=can_wait)


async def held(world: World, holder: Holder) -> ApiKey:
    found = await Keyring(world.service.storage, world.clock).holder(holder.key.encode())
    assert found is not None
    return found


async def test_many_requests_are_one_look_at_the_store(tmp_path: Path) -> None:
    """And one write; a text that is no key of ours is none, and one that was long ago remembered is looked up again."""
    async with a_world(tmp_path) as world:
        holder = await a_holder(world, "acme", "read")
        storage = Recording(world.service.storage)
        keyring = Keyring(storage, world.clock)
        for _ in range(100):
            assert await keyring.holder(holder.key.encode()) is not None
        assert (storage.reads, storage.writes) == (1, 1)
        for text in (b"", b"tw_", b"\xff", holder.key.encode() + b"0", holder.key[:-1].encode() + b"\n", b"x" * 9999):
            assert await keyring.holder(text) is None
        assert (storage.reads, storage.writes) == (1, 1)
        world.clock.advance(-3600)  # a clock that was set back
        assert await keyring.holder(holder.key.encode()) is not None
        assert storage.reads == 2


async def test_a_key_that_is_revoked_while_it_is_read_is_not_remembered(tmp_path: Path) -> None:
    """What was read is older than the revocation."""
    async with a_world(tmp_path) as world:
        holder = await a_holder(world, "acme", "read")
        storage = Recording(world.service.storage)
        keyring = Keyring(storage, world.clock)
        storage.meanwhile = keyring.forget
        assert await keyring.holder(holder.key.encode()) is not None
        storage.meanwhile = lambda: None
        assert await keyring.holder(holder.key.encode()) is not None
        assert storage.reads == 2


async def test_a_store_that_takes_no_write_still_lets_keys_in(tmp_path: Path) -> None:
    """When it was used is not noted then; it is tried again later."""
    async with a_world(tmp_path) as world:
        holder = await a_holder(world, "acme", "read")
        storage = Recording(world.service.storage, full=True)
        keyring = Keyring(storage, world.clock)
        assert await keyring.holder(holder.key.encode()) == replace(await held(world, holder), last_used_at=None)
        world.clock.advance(NOTED_EVERY / 1000)
        assert await keyring.holder(holder.key.encode()) is not None
        assert storage.writes == 2


async def test_what_is_remembered_has_an_end(tmp_path: Path) -> None:
    """However many keys there are."""
    async with a_world(tmp_path) as world:
        holder = await a_holder(world, "acme", "read")
        keyring = Keyring(world.service.storage, world.clock)
        await keyring.holder(holder.key.encode())
        [known] = keyring._known.values()
        for number in range(MOST_REMEMBERED + 5):
            keyring._remember(f"{number}", known)
        assert len(keyring._known) <= MOST_REMEMBERED


async def test_no_key_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That one was made, used, refused and revoked is; by its id."""
    configure_logs(fmt="json", level="debug")
    async with a_world(tmp_path) as world:
        holder = await a_holder(world, "acme", "admin")
        await holder.get("/v1/keys")
        refused = [await holder.ask("POST", "/internal/tick"), await holder.ask("GET", "/v1/tasks?tenant=other")]
        assert (await holder.ask("DELETE", f"/v1/keys/{holder.key_id}")).status_code == 204
        refused.append(await holder.ask("GET", "/v1/me"))
        assert [answer.status_code for answer in refused] == [403, 403, 401]
        assert all(holder.key[3:] not in answer.text for answer in refused)
    printed = capsys.readouterr()
    assert holder.key[8:-5] not in printed.err + printed.out
    assert printed.err.count(holder.key_id) >= 2
    assert all(event in printed.err for event in ("key.made", "key.revoked"))

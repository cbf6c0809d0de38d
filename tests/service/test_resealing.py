"""The operator's own key is replaced: everything is sealed with the new one, and then the old one can go."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from receiver.resealing import BATCH, Resealed, reseal
from receiver.sealing import Seal
from receiver.store.protocol import Storage, Store
from tests.logs import capture_logs
from tests.service.asking import complaint, everything, holds
from tests.service.consumer import a_consumer
from tests.service.engines import looks_into_the_file
from tests.service.instant import a_quick_world, finish, post
from tests.service.world import World, a_world

pytestmark = pytest.mark.anyio

Result = TypeVar("Result")
HOOK = "http://127.0.0.1:9/hook"
OLD, NEW = "old-key-" * 4, "new-key-" * 4
OWN_SECRET = "whsec_" + "Y2FuYXJ5" * 5
CANARY = "canary-of-a-header-0123456789"


async def rotate(world: World) -> tuple[int, int, int]:
    counted = await post(world, "/internal/rotate-secrets")
    assert counted.keys() == {"resealed", "already", "unreadable"}
    return counted["resealed"], counted["already"], counted["unreadable"]


def key_ids(directory: Path) -> set[str]:
    """Which keys anything is sealed with."""
    found = set()
    for row in everything(directory)["destinations"]:
        found |= {part.split(":")[1] for value in row for part in str(value).split('"') if part.startswith("v1:")}
    for table in ("tenant_secrets", "retired_secrets"):
        values = [value for row in everything(directory)[table] for value in row]
        found |= {str(value).split(":")[1] for value in values if str(value).startswith("v1:")}
    return found


def contents(directory: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


async def test_after_it_the_old_key_can_go(tmp_path: Path) -> None:
    """Secrets, retired ones, headers, the tenant's own: a restart with the new key alone delivers and verifies."""
    async with a_consumer() as consumer, a_consumer() as own:
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
            made = await world.destination(consumer.url, secret=OWN_SECRET, headers={"X-Key": CANARY, "X-Team": "blue"})
            await world.destination(HOOK, signature="v1a", enabled=False)
            path = f"/v1/destinations/{made['id']}"
            second = (await post(world, f"{path}/rotate-secret"))["secret"]
            tenants = (await world.api.get("/v1/webhook-secret")).json()["secret"]
            first_key = key_ids(tmp_path)
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=f"{NEW},{OLD}") as world:
            assert (await world.api.get(f"{path}/secret")).json() == {"secret": second}
            assert await rotate(world) == (6, 0, 0)
            assert await rotate(world) == (0, 6, 0)
            both = key_ids(tmp_path)
            assert len(first_key) == len(both) == 1
            assert first_key != both
        async with a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=NEW) as world:
            assert await rotate(world) == (0, 6, 0)
            assert (await world.api.get(f"{path}/secret")).json() == {"secret": second}
            assert (await world.api.get("/v1/webhook-secret")).json() == {"secret": tenants}
            await finish(world, webhook_url=own.url)
            await world.turn()
            consumer.verify(second)
            consumer.verify(OWN_SECRET)  # it signs along for a day
            own.verify(tenants)
            assert (consumer.headers[0]["x-key"], consumer.headers[0]["x-team"]) == (CANARY, "blue")


@looks_into_the_file
async def test_a_copy_of_the_files_holds_no_secret(tmp_path: Path) -> None:
    """Not in the database, its write-ahead log, the data directory but the key's own file: before and after."""
    async with a_consumer() as consumer, a_quick_world(tmp_path, TASKWEIR_SECRET_KEY=f"{NEW},{OLD}") as world:
        made = await world.destination(consumer.url, secret=OWN_SECRET, headers={"X-Key": CANARY})
        pair = await world.destination(consumer.url, signature="v1a")
        path = f"/v1/destinations/{made['id']}"
        rotated = (await post(world, f"{path}/rotate-secret"))["secret"]
        tenants = (await world.api.get("/v1/webhook-secret")).json()["secret"]
        await world.api.patch(path, json={"headers": {"X-More": CANARY + "2"}})
        await world.api.post(f"{path}/test")
        await finish(world)
        await world.turn()
        await rotate(world)
        secrets = (CANARY, *(each.split("_")[1] for each in (OWN_SECRET, pair["secret"], rotated, tenants)))
        files = contents(tmp_path)
        assert tmp_path / "taskweir.db-wal" in files
        for secret in secrets:
            assert holds(everything(tmp_path), secret) == []
            assert [file.name for file, raw in files.items() if secret.encode() in raw] == []


async def test_what_cannot_be_opened_is_told_and_left(tmp_path: Path) -> None:
    """Its key is gone: it is counted, the others are resealed, and with the key back it is resealed too."""
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY="lost-key-" * 4) as world:
        lost = await world.destination(HOOK, headers={"X-A": "1"})
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
        await world.destination(HOOK, headers={"X-A": "1"})
        await world.api.patch(f"/v1/destinations/{lost['id']}", json={"headers": {"X-B": "2"}})
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=f"{NEW},{OLD}") as world:
        assert await rotate(world) == (3, 0, 2)
        assert await rotate(world) == (0, 3, 2)
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=f"{NEW},{'lost-key-' * 4}") as world:
        assert await rotate(world) == (2, 3, 0)
        assert (await world.api.get(f"/v1/destinations/{lost['id']}/secret")).json() == {"secret": lost["secret"]}


class Cut(Exception):
    """The process is gone."""


class CutStorage:
    """A storage that is gone after so many writes; `meanwhile` is what others write before each of ours."""

    def __init__(self, storage: Storage, *, writes: int, meanwhile: Callable[[Store], None] | None = None) -> None:
        self._storage = storage
        self._writes = writes
        self._meanwhile = meanwhile

    async def read(self, do: Callable[[Store], Result], *, brief: bool = False) -> Result:
        return await self._storage.read(do)

    async def write(
        self, do: Callable[[Store], Result], *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Result:
        if self._writes == 0:
            raise Cut
        self._writes -= 1
        if self._meanwhile is not None:
            await self._storage.write(self._meanwhile)
            self._meanwhile = None
        return await self._storage.write(do)


async def test_it_can_be_broken_off_anywhere_and_run_again(tmp_path: Path) -> None:
    """After every cut all secrets open with both keys in the list; what was done stays done."""
    count = 3 * BATCH + 5
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
        made = [await world.destination(HOOK) for _ in range(count)]
        secrets = {each["id"]: each["secret"] for each in made}
        seal = Seal([NEW, OLD])
        for _ in range(3):
            with pytest.raises(Cut):
                await reseal(CutStorage(world.service.storage, writes=1), seal)
            kept = await world.service.storage.read(lambda store: store.sealed_secrets())
            assert {each.row: seal.open(each.text, row=each.row) for each in kept} == secrets
        assert sum(seal.sealed_now(each.text) for each in kept) == 3 * BATCH
        assert await reseal(world.service.storage, seal) == Resealed(resealed=5, already=3 * BATCH, unreadable=0)


async def test_who_changes_a_row_meanwhile_loses_nothing(tmp_path: Path) -> None:
    """The new value stays, and what was kept beside it under the old key is resealed all the same."""
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
        made = await world.destination(HOOK, headers={"X-A": "1", "X-B": "2"})
        seal, old = Seal([NEW, OLD]), Seal([OLD])

        def patch(store: Store) -> None:
            found = store.destination(made["id"], "default")
            assert found is not None
            [kept] = [each for each in store.sealed_secrets() if each.place == "headers"]
            changed = {**found.headers, "X-C": old.seal("3", row=found.id)}
            store.save_destination(replace(found, headers=changed))
            assert kept.row == found.id

        done = await reseal(CutStorage(world.service.storage, writes=9, meanwhile=patch), seal)
        assert done.resealed == 4
        found = await world.service.storage.read(lambda store: store.destination(made["id"], "default"))
        assert found is not None
        values = {name: Seal([NEW]).open(text, row=found.id) for name, text in found.headers.items()}
        assert values == {"X-A": "1", "X-B": "2", "X-C": "3"}


async def test_a_body_has_nothing_to_say_there(tmp_path: Path) -> None:
    """And nothing to reseal is no error."""
    async with a_world(tmp_path) as world:
        assert complaint(await world.api.post("/internal/rotate-secrets", json={"dry_run": True}), 422) is None
        assert await rotate(world) == (0, 0, 0)


async def test_a_start_without_the_key_says_so(tmp_path: Path) -> None:
    """Every webhook would fail for a fault of ours; with the key back nothing is said."""
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY=OLD) as world:
        await world.destination(HOOK, headers={"X-Key": CANARY})
    for keys, told in ((NEW, [2]), (f"{NEW},{OLD}", [])):
        with capture_logs() as lines:
            async with a_world(tmp_path, TASKWEIR_SECRET_KEY=keys):
                pass
        assert [line["count"] for line in lines if line["event"] == "secrets.unreadable"] == told

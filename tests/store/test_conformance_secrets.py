"""What every store holds about secrets, all of them sealed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from receiver.domain import Destination
from receiver.sealing import tenant_row
from receiver.store.protocol import Storage, Store
from receiver.store.records import Sealed
from tests.make import MINUTE, NOW, SECOND, a_delivery, a_destination

pytestmark = pytest.mark.anyio

TENANT = tenant_row("default")


async def _signing(storage: Storage, now: int = NOW) -> dict[str, list[str]]:
    """What signs for each destination that anything is owed to: its own secret, then the retired ones."""

    def read(store: Store) -> list[Destination | None]:
        return [store.deliverable(each.destination_id, now) for each in store.queues()]

    owed = [each for each in await storage.read(read) if each is not None]
    return {each.id: [each.sealed_secret, *(secret.sealed for secret in each.retired)] for each in owed}


async def _owe(storage: Storage) -> None:
    def write(store: Store) -> None:
        store.record_hidden_destination(a_destination(id="dst_own", hidden=True))
        store.record_destination(a_destination(sealed_secret="own"))
        for destination in ("dst_own", "dst_1"):
            store.record_delivery(a_delivery(id=f"dlv_{destination}", destination_id=destination), 1)

    await storage.write(write)


async def test_a_hidden_destination_is_owed_to_under_its_tenants_secret(storage: Storage) -> None:
    """And under those before it, while they sign along; a destination of a user's own keeps its own."""
    await _owe(storage)
    assert await _signing(storage) == {"dst_1": ["own"], "dst_own": [""]}
    assert await storage.write(lambda store: store.keep_tenant_secret("default", "first")) == "first"
    assert await _signing(storage) == {"dst_1": ["own"], "dst_own": ["first"]}
    assert await storage.write(lambda store: store.replace_tenant_secret("default", "second")) == "first"
    await storage.write(lambda store: store.retire_secret(TENANT, "first", now=NOW, until=NOW + MINUTE))
    assert await _signing(storage) == {"dst_1": ["own"], "dst_own": ["second", "first"]}
    assert await _signing(storage, NOW + MINUTE - 1) == {"dst_1": ["own"], "dst_own": ["second", "first"]}
    assert await _signing(storage, NOW + MINUTE) == {"dst_1": ["own"], "dst_own": ["second"]}


@pytest.mark.parametrize("owner", ["dst_1", TENANT])
async def test_two_rotations_leave_two_secrets_each_for_its_own_time(storage: Storage, owner: str) -> None:
    """The one that signs along longest comes first; each ends on its own, and only its owner has it."""
    await _owe(storage)

    def rotate(store: Store) -> None:
        store.retire_secret(owner, "oldest", now=NOW, until=NOW + 2 * MINUTE)
        store.retire_secret(owner, "older", now=NOW + SECOND, until=NOW + MINUTE)

    await storage.write(rotate)
    mine, other = ("dst_1", "dst_own") if owner == "dst_1" else ("dst_own", "dst_1")

    async def retired(now: int, destination: str = mine) -> list[str]:
        found = await storage.read(lambda store: store.retired_secrets(owner, now))
        assert destination == other or [each.sealed for each in found] == (await _signing(storage, now))[mine][1:]
        return (await _signing(storage, now))[destination][1:]

    assert await retired(NOW + SECOND) == ["oldest", "older"]
    assert await retired(NOW + MINUTE) == ["oldest"]
    assert await retired(NOW + 2 * MINUTE) == []
    assert await retired(NOW + SECOND, other) == []


async def test_a_secret_whose_time_is_over_is_forgotten(storage: Storage) -> None:
    """With the next one that retires, whoever it is of; one that shall not sign along is never kept."""

    def write(store: Store) -> None:
        store.retire_secret("dst_1", "past", now=NOW, until=NOW + SECOND)
        store.retire_secret("dst_1", "at once", now=NOW, until=NOW)
        store.retire_secret("dst_2", "later", now=NOW + SECOND, until=NOW + MINUTE)

    await storage.write(write)
    found = await storage.read(lambda store: store.sealed_secrets())
    assert list(found) == [Sealed(place="retired", row="dst_2", text="later")]


async def test_a_secret_that_retires_again_has_its_new_time(storage: Storage) -> None:
    """Two callers who rotate at once may both retire the same one."""
    await _owe(storage)

    def write(store: Store) -> None:
        store.retire_secret("dst_1", "before", now=NOW, until=NOW + SECOND)
        store.retire_secret("dst_1", "before", now=NOW, until=NOW + MINUTE)

    await storage.write(write)
    assert (await _signing(storage, NOW + SECOND))["dst_1"] == ["own", "before"]


async def test_a_deleted_destination_takes_its_secrets_along(storage: Storage) -> None:
    """None of them is kept."""
    await _owe(storage)

    def write(store: Store) -> None:
        store.retire_secret("dst_1", "before", now=NOW, until=NOW + MINUTE)
        store.delete_destination("dst_1")

    await storage.write(write)
    assert await storage.read(lambda store: store.sealed_secrets()) == []


async def test_a_tenants_secret_is_made_once_and_replaced(storage: Storage) -> None:
    """The first one stays until it is replaced, and is given back then; each tenant has its own."""

    async def kept(tenant: str) -> str | None:
        return await storage.read(lambda store: store.tenant_secret(tenant))

    assert await kept("default") is None
    assert await storage.write(lambda store: store.keep_tenant_secret("default", "first")) == "first"
    assert await storage.write(lambda store: store.keep_tenant_secret("default", "again")) == "first"
    assert await storage.write(lambda store: store.replace_tenant_secret("default", "second")) == "first"
    assert await kept("default") == "second"
    assert await storage.write(lambda store: store.replace_tenant_secret("other", "theirs")) is None
    assert (await kept("other"), await kept("default")) == ("theirs", "second")


async def _seal_everywhere(storage: Storage) -> None:
    def write(store: Store) -> None:
        store.record_destination(a_destination(sealed_secret="own", headers={"x-a": "one"}))
        store.record_destination(a_destination(id="dst_log", type="sqlite", target="results"))
        store.record_hidden_destination(a_destination(id="dst_own", hidden=True))
        store.keep_tenant_secret("default", "theirs")
        store.retire_secret("dst_1", "before", now=NOW, until=NOW + MINUTE)
        store.retire_secret(TENANT, "theirs before", now=NOW, until=NOW + MINUTE)

    await storage.write(write)


EVERYWHERE = [
    Sealed(place="destination", row="dst_1", text="own"),
    Sealed(place="headers", row="dst_1", text='{"x-a":"one"}'),
    Sealed(place="retired", row="dst_1", text="before"),
    Sealed(place="retired", row=TENANT, text="theirs before"),
    Sealed(place="tenant", row=TENANT, text="theirs"),
]


def _sorted(found: Sequence[Sealed]) -> list[Sealed]:
    return sorted(found, key=lambda each: (each.place, each.row, each.text))


async def test_every_secret_is_found(storage: Storage) -> None:
    """Wherever one is kept, header values and retired ones included; what has none is not there."""
    await _seal_everywhere(storage)
    assert _sorted(await storage.read(lambda store: store.sealed_secrets())) == EVERYWHERE


@pytest.mark.parametrize("old", EVERYWHERE, ids=lambda old: f"{old.place} of {old.row}")
async def test_a_secret_is_sealed_anew_in_its_place(storage: Storage, old: Sealed) -> None:
    """Compare-and-set: only where it is still what was read, and in no other place."""
    await _seal_everywhere(storage)
    anew = '{"x-a":"anew"}' if old.place == "headers" else "anew"
    assert not await storage.write(lambda store: store.reseal(replace(old, text="changed since"), anew))
    assert _sorted(await storage.read(lambda store: store.sealed_secrets())) == EVERYWHERE
    assert await storage.write(lambda store: store.reseal(old, anew))
    assert not await storage.write(lambda store: store.reseal(old, "twice"))
    expected = [replace(each, text=anew) if each == old else each for each in EVERYWHERE]
    assert _sorted(await storage.read(lambda store: store.sealed_secrets())) == _sorted(expected)

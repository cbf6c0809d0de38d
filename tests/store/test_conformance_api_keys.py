"""What every store holds about API keys, about whose an object is, and about what tasks cost."""

from dataclasses import replace

import pytest

from receiver.api_keys import ApiKey, Scope
from receiver.domain import Status, Task, Usage
from receiver.ids import first_id, new_id
from receiver.store.protocol import Storage, Store
from receiver.store.records import BEHIND_ALL, Page, Part, Tallied
from tests.make import MINUTE, NOW, a_task

pytestmark = pytest.mark.anyio

FIRST = ApiKey(
    id=new_id("key", NOW),
    tenant="acme",
    label="the shop",
    scopes=(Scope.READ, Scope.SUBMIT),
    hint="tw_abcd…wxyz",
    created_at=NOW,
)


async def test_a_key_is_found_by_its_digest_and_by_its_id(storage: Storage) -> None:
    """By its id by its own tenant only; by a digest whoever asks, and by no other."""
    await storage.write(lambda store: store.record_api_key(FIRST, "d1"))
    assert await storage.read(lambda store: store.api_key_of("d1")) == FIRST
    assert await storage.read(lambda store: store.api_key(FIRST.id, "acme")) == FIRST
    assert await storage.read(lambda store: (store.api_key_of("d2"), store.api_key(FIRST.id, "default"))) == (
        None,
        None,
    )


async def test_keys_are_listed_newest_first_page_by_page(storage: Storage) -> None:
    """Those of one tenant, with their cursor."""
    keys = [replace(FIRST, id=new_id("key", NOW + number)) for number in range(3)]
    others = [replace(FIRST, id=new_id("key", NOW + 5), tenant="other")]

    def record(store: Store) -> None:
        for key in keys + others:
            store.record_api_key(key, key.id)

    await storage.write(record)
    page = Page(tenant="acme", limit=2)
    assert await storage.read(lambda store: store.list_api_keys(page)) == [keys[2], keys[1]]
    rest = replace(page, cursor=keys[1].id)
    assert await storage.read(lambda store: store.list_api_keys(rest)) == [keys[0]]


async def test_a_use_is_noted_forward_only(storage: Storage) -> None:
    """Of two processes that note one, the later time stands; of a key that is gone nothing is."""
    await storage.write(lambda store: store.record_api_key(FIRST, "d1"))

    def note(store: Store) -> None:
        for key_id, at in ((FIRST.id, NOW + MINUTE), (FIRST.id, NOW), ("key_gone", NOW)):
            store.note_use(key_id, at)

    await storage.write(note)
    found = await storage.read(lambda store: store.api_key_of("d1"))
    assert found == replace(FIRST, last_used_at=NOW + MINUTE)


async def test_a_key_is_revoked_once(storage: Storage) -> None:
    """Nothing is found of it after that."""
    await storage.write(lambda store: store.record_api_key(FIRST, "d1"))
    assert await storage.write(lambda store: store.delete_api_key(FIRST.id))
    assert not await storage.write(lambda store: store.delete_api_key(FIRST.id))
    assert await storage.read(lambda store: store.api_key_of("d1")) is None


async def test_a_tenant_is_known_in_other_capitals(storage: Storage) -> None:
    """Where one has keys under that name; its own spelling is none but itself."""
    await storage.write(lambda store: store.record_api_key(replace(FIRST, tenant="Acme_1"), "d1"))

    def look(store: Store) -> list[str | None]:
        return [store.tenant_spelt_otherwise(each) for each in ("Acme_1", "acme_1", "ACME_1", "Acme-1", "acmeX1")]

    assert await storage.read(look) == [None, "Acme_1", "Acme_1", None, None]


async def test_an_object_tells_its_tenant(storage: Storage) -> None:
    """Of ids that nobody has, and of words that are none, there is none."""
    task = a_task(id=new_id("task", NOW), tenant="acme")

    def record(store: Store) -> None:
        store.record_task(task)
        store.record_api_key(replace(FIRST, tenant="other"), "d1")

    await storage.write(record)

    def look(store: Store) -> list[str | None]:
        return [
            store.owner_of(each) for each in (task.id, FIRST.id, first_id("task", NOW), "evt_x", "tasks", "", "x_y")
        ]

    assert await storage.read(look) == ["acme", "other", None, None, None, None, None]


def costing(number: int, amount: float | None, **fields: object) -> Task:
    usage = None if amount is None else Usage(amount=amount)
    defaults = {"tenant": "acme", "status": Status.SUCCEEDED, "usage": usage, "metadata": {}}
    return a_task(id=new_id("task", NOW + number), provider_task_id=f"p{number}", **defaults | fields)


async def test_what_tasks_cost_is_added_up_in_parts(storage: Storage) -> None:
    """Counted by all that the cost depends on; of the time asked for, the newest first, and of one tenant only."""
    awkward = 'te"am.$ é'
    tasks = [
        costing(0, 1.0),  # too old
        costing(1, 2.5, metadata={awkward: "a"}),
        costing(2, 0.25, metadata={awkward: "a"}),
        costing(3, None, status=Status.FAILED),
        costing(4, 8.0, tenant="other"),
        costing(5, 1.0, model="m"),  # too new
    ]

    def record(store: Store) -> None:
        for task in tasks:
            store.record_task(task)

    await storage.write(record)

    async def part_before(before: str) -> Part | None:
        since = first_id("task", NOW + 1)
        return await storage.read(
            lambda store: store.add_up("acme", since=since, before=before, limit=2, metadata=[awkward])
        )

    before, parts = first_id("task", NOW + 5), []
    while part := await part_before(before):
        parts.append(part)
        before = part.first
    assert [(part.first, part.count) for part in parts] == [(tasks[2].id, 2), (tasks[1].id, 1)]
    same = {"provider": "apikley", "model": tasks[0].model}
    failed = Tallied(**same, status="failed", unit=None, phase=None, metadata=(None,), tasks=1, amount=0)
    cost = Tallied(**same, status="succeeded", unit="credits", phase="charged", metadata=("a",), tasks=1, amount=0.25)
    assert sorted(parts[0].rows, key=lambda row: row.status) == [failed, cost]
    assert parts[1].rows == [replace(cost, amount=2.5)]
    whole = await storage.read(
        lambda store: store.add_up("acme", since="task_", before=BEHIND_ALL, limit=9, metadata=[])
    )
    assert whole is not None
    assert (whole.count, len(whole.rows), sum(row.amount for row in whole.rows)) == (5, 3, 4.75)

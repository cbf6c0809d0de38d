"""What every store holds about idempotency keys, cancels that were asked for, and resubmissions."""

from dataclasses import replace

import pytest

from receiver.domain import Status
from receiver.store.protocol import Storage, Store
from receiver.store.records import KeptKey
from tests.make import a_task

pytestmark = pytest.mark.anyio

FIRST = KeptKey(tenant="default", key='order "42"', fingerprint="f", task_id="task_1")


async def test_a_key_is_kept_once_per_tenant(storage: Storage) -> None:
    """The second use changes nothing, whatever it is for; another tenant's is another key."""
    assert await storage.write(lambda store: store.keep_key(FIRST))
    assert not await storage.write(lambda store: store.keep_key(replace(FIRST, fingerprint="g", task_id="task_2")))
    assert await storage.read(lambda store: store.kept_key(FIRST.key, "default")) == FIRST
    assert await storage.read(lambda store: store.kept_key(FIRST.key, "other")) is None
    assert await storage.write(lambda store: store.keep_key(replace(FIRST, tenant="other")))


async def test_the_first_answer_to_a_key_is_remembered(storage: Storage) -> None:
    """Later ones, and answers to keys that nobody used, change nothing."""
    await storage.write(lambda store: store.keep_key(FIRST))
    for status in (202, 201):
        await storage.write(lambda store, status=status: store.answer_key(FIRST.key, "default", status))  # type: ignore[misc]
    await storage.write(lambda store: store.answer_key("another", "default", 201))
    assert await storage.read(lambda store: store.kept_key(FIRST.key, "default")) == replace(FIRST, status=202)


async def test_a_key_commits_with_its_task_or_not_at_all(storage: Storage) -> None:
    """One transaction: where the key is taken, no task is left."""

    def use(store: Store) -> None:
        store.record_task(a_task(id="task_2"))
        if not store.keep_key(replace(FIRST, task_id="task_2")):
            raise KeyError(FIRST.key)

    await storage.write(lambda store: store.keep_key(FIRST))
    with pytest.raises(KeyError):
        await storage.write(use)
    assert await storage.read(lambda store: store.task("task_2")) is None


async def test_a_cancel_that_was_asked_for_survives(storage: Storage) -> None:
    """It is a fact of the task's row."""
    task = a_task(status=Status.SUBMITTING)
    await storage.write(lambda store: store.record_task(task))
    asked = replace(task, cancel_asked=True, version=1)
    assert await storage.write(lambda store: store.save_task(asked, expected_version=0))
    assert await storage.read(lambda store: store.task(task.id)) == asked


async def test_a_resubmission_is_found_by_what_it_retries(storage: Storage) -> None:
    """Only the task that another one names was resubmitted."""
    again = a_task(id="task_2", provider_task_id="p2", retry_of="task_1")
    for task in (a_task(), again):
        await storage.write(lambda store, task=task: store.record_task(task))  # type: ignore[misc]
    assert await storage.read(lambda store: [store.resubmitted(f"task_{n}") for n in (1, 2)]) == [True, False]

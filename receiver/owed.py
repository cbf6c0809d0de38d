"""Moves all that is owed to one destination, bite by bite, so that whoever else writes has a turn in between."""

from collections.abc import Callable
from functools import partial

from receiver.domain import Ms
from receiver.store.protocol import Storage, Store
from receiver.store.records import BEHIND_ALL, BITE


async def cancel(storage: Storage, destination_id: str) -> None:
    """Cancel what is pending, the latest first: broken off, nothing is left that waits behind what is gone."""
    await _bites(storage, lambda store, before: store.cancel_owed(destination_id, before=before, limit=BITE))


async def forget(storage: Storage, destination_id: str) -> None:
    """Cancel what is owed to a destination, then forget it."""
    await cancel(storage, destination_id)
    await storage.write(lambda store: store.delete_destination(destination_id))


async def forget_gone_hooks(storage: Storage) -> None:
    """Delete the hooks that a 410 ended while they were owed too much for one transaction."""
    for hook_id in await storage.read(lambda store: store.gone_hooks()):
        await cancel(storage, hook_id)
        await storage.write(partial(_delete_gone_hook, hook_id))


def _delete_gone_hook(hook_id: str, store: Store) -> None:
    store.delete_gone_hook(hook_id)


async def form_lines(storage: Storage, destination_id: str) -> None:
    """Let what is pending wait in the line of its task, of a destination that is ordered already."""
    await _bites(storage, lambda store, before: store.form_lines(destination_id, before=before, limit=BITE))


async def form_all_lines(storage: Storage) -> None:
    """Form the lines that a process began to form, and died; those that were formed stay as they are."""
    for destination_id in await storage.read(lambda store: store.ordered_destinations()):
        await form_lines(storage, destination_id)


async def dissolve_lines(storage: Storage, destination_id: str, now: Ms) -> None:
    """Make due what waits, of a destination that is still ordered: broken off, it can go on as it was."""
    await _bites(storage, lambda store, before: store.dissolve_lines(destination_id, now, before=before, limit=BITE))


async def _bites(storage: Storage, bite: Callable[[Store, str], str | None]) -> None:
    before: str | None = BEHIND_ALL
    while before is not None:
        before = await storage.write(partial(_bite, bite, before))


def _bite(bite: Callable[[Store, str], str | None], before: str, store: Store) -> str | None:
    return bite(store, before)

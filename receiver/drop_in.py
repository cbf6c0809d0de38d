"""An event as the callback of its provider, for callers who speak the provider's own wire."""

from adapters.drop_in import market_callback
from receiver import formats, json_text, story
from receiver.domain import Destination, Source, Status, Task
from receiver.providers import Providers
from receiver.rendering import Rendered
from receiver.store.protocol import Storage, Store
from receiver.store.records import Parcel
from receiver.telemetry import log


def told_ours(store: Store, task: Task) -> bool:
    """Whether the caller of a task was told our id, for want of one of the provider's."""
    return any(note.kind == story.TOLD_OURS for note in store.chronicle(task.id, most=1).notes)


def never_there(task: Task) -> bool:
    """Whether a failed task was never with its provider, as far as anybody knows."""
    return task.status is Status.FAILED and task.provider_task_id is None and task.submitted_at is None


class ProvidersCallbacks:
    """What the courier sends in place of the event, rebuilt from the record, with the caller's own URL in it.

    Nothing where the provider refused the submit itself, and so its caller was answered: there is no task for him.
    """

    def __init__(self, storage: Storage, providers: Providers) -> None:
        self._storage = storage
        self._providers = providers

    async def __call__(self, destination: Destination, parcel: Parcel) -> Rendered | None:
        data = json_text.read_own(parcel.body)["data"]
        task = formats.task_in(data["task"], parcel.input or {})
        ours = await self._storage.read(lambda store: told_ours(store, task))
        if never_there(task) and data["source"] == Source.SUBMIT and not ours:
            return None
        task_id = task.id if ours else task.provider_task_id or task.id
        served = self._providers.get(task.provider)
        own = served.adapter.drop_in() if served else None
        body = market_callback(task, task_id, destination.target)
        if own is not None:
            try:
                body = dict(own.callback(task, task_id, destination.target))
            except Exception as error:  # noqa: BLE001 - an adapter is a guest: its fault must not cost the outcome
                log.error("adapter.failed", error=repr(error), exc_info=error)
        return Rendered(headers={"content-type": "application/json"}, body=json_text.write(body).encode())

"""What follows from a callback, done before it is answered, where no loop would take it up."""

import asyncio
from collections import Counter

from receiver import turns
from receiver.clock import Clock
from receiver.delivery import Courier
from receiver.domain import DeliveryState
from receiver.errors import Unavailable
from receiver.poller import Poller
from receiver.replicas import Replicas
from receiver.store.protocol import Storage, Store
from receiver.store.records import Page
from receiver.telemetry import log

MOST = 50


class FollowUp:
    """The task's own poll, then the first attempts of what is owed of it. Whatever is left is the heartbeat's.

    Who holds `delivering` alone gives out what each destination takes.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        poller: Poller,
        courier: Courier,
        delivering: asyncio.Lock,
        replicas: Replicas,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._poller = poller
        self._courier = courier
        self._delivering = delivering
        self._replicas = replicas
        self._clock = clock

    async def __call__(self, task_id: str, rang: bool) -> None:
        """Within the turn of whoever asks; `rang` where the task is to be asked about."""
        try:
            await self._replicas.hear()
            if rang and turns.may_begin():
                await self._poller.ask_about(task_id)
                await turns.settled()
            if turns.may_begin() and (owed := await self._storage.read(lambda store: self._owed(store, task_id))):
                async with self._delivering:
                    await self._courier.begin_first(owed)
        except Unavailable as error:  # what was to follow is recorded
            log.warning("follow_up.failed", task=task_id, error=str(error))

    def _owed(self, store: Store, task_id: str) -> Counter[str]:
        """How many deliveries of a task are due and were never tried, by destination."""
        task, now = store.task(task_id), self._clock.now()
        if task is None:
            return Counter()
        page = Page(tenant=task.tenant, limit=MOST, where={"task_id": task_id, "state": DeliveryState.PENDING.value})
        return Counter(
            each.destination_id
            for each in store.list_deliveries(page)
            if each.attempts == 0 and each.due_at is not None and each.due_at <= now
        )

"""After a restore: what may have happened since the backup is asked about, doubted, and left room for."""

from dataclasses import dataclass
from functools import partial

from receiver import policy
from receiver.copying import replace
from receiver.domain import MINUTE, Ms, Status
from receiver.errors import ConfigurationError
from receiver.hand_off import HandOff
from receiver.ids import new_id
from receiver.settings import Settings
from receiver.storages import storage_of
from receiver.store.protocol import Storage, Store
from receiver.store.shares import GONE_AFTER

BITE = 500
SEQS_PER_MS = 10  # more than any database of ours records


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """How many tasks are asked about again, how many may have been handed over, and after which seq events go on."""

    asked: int
    doubtful: int
    seq: int


async def reconcile_all(settings: Settings, *, since: Ms) -> Reconciled:
    """Reconcile the store that the settings name, which no server uses; raises `ConfigurationError`."""
    kept = storage_of(settings, HandOff(lease=0, now=0))
    await kept.storage.open(now=kept.clock.now(), migrate=settings.migrate)
    try:
        if (await kept.say({})).share.of != 1:
            raise ConfigurationError(
                "a server works on this database", hint=f"Stop all of them, and wait for {GONE_AFTER // 1000} s."
            )
        if since > kept.clock.now():
            raise ConfigurationError("--since lies in the future", hint="Give the time of the backup.")
        return await reconcile(kept.storage, since=since, now=kept.clock.now())
    finally:
        await kept.storage.write(lambda store: store.release_leases(kept.clock.now()))
        await kept.storage.close()


async def reconcile(storage: Storage, *, since: Ms, now: Ms) -> Reconciled:
    """Bring a store that is as it was at `since`, or later, to where nothing is done twice; safe to repeat.

    Nobody knows which of the queued tasks were handed over before the loss: all of them are left as by a process that
    ended in the middle of it, so that the next start finds them in doubt. The seqs that events may have had are not
    given again, for readers have been there.
    """
    seq = await storage.write(lambda store: store.skip_seqs((now - since) * SEQS_PER_MS))
    doubtful = 0
    after: str | None = ""
    while after is not None:
        count, after = await storage.write(partial(_doubt, after, now))
        doubtful += count
    asked = await storage.write(lambda store: store.hasten_polls(now, within=MINUTE))
    return Reconciled(asked=asked, doubtful=doubtful, seq=seq)


def _doubt(after: str, now: Ms, store: Store) -> tuple[int, str | None]:
    """Some of the tasks that wait to be handed over, or are being: how many may have been, and the last one."""
    ids, count = store.submits(after=after, limit=BITE), 0
    for task_id in ids:
        task, timer = store.task(task_id), store.timer(task_id)
        if task is None or timer is None or task.status is not Status.QUEUED:
            continue
        store.save_task(policy.begun(task), expected_version=task.version)
        store.set_timer(replace(timer, due_at=now, owner=new_id("own", now)))
        count += 1
    return count, ids[-1] if len(ids) == BITE else None

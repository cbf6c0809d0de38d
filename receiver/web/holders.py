"""Why a task's provider is not talked to about it now: gone, paused, full, or asked enough."""

from receiver import provider_policy
from receiver.budget import Room
from receiver.domain import Ms, Status, Task, Timer, Work
from receiver.provider_policy import Standing
from receiver.store.protocol import Store
from receiver.waiting import Held
from receiver.web.doors import Doors


class Holders:
    """What holds tasks back, as of now. It is asked where the store is read, which may be beside the event loop."""

    def __init__(self, doors: Doors) -> None:
        self.now = doors.clock.now()
        self._doors = doors
        self._rooms: dict[str, Room] = {}

    def held(self, store: Store, task: Task, timer: Timer | None) -> Held | None:
        """What holds this one back; None where nothing does but its own time."""
        if task.status.final or task.status in (Status.SUBMITTING, Status.UNCONFIRMED):
            return None
        if task.provider not in self._doors.providers:
            return Held(why=f"{task.provider} is not configured here")
        standing = store.standing(task.provider)
        if task.status is not Status.QUEUED:
            return self.unpolled(standing)
        room = self._room(task.provider)
        return (
            _paused(standing, polls=False)
            or _crowded(store, task, timer, room, self.now)
            or _asked_enough(task.provider, room, self.now)
        )

    def unpolled(self, standing: Standing) -> Held | None:
        """What holds back the polls of a provider that stands like this."""
        name = standing.provider
        return _paused(standing, polls=True) or _asked_enough(name, self._room(name), self.now)

    def _room(self, name: str) -> Room:
        """The same for all tasks of a list."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = self._doors.room(name, self.now)
        return room


def _paused(standing: Standing, *, polls: bool) -> Held | None:
    why = provider_policy.holding(standing, polls=polls)
    return Held(why=why) if why else None


def _crowded(store: Store, task: Task, timer: Timer | None, room: Room, now: Ms) -> Held | None:
    """Too many of ours are with the provider, or on their way to it."""
    if room.free > 0:
        return None
    if room.full_until is not None:
        return Held(why=f"{task.provider} takes no more tasks of ours until one of them ends", until=room.full_until)
    if timer is None or timer.due_at > now:
        return None
    first_at = store.next_due_timer(Work.SUBMIT, task.provider)
    place = "this one is next in line" if first_at is None or timer.due_at <= first_at else "more are before this one"
    others = "1 other is" if room.under_way == 1 else f"{room.under_way} others are"
    return Held(why=f"{others} being handed over to {task.provider}, as many as may be at once; {place}")


def _asked_enough(provider: str, room: Room, now: Ms) -> Held | None:
    if room.asked_until is not None:
        return Held(why=f"{provider} asked us to wait (Retry-After)", until=room.asked_until)
    if room.rate is not None and room.next_at > now:
        return Held(why=f"the rate of {room.rate:.3g} requests per second is used up", until=room.next_at)
    return None

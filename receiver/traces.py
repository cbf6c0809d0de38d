"""Tells what goes on with tasks as spans, each after its commit, to whoever collects traces; by default nobody.

No span holds a URL, a key, a token, an input or a word of a provider's.
"""

from collections.abc import Callable, Iterable

from receiver import tracing
from receiver.domain import FINAL_EVENTS, Attempt, Delivery, Destination, Event, EventType, FailureKind, Ms, Task
from receiver.tracing import Place, Span

_FAILED = frozenset({EventType.FAILED, EventType.EXPIRED})


class Traces:
    """`export` takes each span at once, and never fails; without one nothing is made, and no header sent."""

    def __init__(self, export: Callable[[Span], None] | None = None, close: Callable[[], None] | None = None) -> None:
        self._export = export
        self.close = close

    def accepted(self, header: str | None, task: Task, now: Ms) -> None:
        """A caller's request became a task: a span in the caller's trace, where he has one and keeps it."""
        if self._export is None or (caller := tracing.read_header(header)) is None or not caller.sampled:
            return
        self._export(
            Span(
                name="accept",
                place=tracing.within(caller, "accept", task.id),
                parent=caller,
                began=task.created_at,
                ended=now,
                facts=_of_task(task),
                link=tracing.root_of(task.id),
            )
        )

    def recorded(self, events: Iterable[Event]) -> None:
        """Events of one task were committed: with a final one its root span is over."""
        if self._export is None:
            return
        for event in events:
            if event.type in FINAL_EVENTS:
                self._export(
                    Span(
                        name="task",
                        place=tracing.root_of(event.task.id),
                        parent=None,
                        began=event.task.created_at,
                        ended=event.at,
                        facts={**_of_task(event.task), "taskweir.event.type": event.type.value},
                        failed=event.type in _FAILED,
                    )
                )

    def submitted(self, task: Task, outcome: str, status: int | None, began: Ms, ended: Ms) -> None:
        """A request that hands a task over was recorded, as one of `Handover`."""
        facts = {"taskweir.outcome": outcome, **_status(status)}
        self._told("submit", task, began, ended, facts, failed=outcome != "accepted", client=True)

    def polled(self, task: Task, failure: FailureKind | None, status: int | None, began: Ms, ended: Ms) -> None:
        """A poll changed its task, or failed."""
        facts = {"taskweir.outcome": failure.value if failure else "answered", **_status(status)}
        self._told("poll", task, began, ended, facts, failed=failure is not None, client=True)

    def called_back(self, task: Task, outcome: str, began: Ms, ended: Ms) -> None:
        """A callback was recorded, as one of `Came`."""
        self._told("callback", task, began, ended, {"taskweir.outcome": outcome})

    def attempted(self, destination: Destination, delivery: Delivery, attempt: Attempt) -> None:
        """An attempt of a delivery was recorded; what is of no task is in no trace."""
        if self._export is None or not delivery.task_id:
            return
        self._export(
            Span(
                name="delivery",
                place=tracing.of_attempt(delivery.task_id, delivery.id, attempt.number),
                parent=tracing.root_of(delivery.task_id),
                began=attempt.at,
                ended=attempt.at + attempt.duration_ms,
                facts={
                    "taskweir.task.id": delivery.task_id,
                    "taskweir.event.id": delivery.event_id,
                    "taskweir.delivery.id": delivery.id,
                    "taskweir.destination.id": destination.id,
                    "taskweir.destination.kind": destination.type,
                    "taskweir.attempt": attempt.number,
                    **_status(attempt.status),
                },
                failed=not attempt.succeeded,
                client=True,
            )
        )

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """What names the span of the attempt that a delivery is at."""
        if self._export is None or not delivery.task_id:
            return {}
        place = tracing.of_attempt(delivery.task_id, delivery.id, delivery.attempts)
        return {tracing.TRACEPARENT: tracing.header_of(place)}

    def _told(
        self,
        name: str,
        task: Task,
        began: Ms,
        ended: Ms,
        facts: dict[str, str | int],
        *,
        failed: bool = False,
        client: bool = False,
    ) -> None:
        if self._export is None:
            return
        root = tracing.root_of(task.id)
        place: Place = tracing.within(root, name, task.id, str(began), str(ended), *map(str, facts.values()))
        facts = {**_of_task(task), **facts}
        self._export(
            Span(
                name=name, place=place, parent=root, began=began, ended=ended, facts=facts, failed=failed, client=client
            )
        )


NO_TRACES = Traces()


def _of_task(task: Task) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "taskweir.task.id": task.id,
        "taskweir.provider": task.provider,
        "taskweir.status": task.status.value,
    }
    return facts | {"taskweir.model": task.model} if task.model else facts


def _status(status: int | None) -> dict[str, str | int]:
    return {} if status is None else {"http.response.status_code": status}

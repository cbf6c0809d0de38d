"""What a provider's own doors are, for callers who speak its wire to us instead: pure translation, both ways.

A caller's submit is read into what we record, and what we recorded is told in the provider's own shape and words.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from adapters.reading import MESSAGE_LIMIT
from receiver import json_text
from receiver.domain import Failure, FailureKind, Kind, Ms, Output, Role, Status, Task
from receiver.errors import Fault

CALLBACK = "callBackUrl"  # Apikley's name for it (seed 002); by ours, a caller of any provider may use it


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a submit asks for, not checked yet: any of it may be any JSON."""

    model: Any
    input: Any
    callback_url: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A JSON body, and the HTTP status that the provider gives it."""

    body: Mapping[str, Any]
    status: int = 200


class DropIn(ABC):
    """One provider's doors. Paths are those below its base URL; `poll_path` may hold `{id}`, once.

    `nested` says that a caller's parameters stand under `input`, not beside `model`; `task_id` is what a poll calls the
    id that it asks about.
    """

    submit_paths: ClassVar[tuple[str, ...]]
    poll_method: ClassVar[str] = "GET"
    poll_path: ClassVar[str]
    task_id: ClassVar[str]
    nested: ClassVar[bool] = False

    def key(self, headers: Mapping[str, str]) -> str | None:
        """Our key, wherever this provider's callers put theirs: as bearer token, or in `x-api-key`."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        bearer = key.strip() if scheme.lower() == "bearer" else ""
        return bearer or headers.get("x-api-key", "").strip() or None

    def read_submit(self, path: str, body: Mapping[str, Any]) -> Asked | Fault:
        """What a submit asks for, or what of it could not be passed on; never an error, whatever JSON comes."""
        beside = {name: value for name, value in body.items() if name not in ("model", CALLBACK)}
        return Asked(model=body.get("model"), input=beside, callback_url=body.get(CALLBACK))

    def is_poll(self, method: str, path: str) -> re.Match[str] | None:
        """Whether this is a poll; its group, where there is one, is the id in the path."""
        before, has_id, after = self.poll_path.partition("{id}")
        pattern = re.escape(before) + ("([^/]+)" if has_id else "") + re.escape(after)
        return re.fullmatch(pattern, path) if method == self.poll_method else None

    def polled_id(self, query: Mapping[str, str], body: bytes) -> str | None:
        """Which task a poll asks about, where its path does not tell; None where nothing does."""
        return query.get(self.task_id) or None

    @abstractmethod
    def accepted(self, task: Task, task_id: str) -> Answer:
        """The answer to a submit that was recorded, be it handed over yet or not; `task_id` is the id to tell."""

    @abstractmethod
    def shown(self, task: Task, task_id: str, callback_url: str | None) -> Answer:
        """The answer to a poll; `callback_url` is the one that its caller gave."""

    @abstractmethod
    def refused(self, failure: Failure) -> Answer:
        """A refusal, the provider's own where it has a code; without one it is ours."""

    def unknown_task(self, request_id: str) -> Answer:
        """The answer to a poll of a task that its caller does not have."""
        return self.refused(Failure(kind=FailureKind.NOT_FOUND, message="no such task", request_id=request_id))

    def callback(self, task: Task, task_id: str, callback_url: str) -> Mapping[str, Any]:
        """The callback that tells how a task ended: the provider's own, or, where it has none, Apikley's."""
        return market_callback(task, task_id, callback_url)

    def failure_of(self, faults: Iterable[Fault]) -> Failure:
        """Why a submit with these faults is refused: the first one's code, what each of them says."""
        first, *rest = faults
        message = "; ".join(map(self._told, [first, *rest]))[:MESSAGE_LIMIT]
        code = None if first.code is None else str(first.code)
        return Failure(kind=FailureKind.INVALID_REQUEST, code=code, message=message)

    def _told(self, fault: Fault) -> str:
        path = fault.path if self.nested else fault.path.removeprefix("input.")
        named = fault.code is not None and path in fault.message
        return fault.message if named else f"{path}: {fault.message}"


def word_of(task: Task, reads: Mapping[str, Status], says: Mapping[Status, str]) -> str:
    """The provider's word for where a task stands: its own last one, unless our record knows better.

    `reads` is what its words mean, folded; `says` is the word for each status. A word from tomorrow is passed on while
    the task is not final, as the provider would.
    """
    word = task.provider_status
    meant = reads.get((word or "").casefold())
    if word is None or task.status.final or (meant is not None and meant.final):
        return says[task.status]
    return word


def statuses(*, waits: str, works: str, succeeded: str, failed: str, canceled: str | None = None) -> dict[Status, str]:
    """A provider's word for each status; what we have not handed over yet waits, what is in doubt does, too."""
    waiting = (Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED, Status.SUBMITTED)
    return dict.fromkeys(waiting, waits) | {
        Status.RUNNING: works,
        Status.SUCCEEDED: succeeded,
        Status.FAILED: failed,
        Status.CANCELED: canceled or failed,
        Status.EXPIRED: failed,
    }


def main_urls(task: Task) -> list[str]:
    """The results in their order, without last frames and thumbnails."""
    return [output.url for output in of_role(task, Role.MAIN)]


def of_role(task: Task, role: Role, *kinds: Kind) -> list[Output]:
    """The outputs of one role in their order; of all kinds where none is named."""
    found = [output for output in task.outputs if output.role is role and (not kinds or output.kind in kinds)]
    return sorted(found, key=lambda output: output.index)


def credits_of(task: Task) -> float | None:
    """What a task cost, whole where it is; None where nobody told, or not in credits."""
    if task.usage is None or task.usage.unit != "credits":
        return None
    amount = task.usage.amount
    return int(amount) if float(amount).is_integer() else amount


def ended_at(task: Task) -> Ms:
    """When a task ended; of one that has not, when it was last heard of."""
    return task.finished_at or task.submitted_at or task.created_at


def market_record(task: Task, task_id: str, *, state: str, param: Mapping[str, Any]) -> dict[str, Any]:
    """A task as Apikley tells of it, in polls and callbacks (get-task-detail; credits: kie.ai)."""
    succeeded, final = task.status is Status.SUCCEEDED, task.status.final
    error = None if succeeded or not final else task.error
    record: dict[str, Any] = {
        "taskId": task_id,
        "model": task.model,
        "state": state,
        "param": json_text.write(param),
        "resultJson": json_text.write({"resultUrls": main_urls(task)}) if succeeded else "",
        "failCode": _fail_code(task) if error else "",
        "failMsg": error.message if error else "",
        "createTime": task.created_at,
        "updateTime": ended_at(task),
    }
    if task.progress is not None and not final:
        record["progress"] = task.progress
    if final:
        record["completeTime"] = ended_at(task)
        if (amount := credits_of(task)) is not None:
            record["creditsConsumed"] = amount
    return record


def market_callback(task: Task, task_id: str, callback_url: str) -> dict[str, Any]:
    """A final task as Apikley's callback (kie.ai, market models): `costTime` in seconds, `input` a text of its own."""
    succeeded = task.status is Status.SUCCEEDED
    param = {"input": json_text.write(dict(task.input)), CALLBACK: callback_url, "model": task.model}
    record = market_record(task, task_id, state="success" if succeeded else "fail", param=param)
    record["costTime"] = (ended_at(task) - task.created_at) // 1000
    if succeeded:
        return {"code": 200, "msg": "Playground task completed successfully.", "data": record}
    return {"code": 501, "msg": "Playground task failed.", "data": record | {"resultJson": None}}


def _fail_code(task: Task) -> str:
    """The provider's own code; ours is 408 where a task's time was over, else 500."""
    if task.error is not None and task.error.code:
        return task.error.code
    return "408" if task.status is Status.EXPIRED else "500"

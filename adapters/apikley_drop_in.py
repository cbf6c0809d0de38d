"""Apikley's own doors: its two paths, its envelope `{code, msg, data}`, which is HTTP 200 whatever the code.

Sources: seed 002 (createTask, the codes), the Apikley docs page get-task-detail (recordInfo), kie.ai (errors inside
HTTP 200, "recordInfo is null").
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.apikley_record import STATES
from adapters.drop_in import CALLBACK, Answer, Asked, DropIn, ended_at, market_record, statuses, word_of
from receiver.domain import Failure, FailureKind, Task
from receiver.errors import Fault

_SAYS = statuses(waits="waiting", works="generating", succeeded="success", failed="fail")
_CODES = {  # seed 002
    FailureKind.AUTH: 401,
    FailureKind.QUOTA: 402,
    FailureKind.NOT_FOUND: 404,
    FailureKind.INVALID_REQUEST: 422,
    FailureKind.CONTENT_POLICY: 422,
    FailureKind.RATE_LIMITED: 429,
    FailureKind.UNAVAILABLE: 455,
}
_TAKEN = frozenset({"model", "input", CALLBACK})


class ApikleyDropIn(DropIn):
    """`POST /api/v1/jobs/createTask`, `GET /api/v1/jobs/recordInfo?taskId=`."""

    submit_paths: ClassVar = ("/api/v1/jobs/createTask",)
    poll_path: ClassVar = "/api/v1/jobs/recordInfo"
    task_id: ClassVar = "taskId"
    nested: ClassVar = True

    def read_submit(self, path: str, body: Mapping[str, Any]) -> Asked | Fault:
        """Only what the page names is passed on (seed 002): a field that would be lost is refused."""
        for name, value in body.items():
            if name not in _TAKEN and value is not None:
                return Fault(path=name, code=422, message="is not among model, input and callBackUrl: not passed on")
        return Asked(model=body.get("model"), input=body.get("input", {}), callback_url=body.get(CALLBACK))

    def accepted(self, task: Task, task_id: str) -> Answer:
        return _yes({"taskId": task_id})

    def shown(self, task: Task, task_id: str, callback_url: str | None) -> Answer:
        param = {"model": task.model, CALLBACK: callback_url, "input": dict(task.input)}
        record = market_record(task, task_id, state=word_of(task, STATES, _SAYS), param=param)
        if task.status.final:
            record["costTime"] = ended_at(task) - task.created_at
        return _yes(record)

    def refused(self, failure: Failure) -> Answer:
        code = failure.code or ""
        known = int(code) if len(code) == 3 and code.isascii() and code.isdigit() else _CODES.get(failure.kind, 500)
        return _no(known, failure.message)

    def unknown_task(self, request_id: str) -> Answer:
        return _no(422, "recordInfo is null")


def _yes(data: Mapping[str, Any]) -> Answer:
    return Answer(body={"code": 200, "msg": "success", "data": data})


def _no(code: int, msg: str) -> Answer:
    return Answer(body={"code": code, "msg": msg, "data": None})

"""The operations on tasks."""

from collections.abc import Mapping
from types import MappingProxyType

from receiver.domain import FailureKind, Status
from receiver.made_up import PROMPT
from receiver.web.actions import ResolveIn
from receiver.web.adopt import AdoptIn
from receiver.web.bodies import NothingIn
from receiver.web.bulk import BulkIn
from receiver.web.documents import examples
from receiver.web.documents.operation import LIMIT, WAIT, Answer, Operation, Parameter, cursor, moment, text
from receiver.web.documents.task_answers import Counted, NewTask, Task, Tasks, Timeline
from receiver.web.tasks import TaskIn

TAG = "Tasks"
_ID = {"id": "The task's id, or `<provider>:<provider_task_id>`."}
_KEY = Parameter(
    name="Idempotency-Key",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[!#-~][!-~]*$"},
    text="The same request again, with the same key, makes no second task: it is answered with the first one.",
    place="header",
)
_PREFER = Parameter(
    name="Prefer",
    schema={"type": "string", "examples": ["respond-async"]},
    text="`respond-async`: answer as soon as the task is recorded.",
    place="header",
)
_REPLAYED = {"Idempotent-Replayed": "`true` where the key was used before: this is the first request's task."}
_FILTERS = (
    text("status", "Tasks that stand so.", enum=[each.value for each in Status]),
    text("provider", "Tasks of this provider."),
    text("model", "Tasks of this model."),
    text("provider_task_id", "The task with the provider's own id."),
    text("error_kind", "Tasks that failed for this.", enum=[each.value for each in FailureKind]),
    moment("created_after", "Tasks made after then."),
    moment("created_before", "Tasks made before then."),
    Parameter(
        name="metadata.<key>",
        schema={"type": "string"},
        text="Tasks with this value under that key of their metadata, as `metadata.order=42`; up to 50 of them.",
    ),
)
_SUBMIT = {
    "provider": "apikley",
    "model": "bytedance/v1-pro-text-to-video",
    "input": {"prompt": PROMPT},
    "metadata": {"order": "42"},
    "webhook_url": "https://app.example/hooks/taskweir",
}


def _task(told: str, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    return Answer(text=told, model=Task, example=examples.TASK, headers=headers)


def _new(told: str, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    return Answer(text=told, model=NewTask, example=examples.NEW_TASK, headers=headers)


_SUBMITTED = {
    201: _new("The task: handed over, finished, or refused by its provider; `status` tells which.", headers=_REPLAYED),
    202: _new("The task, while it is `queued`, `submitting` or `unconfirmed`.", headers=_REPLAYED),
}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/tasks",
        name="listTasks",
        tag=TAG,
        summary="List tasks",
        scope="read",
        parameters=(LIMIT, cursor("task"), *_FILTERS),
        answers={200: Answer(text="Newest first.", model=Tasks, example=examples.page(examples.TASK))},
    ),
    Operation(
        method="POST",
        path="/v1/tasks",
        name="submitTask",
        tag=TAG,
        summary="Submit a task",
        text="Records the task, hands it over to its provider and answers within 20 s; `input` is the provider's own "
        "parameters.",
        scope="submit",
        parameters=(WAIT, _KEY, _PREFER),
        body=TaskIn,
        examples={"a video": _SUBMIT},
        answers=_SUBMITTED,
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/adopt",
        name="adoptTask",
        tag=TAG,
        summary="Follow a task that was submitted elsewhere",
        scope="submit",
        parameters=(WAIT,),
        body=AdoptIn,
        examples={"a task of apikley's": {"provider": "apikley", "provider_task_id": "task_bytedance_1765186736545"}},
        answers={200: _new("The caller has this task already."), 201: _new("From now on it is followed.")},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/bulk",
        name="actOnTasks",
        tag=TAG,
        summary="Do one thing to many tasks",
        text="`filter` has the filters of the list as fields: strings, none of them empty.",
        scope="submit",
        body=BulkIn,
        examples={"try": {"action": "cancel", "filter": {"status": "queued", "provider": "apikley"}, "dry_run": True}},
        answers={200: Answer(text="How many tasks were changed, or would be.", model=Counted, example={"count": 3})},
    ),
    Operation(
        method="GET",
        path="/v1/tasks/{id}",
        name="getTask",
        tag=TAG,
        summary="Look at a task, or wait for its end",
        scope="read",
        ids=_ID,
        parameters=(WAIT,),
        answers={200: _task("The task.")},
    ),
    Operation(
        method="GET",
        path="/v1/tasks/{id}/timeline",
        name="getTimeline",
        tag=TAG,
        summary="All that happened to a task",
        scope="read",
        ids=_ID,
        answers={200: Answer(text="In time order.", model=Timeline, example={"items": examples.TIMELINE})},
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{id}/cancel",
        name="cancelTask",
        tag=TAG,
        summary="Cancel a task here, and at its provider where that can be",
        scope="submit",
        ids=_ID,
        body=NothingIn,
        needed=False,
        answers={200: _task("The task."), 202: _task("It is being handed over: canceled once that is answered.")},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{id}/refresh",
        name="refreshTask",
        tag=TAG,
        summary="Ask the provider now",
        scope="submit",
        ids=_ID,
        parameters=(WAIT,),
        body=NothingIn,
        needed=False,
        answers={200: _task("The task.")},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{id}/resolve",
        name="resolveTask",
        tag=TAG,
        summary="Say what became of an unconfirmed task",
        text="Either its `provider_task_id`, or the `status` `failed`.",
        scope="submit",
        ids=_ID,
        body=ResolveIn,
        examples={"found": {"provider_task_id": "task_bytedance_1765186736545"}, "lost": {"status": "failed"}},
        answers={200: _task("The task.")},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{id}/resubmit",
        name="resubmitTask",
        tag=TAG,
        summary="Submit a final or unconfirmed task once more",
        text="A new task with the same content and `retry_of` set; an unconfirmed one ends `failed`.",
        scope="submit",
        ids=_ID,
        parameters=(WAIT, _KEY, _PREFER),
        body=NothingIn,
        needed=False,
        answers=_SUBMITTED,
        problems=(409,),
    ),
)

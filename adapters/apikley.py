"""Apikley, and any other host that speaks the same market wire (kie.ai does).

Sources: seed 002 (submit, codes, parameters), the Apikley docs page get-task-detail (polls), and the kie.ai docs for
what Apikley's own pages leave out: callbacks, the codes 400, 408 and 433, credits. That last part is inferred, so it
is read tolerantly. Errors may come inside HTTP 200: the body's `code` decides before the HTTP status.
"""

import re
from collections.abc import Iterable, Sequence

from adapters import apikley_rules
from adapters.apikley_record import NO_REASON, Said, failure_of, said, update_of
from adapters.base import (
    Accepted,
    Adapter,
    Input,
    PollAnswer,
    Profile,
    Refused,
    SubmitAnswer,
    failure_of_status,
    in_doubt,
    not_created,
    poll_failed,
    unexplained_poll,
    unexplained_submit,
)
from adapters.calls import get_call, post_call, shape_faults
from adapters.drop_in import DropIn
from receiver.domain import Failure, FailureKind, Kind, Ms, Pace, Provider, Status, Update
from receiver.errors import Fault, Malformed
from receiver.wire import Call, Callback, Reply

_REFUSALS = frozenset({400, 401, 402, 404, 422, 433, 501, 505})  # seed 002; 400 and 433 kie.ai
_NOTHING_CREATED = frozenset({429, 455})  # kie.ai: rejected before it was queued; seed 002: maintenance
_POLL_KINDS = {
    401: (FailureKind.AUTH, False),
    403: (FailureKind.AUTH, False),
    404: (FailureKind.NOT_FOUND, False),
    422: (FailureKind.NOT_FOUND, False),  # "recordInfo is null"; a poll carries nothing else that could be wrong
    429: (FailureKind.RATE_LIMITED, True),
    433: (FailureKind.RATE_LIMITED, True),
}
_UNEXPLAINED = "with no answer of Apikley's own in it"
_MEDIA_WORD = re.compile(r"to-(image|video|audio|speech|music)\b")
_MEDIA = {"image": Kind.IMAGE, "video": Kind.VIDEO, "audio": Kind.AUDIO, "speech": Kind.AUDIO, "music": Kind.AUDIO}


class Apikley(Adapter):
    """POST /api/v1/jobs/createTask, GET /api/v1/jobs/recordInfo, and callbacks to `callBackUrl`."""

    profile = Profile(
        base_url="https://api.apikley.ru",
        # get-task-detail: 2-3 s at first, 5-10 s after 30 s, 15-30 s after 2 min; then a slow tail of our own
        pace=(Pace(0, 3), Pace(30, 8), Pace(120, 20), Pace(900, 60), Pace(3600, 300)),
        deadline_s=24 * 3600,
        takes_callback=True,
        grace_s=120,
        ack=b'{"code":200,"msg":"success"}',
    )

    def check_shape(self, model: str, input: Input) -> Iterable[Fault]:
        """A model's name and an object, without a `callBackUrl` of its own: outcomes would go where we never look."""
        reserved = {"callBackUrl": "Taskweir sets the callback itself: use `webhook_url` instead"}
        return shape_faults(model, input, takes="what Apikley takes under `input`", reserved=reserved)

    def check(self, model: str, input: Input) -> Iterable[Fault]:
        """The schema of bytedance/v1-pro-text-to-video (seed 002), as its code 422; other models are not judged."""
        return apikley_rules.faults_of(input) if model == apikley_rules.MODEL else ()

    def submit(self, provider: Provider, model: str, input: Input, callback_url: str | None) -> Call:
        """`callBackUrl` stands beside `model`, not under `input` (seed 002)."""
        callback = {} if callback_url is None else {"callBackUrl": callback_url}
        return post_call(provider, "/api/v1/jobs/createTask", {"model": model, **callback, "input": dict(input)})

    def read_submit(self, reply: Reply, *, media: Kind, now: Ms) -> SubmitAnswer:
        """Only codes documented as refusals are believed to be one; 500 may have created a task (seed 002)."""
        told = said(reply.body)
        if told.task_id is not None and (told.code == 200 or (told.code is None and 200 <= reply.status < 300)):
            return Accepted(update=_taken(told, media, now))
        if told.task_id is None and told.code is None:
            return unexplained_submit(reply, now, lacks=_UNEXPLAINED)
        failure = _submit_failure(told, reply.status)
        if told.task_id is None and told.code in _NOTHING_CREATED:
            return not_created(failure, reply, now)
        if told.task_id is None and told.code in _REFUSALS:
            return Refused(failure=failure)
        return in_doubt(failure)

    def poll(self, provider: Provider, provider_task_id: str) -> Call:
        """A GET, free of charge."""
        return get_call(provider, "/api/v1/jobs/recordInfo", taskId=provider_task_id)

    def read_poll(self, reply: Reply, *, media: Kind, now: Ms) -> PollAnswer:
        """Code 501 ends the task as failed, 408 as expired (kie.ai); any other code but 200 is a failed poll."""
        told = said(reply.body)
        if told.code in (408, 501) or (told.code == 200 and told.worded):
            return update_of(told, media, now)
        if told.code == 200 and told.task_id is not None:
            return Update(status=None, provider_task_id=told.task_id)
        if told.code is None:
            return unexplained_poll(reply, now, lacks=_UNEXPLAINED)
        kind, retryable = _POLL_KINDS.get(told.code, (FailureKind.UNAVAILABLE, True))
        failure = Failure(kind=kind, code=str(told.code), message=told.message or NO_REASON, retryable=retryable)
        return poll_failed(failure, reply, now)

    def read_callback(self, callback: Callback, *, media: Kind, now: Ms) -> Sequence[Update]:
        """One update, of a market model or of an older family; `Malformed` without a code or a task id."""
        told = said(callback.body)
        if told.code is None:
            raise Malformed("a callback without a code")
        if told.task_id is None:
            raise Malformed("a callback that names no task")
        return (update_of(told, media, now),)

    def media(self, model: str, input: Input) -> Kind:
        """By the model's name, as in google/text-to-image; video where it does not tell."""
        words = _MEDIA_WORD.findall(model.lower())
        return _MEDIA[words[-1]] if words else Kind.VIDEO

    def drop_in(self) -> DropIn:
        from adapters.apikley_drop_in import ApikleyDropIn

        return ApikleyDropIn()


def _taken(told: Said, media: Kind, now: Ms) -> Update:
    """createTask documents nothing but the id (seed 002): without a word the task waits there, and none ends it."""
    if not told.worded:
        return Update(status=Status.SUBMITTED, provider_task_id=told.task_id)
    update = update_of(told, media, now)
    if update.status is not None and update.status.final:
        return Update(status=None, provider_task_id=told.task_id, provider_status=update.provider_status)
    return update


def _submit_failure(told: Said, status: int) -> Failure:
    named = "" if told.task_id is None else f" (it names task {told.task_id})"
    if told.code is None:
        return failure_of_status(status, f"HTTP {status} {_UNEXPLAINED}{named}")
    if told.code == 200:
        return Failure(kind=FailureKind.UNKNOWN, code="200", message="Apikley said success and named no task")
    return failure_of(str(told.code), (told.message or NO_REASON) + named)

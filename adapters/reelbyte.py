"""Reelbyte's wire: `POST /api/v1/ai/generate` creates a task, `POST /api/v1/ai/query` asks how it stands.

Sources: "seed 000" is Reelbyte's API page. "template" is the public ShipAny template, whose words that page shares
(`mediaType`, `scene`, `costCredits`, `taskInfo`, code 0 with "ok"): what is known only from it is inferred. Errors
probably come as `{"code": -1, "message", "data": null}` inside HTTP 200 (template), so the body decides first.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from adapters.base import (
    REFUSING_STATUSES,
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
from adapters.calls import post_call
from adapters.drop_in import DropIn
from adapters.flat_wire import (
    NO_ENVELOPE,
    Envelope,
    accepted,
    contradicted,
    envelope_in,
    shape_faults,
)
from adapters.reading import filled, id_at, text_at, word_at
from adapters.reelbyte_result import update_of, usage_of
from receiver.domain import Failure, FailureKind, Kind, Ms, Pace, Provider, Status
from receiver.errors import Fault
from receiver.wire import Call, Reply

_INVALID_PARAMS = "invalid params"
# Seed 000 shows video and speaks of images; the other media types and most scenes are the template's.
_MEDIA_TYPES = ("video", "image", "music", "text", "speech")
_SCENES = ("text-to-video", "image-to-video", "video-to-video", "text-to-image", "image-to-image", "text-to-music")
_MEDIA = {
    "video": Kind.VIDEO,
    "image": Kind.IMAGE,
    "music": Kind.AUDIO,
    "audio": Kind.AUDIO,
    "speech": Kind.AUDIO,
    "text": Kind.TEXT,
}

_Table = Iterable[tuple[str, FailureKind]]
# Beginnings of messages, lower case: seed 000, the Reelbyte docs page seedance2/pricing-errors, and the template.
_AUTH = (("invalid api key", FailureKind.AUTH), ("no auth, please sign in", FailureKind.AUTH))
# The template checks all of this before it calls upstream: nothing was created.
_REFUSALS = (
    *_AUTH,
    ("insufficient credits", FailureKind.QUOTA),
    (_INVALID_PARAMS, FailureKind.INVALID_REQUEST),
    ("prompt or options is required", FailureKind.INVALID_REQUEST),
    ("invalid mediatype", FailureKind.INVALID_REQUEST),
    ("invalid provider", FailureKind.INVALID_REQUEST),
    ("invalid scene", FailureKind.INVALID_REQUEST),
    ("prompt too long", FailureKind.INVALID_REQUEST),
    ("seedance 2.0 is in limited beta", FailureKind.UNAVAILABLE),
)
# The template's own call went wrong, before or after a paid task was created upstream.
_UPSTREAM = (("ai generate failed", FailureKind.UPSTREAM),)
_POLL_ERRORS = (
    *_AUTH,
    ("task not found", FailureKind.NOT_FOUND),
    ("no permission", FailureKind.NOT_FOUND),
    ("query ai task failed", FailureKind.UPSTREAM),
    ("request failed with status", FailureKind.UPSTREAM),
    ("unknown status", FailureKind.UPSTREAM),
    ("invalid ai provider", FailureKind.UPSTREAM),
)
_POLL_STATUSES = {
    401: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    429: FailureKind.RATE_LIMITED,
}
_LASTING = frozenset({FailureKind.AUTH, FailureKind.NOT_FOUND})


class Reelbyte(Adapter):
    """Reelbyte takes no callback; `input` is everything beside `model` in the body of its generate call."""

    profile = Profile(
        base_url="https://reelbyte.video",
        # 2-5 s while pending or processing (Reelbyte docs, seedance2/pricing-errors); the slow tail and the deadline
        # are our choice
        pace=(Pace(0, 3), Pace(60, 5), Pace(600, 30)),
        deadline_s=3600,
        grace_s=60,
    )

    def check_shape(self, model: str, input: Input) -> Iterable[Fault]:
        """A model, and an object beside it; a missing model is `invalid params` (seed 000)."""
        return shape_faults(model, input, code=_INVALID_PARAMS, message=f"{_INVALID_PARAMS}: model is required")

    def check(self, model: str, input: Input) -> Iterator[Fault]:
        """What ends as `invalid params`, for every model (seed 000); which fields are required is the template's."""
        if input.get("mediaType") not in _MEDIA_TYPES:
            yield _invalid("mediaType", f"must be one of {', '.join(_MEDIA_TYPES)}")
        if not filled(input.get("provider")):
            yield _invalid("provider", "is required, as in replicate")
        if not filled(input.get("prompt")) and not isinstance(input.get("options"), Mapping):
            yield _invalid("prompt", "is required where there are no options")
        if input.get("scene") is not None and input["scene"] not in _SCENES:
            yield _invalid("scene", f"must be one of {', '.join(_SCENES)}")

    def submit(self, provider: Provider, model: str, input: Input, callback_url: str | None) -> Call:
        """`callback_url` is not used: seed 000 knows only polling."""
        return post_call(provider, "/api/v1/ai/generate", {"model": model, **input})

    def read_submit(self, reply: Reply, *, media: Kind, now: Ms) -> SubmitAnswer:
        """Accepted only with a task id; what cannot be placed is ambiguous, for the template writes its own row after
        the task was created upstream."""
        envelope = envelope_in(reply)
        if envelope is None:
            return unexplained_submit(reply, now, lacks=NO_ENVELOPE)
        if envelope.code != "0":
            return _refusal(envelope, reply, now)
        task_id = id_at(envelope.data.get("taskId"))
        if task_id is None:
            message = "Reelbyte said ok and named no task"
            return in_doubt(Failure(kind=FailureKind.UNKNOWN, code="0", message=message))
        update = replace(update_of(envelope.data, media), provider_task_id=task_id)
        # The documented answer has no room for a result.
        return accepted(update, reserved=usage_of(envelope.data, Status.SUBMITTED))

    def poll(self, provider: Provider, provider_task_id: str) -> Call:
        """A POST (seed 000) that only asks; in the template it is also what moves the task along."""
        return post_call(provider, "/api/v1/ai/query", {"taskId": provider_task_id})

    def read_poll(self, reply: Reply, *, media: Kind, now: Ms) -> PollAnswer:
        """An error here never means that the task failed. The answer's `taskId` is not read: in the template it is
        the upstream's id, not the one we asked with."""
        envelope = envelope_in(reply)
        if envelope is None:
            return unexplained_poll(reply, now, lacks=NO_ENVELOPE)
        if envelope.code == "0" and word_at(envelope.data.get("status")):
            return update_of(envelope.data, media)
        return poll_failed(_poll_failure(envelope), reply, now)

    def media(self, model: str, input: Input) -> Kind:
        """What `mediaType` asks for; video where it is missing or new."""
        return _MEDIA.get((text_at(input.get("mediaType")) or "").strip().casefold(), Kind.VIDEO)

    def drop_in(self) -> DropIn:
        from adapters.reelbyte_drop_in import ReelbyteDropIn

        return ReelbyteDropIn()


def _invalid(field: str, what: str) -> Fault:
    return Fault(path=f"input.{field}", code=_INVALID_PARAMS, message=f"{_INVALID_PARAMS}: {field} {what}")


def _named(message: str, table: _Table) -> FailureKind | None:
    text = message.casefold()
    return next((kind for beginning, kind in table if text.startswith(beginning)), None)


def _refusal(envelope: Envelope, reply: Reply, now: Ms) -> SubmitAnswer:
    """A code other than 0: the message decides; one that we do not know is a refusal only with a 4xx status, which
    the template never gives, so that it must come from Reelbyte's own layer in front of it."""
    known = _named(envelope.message, _REFUSALS)
    upstream = _named(envelope.message, _UPSTREAM)
    by_status = failure_of_status(envelope.status, envelope.text)
    failure = Failure(kind=known or upstream or by_status.kind, code=envelope.code, message=envelope.text)
    task_id = id_at(envelope.data.get("taskId"))
    if task_id is not None:
        return contradicted(failure, task_id)
    if known is None and upstream is None and envelope.status == 429:
        return not_created(replace(failure, retryable=True), reply, now)
    if known is not None or (upstream is None and envelope.status in REFUSING_STATUSES):
        return Refused(failure=failure)
    return in_doubt(failure)


def _poll_failure(envelope: Envelope) -> Failure:
    if envelope.code == "0":
        message = "Reelbyte said ok and named no status"
        return Failure(kind=FailureKind.UPSTREAM, code="0", message=message, retryable=True)
    kind = _named(envelope.message, _POLL_ERRORS) or _POLL_STATUSES.get(envelope.status, FailureKind.UNAVAILABLE)
    return Failure(kind=kind, code=envelope.code, message=envelope.text, retryable=kind not in _LASTING)

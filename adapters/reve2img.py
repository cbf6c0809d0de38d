"""Reve2img's wire: `POST /api/v1/generate` creates a task, `GET /api/v1/status` asks how it stands.

Source: seed 003, Reve2img's API reference; what comes from elsewhere says so. Code 200 is success; an error repeats
its HTTP status as `code`, `message` is a word for machines and `detail` the text.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapters.base import (
    REFUSING_STATUSES,
    Adapter,
    Input,
    PollAnswer,
    Profile,
    Refused,
    SubmitAnswer,
    in_doubt,
    not_created,
    poll_failed,
    unexplained_poll,
    unexplained_submit,
)
from adapters.calls import get_call, post_call
from adapters.drop_in import DropIn
from adapters.flat_wire import (
    NO_ENVELOPE,
    Envelope,
    accepted,
    contradicted,
    envelope_in,
    shape_faults,
)
from adapters.reading import credits_at, filled, id_at, object_at, outputs_of, urls_at, word_at
from adapters.reve2img_errors import ERRORS, NOT_CREATED, answer_failure, task_failure
from receiver.domain import Failure, FailureKind, Kind, Ms, Pace, Provider, Status, Update, Usage
from receiver.errors import Fault
from receiver.wire import Call, Reply

STATUSES = {"in_progress": Status.RUNNING, "success": Status.SUCCEEDED, "failed": Status.FAILED}
_VIDEO_FIELDS = frozenset({"duration", "generate_audio"})
_IMAGE_DEADLINE_S = 1800


class Reve2img(Adapter):
    """Reve2img takes no callback; `input` is everything beside `model`; some models finish within the submit."""

    profile = Profile(
        base_url="https://reve2img.com",
        # every 2-5 s (seed 003); the deadlines are our choice
        pace=(Pace(0, 3), Pace(120, 5)),
        deadline_s=3600,
        grace_s=60,
    )

    def check_shape(self, model: str, input: Input) -> Iterable[Fault]:
        """A model, and an object beside it; a missing model is INVALID_MODEL."""
        return shape_faults(model, input, code="INVALID_MODEL", message=ERRORS["INVALID_MODEL"].meaning)

    def check(self, model: str, input: Input) -> Iterator[Fault]:
        """INVALID_MODEL and INVALID_PROMPT, the rules common to all models.

        A prompt is "usually" required: never an empty one, and none missing for the ids that seed 003 makes images.
        """
        if not model.strip():
            yield _refused("model", "INVALID_MODEL")
        prompt = input.get("prompt")
        needed = "prompt" in input or model.casefold().startswith("reve-")
        if needed and not filled(prompt):
            yield _refused("input.prompt", "INVALID_PROMPT")

    def submit(self, provider: Provider, model: str, input: Input, callback_url: str | None) -> Call:
        """`callback_url` is not used: seed 003 knows only polling."""
        return post_call(provider, "/api/v1/generate", {"model": model, **input})

    def read_submit(self, reply: Reply, *, media: Kind, now: Ms) -> SubmitAnswer:
        """Accepted only with a task id, possibly finished already (seed 003, "Synchronous models")."""
        envelope = envelope_in(reply)
        if envelope is None:
            return unexplained_submit(reply, now, lacks=NO_ENVELOPE)
        if envelope.code != "200":
            return _refusal(envelope, reply, now)
        update = _update(envelope.data, media)
        if update.provider_task_id is None:
            message = "Reve2img said success and named no task"
            return in_doubt(Failure(kind=FailureKind.UNKNOWN, code="200", message=message))
        return accepted(update, reserved=None)

    def poll(self, provider: Provider, provider_task_id: str) -> Call:
        """A GET; too fast a one is no error (seed 003)."""
        return get_call(provider, "/api/v1/status", task_id=provider_task_id)

    def read_poll(self, reply: Reply, *, media: Kind, now: Ms) -> PollAnswer:
        """Of all error answers only the provider's own 504 TIMEOUT, "The task timed out", tells an outcome."""
        envelope = envelope_in(reply)
        if envelope is None:
            return unexplained_poll(reply, now, lacks=NO_ENVELOPE)
        if envelope.code == "200" and word_at(envelope.data.get("status")):
            return _update(envelope.data, media)
        if (envelope.code, envelope.message) == ("504", "TIMEOUT"):
            return Update(status=Status.EXPIRED, provider_status="TIMEOUT", error=answer_failure(envelope))
        return poll_failed(_poll_failure(envelope), reply, now)

    def media(self, model: str, input: Input) -> Kind:
        """Inferred from the model (seed 003): a video's id carries its scene, as in kling3-pro-image-to-video
        (Reve2img docs, video-models), or its body a field that only videos have; anything else is an image."""
        name = model.casefold()
        if "video" in name:
            return Kind.VIDEO
        return Kind.VIDEO if _VIDEO_FIELDS & input.keys() and not name.startswith("reve-") else Kind.IMAGE

    def deadline_seconds(self, model: str, input: Input) -> int:
        """30 minutes for an image, 60 for a video: our choice, no limit is documented."""
        return _IMAGE_DEADLINE_S if self.media(model, input) is Kind.IMAGE else self.profile.deadline_s

    def drop_in(self) -> DropIn:
        from adapters.reve2img_drop_in import Reve2imgDropIn

        return Reve2imgDropIn()


def _refused(path: str, word: str) -> Fault:
    return Fault(path=path, code=word, message=ERRORS[word].meaning)


def _refusal(envelope: Envelope, reply: Reply, now: Ms) -> SubmitAnswer:
    """A code other than 200: the word decides, and the number where the word is new."""
    failure = answer_failure(envelope)
    word = envelope.message if envelope.message in ERRORS else None
    task_id = id_at(envelope.data.get("task_id"))
    if task_id is not None:
        return contradicted(failure, task_id)
    if word in NOT_CREATED or (word is None and envelope.status == 429):
        return not_created(failure, reply, now, full=word == "TOO_MANY_TASKS")
    if word != "TIMEOUT" and (word is not None or envelope.status in REFUSING_STATUSES):
        return Refused(failure=failure)
    return in_doubt(failure)


def _poll_failure(envelope: Envelope) -> Failure:
    if envelope.code == "200":
        message = "Reve2img said success and named no status"
        return Failure(kind=FailureKind.UPSTREAM, code="200", message=message, retryable=True)
    return answer_failure(envelope)


def _update(data: Mapping[str, Any], media: Kind) -> Update:
    word = word_at(data.get("status"))
    status = STATUSES.get((word or "").casefold())
    error = task_failure(data.get("error")) if status is Status.FAILED else None
    if error is not None and error.kind is FailureKind.TIMEOUT:
        status = Status.EXPIRED
    urls = urls_at(object_at(data.get("response")).get("resultUrls"))
    return Update(
        status=status,
        provider_status=word,
        provider_task_id=id_at(data.get("task_id")),
        outputs=outputs_of(urls, media) if status is Status.SUCCEEDED else (),
        error=error,
        usage=_usage(data, status),
    )


def _usage(data: Mapping[str, Any], status: Status | None) -> Usage | None:
    """What was taken is told on success, and given back by itself on failure (seed 003, "Credits")."""
    if status in (Status.FAILED, Status.EXPIRED):
        return Usage(amount=0, phase="refunded")
    amount = credits_at(data.get("consumed_credits"))
    return Usage(amount=amount) if status is Status.SUCCEEDED and amount is not None else None

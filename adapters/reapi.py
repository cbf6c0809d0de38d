"""reAPI: videos and images by submit and poll; it sends no callbacks.

Sources: seed 001 (submit, envelope, schedule, validation) and the reAPI docs, pages api, tasks and errors. It uses real
HTTP statuses: an error is `{"error": {code, message, request_id?}}`, a task's failure is HTTP 200 with status failed.
No cost is in the envelope. Audio is not covered: no page names the model ids.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from adapters import reapi_rules
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
)
from adapters.calls import get_call, path_segment, post_call, shape_faults
from adapters.drop_in import DropIn
from adapters.reading import (
    ID_LIMIT,
    MESSAGE_LIMIT,
    WORD_LIMIT,
    id_at,
    numbered,
    object_at,
    object_in,
    objects_at,
    results_at,
    text_at,
    urls_at,
    word_at,
)
from receiver.domain import Failure, FailureKind, Kind, Ms, Output, Pace, Provider, Role, Status, Update
from receiver.errors import Fault
from receiver.wire import Call, Reply

_URL_LIFETIME_MS = 7 * 24 * 3600 * 1000  # seed 001; its own completion time is not told, so from our first sight
_ONE_ATTEMPT_S = 49 * 3600  # seed 001: one attempt may take 48 h; an hour for our own polls
_TWO_ATTEMPTS_S = 97 * 3600  # seed 001: with fallback the window covers two attempts

WORDS = {"processing": Status.RUNNING, "completed": Status.SUCCEEDED, "failed": Status.FAILED}
_IMAGE_MODELS = frozenset(  # seed 001, the pages under Image
    {
        "midjourney-v8",
        "flux-2",
        "z-image",
        "qwen-image-2",
        "midjourney-v7",
        "wan-2-7-image",
        "gpt-image-2",
        "gpt-image-2-official",
        "gemini-2.5-flash-image-preview",
        "gemini-3-pro-image-preview",
        "gemini-3.1-flash-image-preview",
        "doubao-seedream-5-0-lite",
        "imagen-4-0",
    }
)
_URL_LISTS = {"video_urls": Kind.VIDEO, "image_urls": Kind.IMAGE, "audio_urls": Kind.AUDIO}
_KINDS = {
    "30002": (FailureKind.INVALID_REQUEST, True),  # seed 001: the source video could not be probed, no charge
    "PRICING_UNAVAILABLE": (FailureKind.INVALID_REQUEST, True),  # seed 001: the same, in words
    "80006": (FailureKind.CONTENT_POLICY, False),  # reAPI agent skill
}
_KINDS_BY_DIGIT = {  # reAPI docs, errors; 8 from third parties; 4 to 7 are not known
    "1": (FailureKind.AUTH, False),
    "2": (FailureKind.INVALID_REQUEST, False),
    "3": (FailureKind.INVALID_REQUEST, False),
    "8": (FailureKind.UPSTREAM, True),
}


class ReApi(Adapter):
    """POST /api/v1/videos/generations (or images), GET /api/v1/tasks/{id}."""

    profile = Profile(
        base_url="https://reapi.ai",
        # seed 001: every 5 s for 5 min, gradually toward 1 min until 1 h, then at most every 3 min
        pace=(Pace(0, 5), Pace(300, 10), Pace(900, 20), Pace(1800, 40), Pace(2700, 60), Pace(3600, 180)),
        deadline_s=_TWO_ATTEMPTS_S,
        grace_s=120,
    )

    def check_shape(self, model: str, input: Input) -> Iterable[Fault]:
        """A model's name and an object, without a `model` of its own: one of the two would silently win."""
        reserved = {"model": "name the model in `model` beside `input`, not inside it"}
        return shape_faults(model, input, takes="what reAPI takes beside `model`", reserved=reserved)

    def check(self, model: str, input: Input) -> Iterable[Fault]:
        """The validation table of doubao-seedance-2.0 (seed 001); other models are not judged."""
        return reapi_rules.faults_of(model, input) if model in reapi_rules.MODELS else ()

    def submit(self, provider: Provider, model: str, input: Input, callback_url: str | None) -> Call:
        """The parameters stand beside `model` (seed 001). No idempotency key: reAPI does not honour one."""
        room = "images" if self.media(model, input) is Kind.IMAGE else "videos"
        return post_call(provider, f"/api/v1/{room}/generations", {"model": model, **input})

    def read_submit(self, reply: Reply, *, media: Kind, now: Ms) -> SubmitAnswer:
        """A refusal is reAPI's own error with a 4xx; a 5xx may have created a task (reAPI docs, api)."""
        body = object_in(reply.body) or {}
        task_id = id_at(body.get("id"))
        if task_id is not None and _is_2xx(reply):
            update = _update(body, now)
            return Accepted(update=update if update.provider_status else replace(update, status=Status.SUBMITTED))
        failure = _failure_of_reply(body, reply.status)
        if task_id is None and reply.status == 429:
            return not_created(failure, reply, now)
        if task_id is None and _is_error(body) and 400 <= reply.status < 500 and reply.status != 408:
            return Refused(failure=failure)
        return in_doubt(failure)

    def poll(self, provider: Provider, provider_task_id: str) -> Call:
        """A GET, free of charge (seed 001)."""
        return get_call(provider, f"/api/v1/tasks/{path_segment(provider_task_id)}")

    def read_poll(self, reply: Reply, *, media: Kind, now: Ms) -> PollAnswer:
        """A 404 is believed only with an error of reAPI's in it: a gateway's own says nothing about the task."""
        body = object_in(reply.body) or {}
        if _is_2xx(reply) and (id_at(body.get("id")) is not None or word_at(body.get("status")) is not None):
            return _update(body, now)
        failure = _failure_of_reply(body, reply.status)
        if reply.status in (401, 403):
            failure = replace(failure, kind=FailureKind.AUTH, retryable=False)
        elif reply.status == 404 and body.get("error"):
            failure = replace(failure, kind=FailureKind.NOT_FOUND, retryable=False)
        elif reply.status != 429:
            failure = replace(failure, kind=FailureKind.UNAVAILABLE, retryable=True)
        return poll_failed(failure, reply, now)

    def media(self, model: str, input: Input) -> Kind:
        """Image for the models that are known as such."""
        return Kind.IMAGE if is_image_model(model) else Kind.VIDEO

    def deadline_seconds(self, model: str, input: Input) -> int:
        """97 h, or 49 h where no fallback is attached: switched off, or `nsfw_checker` is false (seed 001)."""
        fallback = input.get("fallback")
        switched_off = isinstance(fallback, Mapping) and fallback.get("enabled") is False
        return _ONE_ATTEMPT_S if switched_off or input.get("nsfw_checker") is False else _TWO_ATTEMPTS_S

    def drop_in(self) -> DropIn:
        from adapters.reapi_drop_in import ReApiDropIn

        return ReApiDropIn()


def is_image_model(model: str) -> bool:
    """Whether its page stands under Image (seed 001): it is submitted at a path of its own."""
    return model in _IMAGE_MODELS


def _is_2xx(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _is_error(body: Mapping[str, Any]) -> bool:
    error = body.get("error")
    return isinstance(error, dict) and text_at(error.get("code")) is not None


def _update(body: Mapping[str, Any], now: Ms) -> Update:
    """The envelope that submit and poll share (seed 001)."""
    word = word_at(body.get("status"))
    status = WORDS.get((word or "").casefold())
    return Update(
        status=status,
        provider_status=word,
        provider_task_id=id_at(body.get("id")),
        outputs=_outputs(object_at(body.get("output")), now) if status is Status.SUCCEEDED else (),
        error=_failure(body, 200, "reAPI gave no reason") if status is Status.FAILED else None,
    )


def _outputs(output: Mapping[str, Any], now: Ms) -> tuple[Output, ...]:
    """Main ones in the order videos, images, audios, tracks (third parties), then the last frame."""
    expires_at = now + _URL_LIFETIME_MS
    main = [result for name, kind in _URL_LISTS.items() for result in results_at(kind, output.get(name))]
    main += results_at(Kind.AUDIO, [track.get("url") for track in objects_at(output.get("tracks"))])
    frames = [(url, Kind.IMAGE) for url in urls_at(output.get("last_frame_url"))[:1]]
    return numbered(main, expires_at=expires_at) + numbered(frames, role=Role.LAST_FRAME, expires_at=expires_at)


def _failure_of_reply(body: Mapping[str, Any], status: int) -> Failure:
    if 200 <= status < 300 and not body.get("error"):
        return Failure(kind=FailureKind.UNKNOWN, code=str(status), message=f"HTTP {status} with no task in it")
    return _failure(body, status, f"HTTP {status} with no answer of reAPI's own in it")


def _failure(body: Mapping[str, Any], status: int, otherwise: str) -> Failure:
    """By the exact code, else by its leading digit, else by the HTTP status (reAPI docs, errors)."""
    error = body.get("error")
    named = error if isinstance(error, dict) else {"message": error}
    code = (text_at(named.get("code")) or "")[:WORD_LIMIT]
    bare = failure_of_status(status, (text_at(named.get("message")) or otherwise)[:MESSAGE_LIMIT])
    by_code = None if status == 429 else _kind_of_code(code)
    kind, retryable = by_code or (bare.kind, bare.retryable)
    return Failure(
        kind=kind,
        code=code or (None if status == 200 else bare.code),
        message=bare.message,
        request_id=(text_at(named.get("request_id")) or "")[:ID_LIMIT] or None,
        retryable=retryable,
    )


def _kind_of_code(code: str) -> tuple[FailureKind, bool] | None:
    numeric = len(code) == 5 and code.isascii() and code.isdigit()
    return _KINDS.get(code.upper()) or (_KINDS_BY_DIGIT.get(code[0]) if numeric else None)

"""What an envelope of Apikley's says about its task: one reading for polls and callbacks, so that they agree.

Sources: the Apikley docs page get-task-detail for the market models; the kie.ai docs (inferred) for the callbacks of
the older families Veo, Runway, Suno, Lyrics, Flux Kontext, 4o image and Luma.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.reading import (
    MESSAGE_LIMIT,
    credits_at,
    id_at,
    number_at,
    numbered,
    object_at,
    object_in,
    objects_at,
    outputs_of,
    results_at,
    speaks_of_moderation,
    text_at,
    urls_at,
    word_at,
)
from receiver import json_text
from receiver.domain import Failure, FailureKind, Kind, Ms, Output, Role, Status, Update, Usage
from receiver.errors import Malformed

NO_REASON = "Apikley gave no reason"

_URL_LIFETIME_MS = 24 * 3600 * 1000  # get-task-detail: links "typically expire after 24 hours"
_BELIEVED_AGE_MS = 8 * 24 * 3600 * 1000
_CLOCK_SKEW_MS = 5 * 60 * 1000

STATES = {  # get-task-detail
    "waiting": Status.SUBMITTED,
    "queuing": Status.SUBMITTED,
    "generating": Status.RUNNING,
    "success": Status.SUCCEEDED,
    "fail": Status.FAILED,
}
_STAGES = {  # kie.ai docs, Suno and Lyrics: `callbackType`; a task gives several, only the last two end it
    "text": Status.RUNNING,
    "first": Status.RUNNING,
    "complete": Status.SUCCEEDED,
    "error": Status.FAILED,
}
_ENDED = frozenset({400, 402, 408, 422, 451, 500, 501})  # a callback's code where no word stands beside it
_SAID_AGAIN = frozenset({200, 501})  # a `state` says as much
_TIMED_OUT = "408"  # kie.ai: the model behind it was silent for more than 10 minutes

_KINDS = {  # seed 002; 400, 408, 433 and 451 kie.ai
    "400": (FailureKind.INVALID_REQUEST, False),
    "401": (FailureKind.AUTH, False),
    "402": (FailureKind.QUOTA, False),
    "404": (FailureKind.NOT_FOUND, False),
    "408": (FailureKind.TIMEOUT, True),
    "422": (FailureKind.INVALID_REQUEST, False),
    "429": (FailureKind.RATE_LIMITED, True),
    "433": (FailureKind.QUOTA, False),
    "451": (FailureKind.INVALID_REQUEST, False),
    "455": (FailureKind.UNAVAILABLE, True),
    "500": (FailureKind.UPSTREAM, True),
    "501": (FailureKind.UPSTREAM, True),
    "505": (FailureKind.UNAVAILABLE, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The envelope `{code, msg | message, data}`; `code` is None where the body is not one."""

    code: int | None = None
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task_id(self) -> str | None:
        return id_at(self.data.get("taskId")) or id_at(self.data.get("task_id"))

    @property
    def worded(self) -> bool:
        """Whether it carries a market model's word for where the task stands."""
        return self.data.get("state") is not None


def said(raw: bytes) -> Said:
    """Read a body; anything that is not the envelope becomes an empty one."""
    body = object_in(raw) or {}
    return Said(
        code=_code_at(body.get("code")),
        message=(text_at(body.get("msg")) or text_at(body.get("message")) or "")[:MESSAGE_LIMIT],
        data=object_at(body.get("data")),
    )


def update_of(told: Said, media: Kind, now: Ms) -> Update:
    """What an envelope says about its task."""
    word, status = _verdict(told)
    final = status is not None and status.final
    return Update(
        status=status,
        provider_status=word,
        provider_task_id=told.task_id,
        progress=None if final else _progress(told.data),
        outputs=_outputs(told.data, media, _expiry(told.data, now)) if status is Status.SUCCEEDED else (),
        error=failure_of(*_reason(told)) if final and status is not Status.SUCCEEDED else None,
        usage=_usage(told.data, status) if final else None,
        callback_url=_echoed_callback_url(told.data.get("param")),
    )


def failure_of(code: str | None, message: str) -> Failure:
    """Classify a code, or a task's `failCode` (a number as text, or a word); None is a failure without one.

    kie.ai gives "400" both for bad parameters and for moderated content: its text tells which.
    """
    kind, retryable = _KINDS.get(code or "501", (FailureKind.UNKNOWN, False))
    unclear = kind in (FailureKind.INVALID_REQUEST, FailureKind.UNKNOWN)
    if unclear and (speaks_of_moderation(message) or speaks_of_moderation(code or "")):
        kind = FailureKind.CONTENT_POLICY
    return Failure(kind=kind, code=code, message=message, retryable=retryable)


def _verdict(told: Said) -> tuple[str | None, Status | None]:
    """The provider's own word, and what it means; nothing where word and code contradict each other."""
    word: str | None = None
    if told.worded:
        word = word_at(told.data["state"])
        status = STATES.get((word or "").casefold())
    elif told.data.get("callbackType") is not None:
        word = word_at(told.data["callbackType"])
        status = _STAGES.get((word or "").casefold())
        if status is Status.SUCCEEDED and told.code != 200:
            status = _unworded(told)  # Lyrics calls a failure complete as well; the code tells
    else:
        status = _unworded(told)
    if told.code not in (200, None) and status is not Status.FAILED:
        return word, None
    timed_out = status is Status.FAILED and _reason(told)[0] == _TIMED_OUT
    return word, Status.EXPIRED if timed_out else status


def _unworded(told: Said) -> Status | None:
    """The older families say only a code; success without a result in sight is not believed."""
    if told.code == 200:
        return Status.SUCCEEDED if _older_outputs(told.data, Kind.VIDEO, None) else None
    return Status.FAILED if told.code in _ENDED else None


def _reason(told: Said) -> tuple[str | None, str]:
    """Code and text of a failed task, less what only a callback's envelope repeats beside `state`."""
    beside = None if told.code == 200 or (told.worded and told.code in _SAID_AGAIN) else told.code
    code = word_at(told.data.get("failCode")) or (None if beside is None else str(beside))
    message = text_at(told.data.get("failMsg")) or (told.message if beside is not None else "")
    return code, message[:MESSAGE_LIMIT] or NO_REASON


def _code_at(value: Any) -> int | None:
    text = text_at(value) or ""
    return int(text) if len(text) <= 6 and text.isascii() and text.isdigit() else None


def _progress(data: Mapping[str, Any]) -> int | None:
    """0 to 100, of the sora2 models only (get-task-detail)."""
    number = number_at(data.get("progress"))
    return int(number) if number is not None and 0 <= number <= 100 else None


def _usage(data: Mapping[str, Any], status: Status | None) -> Usage | None:
    """Credits under their newer or older name (kie.ai); a failed task that cost nothing was refunded."""
    newer = data.get("creditsConsumed")
    amount = credits_at(data.get("consumeCredits") if number_at(newer) is None else newer)
    if amount is None:
        return None
    return Usage(amount=amount, phase="refunded" if amount == 0 and status is not Status.SUCCEEDED else "charged")


def _expiry(data: Mapping[str, Any], now: Ms) -> Ms:
    """24 h after the completion that the provider states, if that can be true, else after now."""
    completed = number_at(data.get("completeTime"))
    if completed is None or not now - _BELIEVED_AGE_MS <= completed <= now + _CLOCK_SKEW_MS:
        completed = now
    return int(completed) + _URL_LIFETIME_MS


def _echoed_callback_url(param: Any) -> str | None:
    """Our own URL out of `param`, which is an object, its JSON text, or the JSON text of that text (kie.ai)."""
    for _ in range(2):
        if isinstance(param, str):
            try:
                param = json_text.read_tolerant(param.encode("utf-8", "replace"))
            except Malformed:
                return None
    url = param.get("callBackUrl") if isinstance(param, dict) else None
    return url if isinstance(url, str) and url else None


def _outputs(data: Mapping[str, Any], media: Kind, expires_at: Ms) -> tuple[Output, ...]:
    urls = urls_at(object_at(data.get("resultJson")).get("resultUrls"))
    return outputs_of(urls, media, expires_at=expires_at) or _older_outputs(data, media, expires_at)


def _older_outputs(data: Mapping[str, Any], media: Kind, expires_at: Ms | None) -> tuple[Output, ...]:
    """Results where the older families put them: `info`, `video_url`, `resultUrls`, or Suno's list of tracks."""
    info = object_at(data.get("info"))
    tracks = objects_at(data.get("data")) if data.get("callbackType") is not None else []
    main = [
        *results_at(media, data.get("video_url"), data.get("resultUrls"), info.get("resultUrls")),
        *results_at(Kind.IMAGE, info.get("result_urls"), info.get("resultImageUrl")),
        *results_at(Kind.AUDIO, *(track.get("audio_url") for track in tracks)),
    ]
    covers = results_at(Kind.IMAGE, data.get("image_url"), *(track.get("image_url") for track in tracks))
    thumbnails = numbered(covers, role=Role.THUMBNAIL, expires_at=expires_at) if main else ()
    return numbered(main, expires_at=expires_at) + thumbnails

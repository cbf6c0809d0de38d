"""What Reelbyte's `data` says about a task: its results, its failure, its cost.

Seed 000 shows `taskInfo` and `taskResult` as text and leaves open what is in it; the public ShipAny template, whose
words Reelbyte shares, fills them (inferred). Either may be JSON text, an object, null, empty or garbage.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.reading import (
    MESSAGE_LIMIT,
    credits_at,
    numbered,
    object_at,
    outputs_of,
    speaks_of_moderation,
    text_at,
    urls_at,
    word_at,
)
from receiver.domain import Failure, FailureKind, Kind, Output, Role, Status, Update, Usage

# pending, success: seed 000; processing: Reelbyte docs, seedance2/pricing-errors; failed, canceled: template.
STATUSES = {
    "pending": Status.SUBMITTED,
    "processing": Status.RUNNING,
    "success": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
}


def update_of(data: Mapping[str, Any], media: Kind) -> Update:
    """What `data` of a generate or query answer says; its `taskId` is left to the caller."""
    word = word_at(data.get("status"))
    status = STATUSES.get((word or "").casefold())
    info, result = object_at(data.get("taskInfo")), object_at(data.get("taskResult"))
    return Update(
        status=status,
        provider_status=word,
        outputs=_outputs(info, result, media) if status is Status.SUCCEEDED else (),
        error=_failure(info, result, status),
        usage=usage_of(data, status),
    )


def usage_of(data: Mapping[str, Any], status: Status | None) -> Usage | None:
    """Seed 000: credits are taken at creation and given back when a task fails; of canceled ones it says nothing."""
    if status is Status.FAILED:
        return Usage(amount=0, phase="refunded")
    reported = credits_at(object_at(data.get("usage")).get("credits"))
    amount = credits_at(data.get("costCredits")) if reported is None else reported
    if amount is None:
        return None
    return Usage(amount=amount, phase="charged" if status is Status.SUCCEEDED else "reserved")


def _failure(info: Mapping[str, Any], result: Mapping[str, Any], status: Status | None) -> Failure | None:
    """The upstream's own text, from `taskInfo.errorMessage`, else `taskResult.error` (template)."""
    if status is Status.CANCELED:
        kind, fallback = FailureKind.CANCELED, "canceled at the provider"
    elif status is Status.FAILED:
        kind, fallback = FailureKind.UPSTREAM, "the provider gave no reason"
    else:
        return None
    error = result.get("error")
    texts = (text_at(info.get("errorMessage")), text_at(object_at(error).get("message")), text_at(error))
    message = next((text for text in texts if text), fallback)
    if status is Status.FAILED and speaks_of_moderation(message):
        kind = FailureKind.CONTENT_POLICY
    return Failure(kind=kind, code=word_at(info.get("errorCode")), message=message[:MESSAGE_LIMIT])


def _outputs(info: Mapping[str, Any], result: Mapping[str, Any], media: Kind) -> tuple[Output, ...]:
    """The first place that holds URLs, then the thumbnails; none is no failure.

    The key does not tell the kind: the template puts a video's URL into `images[].imageUrl` too.
    """
    mains = next((urls for urls in _places(info, result) if urls), [])
    thumbnails = [(url, Kind.IMAGE) for url in _column(info, "videos", "thumbnailUrl")]
    return outputs_of(mains, media) + numbered(thumbnails, role=Role.THUMBNAIL)


def _places(info: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield _column(info, "videos", "videoUrl")
    yield _column(info, "images", "imageUrl")
    yield _column(info, "songs", "audioUrl")
    yield _urls_in(result.get("output"))
    yield urls_at(object_at(result.get("resultJson")).get("resultUrls"))
    yield urls_at(object_at(result.get("response")).get("resultUrls"))


def _column(info: Mapping[str, Any], rows: str, key: str) -> list[str]:
    found = info.get(rows)
    return [url for row in (found if isinstance(found, list) else []) for url in urls_at(object_at(row).get(key))]


def _urls_in(output: Any) -> list[str]:
    """Replicate's `output`: a URL, a list of them, or an object with `url` or `video` (template)."""
    if isinstance(output, list):
        return [url for item in output for url in _urls_in(item)]
    if isinstance(output, dict):
        return urls_at(output.get("url")) or _urls_in(output.get("video"))
    return urls_at(output)
